//! Who follows a chain for all its readers: he learns what its newest block is, and keeps the newest headers.

use std::sync::{Arc, Mutex};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::header::{Header, Point};
use super::lock;
use super::pace::Pace;
use super::window::Window;
use crate::engine::blocks::Blocks;
use crate::engine::chain::Chain;
use crate::engine::chain::driven::Driven;
use crate::engine::deadline::Timeout;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::jsonrpc::Request;
use crate::engine::metrics::Event;

/// How many requests of one reader are under way.
pub(super) const CONCURRENCY: usize = 8;

/// The follower of a chain. He stops when nobody reads any more.
pub(super) struct Follower {
    seen: Arc<Seen>,
    work: Driven,
}

/// What he has seen.
struct Seen {
    chain: Arc<Chain>,
    window: Mutex<Window>,
    pace: Mutex<Pace>,
    news: watch::Sender<News>,
}

/// What readers wait for.
#[derive(Debug, Clone, Default)]
pub(super) struct News {
    /// The newest block.
    pub tip: Option<Point>,
    /// Why it may not be, if it could not be asked for the last time.
    pub failure: Option<Error>,
}

impl Follower {
    /// Begin. A runtime must be there.
    pub(super) fn new(chain: Arc<Chain>) -> Self {
        let seen = Arc::new(Seen {
            chain,
            window: Mutex::default(),
            pace: Mutex::new(Pace::new()),
            news: watch::Sender::default(),
        });
        let (follow, lost) = (Arc::clone(&seen), Arc::clone(&seen));
        let work = Driven::new(async move { follow.poll().await }, move || lost.failed(stopped()));
        Self { seen, work }
    }

    pub(super) fn end(&self) {
        self.work.end();
    }

    pub(super) fn chain(&self) -> &Arc<Chain> {
        &self.seen.chain
    }

    /// Where readers hear of news.
    pub(super) fn news(&self) -> watch::Receiver<News> {
        self.seen.news.subscribe()
    }

    /// The headers of these blocks: those that are here, and others as nodes give them; `None` for a block that the node
    /// which was asked does not have.
    pub(super) async fn headers(&self, blocks: Blocks) -> Result<Vec<Option<Header>>> {
        let known: Vec<_> = {
            let window = lock(&self.seen.window);
            (blocks.first()..=blocks.last()).map(|number| (number, window.at(number).cloned())).collect()
        };
        let ask = |(number, known)| async move {
            match known {
                Some(header) => Ok(Some(header)),
                None => self.seen.ask(number).await,
            }
        };
        let asked: Vec<_> = known.into_iter().map(ask).collect();
        let headers: Vec<_> = stream::iter(asked).buffered(CONCURRENCY).try_collect().await?;
        let mut window = lock(&self.seen.window);
        headers.iter().rev().flatten().for_each(|header| window.fetched(header));
        Ok(headers)
    }
}

impl Seen {
    /// Asks again and again what the newest block is.
    async fn poll(&self) {
        loop {
            if let Err(error) = self.look().await {
                self.failed(error);
            }
            let interval = lock(&self.pace).interval(Instant::now());
            sleep(interval).await;
        }
    }

    async fn look(&self) -> Result<bool> {
        let newest = Request::bare("eth_getBlockByNumber").with_params(r#"["latest",false]"#);
        let answer = self.chain.request(&newest, Timeout::Default).await?;
        self.heard(&answer)
    }

    /// A node has told of its newest block: whether that is news.
    fn heard(&self, text: &[u8]) -> Result<bool> {
        let header =
            Header::read(text)?.ok_or_else(|| Error::new(Kind::NodeBehind, "the node has no block"))?;
        let tip = header.point.clone();
        let is_news = lock(&self.window).heard(header);
        if is_news {
            lock(&self.pace).saw(tip.number, Instant::now());
        }
        self.chain.live.note(None);
        self.news.send_if_modified(|news| {
            let recovered = news.failure.take().is_some();
            if is_news {
                news.tip = Some(tip);
            }
            is_news || recovered
        });
        Ok(is_news)
    }

    fn failed(&self, error: Error) {
        self.chain.live.note(Some(&error));
        self.news.send_modify(|news| news.failure = Some(error));
    }

    async fn ask(&self, number: u64) -> Result<Option<Header>> {
        let request = Request::new("eth_getBlockByNumber", format!(r#"["{number:#x}",false]"#))?;
        let request =
            Blocks::new(number, number).map(|blocks| request.clone().over(blocks)).unwrap_or(request);
        let header = match self.chain.request(&request, Timeout::Default).await {
            Ok(answer) => Header::read(&answer)?,
            Err(error) if error.kind() == Kind::NodeBehind => None,
            Err(error) => return Err(error),
        };
        match &header {
            Some(header) if header.point.number != number => {
                let message =
                    format!("asked for block {number}, the node gave block {}", header.point.number);
                Err(Error::new(Kind::Protocol, message).of_chain(Some(self.chain.label())))
            }
            _ => {
                self.chain.scopes().count(Event::GapFilled);
                Ok(header)
            }
        }
    }
}

fn stopped() -> Error {
    Error::new(Kind::PoolClosed, "the subscription was cut off: the runtime has stopped")
}
