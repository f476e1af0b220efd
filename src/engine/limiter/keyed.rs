//! A limit for each client of a service, which refuses instead of waiting.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::error::{Error, Kind, Result};

use super::clients::{Clients, LIFE, PARTS, Verdict};
use super::{check_count, check_window};

/// The largest number of clients.
const MOST_CLIENTS: u64 = 1_000_000_000;

/// A request that may pass, and where its client stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// How many requests a window may hold.
    pub limit: u64,
    /// How many more may pass now.
    pub remaining: u64,
    /// When all of them may pass again, if none comes before.
    pub reset_after: Duration,
}

/// At most so many requests of each client in any window of time.
///
/// Requests are counted in sixteenths of the window, so one may count for a sixteenth longer than the window, never
/// shorter. When as many clients as are allowed have requests that count, all further ones share one limit: those who
/// are counted are never forgotten for them. Clones share it.
#[derive(Clone)]
pub struct KeyedRateLimiter(Arc<Shared>);

struct Shared {
    limit: u64,
    window: Duration,
    /// The length of a sub-window in nanoseconds.
    part: u64,
    made: Instant,
    /// Seeded at random, so that nobody can choose ids that collide.
    hasher: RandomState,
    table: Mutex<Table>,
}

enum Table {
    Small(Clients<u16>),
    Large(Clients<u32>),
}

impl Table {
    fn judge(&mut self, client: u64, part: u64) -> Verdict {
        match self {
            Self::Small(clients) => clients.judge(client, part),
            Self::Large(clients) => clients.judge(client, part),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Small(clients) => clients.len(),
            Self::Large(clients) => clients.len(),
        }
    }
}

impl KeyedRateLimiter {
    /// A limiter of `max_requests` per `window` for each of at most `max_clients`.
    ///
    /// # Errors
    /// `Configuration`, naming the argument `max_requests`, `window_seconds` or `max_clients`.
    pub fn new(max_requests: u64, window: Duration, max_clients: usize) -> Result<Self> {
        check_count("max_requests", max_requests, u64::from(u32::MAX))?;
        check_window("window_seconds", window)?;
        check_count("max_clients", u64::try_from(max_clients).unwrap_or(u64::MAX), MOST_CLIENTS)?;
        let table = if u16::try_from(max_requests).is_ok() {
            Table::Small(Clients::new(max_requests, max_clients))
        } else {
            Table::Large(Clients::new(max_requests, max_clients))
        };
        Ok(Self(Arc::new(Shared {
            limit: max_requests,
            window,
            part: nanos(window).div_ceil(PARTS),
            made: Instant::now(),
            hasher: RandomState::new(),
            table: Mutex::new(table),
        })))
    }

    /// Count a request of `client`, or refuse it. What is refused does not count.
    ///
    /// # Errors
    /// `RateLimitExceeded`, with the time after which a request may pass.
    pub fn check(&self, client: &[u8]) -> Result<Decision> {
        let shared = &*self.0;
        let client = shared.hasher.hash_one(client);
        let mut table = shared.table.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that time never runs backwards for the table.
        let now = nanos(shared.made.elapsed());
        let part = now / shared.part;
        let verdict = table.judge(client, part);
        drop(table);
        match verdict {
            Verdict::Admitted { remaining } => {
                Ok(Decision { limit: shared.limit, remaining, reset_after: shared.end_of(part, now) })
            }
            Verdict::Refused { oldest } => Err(shared.refusal(shared.end_of(oldest, now))),
        }
    }

    /// How many clients have a count of their own.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Shared {
    /// How long from `now` a request that was made in sub-window `part` counts.
    fn end_of(&self, part: u64, now: u64) -> Duration {
        Duration::from_nanos((part + LIFE).saturating_mul(self.part).saturating_sub(now))
    }

    fn refusal(&self, retry_after: Duration) -> Error {
        let (limit, window) = (self.limit, self.window);
        let message =
            format!("more than {limit} requests in {window:?}, the next one may pass in {retry_after:.1?}");
        Error::new(Kind::RateLimitExceeded, message).with(|facts| facts.retry_after = Some(retry_after))
    }
}

