//! What all parts of one pool share: how to dial, the gate, the counters, the log and the settings.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use deadpool::managed::{Pool as Store, WeakPool};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::cooldown::Cooldown;
use super::dials::Dials;
use super::gate::{Gate, PoolId, Room};
use super::holders::Holders;
use super::sharing::Sharing;
use super::store::{Conn, Opener};
use crate::engine::classify::Classifier;
use crate::engine::error::Error;
use crate::engine::limiter::RateLimiter;
use crate::engine::log::{Area, Level, Log};
use crate::engine::metrics::{CloseCause, Scopes};
use crate::engine::transport::{Dialer, State, Transport};

/// How a pool behaves. Times are durations; `None` is for ever.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How long to wait for a connection.
    pub acquire_timeout: Option<Duration>,
    /// How long a request may take, waiting included.
    pub request_timeout: Option<Duration>,
    /// How many connections to keep open without need.
    pub min_connections: usize,
    /// How many callers may wait.
    pub max_waiting: Option<usize>,
    /// How long a connection lives; each a little less, by chance, so that they do not all end at once.
    pub max_lifetime: Option<Duration>,
    /// How long a connection may lie idle. Below the 60 s after which common servers close it on their side.
    pub idle_timeout: Option<Duration>,
    /// How long a lease may be held before the log says so.
    pub leak_threshold: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            acquire_timeout: Some(Duration::from_secs(30)),
            request_timeout: Some(Duration::from_secs(30)),
            min_connections: 0,
            max_waiting: None,
            max_lifetime: Some(Duration::from_hours(1)),
            idle_timeout: Some(Duration::from_secs(15)),
            leak_threshold: Some(Duration::from_mins(1)),
        }
    }
}

pub(super) struct Home {
    pub(super) label: Option<Arc<str>>,
    pub(super) dialer: Dialer,
    pub(super) classifier: Classifier,
    pub(super) cooldown: Cooldown,
    pub(super) gate: Arc<Gate>,
    pub(super) id: PoolId,
    pub(super) scopes: Arc<Scopes>,
    pub(super) log: Log,
    pub(super) settings: Settings,
    pub(super) holders: Holders,
    /// Whether the node was away since it said who it is.
    pub(super) doubted: AtomicBool,
    /// Where the idle connections are. Set once, when the pool is made.
    pub(super) store: OnceLock<WeakPool<Opener>>,
    /// Connections of an earlier epoch are closed instead of kept: this is how a pool is drained.
    epoch: AtomicU64,
    next_connection: AtomicU64,
    /// The open connections, so that they can be cut.
    live: Mutex<HashMap<u64, Weak<dyn Transport>>>,
    /// When a connection may be opened.
    pub(super) dials: Dials,
    /// The connections that requests share.
    pub(super) sharing: Sharing,
    /// Dials whose caller went away: they go on for the next one, unless their room is needed.
    orphans: Mutex<Vec<AbortHandle>>,
    /// Whether everything was cut: what is opened after that is closed at once.
    is_cut: watch::Sender<bool>,
}

impl Home {
    pub(super) fn new(
        label: Option<Arc<str>>,
        dialer: Dialer,
        gate: Arc<Gate>,
        scopes: Scopes,
        log: Log,
        limiter: Option<&RateLimiter>,
        settings: Settings,
    ) -> Arc<Self> {
        let scopes = Arc::new(scopes);
        Arc::new_cyclic(|this: &Weak<Self>| {
            let id = gate.admit_pool(Weak::clone(this) as Weak<dyn Room>);
            Self {
                label,
                classifier: Classifier::new(dialer.route().error_rules.clone()),
                cooldown: Cooldown::new(limiter, &scopes),
                dialer,
                gate,
                id,
                scopes,
                log,
                settings,
                holders: Holders::default(),
                doubted: AtomicBool::new(false),
                store: OnceLock::new(),
                epoch: AtomicU64::new(0),
                next_connection: AtomicU64::new(1),
                live: Mutex::default(),
                dials: Dials::new(),
                sharing: Sharing::default(),
                orphans: Mutex::default(),
                is_cut: watch::Sender::new(false),
            }
        })
    }

