//! A walk with somebody to ask: what the follower keeps, and through him the nodes.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::follower::{Follower, News};
use super::header::Point;
use super::patience::{Patience, passes};
use super::walk::{DEPTH, Found, Passed, Walk};
use crate::engine::chain::Chain;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::log::{Area, Level};

/// A reader's way along a chain.
pub(super) struct Trail {
    follower: Arc<Follower>,
    news: watch::Receiver<News>,
    pub walk: Walk,
    /// It is restored when the reader gets something: nodes that do not agree, or lack what they tell of, are not asked
    /// without a pause.
    pub patience: Patience,
    /// How many failures there were when the reader was told of the last one.
    told: u64,
}

impl Trail {
    /// A way that begins after what has been the newest block at some time `since` then.
    ///
    /// # Errors
    /// What keeps the nodes from telling it.
    pub(super) async fn begin(follower: &Arc<Follower>, since: Instant) -> Result<Self> {
        let (news, mut patience) = (follower.news(), Patience::default());
        loop {
            let tip =
                Some(news.borrow()).filter(|news| news.at >= Some(since)).and_then(|news| news.tip.clone());
            if let Some(tip) = tip {
                return Ok(Self {
                    follower: Arc::clone(follower),
                    news,
                    walk: Walk::after(tip),
                    patience,
                    told: 0,
                });
            }
            // What the follower saw last was before that.
            if let Err(error) = follower.look().await {
                patience.bear(error).await?;
            }
        }
    }

    pub(super) fn chain(&self) -> &Arc<Chain> {
        self.follower.chain()
    }

    /// The newest block that is known.
    pub(super) fn tip(&self) -> Option<Point> {
        self.news.borrow().tip.clone()
    }

    /// Look for what comes next, or wait for it: what was given of blocks that are not part of the chain any more.
    ///
    /// # Errors
    /// What keeps the nodes from telling it, if there is no hope that it passes.
    pub(super) async fn go_on(&mut self) -> Result<Vec<Passed>> {
        let News { tip, failure, failures, .. } = self.news.borrow_and_update().clone();
        let Some(blocks) = tip.and_then(|tip| self.walk.look(&tip)) else {
            // Each is told once, or who asks again would be told without a pause; but for the end, behind which nothing
            // comes.
            let is_told = self.told == failures;
            let is_due = |error: &Error| !passes(error) && (!is_told || error.kind() == Kind::PoolClosed);
            if let Some(error) = failure.filter(is_due) {
                self.told = failures;
                return Err(error);
            }
            let _ = self.news.changed().await;
            return Ok(Vec::new());
        };
        let headers = match self.follower.headers(blocks).await {
            Ok(headers) => headers,
            Err(error) => {
                self.patience.bear(error).await?;
                return Ok(Vec::new());
            }
        };
        match self.walk.found(headers) {
            Found::More => {}
            Found::Nothing => self.patience.pause().await,
            Found::Parted { dropped, is_deeper } => {
                if is_deeper {
                    self.tell_deeper();
                }
                return Ok(dropped);
            }
        }
        Ok(Vec::new())
    }

    fn tell_deeper(&self) {
        let chain = self.chain();
        chain.router.log().write(Level::Warning, Area::Manager, || {
            format!("'{}': a reorganisation goes deeper than the {DEPTH} blocks, or fewer with many logs, that are remembered: what was given of older ones is not taken back, and older ones of the new branch are not given", chain.label())
        });
    }
}
