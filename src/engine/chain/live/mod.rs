//! What a chain tells by itself: new heads, logs, pending transactions and whatever else nodes tell those who subscribe.
//!
//! Heads and logs are pulled: each reader walks from block to block towards the newest one, so that a slow reader costs
//! no memory and loses nothing, and gaps and reorganisations are no special case (`walk`, `trail`). One follower for all
//! readers of a chain learns what the newest block is (`follower`). Everything else is pushed into bounded buffers
//! (`feed`).

mod feed;
mod follower;
mod header;
mod heads;
mod logs;
mod mailbox;
mod members;
mod pace;
mod patience;
mod pending;
mod topic;
mod trail;
mod upstream;
mod walk;
mod window;

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use tokio::sync::watch;
use tokio::time::Instant;

use self::feed::{Feed, Plan};
use self::follower::Follower;
use self::heads::Heads;
use self::logs::Logs;
use self::mailbox::Mailbox;
use self::topic::What;
use self::trail::Trail;
use super::Chain;
use super::logs::LogFilter;
use crate::engine::deadline::Call;
use crate::engine::error::{Error, Kind, Phase, Result};
use crate::engine::lock::lock;
use crate::engine::metrics::{Gauge, Portion};

pub use topic::Topic;

/// How many requests of one reader are under way.
const CONCURRENCY: usize = 8;

/// What the readers of one chain share.
pub(super) struct Live {
    shared: Mutex<Shared>,
    /// What went wrong last, if nothing has gone well since: for those who could not begin.
    trouble: Mutex<Option<Error>>,
    closed: watch::Sender<bool>,
}

#[derive(Default)]
struct Shared {
    follower: Weak<Follower>,
    feeds: HashMap<Plan, Weak<Feed>>,
}

/// One reader. What it was not given yet is not lost when nobody waits for it.
pub struct Subscription {
    chain: Arc<Chain>,
    topic: Topic,
    /// Held by who waits for the next item.
    reader: tokio::sync::Mutex<Option<Open>>,
    /// What was read and not given out.
    ready: Mutex<VecDeque<Bytes>>,
    mailbox: Arc<Mailbox>,
    closed: watch::Sender<bool>,
}

/// A reader who has begun, or is about to: whoever gives up a wait for that leaves it here.
struct Open {
    reader: Reader,
    has_begun: bool,
    counted: Portion,
}

enum Reader {
    /// Who is to walk along the chain and waits to hear where it ends.
    New(Start),
    Heads(Heads),
    Logs(Logs),
    Fed(Fed),
}

/// From when on a reader reads: heads, or the logs that pass the filter.
struct Start {
    follower: Arc<Follower>,
    since: Instant,
    filter: Option<LogFilter>,
}

/// A reader of what is pushed.
struct Fed {
    mailbox: Arc<Mailbox>,
    _feed: Arc<Feed>,
}

/// An item, a JSON text. If it is dropped before it was taken, it is the next one again.
pub struct Told {
    subscription: Arc<Subscription>,
    item: Option<Bytes>,
}

impl Live {
    pub(super) fn new() -> Self {
        Self { shared: Mutex::default(), trouble: Mutex::default(), closed: watch::Sender::new(false) }
    }

    /// End all that goes on; who reads is told.
    pub(super) fn close(&self) {
        self.closed.send_replace(true);
        let Shared { follower, feeds } = std::mem::take(&mut *lock(&self.shared));
        if let Some(follower) = follower.upgrade() {
            follower.end();
        }
        feeds.values().filter_map(Weak::upgrade).for_each(|feed| feed.end());
    }

    /// How it goes.
    fn note(&self, trouble: Option<&Error>) {
        *lock(&self.trouble) = trouble.cloned();
    }

    /// Who follows the chain; he begins now, if nobody does.
    fn follower(&self, chain: &Arc<Chain>) -> Arc<Follower> {
        let mut shared = lock(&self.shared);
        shared.follower.upgrade().unwrap_or_else(|| {
            let follower = Arc::new(Follower::new(Arc::clone(chain)));
            shared.follower = Arc::downgrade(&follower);
            follower
        })
    }

    /// Where what `plan` says comes from, likewise.
    fn feed(&self, chain: &Arc<Chain>, plan: Plan) -> Result<Arc<Feed>> {
        let mut shared = lock(&self.shared);
        let feed = shared.feeds.get(&plan).and_then(Weak::upgrade);
        if let Some(feed) = feed.filter(|feed| !feed.has_failed()) {
            return Ok(feed);
        }
        let feed = Arc::new(Feed::new(Arc::clone(chain), &plan)?);
        shared.feeds.retain(|_, feed| feed.strong_count() > 0);
        shared.feeds.insert(plan, Arc::downgrade(&feed));
        Ok(feed)
    }
}

impl Subscription {
    /// A reader of `topic`, who begins when he is asked to, or for the first item. A runtime must be there.
    #[must_use]
    pub fn new(chain: Arc<Chain>, topic: Topic) -> Self {
        let mailbox = Mailbox::new(topic.buffer(), Arc::clone(chain.router.scopes()));
        Self {
            chain,
            topic,
            reader: tokio::sync::Mutex::default(),
            ready: Mutex::default(),
            mailbox: Arc::new(mailbox),
            closed: watch::Sender::new(false),
        }
    }

    /// Begin: what happens from now on is told. The second time does nothing.
    ///
    /// # Errors
    /// `Configuration` when the chain has no such thing, and what a node says that does not want to tell it.
    pub async fn begin(&self) -> Result<()> {
        let begin = async {
            let mut reader = self.reader.lock().await;
            self.begin_at(&mut reader).await
        };
        self.unless_closed(begin).await.map(|_| ())
    }

