//! The counts of many clients in little memory: one fixed row each, dropped when nothing in it counts any more.

use std::collections::{HashMap, VecDeque};

/// The sub-windows that may count: a window of sixteen, and the one that is just leaving.
const ROW: usize = 17;
/// The same: a request no longer counts so many sub-windows after its own.
pub(super) const LIFE: u64 = ROW as u64;
/// How many sub-windows a window has.
pub(super) const PARTS: u64 = LIFE - 1;
/// How many clients are looked at for each request, so that no request pays for a crowd that leaves.
const SWEEP: usize = 32;

/// A counter as small as the limit allows.
pub(super) trait Counter: Copy + Default + Into<u64> {
    fn next(self) -> Self;
}

impl Counter for u16 {
    fn next(self) -> Self {
        self.saturating_add(1)
    }
}

impl Counter for u32 {
    fn next(self) -> Self {
        self.saturating_add(1)
    }
}

/// What one client did in the last sub-windows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<C> {
    counts: [C; ROW],
    newest: u64,
}

impl<C: Counter> Row<C> {
    fn new() -> Self {
        Self { counts: [C::default(); ROW], newest: 0 }
    }

    /// Forget what no longer counts in sub-window `part`.
    fn advance(&mut self, part: u64) {
        let passed = part.saturating_sub(self.newest).min(LIFE);
        for gone in 0..passed {
            self.counts[place(part - gone)] = C::default();
        }
        self.newest = self.newest.max(part);
    }

    fn total(&self) -> u64 {
        self.counts.iter().map(|&count| count.into()).sum()
    }

    /// The oldest sub-window in which something counts.
    fn oldest(&self) -> Option<u64> {
        let first = self.newest.saturating_sub(PARTS);
        (first..=self.newest).find(|&part| self.counts[place(part)].into() > 0)
    }
}

/// Where the sub-window `part` has its counter.
fn place(part: u64) -> usize {
    usize::try_from(part % LIFE).unwrap_or_default()
}

/// What a request met.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It counts; so many more may follow.
    Admitted { remaining: u64 },
    /// It does not; the oldest that does was made in this sub-window.
    Refused { oldest: u64 },
}

/// All clients with something that counts, at most `cap` of them.
#[derive(Debug)]
pub(super) struct Clients<C> {
    limit: u64,
    cap: usize,
    rows: HashMap<u64, Row<C>>,
    /// All who came when the table was full.
    overflow: Row<C>,
    /// Clients by the sub-window in which to look whether they are idle; each client is in here or in `due`, once.
    wheel: [Vec<u64>; ROW],
    /// Clients to look at now.
    due: VecDeque<Vec<u64>>,
    /// The newest sub-window that was seen.
    part: u64,
}

