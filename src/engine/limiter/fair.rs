//! The line in front of a limit: first come, first served, with the waiter at its head as the only timer.
//!
//! Whoever touches the line first lets in everybody at its front who fits, so no part of it depends on one task being
//! awake. The head sleeps until it may fit or until somebody's deadline, whichever is first; when it goes, for any
//! reason, the next waiter is called to the head. There is no task to outlive its runtime.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::adaptive::Pace;
use super::gcra::Gcra;
use super::plan::Plan;
use super::queue::Queue;
use super::shared::{Demand, Stock};
use super::window::Window;

/// How admissions are counted.
#[derive(Debug)]
pub(super) enum Rule {
    /// In every one of these.
    Windows(Box<[Window]>),
    Gcra(Gcra),
    /// In even steps, as fast as was found to be allowed.
    Adaptive(Pace),
    /// By permits that a server lends.
    Shared(Box<Stock>),
}

/// A head that does not know when it will fit is called when that is known.
const LATER: Duration = Duration::from_hours(1);

impl Rule {
    fn delay(&mut self, now: Instant, units: u64) -> Duration {
        match self {
            Self::Windows(windows) => {
                windows.iter_mut().fold(Duration::ZERO, |delay, window| delay.max(window.delay(now, units)))
            }
            Self::Gcra(gcra) => gcra.delay(now, units),
            Self::Adaptive(pace) => pace.delay(now, units),
            Self::Shared(stock) => stock.delay(now, units),
        }
    }

    /// After what time `units` must be looked at again.
    fn next_look(&mut self, now: Instant, units: u64) -> Duration {
        match self {
            Self::Shared(stock) => stock.known_delay(now, units).unwrap_or(LATER),
            _ => self.delay(now, units),
        }
    }

    fn stamp(&mut self, now: Instant, units: u64) {
        match self {
            Self::Windows(windows) => windows.iter_mut().for_each(|window| window.stamp(now, units)),
            Self::Gcra(gcra) => gcra.stamp(now, units),
            Self::Adaptive(pace) => pace.stamp(now, units),
            Self::Shared(stock) => stock.stamp(now, units),
        }
    }
}

/// What a waiter and the line share.
#[derive(Debug, Default)]
pub(super) struct Seat {
    pub(super) bell: Notify,
    granted: AtomicBool,
}

impl Seat {
    /// Whether the waiter's units are now among the pending ones. Only changes under the line's lock.
    pub(super) fn granted(&self) -> bool {
        self.granted.load(Ordering::Relaxed)
    }
}

/// Bells to ring as soon as the line's lock is free: a waker may run code that takes it.
#[must_use]
#[derive(Default)]
pub(super) struct Bells(Vec<Arc<Seat>>);

impl Bells {
    pub(super) fn ring(self) {
        for seat in self.0 {
            seat.bell.notify_one();
        }
    }
}

#[derive(Debug)]
struct Waiter {
    amount: u64,
    deadline: Option<Instant>,
    seat: Arc<Seat>,
}

/// What a waiter has to do now.
pub(super) enum Turn {
    /// Its units are granted.
    Granted,
    /// It is the head: come back at this instant, or when the bell rings.
    Lead(Instant),
    /// Come back when the bell rings.
    Follow,
    /// Its time was up.
    Late,
}

/// The line of one limiter, behind the limiter's lock.
#[derive(Debug)]
pub(super) struct Line {
    rule: Rule,
    /// Units that are granted but not admitted yet. They count as in the window, without an end.
    pending: u64,
    waiting: Queue<Waiter>,
    /// Those that are granted and have not gone on. They go one after the other, in whatever order they are woken.
    called: Queue<Arc<Seat>>,
    /// The units of all who wait.
    queued: u64,
    /// How many of them wait for more than one.
    heavy: usize,
    /// When they will be admitted, for as long as nobody but newcomers changes it.
    plan: Option<Plan>,
    deadlines: BTreeSet<(Instant, u64)>,
    next_ticket: u64,
    /// The head that knows of its role and whose plan is still good.
    leader: Option<u64>,
    /// Nothing is to be settled before this instant.
    settled_until: Option<Instant>,
}

