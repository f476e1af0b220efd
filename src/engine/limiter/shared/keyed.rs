//! A limit for each client of a service that has many processes: one round trip for a request, none for a client that
//! was refused and comes again too early.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use redis::{FromRedisValue, Value};
use ring::digest::{SHA256, digest};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use crate::engine::error::{Error, Kind, Result};
use crate::engine::limiter::{Decision, KeyedRateLimiter};

use super::call::{Argument, CHECK, Sighting, at_least, micros};
use super::health::{BEAT, Health, Outage, PRESENCE, asker};
use super::servers::{Connection, PATIENCE};
use super::{OnOutage, Sharing};

/// How many refused clients are remembered.
const REFUSED: usize = 65_536;

/// At most so many requests of each client in any window of time, in all processes together.
///
/// Requests are counted in sixteenths of the window, as by `KeyedRateLimiter`, which decides while the server is
/// away. Clones share it.
#[derive(Clone)]
pub struct SharedKeyedRateLimiter(Arc<Inner>);

struct Inner {
    sharing: Sharing,
    limit: u64,
    window: Duration,
    max_clients: usize,
    asker: String,
    /// What all clients have in common is kept under this key, the counts of a client under a longer one.
    key: String,
    state: Mutex<State>,
    /// Rung when a connection is there, or is not to be had.
    decided: Notify,
    /// Wakes the task that keeps the connection: it is gone, or nobody needs it any more.
    bell: Arc<Notify>,
    is_kept: AtomicBool,
}

struct State {
    connection: Option<Connection>,
    health: Health,
    sighting: Option<Sighting>,
    epoch: Option<u64>,
    outage: Option<Local>,
    /// The share of the last outage, and until when what it let through counts in the next one, too.
    spent: Option<(u64, KeyedRateLimiter, Instant)>,
    /// After state was lost in an outage: what was let through meanwhile counts for a window more.
    lingering: Option<(KeyedRateLimiter, Instant)>,
    refused: HashMap<u128, Instant>,
}

#[derive(Clone)]
enum Local {
    Nothing,
    /// So many requests, and what counts them.
    Share(u64, KeyedRateLimiter),
    Everything,
}

/// What the server answers.
struct Answer {
    passes: bool,
    remaining: u64,
    after: Duration,
    now: u64,
    epoch: u64,
    askers: u64,
    lost: bool,
}

impl FromRedisValue for Answer {
    fn from_redis_value(value: Value) -> std::result::Result<Self, redis::ParsingError> {
        let numbers: Vec<u64> = FromRedisValue::from_redis_value(value)?;
        let Ok([passes, remaining, after, now, epoch, askers, lost]) = <[u64; 7]>::try_from(numbers) else {
            return Err("the script gave another number of values".into());
        };
        let after = Duration::from_micros(after);
        Ok(Self { passes: passes != 0, remaining, after, now, epoch, askers, lost: lost != 0 })
    }
}

impl SharedKeyedRateLimiter {
    /// A limiter of `max_requests` per `window` for each client, of whom at most `max_clients` are told apart here
    /// while the server is away.
    ///
    /// # Errors
    /// `Configuration`, naming the argument `max_requests`, `window_seconds` or `max_clients`.
    pub fn new(max_requests: u64, window: Duration, max_clients: usize, sharing: Sharing) -> Result<Self> {
        // The same bounds as without a server.
        KeyedRateLimiter::new(max_requests, window, max_clients)?;
        let state = State {
            connection: None,
            health: Health::new(sharing.clone(), max_requests),
            sighting: None,
            epoch: None,
            outage: None,
            spent: None,
            lingering: None,
            refused: HashMap::new(),
        };
        Ok(Self(Arc::new(Inner {
            key: sharing.key(&format!("clients:{}", micros(window))),
            sharing,
            limit: max_requests,
            window,
            max_clients,
            asker: asker(),
            state: Mutex::new(state),
            decided: Notify::new(),
            bell: Arc::default(),
            is_kept: AtomicBool::new(false),
        })))
    }

