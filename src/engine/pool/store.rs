//! What deadpool keeps for us: open connections, made on demand and looked at before they are used again.

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use tokio::time::{Instant, timeout};

use super::chance::fraction;
use super::gate::closed as pool_closed;
use super::home::Home;
use super::sockets::Permit;
use crate::engine::error::{Error, Kind, Phase, Result};
use crate::engine::metrics::{CloseCause, Event, Level, Member};
use crate::engine::transport::{State, Transport};

/// How long a dial may take, whatever its callers' deadlines: it goes on without them.
const DIAL_LIMIT: Duration = Duration::from_secs(30);

/// An open connection. It is counted, and holds its right to a socket, until it is dropped.
pub struct Conn {
    number: u64,
    id: Arc<str>,
    transport: Arc<dyn Transport>,
    member: Member,
    permit: Arc<Permit>,
    expires: Option<Instant>,
    /// When it was last taken or given back.
    since: Instant,
    /// How long it lay idle before it was taken.
    idled: Duration,
    epoch: u64,
    cause: CloseCause,
    home: Arc<Home>,
}

impl Conn {
    pub(super) const fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub(super) const fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }

    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    pub(super) const fn idled(&self) -> Duration {
        self.idled
    }

    pub(super) const fn expires(&self) -> Option<Instant> {
        self.expires
    }

    /// Why it must not be used again, if so.
    pub(super) fn verdict(&self, now: Instant) -> Option<CloseCause> {
        match self.transport.state() {
            State::Open => {}
            State::Dirty => return Some(CloseCause::Dirty),
            State::Broken | State::Closed => return Some(CloseCause::Lost),
        }
        if self.is_outdated() {
            Some(CloseCause::Requested)
        } else if self.expires.is_some_and(|expires| expires <= now) {
            Some(CloseCause::Lifetime)
        } else {
            None
        }
    }

    /// When it is to be replaced, however good it is.
    pub(super) fn due_at(&self) -> Option<Instant> {
        if self.is_outdated() { Some(self.since) } else { self.expires }
    }

    /// Whether it was opened before the pool was drained.
    fn is_outdated(&self) -> bool {
        self.epoch != self.home.epoch()
    }

    pub(super) const fn set_cause(&mut self, cause: CloseCause) {
        self.cause = cause;
    }

    /// It begins to be used.
    pub(super) fn occupy(&mut self) {
        self.member.shift(Level::Active);
    }

    /// It is not used any more, from `now` on.
    pub(super) fn rest(&mut self, now: Instant) {
        self.member.shift(Level::Idle);
        self.since = now;
    }

    /// Dial a new socket for the place of one that is gone, in the same slot.
    pub(super) fn redial(&self) -> impl Future<Output = Result<Arc<dyn Transport>>> + Send + 'static {
        let (old, home, permit) =
            (Arc::clone(&self.transport), Arc::clone(&self.home), Arc::clone(&self.permit));
        let id = Arc::clone(&self.id);
        async move {
            home.debug(|| format!("connection {id} lost its socket and reconnects"));
            old.cut();
            // One socket at a time: the old one is closed before the new one connects.
            old.closed().await;
            dial(&home, &permit).await
        }
    }

    /// Use the new socket from now on, under the same id.
    pub(super) fn replace(&mut self, transport: Arc<dyn Transport>) {
        let is_dirty = self.transport.state() == State::Dirty;
        let cause = if is_dirty { CloseCause::Dirty } else { CloseCause::Lost };
        self.home.scopes.count(Event::Closed(cause));
        self.home.enlist(self.number, &transport);
        self.transport = transport;
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.home.strike(self.number);
        let is_broken = self.transport.state() == State::Broken;
        if is_broken || self.cause == CloseCause::Lost && !self.home.has_open() {
            self.home.dials.doubt();
        }
        self.transport.cut();
        self.home.scopes.count(Event::Closed(self.cause));
        self.home.debug(|| format!("connection {} closed: {}", self.id, self.cause.name()));
    }
}

/// Opens connections for the store.
pub struct Opener(pub(super) Arc<Home>);

impl Manager for Opener {
    /// Boxed, because it is moved from hand to hand.
    type Type = Box<Conn>;
    type Error = Error;

