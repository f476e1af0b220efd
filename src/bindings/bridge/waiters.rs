//! The waiters of one event loop by number. A number is a place, which is used again, and how often that has happened,
//! so that the number of a waiter who is gone means nobody.

use std::mem;
use std::sync::Arc;

use pyo3::prelude::*;

use super::job::Job;
use super::queue::Key;
use super::waiter::Waiter;

/// Who waits, and the places that are free.
#[derive(Default)]
pub struct Waiters {
    places: Vec<Place>,
    free: Vec<usize>,
}

struct Place {
    uses: u32,
    taken: Option<Taken>,
}

struct Taken {
    waiter: Py<Waiter>,
    job: Arc<Job>,
}

impl Waiters {
    /// Adds a waiter for the job that `make` makes for its key.
    pub fn insert(&mut self, waiter: Py<Waiter>, make: impl FnOnce(Key) -> Arc<Job>) -> (Key, Arc<Job>) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { uses: 0, taken: None });
            self.places.len() - 1
        });
        let key = Key { place, uses: self.places[place].uses };
        let job = make(key);
        self.places[place].taken = Some(Taken { waiter, job: Arc::clone(&job) });
        (key, job)
    }

    /// Puts another waiter in the place of one who is still there, whom it gives back.
    pub fn replace(&mut self, key: Key, waiter: Py<Waiter>) -> Option<Py<Waiter>> {
        let taken = self.find(key)?.taken.as_mut()?;
        Some(mem::replace(&mut taken.waiter, waiter))
    }

    /// Takes a waiter away, if it is still there. Drop it after the lock: its drop may run Python code.
    pub fn remove(&mut self, key: Key) -> Option<Py<Waiter>> {
        let place = self.find(key)?;
        let taken = place.taken.take()?;
        place.uses = place.uses.wrapping_add(1);
        self.free.push(key.place);
        Some(taken.waiter)
    }

    /// All who are there.
    pub fn all(&self) -> impl Iterator<Item = &Py<Waiter>> {
        self.taken().map(|taken| &taken.waiter)
    }

    /// What they wait for.
    pub fn jobs(&self) -> impl Iterator<Item = &Arc<Job>> {
        self.taken().map(|taken| &taken.job)
    }

    fn taken(&self) -> impl Iterator<Item = &Taken> {
        self.places.iter().filter_map(|place| place.taken.as_ref())
    }

    fn find(&mut self, key: Key) -> Option<&mut Place> {
        self.places.get_mut(key.place).filter(|place| place.uses == key.uses)
    }
}
