//! One subscription at a node for all readers of the same thing, who have a mailbox each.
//!
//! When its endpoint ends, another is subscribed to. What would have come meanwhile cannot be asked for.

use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;

use super::mailbox::Mailbox;
use super::pending;
use super::stopped;
use super::upstream::Upstream;
use crate::engine::chain::Chain;
use crate::engine::chain::driven::Driven;
use crate::engine::error::{Error, Result};
use crate::engine::jsonrpc::Request;
use crate::engine::lock::lock;
use crate::engine::log::{Area, Level};
use crate::engine::transport::Notice;

/// What is subscribed to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Plan {
    pub method: String,
    /// A JSON list or object.
    pub params: Vec<u8>,
    pub unsubscribe: String,
}

/// Where items come from. It ends when nobody reads it any more.
pub(super) struct Feed {
    readers: Arc<Readers>,
    work: Driven,
}

/// Who reads it.
pub(super) struct Readers {
    pub chain: Arc<Chain>,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    mailboxes: Vec<Weak<Mailbox>>,
    is_open: bool,
    failure: Option<Error>,
}

impl Feed {
    /// Begin. A runtime must be there.
    ///
    /// # Errors
    /// `Configuration` when no endpoint of the chain has such a thing.
    pub(super) fn new(chain: Arc<Chain>, plan: &Plan) -> Result<Self> {
        let subscribe = Request::new(&plan.method, &plan.params)?;
        let has_socket = chain.router.has_socket();
        if !has_socket && !plan.is_of_pending_transactions() {
            return Err(needs_socket(&subscribe));
        }
        let readers = Arc::new(Readers { chain, told: Mutex::default() });
        let (feeding, lost) = (Arc::clone(&readers), Arc::clone(&readers));
        let unsubscribe = plan.unsubscribe.clone();
        let feed = async move {
            let end = if has_socket {
                feeding.listen(subscribe, unsubscribe).await
            } else {
                pending::feed(&feeding).await
            };
            feeding.fail(&end);
        };
        let work = Driven::new(feed, move || lost.fail(&stopped()));
        Ok(Self { readers, work })
    }

    /// Whether there will be no items any more.
    pub(super) fn has_failed(&self) -> bool {
        lock(&self.readers.told).failure.is_some()
    }

    pub(super) fn end(&self) {
        self.work.end();
    }

    /// From now on `mailbox` gets what comes.
    pub(super) fn deliver_to(&self, mailbox: &Arc<Mailbox>) {
        let mut told = lock(&self.readers.told);
        mailbox.renew();
        told.mailboxes.push(Arc::downgrade(mailbox));
        if told.is_open {
            mailbox.open();
        }
        if let Some(error) = &told.failure {
            mailbox.fail(error.clone());
        }
    }
}

impl Plan {
    fn is_of_pending_transactions(&self) -> bool {
        self.method == "eth_subscribe" && self.params == br#"["newPendingTransactions"]"#
    }
}

impl Readers {
    /// Tells what comes by subscriptions: why they cannot be made any more.
    async fn listen(&self, subscribe: Request, unsubscribe: String) -> Error {
        let mut upstream = Upstream::new(Arc::clone(&self.chain), subscribe, unsubscribe);
        loop {
            let mut line = match upstream.open().await {
                Ok(line) => line,
                Err(error) => return error,
            };
            self.open();
            while let Some(notice) = line.next().await {
                upstream.brought();
                match notice {
                    Notice::Item(item) => self.tell(&item),
                    Notice::Missed(count) => self.each(|mailbox| mailbox.miss(count)),
                }
            }
        }
    }

    /// Items may come now.
    pub(super) fn open(&self) {
        self.chain.live.note(None);
        lock(&self.told).is_open = true;
        self.each(|mailbox| {
            mailbox.open();
            false
        });
    }

    /// There will be none any more.
    pub(super) fn fail(&self, error: &Error) {
        lock(&self.told).failure = Some(error.clone());
        self.each(|mailbox| {
            mailbox.fail(error.clone());
            false
        });
    }

    /// An item for all.
    pub(super) fn tell(&self, item: &Bytes) {
        self.each(|mailbox| mailbox.put(item.clone()));
    }

    /// Does something with each mailbox; the first loss of each is logged.
    fn each(&self, act: impl Fn(&Mailbox) -> bool) {
        lock(&self.told).mailboxes.retain(|mailbox| {
            let Some(mailbox) = mailbox.upgrade() else { return false };
            if act(&mailbox) {
                self.chain.router.log().write(Level::Warning, Area::Manager, || {
                    let label = self.chain.label();
                    format!(
                        "'{label}': a subscription is read more slowly than items come: the oldest are let go"
                    )
                });
            }
            true
        });
    }
}

fn needs_socket(subscription: &Request) -> Error {
    let message = format!("{} needs an endpoint that is a socket: ws, wss or ipc", subscription.method());
    Error::argument("kind", message)
}
