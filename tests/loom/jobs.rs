//! A job goes on after every wake-up, and whoever ends it finds free what it held.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread::{self, JoinHandle};

use crate::bindings::bridge::bell::Bell;
use crate::bindings::bridge::job::Job;
use crate::bindings::bridge::line::Worker;
use crate::bindings::bridge::operation::{Event, Held, Outcome, Work};
use crate::bindings::bridge::queue::{Key, Queue};
use crate::bindings::runtime::Io;

const KEY: Key = Key { place: 0, uses: 0 };

/// The runtime's thread is to go on.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        // To loom a mere store may come before the swap that has read an older value.
        self.0.swap(true, Ordering::SeqCst);
    }
}

/// One job, and all that surrounds it.
#[derive(Clone)]
struct World {
    io: Arc<Io>,
    woken: Arc<Woken>,
    event: Arc<Event>,
    /// What the work holds.
    taken: Arc<AtomicUsize>,
    bell: Bell,
    queue: Arc<Queue>,
    job: Arc<Job>,
}

impl World {
    /// A job that was started and not run yet.
    fn new() -> Self {
        Self::on(Arc::default(), Arc::new(Woken(AtomicBool::new(true))))
    }

    /// Another one of the same runtime.
    fn neighbour(&self) -> Self {
        Self::on(Arc::clone(&self.io), Arc::clone(&self.woken))
    }

    fn on(io: Arc<Io>, woken: Arc<Woken>) -> Self {
        let (event, taken) = (Arc::<Event>::default(), Arc::<AtomicUsize>::default());
        let bell = Bell::default();
        let queue = Arc::new(Queue::new(bell.clone(), false));
        let work = Work { event: Arc::clone(&event), held: Held::new(&taken) };
        let job = Job::new(Arc::clone(&io), Arc::clone(&queue), KEY, work);
        job.start();
        Self { io, woken, event, taken, bell, queue, job }
    }

    /// One turn of the runtime's thread, which may come without need.
    fn turn(&self) {
        self.woken.0.swap(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self.woken));
        let _ = pin!(Worker::new(Arc::clone(&self.io.line))).poll(&mut Context::from_waker(&waker));
        self.io.flusher().flush();
    }

    /// The runtime's thread goes on until it rests.
    fn rest(&self) {
        while self.woken.0.load(Ordering::SeqCst) {
            self.turn();
        }
    }

    /// The runtime's thread, for a turn.
    fn runtime(&self) -> JoinHandle<()> {
        let world = self.clone();
        thread::spawn(move || world.turn())
    }

    fn held(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    /// The bell was rung for the job, once.
    fn assert_told(&self) {
        assert!(self.bell.is_rung());
        assert_eq!(self.queue.take(), [KEY]);
    }
}

#[test]
fn a_wake_up_at_any_moment_has_the_job_go_on() {
    loom::model(|| {
        let world = World::new();
        world.rest();
        let runtime = world.runtime();
        // One wake-up for nothing, and the one that counts.
        Arc::clone(&world.job).wake();
        world.event.set();
        runtime.join().unwrap();
        world.rest();
        world.assert_told();
        assert!(matches!(world.job.take(), Some(Outcome::Finished(_))));
        assert!(world.job.take().is_none());
        assert_eq!(world.held(), 0);
    });
}

#[test]
fn jobs_that_are_woken_one_after_the_other_all_go_on() {
    loom::model(|| {
        let world = World::new();
        let neighbour = world.neighbour();
        world.rest();
        let runtime = world.runtime();
        world.event.set();
        neighbour.event.set();
        runtime.join().unwrap();
        world.rest();
        world.assert_told();
        neighbour.assert_told();
    });
}

#[test]
fn when_a_job_is_cancelled_all_that_it_held_is_free() {
    loom::model(|| {
        let world = World::new();
        let runtime = world.runtime();
        let other = thread::spawn({
            let event = Arc::clone(&world.event);
            move || event.set()
        });
        world.job.cancel();
        assert_eq!(world.held(), 0);
        runtime.join().unwrap();
        other.join().unwrap();
        world.rest();
        assert!(world.job.take().is_none());
        assert_eq!(world.held(), 0);
    });
}

#[test]
fn a_job_that_is_stopped_while_it_ends_is_told_once() {
    loom::model(|| {
        let world = World::new();
        let runtime = world.runtime();
        world.event.set();
        world.job.stop();
        runtime.join().unwrap();
        world.rest();
        world.assert_told();
        assert!(world.job.take().is_some());
        assert_eq!(world.held(), 0);
    });
}
