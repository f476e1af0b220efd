//! A limit for each client of a service, which refuses instead of waiting.
//!
//! `row` counts for one client, `table` keeps the rows, `clients` judges, `event` tells what looks suspicious.

mod clients;
mod event;
mod row;
mod table;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::error::{Error, Kind, Result};

use super::{check_count, check_window};
use clients::Clients;
pub use event::{Event, Fingerprint, Suspicion};
use row::{LIFE, PARTS, Verdict};

/// The longest key of a client, in bytes: its id, and of what kind that is.
const LONGEST_KEY: usize = 1024;
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
/// shorter. Of as many clients as are allowed the last is all those who find no place: they share one limit, and those
/// who are counted are never forgotten for them. Clones share it.
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

/// The same, with counters that the limit just fits in.
enum Table {
    Small(Clients<u8>),
    Medium(Clients<u16>),
    Large(Clients<u32>),
}

/// Whatever the size of the counters.
macro_rules! with {
    ($table:expr, $clients:ident => $do:expr) => {
        match $table {
            Table::Small($clients) => $do,
            Table::Medium($clients) => $do,
            Table::Large($clients) => $do,
        }
    };
}

/// What came of a request.
#[derive(Debug)]
pub struct Checked {
    /// Whether it may pass; if not, `RateLimitExceeded`, with the time after which one may.
    pub decision: Result<Decision>,
    /// What looks suspicious about it.
    pub event: Option<Event>,
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
        let table = if u8::try_from(max_requests).is_ok() {
            Table::Small(Clients::new(max_requests, max_clients))
        } else if u16::try_from(max_requests).is_ok() {
            Table::Medium(Clients::new(max_requests, max_clients))
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
    /// `Configuration`, naming the argument `client_id`, if it is too long.
    pub fn check(&self, client: &[u8]) -> Result<Checked> {
        let shared = &*self.0;
        let client = shared.hash(client)?;
        let mut table = self.table();
        // Read under the lock, so that time never runs backwards for the table.
        let (part, now) = shared.now();
        let (verdict, event) = with!(&mut *table, clients => clients.judge(client, part));
        drop(table);
        let decision = match verdict {
            Verdict::Admitted { remaining } => {
                Ok(Decision { limit: shared.limit, remaining, reset_after: shared.end_of(part, now) })
            }
            Verdict::Refused { oldest } => Err(shared.refusal(shared.end_of(oldest, now))),
        };
        Ok(Checked { decision, event })
    }

    /// Count a failure of `client` to prove who it is. It changes no limit.
    ///
    /// # Errors
    /// `Configuration`, naming the argument `client_id`, if it is too long.
    pub fn record_failure(&self, client: &[u8]) -> Result<Option<Event>> {
        let client = self.0.hash(client)?;
        let mut table = self.table();
        let (part, _) = self.0.now();
        Ok(with!(&mut *table, clients => clients.fail(client, part)))
    }

    /// What events call `client`.
    ///
    /// # Errors
    /// `Configuration`, naming the argument `client_id`, if it is too long.
    pub fn fingerprint(&self, client: &[u8]) -> Result<Fingerprint> {
        self.0.hash(client).map(Fingerprint)
    }

    /// How many clients have a count of their own.
    #[must_use]
    pub fn clients(&self) -> usize {
        with!(&*self.table(), clients => clients.len())
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn hash(&self, client: &[u8]) -> Result<u64> {
        if client.len() > LONGEST_KEY {
            return Err(Error::argument(
                "client_id",
                format_args!("must have less than {LONGEST_KEY} bytes"),
            ));
        }
        Ok(self.hasher.hash_one(client))
    }

    /// The sub-window of this moment, and the moment.
    fn now(&self) -> (u64, u64) {
        let now = nanos(self.made.elapsed());
        (now / self.part, now)
    }

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

    fn check(limiter: &KeyedRateLimiter, client: &[u8]) -> Result<Decision> {
        limiter.check(client).unwrap().decision
    }

    fn refused(limiter: &KeyedRateLimiter) -> Error {
        check(limiter, b"ann").unwrap_err()
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
        let first = check(&limiter, b"ann").unwrap();
        assert_eq!((first.limit, first.remaining), (3, 2));
        assert_eq!(first.reset_after, WINDOW / 16 * 17);
        assert_eq!(check(&limiter, b"ann").unwrap().remaining, 1);
        assert_eq!(check(&limiter, b"bob").unwrap().remaining, 2);
        assert_eq!(limiter.clients(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_request_may_pass_after_the_time_told_and_not_before() {
        for max_requests in [2, 300, 70_000] {
            let limiter = limiter(max_requests);
            advance(Duration::from_millis(3_217)).await;
            for _ in 0..max_requests {
                check(&limiter, b"ann").unwrap();
            }
            let refused_now = refused(&limiter);
            assert_eq!(refused_now.kind(), Kind::RateLimitExceeded);
            assert!(!refused_now.message().contains("ann"));
            let retry_after = refused_now.facts().retry_after.unwrap();
            assert!(retry_after >= WINDOW && retry_after <= WINDOW / 16 * 17);
            advance(retry_after.checked_sub(Duration::from_nanos(1)).unwrap()).await;
            assert_eq!(refused(&limiter).facts().retry_after, Some(Duration::from_nanos(1)));
            advance(Duration::from_nanos(1)).await;
            check(&limiter, b"ann").unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_that_does_not_divide_evenly_is_not_shortened() {
        let window = Duration::from_nanos(1_000_000_015);
        let limiter = KeyedRateLimiter::new(1, window, 10).unwrap();
        for last_of_a_part in [62_499_999, 62_500_000] {
            advance(Duration::from_nanos(last_of_a_part)).await;
            check(&limiter, b"ann").unwrap();
            advance(window.checked_sub(Duration::from_nanos(1)).unwrap()).await;
            refused(&limiter);
            advance(window).await;
        }
    }

    #[test]
    fn an_id_is_bounded_and_told_by_a_fingerprint_that_differs_for_every_limiter() {
        let (one, other) = (limiter(1), limiter(1));
        let longest = [b'x'; LONGEST_KEY];
        check(&one, &longest).unwrap();
        let too_long = [&longest[..], b"x"].concat();
        for error in [one.check(&too_long).unwrap_err(), one.fingerprint(&too_long).unwrap_err()] {
            assert_eq!((error.kind(), error.facts().argument), (Kind::Configuration, Some("client_id")));
        }
        let name = one.fingerprint(b"ann").unwrap();
        assert_eq!(name, one.fingerprint(b"ann").unwrap());
        assert_ne!(name, other.fingerprint(b"ann").unwrap());
        let events = (0..5).filter_map(|_| one.record_failure(b"ann").unwrap());
        assert_eq!(events.map(|event| event.client).collect::<Vec<_>>(), [Some(name)]);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_clients_are_forgotten() {
        let limiter = limiter(3);
        for client in 0..20_u8 {
            check(&limiter, &[client]).unwrap();
        }
        advance(WINDOW / 16 * 17).await;
        check(&limiter, b"ann").unwrap();
        assert_eq!(limiter.clients(), 1);
    }

    #[test]
    fn threads_share_one_limit() {
        // A window so long that no pause of the machine can outlast it.
        let limiter = KeyedRateLimiter::new(1_000, WINDOW * 60 * 24 * 366, 1_000).unwrap();
        let passed = std::thread::scope(|scope| {
            let count = || (0..500).filter(|_| check(&limiter, b"ann").is_ok()).count();
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
                    if check(&limiter, &[client]).is_ok() {
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
