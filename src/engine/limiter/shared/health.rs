//! Whether the server is there, who else asks it, and what that makes of an outage. Told in one line for each change.

use std::time::Duration;

use tokio::time::Instant;

use crate::engine::log::{Area, Level};

use super::breaker::Breaker;
use super::{OnOutage, Sharing};

/// How often a process shows itself that has nothing to ask.
pub(super) const BEAT: Duration = Duration::from_secs(5);
/// A process that was not seen for so long is gone.
pub(super) const PRESENCE: Duration = Duration::from_secs(15);
/// After so long all others have heard of a new process.
const HEARD: Duration = Duration::from_secs(6);

/// What the last answer told about the others.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// Since when this process shows itself without a gap.
    since: Instant,
    last: Instant,
    askers: u64,
}

/// What callers get while the server is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outage {
    /// So much in a window; it may be nothing.
    Share(u64),
    Everything,
}

/// The state of one limit's server, seen from here.
#[derive(Debug)]
pub(super) struct Health {
    sharing: Sharing,
    max_rate: u64,
    breaker: Breaker,
    seen: Option<Seen>,
}

impl Health {
    pub(super) fn new(sharing: Sharing, max_rate: u64) -> Self {
        Self { sharing, max_rate, breaker: Breaker::default(), seen: None }
    }

    /// When the server that is away may be asked again; `None` if it is there, for all that is known.
    pub(super) fn retry(&self) -> Option<Instant> {
        self.breaker.retry()
    }

    /// It answered what was asked at `sent`.
    pub(super) fn succeed(&mut self, sent: Instant, askers: u64, lost: bool) {
        let was_away = self.retry().is_some();
        self.breaker.succeed();
        let since = self.seen.filter(|seen| sent - seen.last < PRESENCE).map_or(sent, |seen| seen.since);
        self.seen = Some(Seen { since, last: sent, askers });
        if lost {
            self.tell(Level::Warning, "has lost its state");
        }
        if was_away {
            self.tell(Level::Info, "is back");
        }
    }

    /// It did not. What callers get from now on, if that is new.
    pub(super) fn fail(&mut self, reason: &str) -> Option<Outage> {
        let is_new = self.retry().is_none();
        self.breaker.fail(Instant::now());
        if !is_new {
            return None;
        }
        let outage = match self.sharing.on_outage {
            OnOutage::Closed => Outage::Share(0),
            OnOutage::Open => Outage::Everything,
            OnOutage::LocalShare => Outage::Share(self.share()),
        };
        let policy = self.sharing.on_outage.name();
        let share = match outage {
            Outage::Share(share) if self.sharing.on_outage == OnOutage::LocalShare => {
                format!(": {share} of {}", self.max_rate)
            }
            _ => String::new(),
        };
        self.tell(Level::Warning, &format!("is away ({reason}), on_outage is '{policy}'{share}"));
        Some(outage)
    }

    /// The part of the limit that is this process's own. The shares of all processes never add up to more than the
    /// limit: one that is not alone has none until the others have heard of it.
    fn share(&self) -> u64 {
        self.seen.map_or(0, |seen| {
            let is_known = seen.askers == 1 || seen.last - seen.since >= HEARD;
            if is_known { self.max_rate / seen.askers.max(1) } else { 0 }
        })
    }

    fn tell(&self, level: Level, what: &str) {
        let Sharing { name, servers, log, .. } = &self.sharing;
        log.write(level, Area::Limiter, || format!("the shared limit '{name}' at {servers} {what}"));
    }
}

/// A name for one party of a limit that no other one has.
pub(super) fn asker() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}
