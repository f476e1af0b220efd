//! Waiting for room, and the permit that comes of it. Whatever is dropped on the way gives back what it held.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::engine::error::{Error, Kind, Phase, Result};

use super::RateLimiter;
use super::fair::{Seat, Turn};

/// Room that is kept for a caller until it goes on. Dropped without `admit`, it goes to the next one.
#[derive(Debug)]
#[must_use = "a grant that is dropped is given back"]
pub struct Grant {
    limiter: RateLimiter,
    amount: u64,
    admitted: bool,
}

impl Grant {
    /// The caller goes on: count the units from this instant.
    pub fn admit(mut self) {
        self.admitted = true;
        let mut line = self.limiter.line();
        line.admit(Instant::now(), self.amount);
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if !self.admitted {
            let bells = self.limiter.line().give_back(Instant::now(), self.amount);
            bells.ring();
        }
    }
}

/// A place in the line, until it turns into a grant.
struct Place {
    limiter: RateLimiter,
    amount: u64,
    ticket: u64,
    seat: Arc<Seat>,
    granted: bool,
}

impl Place {
    fn turn(&self) -> Turn {
        let (turn, bells) = self.limiter.line().turn(Instant::now(), self.ticket, &self.seat);
        bells.ring();
        if matches!(turn, Turn::Lead(_)) {
            self.limiter.call_for_more();
        }
        turn
    }

    fn into_grant(mut self) -> Grant {
        self.granted = true;
        Grant { limiter: self.limiter.clone(), amount: self.amount, admitted: false }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.granted {
            let mut line = self.limiter.line();
            let bells = line.quit(Instant::now(), self.ticket, self.amount, &self.seat);
            drop(line);
            bells.ring();
        }
    }
}

/// Wait for room for `amount`.
pub(super) async fn wait(limiter: &RateLimiter, amount: u64, timeout: Option<Duration>) -> Result<Grant> {
    let since = Instant::now();
    let place = match enter(limiter, amount, timeout) {
        Entry::Granted(grant) => return Ok(grant),
        Entry::Refused(delay) => return Err(timed_out(limiter, timeout, Duration::ZERO, delay)),
        Entry::Queued(place) => place,
    };
    loop {
        // A bell that rings before it is listened to is not lost.
        match place.turn() {
            Turn::Granted => return Ok(place.into_grant()),
            Turn::Follow => place.seat.bell.notified().await,
            Turn::Lead(until) => tokio::select! {
                biased;
                () = place.seat.bell.notified() => {}
                () = sleep_until(until) => {}
            },
            Turn::Late => {
                let delay = limiter.with_room(|line, now| line.estimate(now, amount));
                return Err(timed_out(limiter, timeout, since.elapsed(), delay));
            }
        }
    }
}

enum Entry {
    Granted(Grant),
    Queued(Place),
    /// The earliest that room can come is this far away.
    Refused(Duration),
}

fn enter(limiter: &RateLimiter, amount: u64, timeout: Option<Duration>) -> Entry {
    limiter.with_room(|line, now| {
        let limiter = limiter.clone();
        if line.has_room(now, amount) {
            line.reserve(amount);
            return Entry::Granted(Grant { limiter, amount, admitted: false });
        }
        if let Some(timeout) = timeout {
            let delay = line.estimate(now, amount);
            if delay > timeout {
                return Entry::Refused(delay);
            }
        }
        // A deadline beyond what the clock can tell is none.
        let deadline = timeout.and_then(|timeout| now.checked_add(timeout));
        let (ticket, seat) = line.join(amount, deadline);
        Entry::Queued(Place { limiter, amount, ticket, seat, granted: false })
    })
}

/// Sleep, with a timer of the runtime that polls. A poll outside any runtime leaves making it to the next poll.
async fn sleep_until(instant: Instant) {
    poll_fn(|_| Handle::try_current().map_or(Poll::Pending, |_| Poll::Ready(()))).await;
    tokio::time::sleep_until(instant).await;
}

fn timed_out(limiter: &RateLimiter, timeout: Option<Duration>, elapsed: Duration, delay: Duration) -> Error {
    let message = format!(
        "no room under the limit of {} within {:.1?}: with {} waiting, the next one would wait {delay:.1?}",
        limiter.limits(),
        timeout.unwrap_or_default(),
        limiter.waiting(),
    );
    Error::new(Kind::LimiterTimeout, message).with(|facts| {
        facts.phase = Some(Phase::Limit);
        facts.elapsed = Some(elapsed);
        facts.retry_after = Some(delay);
    })
}