    /// What people read in a message: the label if there is one, and where it leads.
    pub(super) fn name(&self) -> String {
        match &self.label {
            Some(label) => format!("'{label}' ({})", self.dialer.route().target),
            None => self.dialer.route().target.to_string(),
        }
    }

    pub(super) fn debug(&self, message: impl FnOnce() -> String) {
        self.log.write(Level::Debug, Area::Pool, message);
    }

    pub(super) fn next_connection(&self) -> u64 {
        self.next_connection.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    pub(super) fn next_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn enlist(&self, number: u64, transport: &Arc<dyn Transport>) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.insert(number, Arc::downgrade(transport));
        if *self.is_cut.borrow() {
            transport.cut();
        }
    }

    pub(super) fn strike(&self, number: u64) {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }

    /// Whether any connection is open.
    pub(super) fn has_open(&self) -> bool {
        // Collected first: one that ends here must not find the lock taken.
        let live: Vec<_> = {
            let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            live.values().filter_map(Weak::upgrade).collect()
        };
        live.iter().any(|transport| transport.state() == State::Open)
    }

    /// Tell everybody who waits for a connection that there is none to be had.
    pub(super) fn turn_away(&self, error: &Error) {
        self.gate.turn_away(self.id, error);
        self.sharing.turn_away(error);
    }

    /// Cut every connection, whatever it carries, and all that are yet to come.
    pub(super) fn cut_all(&self) {
        self.is_cut.send_replace(true);
        self.holders.close_all();
        let live = std::mem::take(&mut *self.live.lock().unwrap_or_else(PoisonError::into_inner));
        for transport in live.values().filter_map(Weak::upgrade) {
            transport.cut();
        }
        self.abandon_dials();
    }

    /// Wait until everything is cut.
    pub(super) async fn cut(&self) {
        // Its sender is here, so the wait ends in no other way.
        let _ = self.is_cut.subscribe().wait_for(|is_cut| *is_cut).await;
    }

    /// A dial lost its caller.
    pub(super) fn adopt(&self, dial: AbortHandle) {
        {
            let mut orphans = self.orphans();
            orphans.retain(|dial| !dial.is_finished());
            orphans.push(dial);
        }
        if *self.is_cut.borrow() {
            self.abandon_dials();
        } else if self.gate.is_in_the_way(self.id) {
            self.give_up_dial();
        }
    }

    /// Give up every dial that nobody waits for.
    pub(super) fn abandon_dials(&self) {
        for dial in self.orphans().drain(..) {
            dial.abort();
        }
    }

    fn orphans(&self) -> MutexGuard<'_, Vec<AbortHandle>> {
        self.orphans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Close idle connections for which `keep` is false, at most `most` of them.
    pub(super) fn close_idle(&self, cause: CloseCause, most: usize, keep: impl Fn(&Conn) -> bool) -> usize {
        let Some(store) = self.store.get().and_then(WeakPool::upgrade) else { return 0 };
        close_idle(&store, cause, most, keep)
    }

    /// The error of a call to this pool, with the chain that it belongs to.
    pub(super) fn mark(&self, error: Error) -> Error {
        error.of_chain(self.label.as_ref())
    }
}

fn close_idle(store: &Store<Opener>, cause: CloseCause, most: usize, keep: impl Fn(&Conn) -> bool) -> usize {
    let mut closed = 0;
    let outcome = store.retain(|conn, _| {
        let stays = closed == most || keep(conn);
        closed += usize::from(!stays);
        stays
    });
    // Dropped here, after the store's lock is free again.
    for mut conn in outcome.removed {
        conn.set_cause(cause);
    }
    closed
}

impl Room for Home {
    fn close_one(&self) -> bool {
        self.close_idle(CloseCause::Evicted, 1, |_| false) > 0
    }

    fn give_up_dial(&self) -> bool {
        let mut orphans = self.orphans();
        while let Some(dial) = orphans.pop() {
            if !dial.is_finished() {
                dial.abort();
                return true;
            }
        }
        false
    }
}
