//! A subscription at a node that is made anew, elsewhere if there is another, when it ends.

use std::sync::Arc;

use super::patience::Patience;
use crate::engine::chain::Chain;
use crate::engine::error::Result;
use crate::engine::jsonrpc::Request;
use crate::engine::log::{Area, Level};
use crate::engine::metrics::Event;
use crate::engine::pool::Subscription;
use crate::engine::transport::Notice;

/// What is subscribed to, and how that went.
pub(super) struct Upstream {
    chain: Arc<Chain>,
    subscribe: Request,
    unsubscribe: String,
    /// The place of the endpoint that was subscribed to last.
    last: Option<usize>,
    /// Whether that brought anything.
    has_brought: bool,
    patience: Patience,
}

/// A subscription that lasts until its endpoint ends, or it is dropped: then its node is told.
pub(super) struct Line {
    subscription: Option<Subscription>,
    unsubscribe: String,
    /// The place of its endpoint.
    pub place: usize,
}

impl Upstream {
    pub(super) fn new(chain: Arc<Chain>, subscribe: Request, unsubscribe: String) -> Self {
        let patience = Patience::default();
        Self { chain, subscribe, unsubscribe, last: None, has_brought: true, patience }
    }

    /// Subscribe. One that ended before it brought anything is not made anew at once.
    ///
    /// # Errors
    /// What keeps the nodes from it, if there is no hope that it passes.
    pub(super) async fn open(&mut self) -> Result<Line> {
        if let Some(place) = self.last {
            self.chain.router.doubt(place);
        }
        if !std::mem::take(&mut self.has_brought) {
            self.patience.pause().await;
        }
        loop {
            match self.chain.router.subscribe(&self.subscribe, self.last).await {
                Ok((place, subscription)) => {
                    if self.last.replace(place).is_some() {
                        self.chain.scopes().count(Event::Resubscribed);
                        self.tell_again(place);
                    }
                    let (subscription, unsubscribe) = (Some(subscription), self.unsubscribe.clone());
                    return Ok(Line { subscription, unsubscribe, place });
                }
                Err(error) => {
                    self.chain.live.note(Some(&error));
                    self.patience.bear(error).await?;
                }
            }
        }
    }

    /// It goes well.
    pub(super) const fn brought(&mut self) {
        self.has_brought = true;
        self.patience.restore();
    }

    fn tell_again(&self, place: usize) {
        self.chain.router.log().write(Level::Info, Area::Manager, || {
            let target = self.chain.router.endpoints()[place].pool().target();
            format!("'{}': {} again, at {target}", self.chain.label(), self.subscribe.method())
        });
    }
}

impl Line {
    /// What it brings next; `None` at its end.
    pub(super) async fn next(&mut self) -> Option<Notice> {
        let notice = self.subscription.as_mut()?.next().await;
        if notice.is_none() {
            self.subscription = None;
        }
        notice
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let Some(subscription) = self.subscription.take() else { return };
        let unsubscribe = std::mem::take(&mut self.unsubscribe);
        // Where the runtime has stopped the socket is closed, too.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { subscription.unsubscribe(&unsubscribe).await });
        }
    }
}
