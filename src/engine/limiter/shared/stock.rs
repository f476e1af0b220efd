//! The permits that the server lent to this process, and what became of them. Lives behind the line's lock.
//!
//! A lease is usable from its start to its end. Callers that were granted a permit in time and resume late still take
//! it: the server hears of the later use while the earlier charge counts, so nothing is forgotten in between.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::call::{Answer, Report, SHORTEST_LEASE, Sighting, Terms, at_least, at_most};
use crate::engine::limiter::window::Window;

/// A wait of which nothing is known yet but that it is not over.
const UNKNOWN: Duration = Duration::from_nanos(1);

/// Some permits that are charged together.
#[derive(Debug)]
struct Lease {
    starts: Instant,
    ends: Instant,
    left: u64,
    used: u64,
    last_use: Instant,
    /// The part in which the server charges them.
    charged: u64,
}

/// Permits that were used without a lease, and when the last of them was.
#[derive(Debug)]
struct Debt {
    since: Instant,
    last: Instant,
    used: u64,
}

/// What callers get while the server is away.
#[derive(Debug)]
pub(super) enum Fallback {
    Nothing,
    Share(Window),
    Everything,
}

/// What the line asks for.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::engine::limiter) struct Demand {
    /// Units that are granted and not admitted yet.
    pub pending: u64,
    /// The units of all who wait.
    pub queued: u64,
    /// The units of the first of them.
    pub head: u64,
}

impl Demand {
    fn is_nothing(self) -> bool {
        self.pending + self.queued == 0
    }
}

/// The permits of one limiter.
#[derive(Debug)]
pub(in crate::engine::limiter) struct Stock {
    pub(super) terms: Terms,
    leases: VecDeque<Lease>,
    debts: VecDeque<Debt>,
    fallback: Option<Fallback>,
    /// What the share gave in earlier outages: it counts for its window in the next one, too.
    spent: Option<Window>,
    refused_until: Option<Instant>,
    /// What somebody wanted who did not wait for it.
    wish: u64,
    /// How many permits the next lease has at least: as many as the last ones had use for.
    pace: u64,
    sighting: Option<Sighting>,
    /// Epoch and version of the server's state, and until when charges of ours are in it.
    state: Option<(u64, u64)>,
    counts_until: Instant,
}

/// What is to be asked.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub least: u64,
    pub most: u64,
    pub reports: Vec<Report>,
    /// What was used without a lease. It is in the reports, too.
    debts: VecDeque<Debt>,
    pub relies_on: Option<(u64, u64)>,
    pub latest: Option<u64>,
}

impl Stock {
    pub(super) fn new(terms: Terms) -> Self {
        Self {
            terms,
            leases: VecDeque::new(),
            debts: VecDeque::new(),
            fallback: None,
            spent: None,
            refused_until: None,
            wish: 0,
            pace: 1,
            sighting: None,
            state: None,
            counts_until: Instant::now(),
        }
    }

    /// How long it takes at least until the last of `units` more can be admitted.
    pub(in crate::engine::limiter) fn delay(&mut self, now: Instant, units: u64) -> Duration {
        self.known_delay(now, units).unwrap_or_else(|missing| {
            let asked = self.refused_until.map_or(UNKNOWN, |until| until.saturating_duration_since(now));
            let windows = u32::try_from((missing - 1) / self.terms.limit).unwrap_or(u32::MAX);
            asked.max(UNKNOWN).saturating_add(self.terms.window.saturating_mul(windows))
        })
    }

    /// The same, if permits for it are there; else how many are missing.
    pub(in crate::engine::limiter) fn known_delay(
        &mut self,
        now: Instant,
        units: u64,
    ) -> Result<Duration, u64> {
        let mut missing = units;
        let mut delay = Duration::ZERO;
        for lease in self.leases.iter().filter(|lease| lease.ends > now) {
            let starts_in = lease.starts.saturating_duration_since(now);
            if self.fallback.is_some() && !starts_in.is_zero() {
                continue;
            }
            delay = delay.max(starts_in);
            missing = missing.saturating_sub(lease.left);
            if missing == 0 {
                return Ok(delay);
            }
        }
        match &mut self.fallback {
            Some(Fallback::Everything) => Ok(Duration::ZERO),
            Some(Fallback::Share(window)) => Ok(window.delay(now, missing)),
            _ => Err(missing),
        }
    }