    async fn create(&self) -> Result<Box<Conn>> {
        let home = &self.0;
        let permit = Arc::new(home.gate.permit().await);
        let member = Member::new(Arc::clone(&home.scopes), Level::Connecting);
        let number = home.next_connection();
        let transport = dial(home, &permit).await?;
        home.enlist(number, &transport);
        let now = Instant::now();
        let conn = Box::new(Conn {
            number,
            id: id_of(home, number),
            transport,
            member,
            permit,
            expires: home.settings.max_lifetime.map(shortened).and_then(|life| now.checked_add(life)),
            since: now,
            idled: Duration::ZERO,
            epoch: home.epoch(),
            cause: CloseCause::Lost,
            home: Arc::clone(home),
        });
        home.debug(|| format!("connection {} opened to {}", conn.id, home.dialer.route().target));
        Ok(conn)
    }

    async fn recycle(&self, conn: &mut Box<Conn>, _: &Metrics) -> RecycleResult<Error> {
        let now = Instant::now();
        conn.idled = now.duration_since(conn.since);
        conn.since = now;
        match conn.verdict(now) {
            None => Ok(()),
            Some(cause) => {
                conn.set_cause(cause);
                Err(RecycleError::message(cause.name()))
            }
        }
    }
}

/// Open a socket that holds `permit`, and tell the pool when it closes.
async fn dial(home: &Arc<Home>, permit: &Arc<Permit>) -> Result<Arc<dyn Transport>> {
    let turn = tokio::select! {
        biased;
        () = home.cut() => return Err(home.mark(pool_closed())),
        turn = home.dials.turn() => turn.map_err(|error| home.mark(error))?,
    };
    // Boxed when it is its turn: a handshake takes kilobytes of state, which every lease would carry.
    let dialled = Box::pin(dial_within_limit(home, permit)).await;
    match &dialled {
        Ok(_) => turn.succeeded(),
        Err(error) => {
            if turn.failed(error) && !home.has_open() {
                home.turn_away(error);
            }
        }
    }
    dialled
}

async fn dial_within_limit(home: &Arc<Home>, permit: &Arc<Permit>) -> Result<Arc<dyn Transport>> {
    let weak = Arc::downgrade(home);
    let closed = move || {
        if let Some(home) = weak.upgrade() {
            home.close_idle(CloseCause::Lost, usize::MAX, |conn| conn.transport.state() == State::Open);
        }
    };
    let dialled = tokio::select! {
        biased;
        () = home.cut() => return Err(home.mark(pool_closed())),
        dialled = timeout(DIAL_LIMIT, home.dialer.dial(Arc::clone(permit) as _, closed)) => dialled,
    };
    let dialled = dialled.unwrap_or_else(|_| Err(dial_timeout(home)));
    match &dialled {
        Ok(_) => home.scopes.count(Event::Opened),
        Err(error) => {
            home.scopes.count(Event::ConnectFailure);
            // A WebSocket is refused with the status of a request.
            home.cooldown.heed(error);
            home.debug(|| format!("no connection to {}: {error}", home.dialer.route().target));
        }
    }
    dialled.map_err(|error| home.mark(error))
}

fn dial_timeout(home: &Home) -> Error {
    let message = format!("connecting to {} took longer than {} s", home.name(), DIAL_LIMIT.as_secs());
    Error::new(Kind::ConnectTimeout, message).with(|facts| {
        facts.phase = Some(Phase::Connect);
        facts.elapsed = Some(DIAL_LIMIT);
    })
}

fn id_of(home: &Home, number: u64) -> Arc<str> {
    match &home.label {
        Some(label) => format!("{label}-{}-{number}", home.id).into(),
        None => format!("pool-{}-{number}", home.id).into(),
    }
}

/// Up to a twentieth less, by chance, so that connections opened together do not all end together.
fn shortened(life: Duration) -> Duration {
    life.mul_f64(1.0 - fraction() / 20.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_that_begin_together_end_one_by_one_none_longer_than_it_may_be() {
        let life = Duration::from_secs(1_000);
        let mut lives: Vec<_> = (0..100).map(|_| shortened(life)).collect();
        lives.sort_unstable();
        lives.dedup();
        assert!(lives.len() > 90 && lives[0] >= life.mul_f64(0.95) && lives[lives.len() - 1] <= life);
        assert!(lives[lives.len() - 1].abs_diff(lives[0]) > life / 50, "{lives:?}");
    }
}
