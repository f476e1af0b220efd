//! The results that are kept, by the text of their calls: no more bytes of them than was said.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::engine::error::{Error, Result};
use crate::engine::metrics::{Gauge, Portion, Scopes};

/// What an entry takes besides its texts: its places in the index and in the order, and two allocations.
const ENTRY: u64 = 160;
/// What an entry takes on average, to begin with.
const USUAL: u64 = 1024;

/// The results.
pub(super) struct Store {
    kept: Cache<Box<[u8]>, Bytes, Bytewise>,
    /// How many bytes it holds, for the metrics.
    bytes: Mutex<Portion>,
}

#[derive(Clone)]
struct Bytewise;

impl Weighter<Box<[u8]>, Bytes> for Bytewise {
    fn weight(&self, call: &Box<[u8]>, result: &Bytes) -> u64 {
        ENTRY + call.len() as u64 + result.len() as u64
    }
}

impl Store {
    /// Room for `most` bytes.
    pub(super) fn new(most: u64, scopes: Arc<Scopes>) -> Result<Self> {
        // One part, so that the bound is exact, and a result may be as large as all of it.
        let options = OptionsBuilder::new()
            .shards(1)
            .weight_capacity(most)
            .estimated_items_capacity(usize::try_from(most / USUAL).unwrap_or(usize::MAX).max(1))
            .build()
            .map_err(|_| Error::argument("cache", "must be a number of bytes"))?;
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        let kept = Cache::with_options(options, Bytewise, hasher, lifecycle);
        Ok(Self { kept, bytes: Mutex::new(Portion::new(scopes, Gauge::CacheBytes)) })
    }

    /// The result of a call.
    pub(super) fn get(&self, call: &[u8]) -> Option<Bytes> {
        self.kept.get(call)
    }

    /// Keep the result of a call. It is copied: it may be a part of a larger text.
    pub(super) fn keep(&self, call: &[u8], result: &[u8]) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        self.kept.insert(call.into(), Bytes::copy_from_slice(result));
        bytes.set(self.kept.weight());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::metrics::Counters;

    fn store(most: u64) -> (Store, Arc<Counters>) {
        let counters = Arc::<Counters>::default();
        (Store::new(most, Arc::new(Scopes::alone(Arc::clone(&counters)))).unwrap(), counters)
    }

    #[test]
    fn it_holds_no_more_than_it_may_and_tells_how_much() {
        let (store, counters) = store(100_000);
        for call in 0..1_000_u32 {
            store.keep(&call.to_be_bytes(), &vec![b'0'; 100 + call as usize % 900]);
            assert!(store.kept.weight() <= 100_000);
            assert_eq!(counters.gauge(Gauge::CacheBytes), store.kept.weight());
        }
        assert!(store.kept.weight() > 50_000);
        drop(store);
        assert_eq!(counters.gauge(Gauge::CacheBytes), 0);
    }

    #[test]
    fn what_is_larger_than_all_of_it_is_not_kept_and_puts_nothing_out() {
        let (store, _) = store(1_000);
        store.keep(b"a", b"1");
        store.keep(b"b", &[b'0'; 1_000]);
        assert_eq!((store.get(b"a"), store.get(b"b")), (Some(Bytes::from_static(b"1")), None));
    }

    #[test]
    fn what_is_asked_for_again_stays_when_much_passes_by() {
        let (store, _) = store(20_000);
        store.keep(b"often", b"1");
        for call in 0..10_000_u32 {
            assert!(store.get(b"often").is_some(), "{call}");
            store.keep(&call.to_be_bytes(), b"2");
        }
    }
}