impl Line {
    pub(super) fn new(rule: Rule) -> Self {
        Self {
            rule,
            pending: 0,
            waiting: Queue::new(),
            called: Queue::new(),
            queued: 0,
            heavy: 0,
            plan: None,
            deadlines: BTreeSet::new(),
            next_ticket: 0,
            leader: None,
            settled_until: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The permits of a shared limiter.
    pub(super) fn stock(&mut self) -> Option<&mut Stock> {
        match &mut self.rule {
            Rule::Shared(stock) => Some(stock),
            _ => None,
        }
    }

    /// The pace of a limiter that finds its limit.
    pub(super) fn pace(&mut self) -> Option<&mut Pace> {
        match &mut self.rule {
            Rule::Adaptive(pace) => Some(pace),
            _ => None,
        }
    }

    /// What is granted, and what is waited for.
    pub(super) fn demand(&self) -> Demand {
        let head = self.waiting.first().map_or(0, |(_, waiter)| waiter.amount);
        Demand { pending: self.pending, queued: self.queued, head }
    }

    /// The rule has changed: let in who fits now, and have the head look again.
    pub(super) fn plan_anew(&mut self, now: Instant) -> Bells {
        (self.leader, self.settled_until) = (None, None);
        self.settle(now)
    }

    /// Whether nobody waits, so that there is nothing to settle.
    pub(super) fn is_at_rest(&self) -> bool {
        self.waiting.is_empty() && self.leader.is_none()
    }

    /// Whether `amount` could be admitted at once without overtaking anybody; call `settle` before.
    pub(super) fn has_room(&mut self, now: Instant, amount: u64) -> bool {
        self.waiting.is_empty() && self.called.is_empty() && self.fits(now, amount)
    }

    /// Admit `amount` at `now` if that overtakes nobody.
    pub(super) fn try_admit(&mut self, now: Instant, amount: u64) -> bool {
        let has_room = self.has_room(now, amount);
        if has_room {
            // Nobody waits, so there is no plan.
            self.rule.stamp(now, amount);
        }
        has_room
    }

    /// Count `amount` as granted.
    pub(super) fn reserve(&mut self, amount: u64) {
        self.pending += amount;
    }

    /// Admit `amount` of the granted units at `now`.
    pub(super) fn admit(&mut self, now: Instant, amount: u64) {
        self.pending -= amount;
        self.plan = None;
        self.rule.stamp(now, amount);
    }

    /// Take back `amount` granted units that nobody will use.
    pub(super) fn give_back(&mut self, now: Instant, amount: u64) -> Bells {
        self.pending -= amount;
        self.plan = None;
        self.leader = None;
        self.settled_until = None;
        self.settle(now)
    }

    /// How long a newcomer waits, if everybody goes on at once and nobody leaves; call `settle` before.
    pub(super) fn estimate(&mut self, now: Instant, amount: u64) -> Duration {
        match &self.rule {
            Rule::Windows(windows) if self.heavy > 0 || (windows.len() > 1 && self.queued > 0) => {
                // What is granted counts from now on, whenever now is.
                let plan = match self.plan.take() {
                    Some(plan) if self.pending == 0 || plan.made() == now => plan,
                    _ => {
                        let waiting = self.waiting.values().map(|waiter| waiter.amount);
                        Plan::new(now, windows, std::iter::once(self.pending).chain(waiting))
                    }
                };
                self.plan.insert(plan).end(windows, amount).saturating_duration_since(now)
            }
            _ => self.rule.delay(now, self.pending + self.queued + amount),
        }
    }

    /// Join the end of the line.
    pub(super) fn join(&mut self, amount: u64, deadline: Option<Instant>) -> (u64, Arc<Seat>) {
        let (ticket, seat) = (self.next_ticket, Arc::new(Seat::default()));
        self.next_ticket += 1;
        self.queued += amount;
        self.heavy += usize::from(amount > 1);
        if let (Some(plan), Rule::Windows(windows)) = (&mut self.plan, &self.rule) {
            plan.push(windows, amount);
        }
        self.waiting.push(ticket, Waiter { amount, deadline, seat: Arc::clone(&seat) });
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, ticket));
            // It would have been refused, unless nobody knows yet how long the wait will be.
            if self.settled_until.is_some_and(|until| deadline < until) {
                (self.settled_until, self.leader) = (None, None);
            }
        }
        // The first to come plans for itself as soon as it looks.
        self.leader.get_or_insert(ticket);
        (ticket, seat)
    }

    /// Leave the line for good, whether still waiting or granted already.
    pub(super) fn quit(&mut self, now: Instant, ticket: u64, amount: u64, seat: &Seat) -> Bells {
        if seat.granted() {
            let mut bells = self.go_on(ticket);
            bells.0.extend(self.give_back(now, amount).0);
            bells
        } else if self.remove(ticket).is_some() {
            self.settle(now)
        } else {
            Bells::default()
        }
    }

    /// What the waiter with `ticket` has to do now.
    pub(super) fn turn(&mut self, now: Instant, ticket: u64, seat: &Seat) -> (Turn, Bells) {
        let mut bells = self.settle(now);
        let turn = match self.waiting.first() {
            _ if seat.granted() => {
                if self.called.first().is_some_and(|(first, _)| first == ticket) {
                    bells.0.extend(self.go_on(ticket).0);
                    Turn::Granted
                } else {
                    Turn::Follow
                }
            }
            // Settled just now or not yet due, so it is known until when.
            Some((head, _)) if head == ticket => Turn::Lead(self.settled_until.unwrap_or(now)),
            _ if self.waiting.contains(ticket) => Turn::Follow,
            _ => Turn::Late,
        };
        (turn, bells)
    }

    /// Grant from the front all who fit, dismiss those whose time is up, and call the new head.
    pub(super) fn settle(&mut self, now: Instant) -> Bells {
        let mut bells = Bells::default();
        if self.settled_until.is_some_and(|until| now < until) {
            return bells;
        }
        loop {
            self.grant_front(now, &mut bells);
            let Some(&(_, ticket)) = self.deadlines.first().filter(|(deadline, _)| *deadline <= now) else {
                break;
            };
            bells.0.extend(self.remove(ticket));
        }
        let head = self.waiting.first();
        let ticket = head.map(|(ticket, _)| ticket);
        if ticket != self.leader {
            self.leader = ticket;
            bells.0.extend(head.map(|(_, waiter)| Arc::clone(&waiter.seat)));
        }
        let amount = self.waiting.first().map(|(_, head)| head.amount);
        self.settled_until = amount.map(|amount| self.next_look(now, amount));
        bells
    }

    fn grant_front(&mut self, now: Instant, bells: &mut Bells) {
        while let Some((ticket, waiter)) = self.waiting.first() {
            let amount = waiter.amount;
            if !self.fits(now, amount) {
                break;
            }
            self.pending += amount;
            if let Some(seat) = self.remove(ticket) {
                seat.granted.store(true, Ordering::Relaxed);
                if self.called.is_empty() {
                    bells.0.push(Arc::clone(&seat));
                }
                self.called.push(ticket, seat);
            }
        }
    }

    /// A granted waiter goes on, or away; the next one is called.
    fn go_on(&mut self, ticket: u64) -> Bells {
        let first = self.called.first().map(|(first, _)| first);
        self.called.remove(ticket);
        let next = self.called.first().filter(|_| first == Some(ticket));
        Bells(next.map(|(_, seat)| Arc::clone(seat)).into_iter().collect())
    }

    fn fits(&mut self, now: Instant, amount: u64) -> bool {
        self.rule.delay(now, self.pending + amount).is_zero()
    }

    /// When the head must look again. A newcomer's deadline is never before that, or `join` sees it.
    fn next_look(&mut self, now: Instant, amount: u64) -> Instant {
        let fits_at = now + self.rule.next_look(now, self.pending + amount);
        self.deadlines.first().map_or(fits_at, |&(deadline, _)| deadline.min(fits_at))
    }

    fn remove(&mut self, ticket: u64) -> Option<Arc<Seat>> {
        let waiter = self.waiting.remove(ticket)?;
        self.settled_until = None;
        self.queued -= waiter.amount;
        self.heavy -= usize::from(waiter.amount > 1);
        self.plan = None;
        if let Some(deadline) = waiter.deadline {
            self.deadlines.remove(&(deadline, ticket));
        }
        Some(waiter.seat)
    }
}