    /// Count `units` as admitted at `now`.
    pub(in crate::engine::limiter) fn stamp(&mut self, now: Instant, units: u64) {
        let mut rest = units;
        let (usable, late) = (|lease: &Lease| lease.ends > now, |lease: &Lease| lease.ends <= now);
        rest -= take(self.leases.iter_mut().filter(|lease| usable(lease)), now, rest);
        if let Some(fallback) = self.fallback.as_mut().filter(|_| rest > 0) {
            if let Fallback::Share(window) = fallback {
                // Finding out its delay is what makes it forget what has left.
                let _ = window.delay(now, rest);
                window.stamp(now, rest);
            }
            if !matches!(fallback, Fallback::Everything) {
                self.owe(now, rest);
            }
            return;
        }
        rest -= take(self.leases.iter_mut().filter(|lease| late(lease)), now, rest);
        if rest > 0 {
            self.owe(now, rest);
        }
    }

    /// Remember permits that the server does not know of.
    fn owe(&mut self, now: Instant, used: u64) {
        let grain = self.terms.window / 64;
        match self.debts.back_mut() {
            Some(debt) if now.saturating_duration_since(debt.since) < grain => {
                debt.last = debt.last.max(now);
                debt.used += used;
            }
            _ => self.debts.push_back(Debt { since: now, last: now, used }),
        }
        let window = self.terms.window;
        while self.debts.front().is_some_and(|debt| debt.last + window <= now) {
            self.debts.pop_front();
        }
    }

    /// Somebody wants `units` and does not wait for them.
    pub(in crate::engine::limiter) fn wish(&mut self, units: u64) {
        self.wish = self.wish.max(units);
    }

    /// When the server must be told or asked something next; `None` if only a new demand makes it necessary.
    pub(super) fn next_call(&self, now: Instant, demand: Demand) -> Option<Instant> {
        let ends = self.leases.iter().filter(|lease| lease.left > 0).map(|lease| lease.ends).min();
        if self.leases.iter().any(|lease| lease.starts > now) {
            return if demand.is_nothing() { Some(now) } else { ends };
        }
        if self.lacks(now, demand) == 0 {
            return ends;
        }
        let asks = self.refused_until.map_or(now, |until| until.max(now));
        Some(ends.map_or(asks, |ends| ends.min(asks)))
    }

    /// How many permits are wanted and not there.
    fn lacks(&self, now: Instant, demand: Demand) -> u64 {
        let there: u64 = self.leases.iter().filter(|lease| lease.ends > now).map(|lease| lease.left).sum();
        (demand.pending + demand.queued.max(self.wish)).saturating_sub(there)
    }

    /// What to ask and tell now. Leases that have ended are settled in it.
    pub(super) fn take_wanted(&mut self, now: Instant, demand: Demand) -> Wanted {
        let mut wanted = Wanted { latest: self.latest(now + super::servers::PATIENCE), ..Wanted::default() };
        wanted.relies_on = self.state.filter(|_| self.counts_until > now);
        self.settle_leases(now, demand, &mut wanted.reports);
        let lacking = self.lacks(now, demand);
        if lacking > 0 && !self.leases.iter().any(|lease| lease.starts > now) {
            let there = (demand.pending + demand.queued.max(self.wish)).saturating_sub(lacking);
            let first = demand.head.max(self.wish.min(self.terms.limit));
            wanted.least = (demand.pending + first).saturating_sub(there).clamp(1, self.terms.limit);
            let most = lacking.max(self.pace).min(self.terms.portion());
            wanted.most = most.max(wanted.least);
            self.wish = 0;
        }
        if let Some(sighting) = self.sighting {
            wanted.debts = std::mem::take(&mut self.debts);
            wanted.reports.extend(wanted.debts.iter().map(|debt| {
                let moved = sighting.latest(debt.last).div_ceil(self.terms.part());
                Report { charged: 0, back: 0, used: debt.used, moved }
            }));
        }
        wanted
    }

