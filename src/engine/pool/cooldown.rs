//! An endpoint that asks to slow down is left alone until it allows to be asked again: by all its callers at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use tokio::time::{Instant, sleep_until};

use crate::engine::classify::{Class, wait_in};
use crate::engine::deadline::Call;
use crate::engine::error::{Error, Kind, Phase, Result};
use crate::engine::limiter::{Learned, RateLimiter};
use crate::engine::metrics::{Event, Gauge, Portion, Scopes};

/// What is waited when the server does not say how long: most limits are per second.
const UNTOLD: Duration = Duration::from_secs(1);

/// Until when an endpoint is left alone.
pub struct Cooldown {
    began: Instant,
    /// Nanoseconds after `began`; in the past when there is nothing to wait for.
    until: AtomicU64,
    scopes: Arc<Scopes>,
    /// What learns from refusals, and what it has learned, for the metrics.
    learner: Option<(RateLimiter, Mutex<Portion>)>,
}

impl Cooldown {
    /// That of an endpoint which `limiter`, if there is one, keeps to its limit.
    pub(super) fn new(limiter: Option<&RateLimiter>, scopes: &Arc<Scopes>) -> Self {
        let learner = limiter.filter(|limiter| limiter.learned().is_some()).map(|limiter| {
            (limiter.clone(), Mutex::new(Portion::new(Arc::clone(scopes), Gauge::LearnedRate)))
        });
        Self { began: Instant::now(), until: AtomicU64::new(0), scopes: Arc::clone(scopes), learner }
    }

    /// How fast the endpoint was found to allow to be asked, where that is looked for.
    pub(in crate::engine) fn learned(&self) -> Option<Learned> {
        let (limiter, told) = self.learner.as_ref()?;
        let learned = limiter.learned()?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        told.lock().unwrap_or_else(PoisonError::into_inner).set(learned.rate as u64);
        Some(learned)
    }

    /// Until when, if that is not over.
    pub(in crate::engine) fn until(&self, now: Instant) -> Option<Instant> {
        match self.until.load(Ordering::Acquire) {
            0 => None,
            until => Some(self.began + Duration::from_nanos(until)).filter(|until| now < *until),
        }
    }

    /// Whether it is not over. Nearly always there has been none, and then the clock is not looked at.
    pub(super) fn is_on(&self) -> bool {
        self.until.load(Ordering::Acquire) != 0 && self.until(Instant::now()).is_some()
    }

    /// An answer came with these headers: a window that is used up begins anew some time.
    pub(in crate::engine) fn heed_headers(&self, headers: &HeaderMap) {
        if let Some(wait) = wait_in(headers) {
            self.extend(wait);
        }
    }

    /// The endpoint has answered a call with this error: perhaps it refuses it for its rate, or is in trouble for a time
    /// that it tells.
    pub(in crate::engine) fn heed(&self, error: &Error) {
        if let Some(class) = error.facts().class {
            self.scopes.count(Event::Answer(class));
        }
        let wait = match error.facts().class {
            Some(Class::RateLimited) => {
                self.scopes.count(Event::Refusal);
                if let Some((limiter, _)) = &self.learner {
                    limiter.refused();
                }
                Some(error.facts().retry_after.unwrap_or(UNTOLD))
            }
            Some(Class::Transient) => error.facts().retry_after,
            _ => None,
        };
        if let Some(wait) = wait {
            self.extend(wait);
        }
    }

    fn extend(&self, wait: Duration) {
        let until = (Instant::now() + wait).duration_since(self.began).as_nanos();
        self.until.fetch_max(u64::try_from(until).unwrap_or(u64::MAX), Ordering::AcqRel);
    }

