//! No result is lost or told twice on its way from the runtime's thread to the loop that comes when its bell rings.

use std::sync::Arc;

use loom::thread;

use crate::bindings::bridge::bell::Bell;
use crate::bindings::bridge::queue::{Flusher, Key, Queue};

fn key(place: usize) -> Key {
    Key { place, uses: 0 }
}

/// An event loop's end of the queue.
struct EventLoop {
    bell: Bell,
    queue: Arc<Queue>,
    places: Vec<usize>,
}

impl EventLoop {
    fn new() -> Self {
        let bell = Bell::default();
        Self { queue: Arc::new(Queue::new(bell.clone(), false)), bell, places: vec![] }
    }

    /// Comes if the bell was rung; whether it was.
    fn turn(&mut self) -> bool {
        let is_rung = self.bell.is_rung();
        if is_rung {
            self.places.extend(self.queue.take().iter().map(|key| key.place));
        }
        is_rung
    }

    /// Comes as often as the bell rings; then everything up to `count` was told once.
    fn assert_hears_of(mut self, count: usize) {
        while self.turn() {}
        self.places.sort_unstable();
        assert_eq!(self.places, (0..count).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_pushed_and_flushed_rings_the_bell_until_it_is_taken() {
    loom::model(|| {
        let mut event_loop = EventLoop::new();
        let queue = Arc::clone(&event_loop.queue);
        let runtime = thread::spawn(move || {
            let flusher = Flusher::default();
            for place in 0..3 {
                flusher.push(&queue, key(place));
                if place > 0 {
                    flusher.flush();
                }
            }
        });
        event_loop.turn();
        event_loop.turn();
        runtime.join().unwrap();
        event_loop.assert_hears_of(3);
    });
}

#[test]
fn results_of_two_threads_all_arrive_when_both_have_flushed() {
    loom::model(|| {
        let mut event_loop = EventLoop::new();
        let flusher = Arc::new(Flusher::default());
        let threads = [0, 1].map(|place| {
            let (queue, flusher) = (Arc::clone(&event_loop.queue), Arc::clone(&flusher));
            thread::spawn(move || {
                flusher.push(&queue, key(place));
                flusher.flush();
            })
        });
        event_loop.turn();
        for thread in threads {
            thread.join().unwrap();
        }
        event_loop.assert_hears_of(2);
    });
}

#[test]
fn two_loops_are_both_woken_by_one_flush() {
    loom::model(|| {
        let mut loops = [EventLoop::new(), EventLoop::new()];
        let queues = loops.each_ref().map(|event_loop| Arc::clone(&event_loop.queue));
        let runtime = thread::spawn(move || {
            let flusher = Flusher::default();
            for queue in &queues {
                flusher.push(queue, key(0));
            }
            flusher.flush();
        });
        loops[0].turn();
        runtime.join().unwrap();
        for event_loop in loops {
            event_loop.assert_hears_of(1);
        }
    });
}

#[test]
fn what_is_put_back_is_told_again() {
    loom::model(|| {
        let mut event_loop = EventLoop::new();
        let queue = Arc::clone(&event_loop.queue);
        let runtime = thread::spawn(move || {
            let flusher = Flusher::default();
            for place in 0..2 {
                flusher.push(&queue, key(place));
                flusher.flush();
            }
        });
        // A callback failed after the first: the others are for another turn.
        if event_loop.bell.is_rung() {
            let mut keys = event_loop.queue.take().into_iter();
            event_loop.places.extend(keys.next().map(|key| key.place));
            event_loop.queue.put_back(keys);
        }
        runtime.join().unwrap();
        event_loop.assert_hears_of(2);
    });
}
