//! Who waits for which answer, and who for what a subscription brings.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::notices::{Feed, Notices};
use crate::engine::error::{Error, Kind};
use crate::engine::jsonrpc::{self, Addressee};
use crate::engine::transport::SendError;

/// What comes of a request: the message that answers it, and where it subscribed, what that brings.
type Outcome = Result<(Bytes, Option<Notices>), SendError>;
/// Where that comes.
pub(super) type Answer = oneshot::Receiver<Outcome>;

/// Why a socket carries nothing any more.
#[derive(Debug, Clone)]
pub(super) struct End {
    /// What those are told who wait for an answer.
    pub error: Error,
    /// Whether it was an answer that ended it. Whose that was is known if just one was waited for.
    pub by_answer: bool,
}

impl End {
    /// The connection ended, as `message` tells.
    pub(super) fn of_connection(message: impl Into<String>) -> Self {
        Self { error: Error::new(Kind::ConnectionClosed, message), by_answer: false }
    }

    /// A message came that is no answer to anything.
    pub(super) const fn by_answer(error: Error) -> Self {
        Self { error, by_answer: true }
    }
}

#[derive(Default)]
pub(super) struct Book(Mutex<State>);

#[derive(Default)]
struct State {
    /// The requests under way, by their first id.
    requests: BTreeMap<u64, Entry>,
    /// How many were given up after they were sent, and may still be answered.
    given_up: usize,
    /// The subscriptions, by id as it stands in the notices.
    feeds: HashMap<Bytes, Arc<Feed>>,
    /// Subscriptions are to be made elsewhere.
    is_outdated: bool,
    ended: bool,
}

struct Entry {
    /// The id behind its last one.
    end: u64,
    is_sent: bool,
    subscribes: bool,
    answer: oneshot::Sender<Outcome>,
}

impl Book {
    /// Enter a request, whose calls have these ids; `None` when the socket has ended.
    pub(super) fn enter(&self, ids: Range<u64>, subscribes: bool) -> Option<Answer> {
        let (answer, receiver) = oneshot::channel();
        let mut state = self.lock();
        if state.ended {
            return None;
        }
        state.requests.insert(ids.start, Entry { end: ids.end, is_sent: false, subscribes, answer });
        Some(receiver)
    }

    /// The request is about to be sent; false if it was given up.
    pub(super) fn begin(&self, first: u64) -> bool {
        let mut state = self.lock();
        let entry = state.requests.get_mut(&first);
        entry.map(|entry| entry.is_sent = true).is_some()
    }

    /// Nobody waits for it any more. Comes back with whether it was sent, unless it is over.
    pub(super) fn forget(&self, first: u64) -> Option<bool> {
        let mut state = self.lock();
        let entry = state.requests.remove(&first)?;
        state.given_up += usize::from(entry.is_sent);
        Some(entry.is_sent)
    }

    /// Nobody takes what the subscription brings.
    pub(super) fn unfollow(&self, id: &Bytes, feed: &Arc<Feed>) {
        let mut state = self.lock();
        // Another one may have its id by now.
        if state.feeds.get(id).is_some_and(|found| Arc::ptr_eq(found, feed)) {
            state.feeds.remove(id);
        }
    }

    /// Its subscriptions are to be made anew on another socket, and so is one that is still on its way: what they have
    /// brought is taken.
    pub(super) fn end_feeds(&self) {
        let feeds = {
            let mut state = self.lock();
            state.is_outdated = true;
            std::mem::take(&mut state.feeds)
        };
        for feed in feeds.into_values() {
            feed.end();
        }
    }

    /// Hand a message to whom it is for. What nobody waits for is dropped.
    ///
    /// # Errors
    /// When it is no message at all.
    pub(super) fn deliver(self: &Arc<Self>, message: Bytes) -> Result<(), End> {
        let addressee = jsonrpc::addressee(&message).map_err(|_| garbled())?;
        let mut state = self.lock();
        let entry = match addressee {
            Addressee::Caller(id) => state.take(id),
            Addressee::Unnamed => state.take_only(),
            Addressee::Nobody => None,
            Addressee::Ended(subscription) => {
                let feed = state.feeds.remove(&subscription);
                drop(state);
                if let Some(feed) = feed {
                    feed.end();
                }
                return Ok(());
            }
            Addressee::Subscriber { subscription, item } => {
                let feed = state.feeds.get(&subscription).cloned();
                drop(state);
                if let Some(feed) = feed {
                    feed.push(&item);
                }
                return Ok(());
            }
        };
        let Some(entry) = entry else { return Ok(()) };
        // Here, before the next message is read, which may be the first that it brings.
        let id = entry.subscribes.then(|| jsonrpc::subscription_in(&message)).flatten();
        let followed = id.map(|id| (id.clone(), state.follow(id)));
        drop(state);
        let notices = followed.map(|(id, feed)| Notices::new(id, feed, Arc::clone(self)));
        // Whoever has just gone needs it no more.
        let _ = entry.answer.send(Ok((message, notices)));
        Ok(())
    }

    /// The socket has ended: everybody who waits is told. Comes back with whether an answer was still owed.
    pub(super) fn end(&self, end: &End) -> bool {
        let (requests, feeds) = {
            let mut state = self.lock();
            state.ended = true;
            (std::mem::take(&mut state.requests), std::mem::take(&mut state.feeds))
        };
        let sent = requests.values().filter(|entry| entry.is_sent).count();
        for entry in requests.into_values() {
            let error = match entry.is_sent {
                false => SendError::NotSent,
                true if end.by_answer && sent == 1 => SendError::Failed(end.error.clone()),
                true => SendError::Unanswered(end.error.clone()),
            };
            let _ = entry.answer.send(Err(error));
        }
        for feed in feeds.into_values() {
            feed.end();
        }
        sent > 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The request that one of whose calls has this id.
    fn take(&mut self, id: u64) -> Option<Entry> {
        let found =
            self.requests.range(..=id).next_back().filter(|(_, entry)| id < entry.end && entry.is_sent);
        let Some(first) = found.map(|(first, _)| *first) else {
            // The late answer to one that was given up, as a rule.
            self.given_up = self.given_up.saturating_sub(1);
            return None;
        };
        self.requests.remove(&first)
    }

    /// The only request that can be meant by an answer without an id, if there is just one.
    fn take_only(&mut self) -> Option<Entry> {
        let mut sent = self.requests.iter().filter(|(_, entry)| entry.is_sent).map(|(first, _)| *first);
        let Some(first) = sent.next() else {
            self.given_up = self.given_up.saturating_sub(1);
            return None;
        };
        let another = sent.next();
        if another.is_some() || self.given_up > 0 {
            return None;
        }
        self.requests.remove(&first)
    }

    fn follow(&mut self, id: Bytes) -> Arc<Feed> {
        let feed = Arc::<Feed>::default();
        if self.is_outdated {
            feed.end();
            return feed;
        }
        if let Some(before) = self.feeds.insert(id, Arc::clone(&feed)) {
            before.end();
        }
        feed
    }
}

fn garbled() -> End {
    End::by_answer(Error::new(Kind::Protocol, "the node sent what is no JSON-RPC message"))
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
