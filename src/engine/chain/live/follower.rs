//! Who follows a chain for all its readers: he learns what its newest block is, and keeps the newest headers.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::header::{Header, Point};
use super::pace::Pace;
use super::upstream::Upstream;
use super::window::Window;
use super::{good, stopped};
use crate::engine::blocks::Blocks;
use crate::engine::chain::Chain;
use crate::engine::chain::driven::Driven;
use crate::engine::deadline::Timeout;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::jsonrpc::Request;
use crate::engine::lock::lock;
use crate::engine::metrics::Event;
use crate::engine::transport::Notice;

/// Where nodes refuse to tell of heads they are asked again after so long.
const REFUSED: Duration = Duration::from_mins(1);
/// Who does not tell of so many heads, asked for one after the other, is deaf. One may be on its way.
const TOO_MANY: u32 = 2;

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
    /// Whether a node tells of new heads by itself.
    is_listening: watch::Sender<bool>,
    /// How many heads in a row were asked for that should have been told.
    unheard: AtomicU32,
    /// They are too many.
    is_deaf: Notify,
}

/// What readers wait for.
#[derive(Debug, Clone, Default)]
pub(super) struct News {
    /// The newest block.
    pub tip: Option<Point>,
    /// When a node was asked, or told by itself, what that is.
    pub at: Option<Instant>,
    /// Why it may not be, if it could not be asked for the last time.
    pub failure: Option<Error>,
    /// How often it could not be asked.
    pub failures: u64,
}

impl Follower {
    /// Begin. A runtime must be there.
    pub(super) fn new(chain: Arc<Chain>) -> Self {
        let seen = Arc::new(Seen {
            chain,
            window: Mutex::default(),
            pace: Mutex::new(Pace::new()),
            news: watch::Sender::default(),
            is_listening: watch::Sender::default(),
            unheard: AtomicU32::new(0),
            is_deaf: Notify::new(),
        });
        let (follow, lost) = (Arc::clone(&seen), Arc::clone(&seen));
        let work = Driven::new(async move { follow.follow().await }, move || lost.failed(stopped()));
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

    /// Ask now what the newest block is.
    pub(super) async fn look(&self) -> Result<()> {
        let looked = self.seen.look().await;
        looked.map(|_| ()).inspect_err(|error| self.seen.failed(error.clone()))
    }

    /// The headers of these blocks, or the first of them: those that are here, and others as nodes give them; `None` for
    /// a block that the node which was asked does not have.
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
        let headers = good(asked).await?;
        let mut window = lock(&self.seen.window);
        headers.iter().rev().flatten().for_each(|header| window.fetched(header));
        Ok(headers)
    }
}

impl Seen {
    async fn follow(&self) {
        if self.chain.router.has_socket() {
            tokio::join!(self.listen(), self.poll());
        } else {
            self.poll().await;
        }
    }

    /// Hears of new heads from one node after the other.
    async fn listen(&self) {
        let heads = Request::bare("eth_subscribe").with_params(r#"["newHeads"]"#);
        let mut upstream = Upstream::new(Arc::clone(&self.chain), heads, "eth_unsubscribe".to_owned());
        loop {
            // They are asked for as long as nobody tells of them.
            let Ok(mut line) = upstream.open().await else {
                sleep(REFUSED).await;
                continue;
            };
            self.unheard.store(0, Ordering::Relaxed);
            self.is_listening.send_replace(true);
            loop {
                let told = tokio::select! {
                    told = line.next() => told,
                    () = self.is_deaf.notified() => {
                        // It may have been the one before.
                        if self.unheard.load(Ordering::Relaxed) < TOO_MANY {
                            continue;
                        }
                        None
                    }
                };
                match told {
                    Some(Notice::Item(head)) => match self.heard(&head, Instant::now()) {
                        Ok(number) => self.chain.router.has_block(line.place, number),
                        Err(_) => break,
                    },
                    // The next one leads over the gap.
                    Some(Notice::Missed(_)) => {}
                    None => break,
                }
                self.unheard.store(0, Ordering::Relaxed);
                upstream.brought();
            }
            self.is_listening.send_replace(false);
        }
    }

    /// Asks again and again what the newest block is: often, or where somebody tells of it, to see whether he still does.
    async fn poll(&self) {
        let mut listening = self.is_listening.subscribe();
        loop {
            let looked = Instant::now();
            match self.look().await {
                Ok(true) if *listening.borrow() => {
                    if self.unheard.fetch_add(1, Ordering::Relaxed) + 1 >= TOO_MANY {
                        self.is_deaf.notify_one();
                    }
                }
                Ok(_) => {}
                Err(error) => self.failed(error),
            }
            loop {
                let is_listening = *listening.borrow_and_update();
                let Some(due) = self.due(looked, is_listening) else { break };
                tokio::select! {
                    () = sleep_until(due) => {}
                    // There may be a gap.
                    _ = listening.changed() => break,
                }
            }
        }
    }

    /// Until when nobody has to look again who has `looked`, if that is not over.
    fn due(&self, looked: Instant, is_listening: bool) -> Option<Instant> {
        let (pace, now) = (lock(&self.pace), Instant::now());
        let due = if is_listening && self.unheard.load(Ordering::Relaxed) == 0 {
            pace.last().map_or(looked, |last| last.max(looked)) + pace.quiet()
        } else {
            looked + pace.interval(looked)
        };
        (due > now).then_some(due)
    }

    async fn look(&self) -> Result<bool> {
        let newest = Request::bare("eth_getBlockByNumber").with_params(r#"["latest",false]"#);
        let began = Instant::now();
        let answer = self.chain.request(&newest, Timeout::Default).await?;
        let before = self.news.borrow().tip.clone();
        self.heard(&answer, began)?;
        Ok(self.news.borrow().tip != before)
    }

    /// A node has told of what has been its newest block at some time since `at`: its number.
    fn heard(&self, text: &[u8], at: Instant) -> Result<u64> {
        let header =
            Header::read(text)?.ok_or_else(|| Error::new(Kind::NodeBehind, "the node has no block"))?;
        let (number, tip) = (header.point.number, header.point.clone());
        let is_news = lock(&self.window).heard(header);
        if is_news {
            lock(&self.pace).saw(number, Instant::now());
        }
        self.chain.live.note(None);
        self.news.send_if_modified(|news| {
            let recovered = news.failure.take().is_some();
            news.at = news.at.max(Some(at));
            if is_news {
                news.tip = Some(tip);
            }
            is_news || recovered
        });
        Ok(number)
    }

    fn failed(&self, error: Error) {
        self.chain.live.note(Some(&error));
        self.news.send_modify(|news| {
            news.failure = Some(error);
            news.failures += 1;
        });
    }

    async fn ask(&self, number: u64) -> Result<Option<Header>> {
        let request = Request::new("eth_getBlockByNumber", format!(r#"["{number:#x}",false]"#))?;
        let answer = self.chain.request(&request.over(Blocks::one(number)), Timeout::Default).await;
        let header = match answer {
            Ok(answer) => Header::read(&answer)?,
            Err(error) if error.kind() == Kind::NodeBehind => None,
            Err(error) => return Err(error),
        };
        let Some(header) = header else { return Ok(None) };
        if header.point.number != number {
            let message = format!("asked for block {number}, the node gave block {}", header.point.number);
            return Err(Error::new(Kind::Protocol, message).of_chain(Some(self.chain.label())));
        }
        self.chain.scopes().count(Event::GapFilled);
        Ok(Some(header))
    }
}
