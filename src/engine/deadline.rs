//! One deadline for a whole call, and the stage that the call is in.
//!
//! A `Call` goes down through every stage by reference. Each stage says when it begins, so that when the time runs out
//! the one timer at the top can say what it was spent on.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use super::error::{Error, Kind, Phase};

/// How long a call may take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Timeout {
    /// What the pool or manager was made with.
    Default,
    /// This long; `None` is for ever.
    Of(Option<Duration>),
}

impl Timeout {
    /// The timeout to go by, given the configured one.
    #[must_use]
    pub const fn or(self, default: Option<Duration>) -> Option<Duration> {
        match self {
            Self::Default => default,
            Self::Of(timeout) => timeout,
        }
    }
}

/// A call under way: when it began, when it must end, what it is doing.
#[derive(Debug)]
pub struct Call {
    started: Instant,
    deadline: Option<Instant>,
    phase: AtomicU8,
    expired: AtomicBool,
    /// What it is a part of, where others are, too: its stages are those of that.
    followed: OnceLock<Arc<Call>>,
}

impl Call {
    /// A call that begins now and may take `timeout`; `None` is for ever.
    #[must_use]
    pub fn new(timeout: Option<Duration>) -> Self {
        Self::starting(Instant::now(), timeout)
    }

    /// The same for a call that began a moment ago.
    #[must_use]
    pub fn starting(started: Instant, timeout: Option<Duration>) -> Self {
        // A timeout too long for the clock is no timeout.
        let deadline = timeout.and_then(|timeout| started.checked_add(timeout));
        Self::until(started, deadline)
    }

    /// A part of it that goes on beside others: within the same time, in a stage of its own.
    #[must_use]
    pub const fn part(&self) -> Self {
        Self::until(self.started, self.deadline)
    }

    const fn until(started: Instant, deadline: Option<Instant>) -> Self {
        let phase = AtomicU8::new(Phase::Queue as u8);
        Self { started, deadline, phase, expired: AtomicBool::new(false), followed: OnceLock::new() }
    }

    /// It goes on together with others, in `other`.
    pub fn follow(&self, other: Arc<Self>) {
        // A part of a call is handed on once.
        let _ = self.followed.set(other);
    }

    /// From now on the time is spent on `phase`.
    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// What the time is being spent on.
    #[must_use]
    pub fn phase(&self) -> Phase {
        const PHASES: [Phase; 6] =
            [Phase::Queue, Phase::Limit, Phase::Credentials, Phase::Connect, Phase::Send, Phase::Receive];
        match self.followed.get() {
            Some(other) => other.phase(),
            None => PHASES[usize::from(self.phase.load(Ordering::Relaxed))],
        }
    }

    /// The time spent so far.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The time that is left; `None` is for ever.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// When it must end; `None` is never.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Its time is up, though its deadline has not passed: a stage of it had less.
    pub fn expire(&self) {
        self.expired.store(true, Ordering::Relaxed);
    }

    /// Whether its time is up.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.expired.load(Ordering::Relaxed) || self.remaining() == Some(Duration::ZERO)
    }

    /// What `work` comes to, `None` when the deadline passes first. What is ready at once always counts.
    ///
    /// The work stays where it is: an `async fn` that took it by value would have room for it twice.
    pub async fn bound<T>(&self, work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        match self.deadline {
            None => Some(work.await),
            Some(deadline) => timeout_at(deadline, work).await.ok(),
        }
    }

    /// The same, by a timer that is kept for the next call.
    pub async fn bound_by<T>(
        &self,
        timer: &mut Timer,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        let Some(deadline) = self.deadline else { return Some(work.await) };
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => timer.poll(deadline, cx).map(|()| None),
        })
        .await
    }

    /// The error of a call whose time ran out after it had its connection, or while it was being made.
    #[must_use]
    pub fn timed_out(&self, what: &str) -> Error {
        let phase = self.phase();
        let (kind, doing) = match phase {
            Phase::Queue => (Kind::PoolTimeout, "waiting for a connection"),
            Phase::Connect => (Kind::ConnectTimeout, "connecting"),
            Phase::Limit => (Kind::RequestTimeout, "waiting for the rate limit"),
            Phase::Credentials => (Kind::RequestTimeout, "waiting for the credentials"),
            Phase::Send => (Kind::RequestTimeout, "sending the request"),
            Phase::Receive => (Kind::RequestTimeout, "waiting for the answer"),
        };
        let elapsed = self.elapsed();
        Error::new(kind, format!("{what}: timed out after {:.2} s while {doing}", elapsed.as_secs_f64()))
            .with(|facts| {
                facts.phase = Some(phase);
                facts.elapsed = Some(elapsed);
            })
    }
}

/// A timer for calls that follow each other. It stays set for the deadline of an earlier one, which comes first, and
/// looks further only then: most calls end long before, and setting a timer for each of them costs more than that.
#[derive(Debug, Default)]
pub struct Timer(Option<Armed>);

#[derive(Debug)]
struct Armed {
    sleep: Pin<Box<Sleep>>,
    /// Whom it wakes.
    waker: Waker,
}

impl Timer {
    fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let armed = self.0.get_or_insert_with(|| Armed {
            sleep: Box::pin(sleep_until(deadline)),
            waker: Waker::noop().clone(),
        });
        if armed.sleep.deadline() > deadline {
            armed.sleep.as_mut().reset(deadline);
        } else if !armed.sleep.is_elapsed() && armed.waker.will_wake(cx.waker()) {
            return Poll::Pending;
        }
        while armed.sleep.as_mut().poll(cx).is_ready() {
            if armed.sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            armed.sleep.as_mut().reset(deadline);
        }
        armed.waker.clone_from(cx.waker());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_error_names_the_stage_that_took_the_time() {
        let call = Call::new(Some(Duration::from_secs(2)));
        let work = pin!(async {
            call.enter(Phase::Receive);
            std::future::pending::<()>().await;
        });
        assert_eq!(call.bound(work).await, None);
        let error = call.timed_out("x");
        assert_eq!(error.kind(), Kind::RequestTimeout);
        assert_eq!(error.facts().phase, Some(Phase::Receive));
        assert_eq!(error.message(), "x: timed out after 2.00 s while waiting for the answer");
    }

    #[tokio::test(start_paused = true)]
    async fn with_no_time_at_all_what_is_ready_still_counts() {
        let call = Call::new(Some(Duration::ZERO));
        assert_eq!(call.bound(pin!(async { 1 })).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_serves_many_calls_ends_each_at_its_own_deadline() {
        let mut timer = Timer::default();
        for seconds in [2, 5, 1, 0, 3] {
            // One before it has more time, and needs little of it.
            let before = Call::new(Some(Duration::from_mins(1)));
            let short = pin!(tokio::time::sleep(Duration::from_millis(100)));
            assert_eq!(before.bound_by(&mut timer, short).await, Some(()));
            let call = Call::new(Some(Duration::from_secs(seconds)));
            let long = pin!(tokio::time::sleep(Duration::from_mins(1)));
            assert_eq!(call.bound_by(&mut timer, long).await, None);
            assert_eq!(call.elapsed().as_secs(), seconds);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_set_for_a_call_that_is_over_cuts_no_later_one_short() {
        let mut timer = Timer::default();
        for _ in 0..10 {
            let call = Call::new(Some(Duration::from_secs(2)));
            let work = pin!(tokio::time::sleep(Duration::from_millis(1900)));
            assert_eq!(call.bound_by(&mut timer, work).await, Some(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_beyond_the_clock_is_none() {
        assert_eq!(Call::new(Some(Duration::MAX)).remaining(), None);
    }
}
