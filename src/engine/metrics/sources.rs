//! The managers that a collector also shows.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Pools;

/// Something whose pools a collector shows: a manager.
pub trait Source: Send + Sync {
    /// A name for people; it need not be unique.
    fn label(&self) -> String;

    /// The present counters. The source may record durations and errors here, but must not touch the alerts:
    /// they are locked while they are checked.
    fn pools(&self) -> Pools;
}

/// What is attached, each with a label that no other has.
#[derive(Default)]
pub(super) struct Sources(Mutex<Vec<(String, Weak<dyn Source>)>>);

impl Sources {
    /// Attach a source, once. A label that is taken gets a number.
    pub fn attach(&self, source: &Weak<dyn Source>) {
        let Some(label) = source.upgrade().map(|source| source.label()) else { return };
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sources.retain(|(_, known)| known.strong_count() > 0);
        if sources.iter().any(|(_, known)| Weak::ptr_eq(known, source)) {
            return;
        }
        let is_free = |candidate: &String| sources.iter().all(|(taken, _)| taken != candidate);
        let numbered = (2_u64..).map(|number| format!("{label}-{number}"));
        if let Some(label) = std::iter::once(label.clone()).chain(numbered).find(is_free) {
            sources.push((label, Weak::clone(source)));
        }
    }

    /// The pools of every source that still lives.
    pub fn pools(&self) -> Vec<(String, Pools)> {
        let living: Vec<(String, Arc<dyn Source>)> = {
            let sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let living =
                |(label, source): &(String, Weak<dyn Source>)| Some((label.clone(), source.upgrade()?));
            sources.iter().filter_map(living).collect()
        };
        living.into_iter().map(|(label, source)| (label, source.pools())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Manager;

    impl Source for Manager {
        fn label(&self) -> String {
            "main".into()
        }

        fn pools(&self) -> Pools {
            Pools { max_connections: 10, all: Arc::default(), chains: vec![] }
        }
    }

    fn labels(sources: &Sources) -> Vec<String> {
        sources.pools().into_iter().map(|(label, _)| label).collect()
    }

    #[test]
    fn each_source_has_a_label_of_its_own_for_as_long_as_it_lives() {
        let sources = Sources::default();
        let managers: [Arc<dyn Source>; 3] = [Arc::new(Manager), Arc::new(Manager), Arc::new(Manager)];
        for manager in &managers {
            sources.attach(&Arc::downgrade(manager));
        }
        assert_eq!(labels(&sources), ["main", "main-2", "main-3"]);
        let [first, second, third] = managers;
        drop((first, second));
        assert_eq!(labels(&sources), ["main-3"]);
        let next: Arc<dyn Source> = Arc::new(Manager);
        sources.attach(&Arc::downgrade(&next));
        assert_eq!(labels(&sources), ["main-3", "main"]);
        drop((third, next));
    }

    #[test]
    fn a_source_that_is_attached_twice_shows_once() {
        let sources = Sources::default();
        let manager: Arc<dyn Source> = Arc::new(Manager);
        sources.attach(&Arc::downgrade(&manager));
        sources.attach(&Arc::downgrade(&manager));
        assert_eq!(labels(&sources), ["main"]);
    }
}
