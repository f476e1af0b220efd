//! Things in the order of their tickets. The ends are where it is fast, and anything may leave from the middle.

use std::collections::VecDeque;

/// So many gaps are not worth closing.
const GAPS: usize = 32;

#[derive(Debug)]
pub(super) struct Queue<T> {
    /// In order; what has left leaves a gap, but never at the front.
    entries: VecDeque<(u64, Option<T>)>,
    len: usize,
}

impl<T> Queue<T> {
    pub(super) const fn new() -> Self {
        Self { entries: VecDeque::new(), len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Add something at the end; its ticket is the highest so far.
    pub(super) fn push(&mut self, ticket: u64, value: T) {
        self.entries.push_back((ticket, Some(value)));
        self.len += 1;
    }

    pub(super) fn first(&self) -> Option<(u64, &T)> {
        self.entries.front().and_then(|(ticket, value)| Some((*ticket, value.as_ref()?)))
    }

    pub(super) fn contains(&self, ticket: u64) -> bool {
        self.find(ticket).and_then(|place| self.entries.get(place)).is_some_and(|entry| entry.1.is_some())
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().filter_map(|(_, value)| value.as_ref())
    }

    pub(super) fn remove(&mut self, ticket: u64) -> Option<T> {
        let removed = self.entries.get_mut(self.find(ticket)?)?.1.take()?;
        self.len -= 1;
        while self.entries.front().is_some_and(|(_, value)| value.is_none()) {
            self.entries.pop_front();
        }
        if self.entries.len() > 2 * self.len + GAPS {
            self.entries.retain(|(_, value)| value.is_some());
        }
        Some(removed)
    }

    fn find(&self, ticket: u64) -> Option<usize> {
        if self.entries.front()?.0 == ticket {
            return Some(0);
        }
        self.entries.binary_search_by_key(&ticket, |entry| entry.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn those_who_leave_behind_one_who_stays_take_no_memory() {
        let mut queue = Queue::new();
        for ticket in 0..10_000 {
            queue.push(ticket, ());
            assert_eq!(queue.remove(ticket.max(1)).is_some(), ticket > 0);
            assert!(queue.entries.len() <= 2 + GAPS);
        }
        assert_eq!((queue.first(), queue.len()), (Some((0, &())), 1));
    }

    proptest! {
        #[test]
        fn it_does_what_a_map_does(steps in prop::collection::vec((any::<bool>(), 0_u64..300), 1..600)) {
            let (mut queue, mut map) = (Queue::new(), BTreeMap::new());
            for (next, (comes, ticket)) in (0..).step_by(3).zip(steps) {
                if comes {
                    queue.push(next, next);
                    map.insert(next, next);
                } else {
                    assert_eq!(queue.contains(ticket), map.contains_key(&ticket));
                    assert_eq!(queue.remove(ticket), map.remove(&ticket));
                }
                assert_eq!((queue.len(), queue.is_empty()), (map.len(), map.is_empty()));
                assert_eq!(queue.first(), map.first_key_value().map(|(ticket, value)| (*ticket, value)));
                assert!(queue.values().eq(map.values()));
            }
        }
    }
}
