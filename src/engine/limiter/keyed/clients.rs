//! The counts of many clients in little memory: one row each, dropped when nothing in it counts any more.

use super::event::{Event, FAILURES, REFUSALS, Suspicion, Told};
use super::row::{Counter, LIFE, PARTS, Row, Verdict};
use super::table::Table;

/// How many rows are looked at for each request at most, while they turn out idle, and how many that are not: no
/// request pays for a crowd that leaves.
const SWEEP: usize = 64;
const BUSY: usize = 4;

/// All clients with something that counts, at most `cap` of them.
#[derive(Debug)]
pub(super) struct Clients<C> {
    limit: u64,
    /// How many have a row of their own.
    cap: usize,
    table: Table<C>,
    /// All who came when the table was full.
    overflow: Row<C>,
    /// The next row to look at, whether it is idle.
    hand: usize,
    /// The newest sub-window that was seen.
    part: u64,
    told: Told,
    /// So many newcomers in a window are many.
    crowd: u64,
}

impl<C: Counter> Clients<C> {
    /// For `max_clients`, of whom the last is whoever finds the table full.
    pub(super) fn new(limit: u64, max_clients: usize) -> Self {
        let cap = max_clients.saturating_sub(1);
        let crowd = u64::try_from(max_clients / 10).unwrap_or(u64::MAX).max(10);
        let (table, overflow, told) = (Table::new(), Row::new(), Told::default());
        Self { limit, cap, table, overflow, hand: 0, part: 0, told, crowd }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Judge a request of `client` in sub-window `part`, and count it if it may pass.
    pub(super) fn judge(&mut self, client: u64, part: u64) -> (Verdict, Option<Event>) {
        let part = self.turn(part);
        if let Some(row) = self.table.get_mut(client) {
            let verdict = row.judge(part, self.limit);
            let hammering = matches!(verdict, Verdict::Refused { .. }) && row.refused() == REFUSALS;
            let count = u64::from(REFUSALS);
            return (verdict, self.told_if(hammering, Suspicion::Hammering, Some(client), count));
        }
        let verdict = if self.table.len() >= self.cap {
            self.overflow.judge(part, self.limit)
        } else {
            let mut row = self.newcomer(client);
            let verdict = row.judge(part, self.limit);
            if matches!(verdict, Verdict::Admitted { .. }) {
                self.table.insert(row);
            }
            verdict
        };
        let newcomers = self.told.newcomer(part / PARTS);
        (verdict, self.told_if(newcomers == self.crowd, Suspicion::NewClients, None, newcomers))
    }

    /// Count a failure of `client` to prove who it is.
    pub(super) fn fail(&mut self, client: u64, part: u64) -> Option<Event> {
        let part = self.turn(part);
        if self.table.get_mut(client).is_none() && self.table.len() < self.cap {
            let row = self.newcomer(client);
            self.table.insert(row);
        }
        let (failed, client) = match self.table.get_mut(client) {
            Some(row) => (row.fail(part), Some(client)),
            None => (self.overflow.fail(part), None),
        };
        self.told_if(failed == FAILURES, Suspicion::CredentialFailures, client, failed.into())
    }

    /// It may have been one of the overflow a moment ago, so what was counted there counts against it.
    fn newcomer(&mut self, client: u64) -> Row<C> {
        self.overflow.advance(self.part);
        self.overflow.of(client)
    }

    fn told_if(&mut self, is_so: bool, kind: Suspicion, client: Option<u64>, count: u64) -> Option<Event> {
        is_so.then(|| self.told.tell(self.part / PARTS, kind, client, count)).flatten()
    }

    /// Go on to sub-window `part`, and drop some of those who are idle.
    fn turn(&mut self, part: u64) -> u64 {
        if part.saturating_sub(self.part) >= LIFE && self.table.len() > 0 {
            self.table = Table::new();
        }
        self.part = self.part.max(part);
        let mut busy = 0;
        for _ in 0..SWEEP {
            self.hand = if self.hand < self.table.len() { self.hand } else { 0 };
            match self.table.at(self.hand) {
                Some(row) if row.is_idle(self.part) => self.table.remove(self.hand),
                Some(_) if busy < BUSY => {
                    busy += 1;
                    self.hand += 1;
                }
                _ => break,
            }
        }
        self.part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes<C: Counter>(clients: &mut Clients<C>, client: u64, part: u64) -> bool {
        matches!(clients.judge(client, part).0, Verdict::Admitted { .. })
    }

    #[test]
    fn a_row_takes_few_bytes() {
        assert_eq!(size_of::<Row<u8>>(), 32);
        assert_eq!(size_of::<Row<u16>>(), 48);
        assert_eq!(size_of::<Row<u32>>(), 88);
    }

    #[test]
    fn a_count_lasts_until_its_whole_sub_window_has_left() {
        let mut clients = Clients::<u16>::new(1, 10);
        assert!(passes(&mut clients, 1, 5));
        assert_eq!(clients.judge(1, 5 + PARTS).0, Verdict::Refused { oldest: 5 });
        assert!(passes(&mut clients, 1, 5 + LIFE));
    }

    #[test]
    fn sub_windows_are_told_apart_when_their_last_digits_repeat() {
        let end = u64::from(u32::MAX);
        let mut clients = Clients::<u8>::new(2, 10);
        assert!(passes(&mut clients, 1, end - 1));
        assert!(passes(&mut clients, 1, end + 1));
        assert_eq!(clients.judge(1, end - 1 + PARTS).0, Verdict::Refused { oldest: end - 1 });
        assert_eq!(clients.judge(1, end - 1 + LIFE).0, Verdict::Admitted { remaining: 0 });
    }

    #[test]
    fn idle_clients_are_dropped_and_busy_ones_stay() {
        let mut clients = Clients::<u32>::new(1_000, 1_000);
        for part in 0..10 * LIFE {
            clients.judge(0, part);
            clients.judge(1_000 + part, part);
        }
        let count = usize::try_from(1 + LIFE).unwrap();
        assert!(
            (count..=2 * count).contains(&clients.len()),
            "one busy, one new in each sub-window that counts"
        );
        assert_eq!(clients.judge(0, 10 * LIFE).0, Verdict::Admitted { remaining: 1_000 - LIFE });
        clients.judge(0, 20 * LIFE);
        assert_eq!(clients.len(), 1);
    }

    #[test]
    fn a_crowd_that_leaves_is_dropped_in_small_steps() {
        let mut clients = Clients::<u16>::new(1, 1_001);
        for client in 0..1_000 {
            assert!(passes(&mut clients, client, 0));
        }
        assert!(!passes(&mut clients, 0, LIFE - 1));
        for (step, client) in (5_000..5_010).enumerate() {
            assert!(passes(&mut clients, client, LIFE), "room for a new one from the first step on");
            assert!(clients.len() >= 1_000 - (step + 1) * (SWEEP - 1));
        }
        assert!(clients.len() < 1_000 - 8 * (SWEEP - BUSY - 1));
    }

    #[test]
    fn a_flood_of_new_clients_never_frees_a_throttled_one() {
        let mut clients = Clients::<u8>::new(3, 5);
        for part in 1..4 {
            assert!(passes(&mut clients, 0, part));
        }
        let passed = (1..10_000).filter(|&client| passes(&mut clients, client, 3)).count();
        assert_eq!(passed, 3 + 3, "three have a row of their own, the others share one");
        assert_eq!(clients.len(), 4);
        assert_eq!(clients.judge(0, PARTS).0, Verdict::Refused { oldest: 1 });
    }

    #[test]
    fn all_together_pass_as_often_as_so_many_clients_may() {
        for max_clients in [1, 2, 7] {
            let mut clients = Clients::<u8>::new(2, max_clients);
            let passed = (0..100).chain(0..100).filter(|&client| passes(&mut clients, client, 0)).count();
            assert_eq!(passed, 2 * max_clients);
        }
    }

    #[test]
    fn who_was_counted_in_the_overflow_does_not_start_afresh_in_the_table() {
        let mut clients = Clients::<u16>::new(5, 2);
        assert!(passes(&mut clients, 0, 0));
        for _ in 0..5 {
            assert!(passes(&mut clients, 1, 10));
        }
        assert_eq!(clients.judge(1, LIFE).0, Verdict::Refused { oldest: 10 });
        assert_eq!(clients.len(), 0, "the idle one is gone, the refused one takes no row");
        assert!(passes(&mut clients, 1, 10 + LIFE));
    }

    #[test]
    fn hammering_is_told_once_in_a_window_and_again_in_the_next() {
        let mut clients = Clients::<u8>::new(1, 10);
        let mut told = |parts: std::ops::Range<u64>| {
            let asked = parts.flat_map(|part| [part; 40]);
            asked.filter_map(|part| clients.judge(1, part).1).collect::<Vec<_>>()
        };
        let events = told(0..PARTS);
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].kind, events[0].count), (Suspicion::Hammering, 100));
        assert_eq!(events[0].client.unwrap().to_string(), "0000000000000001");
        assert_eq!(told(PARTS..PARTS + 2).len(), 0, "eighty are not a hundred");
        assert_eq!(told(PARTS + 2..3 * PARTS).len(), 2);
    }

    #[test]
    fn a_crowd_of_new_clients_is_told_once_in_a_window() {
        let mut clients = Clients::<u8>::new(1, 1_000);
        let mut told =
            |part| (0..500).filter_map(|n| clients.judge(part * 1_000 + n, part).1).collect::<Vec<_>>();
        let events = told(3);
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].kind, events[0].client, events[0].count), (Suspicion::NewClients, None, 100));
        assert_eq!((told(4).len(), told(PARTS).len()), (0, 1));
    }

    #[test]
    fn repeated_failures_are_told_for_known_and_unknown_clients() {
        let mut clients = Clients::<u8>::new(1, 2);
        assert!(passes(&mut clients, 1, 0));
        let failures = |clients: &mut Clients<u8>, client| {
            (0..20)
                .filter_map(|_| clients.fail(client, 1))
                .map(|event| event.client.is_some())
                .collect::<Vec<_>>()
        };
        assert_eq!(failures(&mut clients, 1), [true]);
        assert_eq!(failures(&mut clients, 2), [false], "there is no room to tell it from others");
        assert!(!passes(&mut clients, 1, 1), "a failure changes no count");
        assert!(passes(&mut clients, 2, 1));
    }

    #[test]
    fn a_flood_of_events_is_cut_short() {
        let mut clients = Clients::<u8>::new(1, 1_000);
        let failing = |clients: &mut Clients<u8>, part| {
            let each = (0..100).flat_map(|client| [client; 5]);
            each.filter_map(|client| clients.fail(client, part)).count()
        };
        assert_eq!((failing(&mut clients, 0), failing(&mut clients, PARTS)), (10, 10));
    }
}