    /// Report leases that are used up or over. Permits of callers who have not resumed are charged anew instead.
    fn settle_leases(&mut self, now: Instant, demand: Demand, reports: &mut Vec<Report>) {
        let Some(sighting) = self.sighting else { return };
        let part = |moment: Instant| sighting.latest(moment).div_ceil(self.terms.part());
        let there: u64 = self.leases.iter().filter(|lease| lease.ends > now).map(|lease| lease.left).sum();
        let mut held = demand.pending.saturating_sub(there);
        for lease in &mut self.leases {
            let unwanted = lease.starts > now && demand.is_nothing();
            if lease.ends > now && lease.left > 0 && !unwanted {
                continue;
            }
            self.pace =
                if lease.left == 0 { self.pace * 2 } else { lease.used }.clamp(1, self.terms.portion());
            let kept = lease.left.min(held);
            held -= kept;
            let again = now + self.terms.lease();
            let late = lease.last_use >= lease.ends;
            let moved = if late { part(lease.last_use) } else { part(lease.last_use).min(lease.charged) };
            reports.extend([
                Report { charged: lease.charged, back: lease.left - kept, used: lease.used, moved },
                Report { charged: lease.charged, back: 0, used: kept, moved: part(again) },
            ]);
            *lease =
                Lease { starts: now, ends: again, left: kept, used: 0, last_use: now, charged: part(again) };
            self.counts_until = self.counts_until.max(again + self.terms.window);
        }
        self.leases.retain(|lease| lease.left > 0);
        // What drips was charged for good when it was lent.
        reports.retain(|report| report.back + report.used > 0 && !self.terms.smooth);
    }

    fn latest(&self, moment: Instant) -> Option<u64> {
        self.sighting.map(|sighting| sighting.latest(moment))
    }

    /// Take in an answer to what was asked at `sent`.
    pub(super) fn receive(&mut self, sent: Instant, answer: &Answer) {
        let now = Instant::now();
        let Answer { permits, charged, .. } = *answer;
        self.sighting = Some(Sighting { server: answer.now, here: sent });
        self.state = Some((answer.epoch, answer.version));
        if let Some(Fallback::Share(window)) = self.fallback.take() {
            self.spent = Some(window);
        }
        self.refused_until = (!answer.again_in.is_zero()).then(|| now + at_least(answer.again_in));
        if permits == 0 {
            return;
        }
        let length = if self.terms.smooth { answer.length.max(SHORTEST_LEASE) } else { answer.length };
        let starts =
            now + if answer.starts_in.is_zero() { Duration::ZERO } else { at_least(answer.starts_in) };
        let ends = sent + at_most(answer.starts_in + length);
        self.counts_until = self.counts_until.max(starts + length + self.terms.window);
        self.leases.push_back(Lease { starts, ends, left: permits, used: 0, last_use: now, charged });
    }

    /// There was no answer. What was told may not have arrived; what could be charged too early is owed.
    pub(super) fn lose(&mut self, now: Instant, wanted: Wanted) {
        let leases = wanted.reports.iter().filter(|report| report.charged > 0);
        let late: u64 = leases.filter(|report| report.moved > report.charged).map(|report| report.used).sum();
        let newer = std::mem::replace(&mut self.debts, wanted.debts);
        self.debts.extend(newer);
        if late > 0 {
            self.owe(now, late);
        }
    }

    /// Until the next answer, callers get this besides what is lent already.
    pub(super) fn fall_back(&mut self, mut fallback: Fallback) {
        if let Fallback::Share(window) = &mut fallback
            && let Some(mut spent) = self.spent.take()
        {
            spent.resize(window.max());
            *window = spent;
        }
        self.fallback = Some(fallback);
        self.refused_until = None;
    }
}

/// Use up to `units` of these leases; how many there were.
fn take<'a>(leases: impl Iterator<Item = &'a mut Lease>, now: Instant, units: u64) -> u64 {
    let mut taken = 0;
    for lease in leases.filter(|lease| lease.starts <= now) {
        let used = lease.left.min(units - taken);
        lease.left -= used;
        lease.used += used;
        if used > 0 {
            lease.last_use = now;
        }
        taken += used;
    }
    taken
}
