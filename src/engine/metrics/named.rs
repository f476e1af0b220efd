//! Counts by name, for names that users choose: so many names and no more, the rest under one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many names are told apart.
pub(super) const MOST: usize = 1000;

/// Where later names are counted.
pub(super) const OTHER: &str = "other";

/// One `T` for each name.
#[derive(Debug)]
pub(super) struct Named<T>(Mutex<BTreeMap<String, Arc<T>>>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Default> Named<T> {
    /// The entry of `name`, made if it is new; the common entry if there are too many names already.
    pub fn entry(&self, name: &str) -> Arc<T> {
        let mut entries = self.entries();
        if let Some(entry) = entries.get(name) {
            return Arc::clone(entry);
        }
        let name = if entries.len() < MOST { name } else { OTHER };
        Arc::clone(entries.entry(name.to_owned()).or_default())
    }

    /// The entry of `name`, if there is one.
    pub fn get(&self, name: &str) -> Option<Arc<T>> {
        self.entries().get(name).cloned()
    }

    /// All entries, in the order of their names.
    pub fn all(&self) -> Vec<(String, Arc<T>)> {
        self.entries().iter().map(|(name, entry)| (name.clone(), Arc::clone(entry))).collect()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Arc<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn names_beyond_the_bound_share_one_entry_and_known_names_keep_theirs() {
        let named = Named::<AtomicU64>::default();
        for round in 0..2 {
            for n in 0..MOST + 50 {
                named.entry(&format!("name {n}")).fetch_add(1, Ordering::Relaxed);
            }
            assert_eq!(named.all().len(), MOST + 1, "in round {round}");
        }
        let count = |name| named.get(name).map(|entry| entry.load(Ordering::Relaxed));
        assert_eq!(count("name 999"), Some(2));
        assert_eq!(count("name 1000"), None);
        assert_eq!(count(OTHER), Some(100));
    }
}
