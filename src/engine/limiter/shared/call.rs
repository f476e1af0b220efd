//! One question to the server and its answer: the arguments of `grant.lua`, and what it gives back.

use std::time::Duration;

use redis::{ErrorKind, FromRedisValue, RedisError, ToRedisArgs, Value};
use tokio::time::Instant;

use crate::engine::printable::printable;

/// Decides on the server, in one round trip.
pub(super) const GRANT: &str = concat!(include_str!("common.lua"), include_str!("grant.lua"));
/// The same for one request of one client.
pub(super) const CHECK: &str = concat!(include_str!("common.lua"), include_str!("check.lua"));

/// Sub-windows of a window. A charge counts for up to one of them longer, so this bounds what is wasted.
const PARTS: u32 = 64;
/// The clocks of two machines may run apart by this part of the time.
const DRIFT: u32 = 1024;

/// What all calls for one limit have in common.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    /// Permits in a window, or in the bucket.
    pub limit: u64,
    /// How long it takes until all of them are there again.
    pub window: Duration,
    /// Whether permits drip into a bucket instead of leaving a window.
    pub smooth: bool,
    /// The time of one permit, where they drip; in microseconds.
    pub interval: f64,
}

impl Terms {
    pub(super) fn window(limit: u64, window: Duration) -> Self {
        Self { limit, window, smooth: false, interval: 0.0 }
    }

    #[expect(clippy::cast_precision_loss, reason = "a nanosecond in the time of a permit does not matter")]
    pub(super) fn smooth(max_rate: u64, window: Duration, burst: u64) -> Self {
        let interval = window.as_secs_f64() * 1e6 / max_rate as f64;
        let refill = Duration::from_secs_f64(interval * burst as f64 / 1e6);
        Self { limit: burst, window: refill, smooth: true, interval }
    }

    /// The length of a lease. It ends after a while, so that what a dead process held comes back.
    pub(super) fn lease(&self) -> Duration {
        (self.window / 20).clamp(SHORTEST_LEASE, Duration::from_secs(2))
    }

    /// How far ahead a lease may start: whoever asks stands in the server's line then, and need not ask again. What
    /// others give back meanwhile is not for it, so it stands there for a short time only, but for a heavy request,
    /// which might never find room otherwise. In that time two clocks must not run apart by the length of a lease.
    pub(super) fn ahead(&self, permits: u64) -> Duration {
        let longest = Duration::from_secs(if permits > self.portion() { 120 } else { 10 });
        (self.window * 4).min(longest)
    }

    /// The most permits in a lease that nobody waits for as a whole, so that many processes get their turn.
    pub(super) fn portion(&self) -> u64 {
        (self.limit / 16).max(1)
    }

    /// A sub-window in microseconds.
    pub(super) fn part(&self) -> u64 {
        micros(self.window).div_ceil(u64::from(PARTS)).max(1)
    }
}

/// An answer comes within this time or not at all, so no shorter lease makes sense.
pub(super) const SHORTEST_LEASE: Duration = Duration::from_millis(50);

/// What became of a lease, or of permits that were used without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Report {
    /// The part in which the permits are charged; 0 if they are in none.
    pub charged: u64,
    /// Permits that nobody will use.
    pub back: u64,
    /// Permits whose charge moves to the part `moved`.
    pub used: u64,
    pub moved: u64,
}

/// A question.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub asker: &'a str,
    pub terms: &'a Terms,
    pub least: u64,
    pub most: u64,
    /// The epoch and the version that must still be there.
    pub relies_on: Option<(u64, u64)>,
    /// The latest that it can be on the server when this arrives in time.
    pub latest: Option<u64>,
    pub closed_when_lost: bool,
    /// How long an asker counts as there.
    pub presence: Duration,
    pub reports: &'a [Report],
}