    /// Wait until it is over.
    ///
    /// # Errors
    /// `ProviderRateLimit` at once when that is later than the call's deadline.
    pub(super) async fn over(&self, call: &Call) -> Result<()> {
        // Nearly always there is nothing to wait for, and no need to look at the clock.
        if self.until.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        // It may be extended while it is waited for.
        while let Some(until) = self.until(Instant::now()) {
            let rest = until.duration_since(Instant::now());
            if call.remaining().is_some_and(|remaining| remaining < rest) {
                return Err(too_late(rest));
            }
            call.enter(Phase::Limit);
            sleep_until(until).await;
        }
        Ok(())
    }
}

fn too_late(rest: Duration) -> Error {
    let message =
        format!("the provider asked to slow down: it may be asked again in {:.1} s", rest.as_secs_f64());
    Error::new(Kind::ProviderRateLimit, message).with(|facts| {
        facts.class = Some(Class::RateLimited);
        facts.retry_after = Some(rest);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn cooldown() -> Cooldown {
        Cooldown::new(None, &Arc::new(Scopes::alone(Arc::default())))
    }

    fn refusal(wait: Option<Duration>) -> Error {
        Error::new(Kind::ProviderRateLimit, "slow down").with(|facts| {
            facts.class = Some(Class::RateLimited);
            facts.retry_after = wait;
        })
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_waits_until_the_server_allows_it() {
        let (cooldown, call, began) = (cooldown(), Call::new(None), Instant::now());
        cooldown.heed(&refusal(Some(3 * SECOND)));
        let (first, second) = tokio::join!(cooldown.over(&call), cooldown.over(&call));
        assert!(first.is_ok() && second.is_ok());
        assert_eq!((began.elapsed().as_secs(), call.phase()), (3, Phase::Limit));
        assert_eq!(cooldown.until(Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_wait_counts_and_may_grow_meanwhile() {
        let (cooldown, call, began) = (cooldown(), Call::new(None), Instant::now());
        cooldown.heed(&refusal(Some(3 * SECOND)));
        cooldown.heed(&refusal(Some(SECOND)));
        let more = async {
            tokio::time::sleep(2 * SECOND).await;
            cooldown.heed(&refusal(Some(5 * SECOND)));
        };
        let (over, ()) = tokio::join!(cooldown.over(&call), more);
        assert!(over.is_ok());
        assert_eq!(began.elapsed().as_secs(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_less_time_is_refused_at_once() {
        let (cooldown, call, began) = (cooldown(), Call::new(Some(SECOND)), Instant::now());
        cooldown.heed(&refusal(Some(3 * SECOND)));
        let error = cooldown.over(&call).await.unwrap_err();
        assert_eq!((error.kind(), error.facts().retry_after), (Kind::ProviderRateLimit, Some(3 * SECOND)));
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_hint_it_is_a_second_and_other_errors_are_none() {
        let cooldown = cooldown();
        cooldown.heed(&Error::new(Kind::Rpc, "no"));
        assert_eq!(cooldown.until(Instant::now()), None);
        cooldown.heed(&refusal(None));
        assert_eq!(cooldown.until(Instant::now()), Some(Instant::now() + SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_that_is_used_up_is_waited_out() {
        let headers = |fields: &[(&'static str, &'static str)]| {
            let field = |(name, value): &(&'static str, &'static str)| {
                (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
            };
            fields.iter().map(field).collect::<HeaderMap>()
        };
        let cooldown = cooldown();
        cooldown.heed_headers(&headers(&[("ratelimit", r#""a";r=5;t=9"#)]));
        cooldown.heed_headers(&headers(&[("ratelimit-remaining", "1"), ("ratelimit-reset", "9")]));
        cooldown.heed_headers(&HeaderMap::new());
        assert_eq!(cooldown.until(Instant::now()), None);
        cooldown.heed_headers(&headers(&[("ratelimit", r#""a";r=0;t=2"#)]));
        assert_eq!(cooldown.until(Instant::now()), Some(Instant::now() + 2 * SECOND));
        cooldown.heed_headers(&headers(&[("ratelimit-remaining", "0"), ("ratelimit-reset", "9")]));
        assert_eq!(cooldown.until(Instant::now()), Some(Instant::now() + 9 * SECOND));
    }
}