    /// The next item; `None` when the reader was closed.
    ///
    /// # Errors
    /// `PoolClosed` when the chain was disconnected, and what nodes say of which there is no hope that it passes. Who
    /// asks for the next item after that goes on where he was.
    pub async fn next(self: &Arc<Self>) -> Result<Option<Told>> {
        let next = async {
            let mut reader = self.reader.lock().await;
            loop {
                if let Some(item) = lock(&self.ready).pop_front() {
                    return Ok(item);
                }
                self.begin_at(&mut reader).await?;
                let Some(open) = &mut *reader else { continue };
                match open.reader.read().await {
                    Ok(items) => lock(&self.ready).extend(items),
                    Err(error) => {
                        // What is pushed begins anew.
                        drop(reader.take_if(|open| matches!(open.reader, Reader::Fed(_))));
                        return Err(error);
                    }
                }
            }
        };
        let item = self.unless_closed(next).await?;
        Ok(item.map(|item| Told { subscription: Arc::clone(self), item: Some(item) }))
    }

    /// Whether the next item is here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !lock(&self.ready).is_empty() || !self.mailbox.is_empty()
    }

    /// How many items were let go because the reader was slow.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.mailbox.missed()
    }

    /// End it. Whoever waits for an item hears of the end.
    pub fn close(&self) {
        self.closed.send_replace(true);
        // Otherwise whoever holds it lets go of it now.
        if let Ok(mut reader) = self.reader.try_lock() {
            *reader = None;
        }
        lock(&self.ready).clear();
    }

    /// What `work` comes to; `None` when this reader is closed, an error when the chain is.
    async fn unless_closed<T>(&self, work: impl Future<Output = Result<T>>) -> Result<Option<T>> {
        let (mut closed, mut over) = (self.closed.subscribe(), self.chain.live.closed.subscribe());
        let result = tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => return Ok(None),
            _ = over.wait_for(|over| *over) => Err(self.disconnected()),
            result = work => result.map(Some),
        };
        if result.is_err() && *self.chain.live.closed.borrow() { Err(self.disconnected()) } else { result }
    }

    fn disconnected(&self) -> Error {
        let label = self.chain.label();
        let message = format!("the subscription has ended: '{label}' was disconnected");
        Error::new(Kind::PoolClosed, message).of_chain(Some(label))
    }

    /// See that the reader at this place has begun. What keeps it from that for good makes the place free again.
    async fn begin_at(&self, place: &mut Option<Open>) -> Result<()> {
        if place.is_none() {
            *place = Some(self.open()?);
        }
        let Some(open) = place.as_mut().filter(|open| !open.has_begun) else { return Ok(()) };
        let call = Call::new(self.chain.pool().settings().request_timeout);
        call.enter(Phase::Receive);
        let Some(begun) = call.bound(pin!(open.reader.begin())).await else {
            let trouble = lock(&self.chain.live.trouble).take();
            return Err(trouble.into_iter().fold(self.chain.timed_out(&call), Error::because));
        };
        if begun.is_err() {
            *place = None;
            return begun;
        }
        open.has_begun = true;
        open.counted.set(1);
        Ok(())
    }

    fn open(&self) -> Result<Open> {
        let start = |filter| {
            let follower = self.chain.live.follower(&self.chain);
            Reader::New(Start { follower, since: Instant::now(), filter })
        };
        let reader = match self.topic.of(self.chain.identity().family)? {
            What::Heads => start(None),
            What::Logs(filter) => start(Some(filter)),
            What::Feed(plan) => {
                let feed = self.chain.live.feed(&self.chain, plan)?;
                feed.deliver_to(&self.mailbox);
                Reader::Fed(Fed { mailbox: Arc::clone(&self.mailbox), _feed: feed })
            }
        };
        let counted = Portion::new(Arc::clone(self.chain.router.scopes()), Gauge::Subscriptions);
        Ok(Open { reader, has_begun: false, counted })
    }
}

impl Reader {
    async fn begin(&mut self) -> Result<()> {
        match self {
            Self::New(start) => {
                let trail = Trail::begin(&start.follower, start.since).await?;
                *self = match start.filter.take() {
                    None => Self::Heads(Heads::new(trail)),
                    Some(filter) => Self::Logs(Logs::new(trail, filter)),
                };
            }
            Self::Fed(fed) => fed.mailbox.opened().await?,
            Self::Heads(_) | Self::Logs(_) => {}
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<Vec<Bytes>> {
        match self {
            Self::New(_) => Ok(Vec::new()),
            Self::Heads(heads) => heads.read().await,
            Self::Logs(logs) => logs.read().await,
            Self::Fed(fed) => fed.mailbox.take().await.map(|item| vec![item]),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.close();
    }
}

impl Told {
    /// The item.
    #[must_use]
    pub fn take(mut self) -> Option<Bytes> {
        self.item.take()
    }
}

impl AsRef<[u8]> for Told {
    fn as_ref(&self) -> &[u8] {
        self.item.as_deref().unwrap_or_default()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(item) = self.item.take() {
            lock(&self.subscription.ready).push_front(item);
        }
    }
}

/// What comes of `asks`, up to the first that fails.
///
/// # Errors
/// That of the first, when nothing came before it.
async fn good<T>(asks: Vec<impl Future<Output = Result<T>>>) -> Result<Vec<T>> {
    let mut asks = stream::iter(asks).buffered(CONCURRENCY);
    let mut good = Vec::new();
    while let Some(result) = asks.next().await {
        match result {
            Ok(result) => good.push(result),
            Err(error) if good.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(good)
}

/// The end of what the runtime lets go of.
fn stopped() -> Error {
    Error::new(Kind::PoolClosed, "the subscription was cut off: the runtime has stopped")
}