    /// Count a request of `client`, or refuse it. Must be polled within a runtime.
    ///
    /// # Errors
    /// `RateLimitExceeded`, with the time after which a request may pass.
    pub async fn check(&self, client: &[u8]) -> Result<Decision> {
        let id = client_id(client);
        self.0.refuse_early(id)?;
        self.keep();
        if !self.0.is_decided() {
            let _ = timeout(PATIENCE, self.0.decided()).await;
        }
        let connection = self.0.lock().connection.clone();
        if let Some(mut connection) = connection {
            match self.0.ask(&mut connection, &format!("{id:032x}"), true).await {
                Ok(answer) => return self.0.decide(client, id, &answer),
                Err(reason) => self.0.fail(&reason),
            }
        } else {
            self.0.fail(&format!("not connected within {PATIENCE:?}"));
        }
        self.0.decide_here(client)
    }

    /// Have a task keep the connection, unless one does.
    fn keep(&self) {
        let Ok(runtime) = Handle::try_current() else { return };
        if !self.0.is_kept.swap(true, Ordering::Relaxed) {
            runtime.spawn(Keeper(Arc::downgrade(&self.0)).run());
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.bell.notify_one();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn decided(&self) {
        loop {
            let rung = self.decided.notified();
            if self.is_decided() {
                return;
            }
            rung.await;
        }
    }

    fn is_decided(&self) -> bool {
        let state = self.lock();
        state.connection.is_some() || state.outage.is_some()
    }

    /// Refuse whom the server has refused until now.
    fn refuse_early(&self, id: u128) -> Result<()> {
        let now = Instant::now();
        let until = self.lock().refused.get(&id).copied().filter(|until| *until > now);
        until.map_or(Ok(()), |until| Err(self.refusal(until - now)))
    }

    async fn ask(
        &self,
        connection: &mut Connection,
        client: &str,
        counts: bool,
    ) -> std::result::Result<Answer, String> {
        let sent = Instant::now();
        let (epoch, latest) = {
            let state = self.lock();
            let recent = state.sighting.filter(|sighting| sent - sighting.here < self.window);
            let latest = state.sighting.map(|sighting| sighting.latest(sent + PATIENCE));
            (state.epoch.filter(|_| recent.is_some()), latest)
        };
        let optional = |number: Option<u64>| number.map_or(Argument::Text(""), Argument::Number);
        let arguments = [
            Argument::Text(&self.asker),
            Argument::Number(self.limit),
            Argument::Number(micros(self.window)),
            Argument::Number(micros(self.window).div_ceil(16)),
            optional(epoch),
            optional(latest),
            Argument::Number(u64::from(self.sharing.on_outage == OnOutage::Closed)),
            Argument::Number(micros(PRESENCE)),
            Argument::Number(u64::from(counts)),
        ];
        let key = format!("{}:{client}", self.key);
        let answer: Answer = connection.ask(&[&self.key, &key], &arguments).await?;
        self.succeed(sent, &answer);
        Ok(answer)
    }

    fn succeed(&self, sent: Instant, answer: &Answer) {
        let mut state = self.lock();
        state.health.succeed(sent, answer.askers, answer.lost);
        state.sighting = Some(Sighting { server: answer.now, here: sent });
        state.epoch = Some(answer.epoch);
        let until = Instant::now() + self.window + self.window / 8;
        if let Some(Local::Share(share, local)) = state.outage.take() {
            if answer.lost {
                state.lingering = Some((local.clone(), until));
            }
            state.spent = Some((share, local, until));
        }
    }

    fn fail(&self, reason: &str) {
        let mut state = self.lock();
        state.connection = None;
        if state.health.retry().is_some() {
            return;
        }
        state.outage = match state.health.fail(reason) {
            Some(Outage::Everything) => Some(Local::Everything),
            Some(Outage::Share(share)) => Some(self.share(share, state.spent.take())),
            None => return,
        };
        drop(state);
        self.bell.notify_one();
    }

    /// A share that remembers what an outage that was just over had of it.
    fn share(&self, share: u64, spent: Option<(u64, KeyedRateLimiter, Instant)>) -> Local {
        match spent {
            Some((same, local, until)) if same == share && until > Instant::now() => {
                Local::Share(share, local)
            }
            _ => KeyedRateLimiter::new(share, self.window, self.max_clients)
                .map_or(Local::Nothing, |local| Local::Share(share, local)),
        }
    }

    /// What the server's answer means here.
    fn decide(&self, client: &[u8], id: u128, answer: &Answer) -> Result<Decision> {
        let mut state = self.lock();
        let now = Instant::now();
        if let Some((local, until)) = &state.lingering {
            if *until > now && answer.passes {
                local.check(client)?.decision?;
            }
            if *until <= now {
                state.lingering = None;
            }
        }
        state.spent.take_if(|(.., until)| *until <= now);
        if answer.passes {
            let Answer { remaining, after: reset_after, .. } = *answer;
            return Ok(Decision { limit: self.limit, remaining, reset_after });
        }
        if state.refused.len() >= REFUSED {
            state.refused.retain(|_, until| *until > now);
        }
        if state.refused.len() < REFUSED {
            state.refused.insert(id, now + at_least(answer.after));
        }
        Err(self.refusal(answer.after))
    }

    /// What the policy says while the server is away.
    fn decide_here(&self, client: &[u8]) -> Result<Decision> {
        let (outage, retry) = {
            let state = self.lock();
            (state.outage.clone(), state.health.retry())
        };
        match outage {
            Some(Local::Share(_, local)) => local.check(client)?.decision,
            Some(Local::Everything) => {
                Ok(Decision { limit: self.limit, remaining: self.limit - 1, reset_after: self.window })
            }
            _ => {
                Err(self.refusal(retry.map_or(BEAT, |retry| retry.saturating_duration_since(Instant::now()))))
            }
        }
    }

    fn refusal(&self, retry_after: Duration) -> Error {
        let (limit, window) = (self.limit, self.window);
        let message =
            format!("more than {limit} requests in {window:?}, the next one may pass in {retry_after:.1?}");
        Error::new(Kind::RateLimitExceeded, message).with(|facts| facts.retry_after = Some(retry_after))
    }
}

/// The task that connects, and shows every few seconds that this process is there.
struct Keeper(Weak<Inner>);

impl Keeper {
    async fn run(self) {
        while let Some(limiter) = self.0.upgrade() {
            let (connection, retry) = {
                let state = limiter.lock();
                (state.connection.clone(), state.health.retry())
            };
            let now = Instant::now();
            let next = match (connection, retry) {
                (None, Some(retry)) if retry > now => retry,
                (None, _) => {
                    Self::connect(&limiter).await;
                    continue;
                }
                (Some(mut connection), _) => {
                    if let Err(reason) = limiter.ask(&mut connection, "", false).await {
                        limiter.fail(&reason);
                        continue;
                    }
                    now + BEAT
                }
            };
            let bell = Arc::clone(&limiter.bell);
            drop(limiter);
            tokio::select! {
                () = bell.notified() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    async fn connect(limiter: &Inner) {
        let opened = limiter.sharing.servers.connect(CHECK).await;
        let outcome = match opened {
            Ok(mut connection) => limiter
                .ask(&mut connection, "", false)
                .await
                .map(|_| limiter.lock().connection = Some(connection)),
            Err(reason) => Err(reason),
        };
        if let Err(reason) = outcome {
            let was_away = limiter.lock().health.retry().is_some();
            limiter.fail(&reason);
            if was_away {
                limiter.lock().health.fail(&reason);
            }
        }
        limiter.decided.notify_waiters();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(limiter) = self.0.upgrade() {
            limiter.is_kept.store(false, Ordering::Relaxed);
        }
    }
}

/// Under which name a client is known to the server: of one length, and nothing that tells who it is.
fn client_id(client: &[u8]) -> u128 {
    let bytes = digest(&SHA256, client);
    bytes.as_ref().iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte))
}