impl<C: Counter> Clients<C> {
    pub(super) fn new(limit: u64, cap: usize) -> Self {
        let wheel = std::array::from_fn(|_| Vec::new());
        let due = VecDeque::new();
        Self { limit, cap, rows: HashMap::new(), overflow: Row::new(), wheel, due, part: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Judge a request of `client` in sub-window `part`, and count it if it may pass.
    pub(super) fn judge(&mut self, client: u64, part: u64) -> Verdict {
        self.turn_wheel(part);
        self.sweep();
        let part = self.part;
        if let Some(row) = self.rows.get_mut(&client) {
            return count(row, part, self.limit);
        }
        if self.rows.len() >= self.cap {
            return count(&mut self.overflow, part, self.limit);
        }
        // It may have been one of the overflow a moment ago, so what was counted there counts against it.
        self.overflow.advance(part);
        let mut row = self.overflow;
        let verdict = count(&mut row, part, self.limit);
        if matches!(verdict, Verdict::Admitted { .. }) {
            self.rows.insert(client, row);
            self.wheel[place(part)].push(client);
        }
        verdict
    }

    /// Make due all clients whose time to be looked at has come.
    fn turn_wheel(&mut self, part: u64) {
        let passed = part.saturating_sub(self.part).min(LIFE);
        for gone in (0..passed).rev() {
            let clients = std::mem::take(&mut self.wheel[place(part - gone)]);
            if !clients.is_empty() {
                self.due.push_back(clients);
            }
        }
        self.part = self.part.max(part);
    }

    /// Drop some of the due clients that are idle, and put off the others to the end of what they did last.
    fn sweep(&mut self) {
        for _ in 0..SWEEP {
            let Some(client) = self.next_due() else { return };
            let Some(row) = self.rows.get(&client) else { continue };
            if self.part - row.newest >= LIFE {
                self.rows.remove(&client);
            } else {
                self.wheel[place(row.newest)].push(client);
            }
        }
    }

    fn next_due(&mut self) -> Option<u64> {
        let clients = self.due.front_mut()?;
        let client = clients.pop();
        if clients.is_empty() {
            self.due.pop_front();
        }
        client
    }
}

/// Count one request in `row` unless that would be one too many.
fn count<C: Counter>(row: &mut Row<C>, part: u64, limit: u64) -> Verdict {
    row.advance(part);
    let total = row.total();
    if total >= limit {
        return Verdict::Refused { oldest: row.oldest().unwrap_or(part) };
    }
    let counter = &mut row.counts[place(part)];
    *counter = counter.next();
    Verdict::Admitted { remaining: limit - total - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Admitted { .. })
    }

    #[test]
    fn a_client_takes_at_most_eighty_bytes() {
        let in_the_wheel = size_of::<u64>();
        assert!(size_of::<(u64, Row<u16>)>() + in_the_wheel <= 80);
        assert!(size_of::<(u64, Row<u32>)>() + in_the_wheel <= 120);
    }

    #[test]
    fn a_count_lasts_until_its_whole_sub_window_has_left() {
        let mut clients = Clients::<u16>::new(1, 10);
        assert!(admitted(&clients.judge(1, 5)));
        assert_eq!(clients.judge(1, 5 + PARTS), Verdict::Refused { oldest: 5 });
        assert!(admitted(&clients.judge(1, 5 + LIFE)));
    }

    #[test]
    fn idle_clients_are_dropped_and_busy_ones_stay() {
        let mut clients = Clients::<u32>::new(1_000, 1_000);
        for part in 0..10 * LIFE {
            clients.judge(0, part);
            clients.judge(1_000 + part, part);
        }
        assert_eq!(clients.len(), 1 + ROW, "one busy, one new in each sub-window that counts");
        clients.judge(0, 20 * LIFE);
        assert_eq!(clients.len(), 1);
    }

    #[test]
    fn a_client_that_is_looked_at_too_early_keeps_its_counts() {
        let mut clients = Clients::<u16>::new(2, 10);
        assert!(admitted(&clients.judge(1, 0)));
        assert!(admitted(&clients.judge(1, 1)));
        assert_eq!(clients.judge(1, LIFE), Verdict::Admitted { remaining: 0 });
    }

    #[test]
    fn a_crowd_that_leaves_at_once_is_dropped_in_small_steps() {
        let mut clients = Clients::<u16>::new(1, 1_000);
        for client in 0..1_000 {
            assert!(admitted(&clients.judge(client, 0)));
        }
        for (step, client) in (5_000..5_010).enumerate() {
            assert!(admitted(&clients.judge(client, LIFE)), "room for a new one from the first step on");
            assert_eq!(clients.len(), 1_000 - (step + 1) * (SWEEP - 1));
        }
    }

    #[test]
    fn each_client_is_in_the_wheel_once() {
        let mut clients = Clients::<u16>::new(100, 50);
        for n in 0..20_000_u64 {
            clients.judge(n * n % 61, n / 40);
            let listed: usize = clients.wheel.iter().chain(&clients.due).map(Vec::len).sum();
            assert_eq!(listed, clients.len());
        }
    }

    #[test]
    fn a_flood_of_new_clients_never_frees_a_throttled_one() {
        let mut clients = Clients::<u16>::new(3, 4);
        for part in 1..4 {
            assert!(admitted(&clients.judge(0, part)));
        }
        let passed = (1..10_000).filter(|&client| admitted(&clients.judge(client, 3))).count();
        assert_eq!(passed, 3 + 3, "three have a row of their own, the others share one");
        assert_eq!(clients.len(), 4);
        assert_eq!(clients.judge(0, PARTS), Verdict::Refused { oldest: 1 });
    }

    #[test]
    fn who_was_counted_in_the_overflow_does_not_start_afresh_in_the_table() {
        let mut clients = Clients::<u16>::new(5, 1);
        assert!(admitted(&clients.judge(0, 0)));
        for _ in 0..5 {
            assert!(admitted(&clients.judge(1, 10)));
        }
        assert_eq!(clients.judge(1, LIFE), Verdict::Refused { oldest: 10 });
        assert_eq!(clients.len(), 0, "the idle one is gone, the refused one takes no row");
        assert!(admitted(&clients.judge(1, 10 + LIFE)));
    }
}
