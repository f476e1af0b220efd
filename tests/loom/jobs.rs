//! A job goes on after every wake-up, and whoever ends it finds free what it held.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;

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
        let (io, event, taken) = (Arc::<Io>::default(), Arc::<Event>::default(), Arc::<AtomicUsize>::default());
        let bell = Bell::default();
        let queue = Arc::new(Queue::new(bell.clone(), false));
        let work = Work { event: Arc::clone(&event), held: Held::new(&taken) };
        let job = Job::new(Arc::clone(&io), Arc::clone(&queue), KEY, work);
        let world = Self { io, woken: Arc::new(Woken(AtomicBool::new(true))), event, taken, bell, queue, job };
        world.job.start();
        world
    }

    /// What the runtime's thread does until it rests, for so many turns at most.
    fn turns(&self, most: usize) {
        let mut worker = pin!(Worker::new(Arc::clone(&self.io.line)));
        let waker = Waker::from(Arc::clone(&self.woken));
        for _ in 0..most {
            if !self.woken.0.swap(false, Ordering::SeqCst) {
                return;
            }
            let _ = worker.as_mut().poll(&mut Context::from_waker(&waker));
            self.io.flusher().flush();
        }
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
        let runtime = thread::spawn({
            let world = world.clone();
            move || world.turns(2)
        });
        world.event.set();
        runtime.join().unwrap();
        world.turns(usize::MAX);
        world.assert_told();
        assert!(matches!(world.job.take(), Some(Outcome::Finished(_))));
        assert!(world.job.take().is_none());
        assert_eq!(world.held(), 0);
    });
}

#[test]
fn when_a_job_is_cancelled_all_that_it_held_is_free() {
    loom::model(|| {
        let world = World::new();
        let runtime = thread::spawn({
            let world = world.clone();
            move || world.turns(2)
        });
        let other = thread::spawn({
            let event = Arc::clone(&world.event);
            move || event.set()
        });
        world.job.cancel();
        assert_eq!(world.held(), 0);
        runtime.join().unwrap();
        other.join().unwrap();
        world.turns(usize::MAX);
        assert!(world.job.take().is_none());
        assert_eq!(world.held(), 0);
    });
}

#[test]
fn a_job_that_is_stopped_while_it_ends_is_told_once() {
    loom::model(|| {
        let world = World::new();
        let runtime = thread::spawn({
            let world = world.clone();
            move || world.turns(2)
        });
        world.event.set();
        world.job.stop();
        runtime.join().unwrap();
        world.turns(usize::MAX);
        world.assert_told();
        assert!(world.job.take().is_some());
        assert_eq!(world.held(), 0);
    });
}
