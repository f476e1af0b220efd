//! What a service may want to know about its clients beyond a refusal: patterns that honest ones rarely show.

use std::fmt;
use std::time::SystemTime;

/// How often one client is refused within a window before it is told.
pub(super) const REFUSALS: u8 = 100;
/// How often the credentials of one client are refused within a window before it is told.
pub(super) const FAILURES: u8 = 5;
/// The most events of one kind in a window: whoever causes them must not flood whoever reads them.
const TOLD: u8 = 10;

/// What looks suspicious.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// One client goes on asking though it is refused.
    Hammering,
    /// A tenth of all clients that are told apart, and ten at least, came anew within a window.
    NewClients,
    /// One client fails again and again to prove who it is.
    CredentialFailures,
}

impl Suspicion {
    /// Its name, for machines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hammering => "hammering",
            Self::NewClients => "new_clients",
            Self::CredentialFailures => "credential_failures",
        }
    }
}

/// Something suspicious.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// What it is.
    pub kind: Suspicion,
    /// Who it is, by the fingerprint of its id; `None` for many, and for those who are not told apart.
    pub client: Option<Fingerprint>,
    /// How many refusals, new clients or failures there were within the window.
    pub count: u64,
    /// When the last of them was.
    pub at: SystemTime,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count;
        match self.kind {
            Suspicion::Hammering => write!(f, "hammering: {count} refused requests in a window")?,
            Suspicion::NewClients => write!(f, "{count} new clients in a window")?,
            Suspicion::CredentialFailures => write!(f, "{count} failures to authenticate in a window")?,
        }
        self.client.map_or(Ok(()), |client| write!(f, ", client {client}"))
    }
}

/// Tells clients apart in events and log lines without naming them: a hash, seeded anew for every limiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub(super) u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What was told in this window.
#[derive(Debug, Default)]
pub(super) struct Told {
    window: u64,
    /// How many events of each kind.
    events: [u8; 3],
    newcomers: u64,
}

impl Told {
    /// One more newcomer in the window with this number: how many it has.
    pub(super) fn newcomer(&mut self, window: u64) -> u64 {
        self.turn(window);
        self.newcomers += 1;
        self.newcomers
    }

    /// An event, unless there were too many of its kind.
    pub(super) fn tell(
        &mut self,
        window: u64,
        kind: Suspicion,
        client: Option<u64>,
        count: u64,
    ) -> Option<Event> {
        self.turn(window);
        let told = &mut self.events[kind as usize];
        *told = told.saturating_add(1);
        let client = client.map(Fingerprint);
        (*told <= TOLD).then(|| Event { kind, client, count, at: SystemTime::now() })
    }

    fn turn(&mut self, window: u64) {
        if window != self.window {
            *self = Self { window, ..Self::default() };
        }
    }
}