impl fmt::Debug for KeyedRateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyedRateLimiter({} per {:?} for each client)", self.0.limit, self.0.window)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::time::advance;

    use super::*;

    const WINDOW: Duration = Duration::from_mins(1);

    fn limiter(max_requests: u64) -> KeyedRateLimiter {
        KeyedRateLimiter::new(max_requests, WINDOW, 1_000).unwrap()
    }

    fn argument(result: Result<KeyedRateLimiter>) -> Option<&'static str> {
        result.unwrap_err().facts().argument
    }

    #[test]
    fn a_bad_argument_is_named() {
        assert_eq!(argument(KeyedRateLimiter::new(0, WINDOW, 1)), Some("max_requests"));
        assert_eq!(argument(KeyedRateLimiter::new(u64::MAX, WINDOW, 1)), Some("max_requests"));
        assert_eq!(argument(KeyedRateLimiter::new(1, Duration::ZERO, 1)), Some("window_seconds"));
        assert_eq!(argument(KeyedRateLimiter::new(1, Duration::MAX, 1)), Some("window_seconds"));
        assert_eq!(argument(KeyedRateLimiter::new(1, WINDOW, 0)), Some("max_clients"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_decision_tells_where_the_client_stands() {
        let limiter = limiter(3);
        let first = limiter.check(b"ann").unwrap();
        assert_eq!((first.limit, first.remaining), (3, 2));
        assert_eq!(first.reset_after, WINDOW / 16 * 17);
        assert_eq!(limiter.check(b"ann").unwrap().remaining, 1);
        assert_eq!(limiter.check(b"bob").unwrap().remaining, 2);
        assert_eq!(limiter.clients(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_request_may_pass_after_the_time_told_and_not_before() {
        for max_requests in [2, 70_000] {
            let limiter = limiter(max_requests);
            advance(Duration::from_millis(3_217)).await;
            for _ in 0..max_requests {
                limiter.check(b"ann").unwrap();
            }
            let refused = limiter.check(b"ann").unwrap_err();
            assert_eq!(refused.kind(), Kind::RateLimitExceeded);
            assert!(!refused.message().contains("ann"));
            let retry_after = refused.facts().retry_after.unwrap();
            assert!(retry_after >= WINDOW && retry_after <= WINDOW / 16 * 17);
            advance(retry_after.checked_sub(Duration::from_nanos(1)).unwrap()).await;
            assert_eq!(limiter.check(b"ann").unwrap_err().facts().retry_after, Some(Duration::from_nanos(1)));
            advance(Duration::from_nanos(1)).await;
            limiter.check(b"ann").unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_that_does_not_divide_evenly_is_not_shortened() {
        let window = Duration::from_nanos(1_000_000_015);
        let limiter = KeyedRateLimiter::new(1, window, 10).unwrap();
        for last_of_a_part in [62_499_999, 62_500_000] {
            advance(Duration::from_nanos(last_of_a_part)).await;
            limiter.check(b"ann").unwrap();
            advance(window.checked_sub(Duration::from_nanos(1)).unwrap()).await;
            limiter.check(b"ann").unwrap_err();
            advance(window).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn idle_clients_are_forgotten() {
        let limiter = limiter(3);
        for client in 0..20_u8 {
            limiter.check(&[client]).unwrap();
        }
        advance(WINDOW / 16 * 17).await;
        limiter.check(b"ann").unwrap();
        assert_eq!(limiter.clients(), 1);
    }

    #[test]
    fn threads_share_one_limit() {
        // A window so long that no pause of the machine can outlast it.
        let limiter = KeyedRateLimiter::new(1_000, WINDOW * 60 * 24 * 366, 1_000).unwrap();
        let passed = std::thread::scope(|scope| {
            let count = || (0..500).filter(|_| limiter.check(b"ann").is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(passed, 1_000);
    }

    proptest! {
        /// Gaps are in milliseconds, clients few: with a cap of three, some share the overflow.
        #[test]
        fn no_window_holds_more_than_the_limit(
            limit in 1_u64..6,
            requests in prop::collection::vec((0_u64..400, 0_u8..5), 1..300),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.unwrap().block_on(async {
                let window = Duration::from_millis(1_001);
                let limiter = KeyedRateLimiter::new(limit, window, 3).unwrap();
                let mut passed: Vec<Vec<Instant>> = vec![Vec::new(); 5];
                for (gap, client) in requests {
                    advance(Duration::from_millis(gap)).await;
                    if limiter.check(&[client]).is_ok() {
                        passed[usize::from(client)].push(Instant::now());
                    }
                    assert!(limiter.clients() <= 3);
                }
                let over = usize::try_from(limit).unwrap();
                for times in passed {
                    assert!(times.windows(over + 1).all(|run| run[over] - run[0] >= window));
                }
            });
        }
    }
}