impl Call<'_> {
    /// The arguments, in the order in which the script wants them.
    pub(super) fn arguments(&self) -> Vec<Argument<'_>> {
        let terms = self.terms;
        let span = if terms.smooth {
            Argument::Fraction(terms.interval)
        } else {
            Argument::Number(micros(terms.window))
        };
        let (epoch, version) = self
            .relies_on
            .map_or((Argument::Text(""), 0), |(epoch, version)| (Argument::Number(epoch), version));
        let mut all = vec![
            Argument::Text(self.asker),
            Argument::Text(if terms.smooth { "burst" } else { "window" }),
            Argument::Number(terms.limit),
            span,
            Argument::Number(terms.part()),
            Argument::Number(micros(terms.lease())),
            Argument::Number(micros(terms.ahead(self.least))),
            Argument::Number(self.least),
            Argument::Number(self.most),
            epoch,
            Argument::Number(version),
            self.latest.map_or(Argument::Text(""), Argument::Number),
            Argument::Number(u64::from(self.closed_when_lost)),
            Argument::Number(micros(self.presence)),
        ];
        for report in self.reports {
            let Report { charged, back, used, moved } = *report;
            all.extend([charged, back, used, moved].map(Argument::Number));
        }
        all
    }
}

/// One argument of the script.
#[derive(Debug)]
pub(super) enum Argument<'a> {
    Text(&'a str),
    Number(u64),
    Fraction(f64),
}

impl ToRedisArgs for Argument<'_> {
    fn write_redis_args<W: ?Sized + redis::RedisWrite>(&self, out: &mut W) {
        match self {
            Self::Text(text) => text.write_redis_args(out),
            Self::Number(number) => number.write_redis_args(out),
            Self::Fraction(number) => number.write_redis_args(out),
        }
    }
}

/// What the server answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub permits: u64,
    pub starts_in: Duration,
    pub length: Duration,
    /// The server's clock.
    pub now: u64,
    pub charged: u64,
    pub epoch: u64,
    pub version: u64,
    pub askers: u64,
    pub lost: bool,
    /// After this time it is worth asking again; zero where permits were given.
    pub again_in: Duration,
}

impl FromRedisValue for Answer {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let numbers: Vec<u64> = FromRedisValue::from_redis_value(value)?;
        let Ok([permits, starts, length, now, charged, epoch, version, askers, lost, again]) =
            <[u64; 10]>::try_from(numbers)
        else {
            return Err("the script gave another number of values".into());
        };
        Ok(Self {
            permits,
            starts_in: Duration::from_micros(starts),
            length: Duration::from_micros(length),
            now,
            charged,
            epoch,
            version,
            askers,
            lost: lost != 0,
            again_in: Duration::from_micros(again),
        })
    }
}

/// What the server's clock showed, and a moment here that was not later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighting {
    pub server: u64,
    pub here: Instant,
}

impl Sighting {
    /// The latest that the server's clock can show at `moment`.
    pub(super) fn latest(&self, moment: Instant) -> u64 {
        let passed = moment.saturating_duration_since(self.here);
        self.server + micros(passed + passed / DRIFT) + 1
    }
}

/// A time here that is surely over once `time` has passed there.
pub(super) fn at_most(time: Duration) -> Duration {
    time.saturating_sub(time / DRIFT)
}

/// A time here after which `time` has surely passed there.
pub(super) fn at_least(time: Duration) -> Duration {
    time + time / DRIFT
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Why there was no answer, in words without the address and without what the server was told.
pub(super) fn words(error: &RedisError) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    if error.is_connection_refusal() {
        return "connection refused".to_owned();
    }
    if error.kind() == ErrorKind::AuthenticationFailed {
        return "the server refuses the credentials".to_owned();
    }
    match error.code() {
        Some("NOAUTH" | "WRONGPASS") => "the server refuses the credentials".to_owned(),
        Some("NOPERM") => "the user may not run scripts on this key".to_owned(),
        Some("MOVED") => "this is a node of a cluster: give `shared` a list of its nodes".to_owned(),
        Some(code) => format!("the server says {}", printable(code)),
        None if error.is_connection_dropped() => "the connection was lost".to_owned(),
        None => error.category().to_owned(),
    }
}
