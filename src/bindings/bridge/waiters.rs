//! The waiters of one event loop by number. A number is a place, which is used again, and how often that has happened,
//! so that the number of a waiter who is gone means nobody.

use std::mem;

use pyo3::prelude::*;

use super::queue::Key;
use super::waiter::Waiter;

/// Who waits, and the places that are free.
#[derive(Default)]
pub struct Waiters {
    places: Vec<Place>,
    free: Vec<u32>,
}

struct Place {
    uses: u32,
    waiter: Option<Py<Waiter>>,
}

impl Waiters {
    /// Adds a waiter.
    pub fn insert(&mut self, waiter: Py<Waiter>) -> Key {
        if let Some(place) = self.free.pop() {
            let taken = &mut self.places[place as usize];
            taken.waiter = Some(waiter);
            return Key { place, uses: taken.uses };
        }
        // Four thousand million calls in flight do not fit into memory.
        let place = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        self.places.push(Place { uses: 0, waiter: Some(waiter) });
        Key { place, uses: 0 }
    }

    /// Puts another waiter in the place of one who is still there, whom it gives back.
    pub fn replace(&mut self, key: Key, waiter: Py<Waiter>) -> Option<Py<Waiter>> {
        self.find(key).map(|place| mem::replace(&mut place.waiter, Some(waiter)))?
    }

    /// Takes a waiter away, if it is still there. Drop it after the lock: its drop may run Python code.
    pub fn remove(&mut self, key: Key) -> Option<Py<Waiter>> {
        let place = self.find(key)?;
        let waiter = place.waiter.take();
        place.uses = place.uses.wrapping_add(1);
        self.free.push(key.place);
        waiter
    }

    /// All who are there.
    pub fn iter(&self) -> impl Iterator<Item = &Py<Waiter>> {
        self.places.iter().filter_map(|place| place.waiter.as_ref())
    }

    fn find(&mut self, key: Key) -> Option<&mut Place> {
        self.places.get_mut(key.place as usize).filter(|place| place.uses == key.uses)
    }
}
