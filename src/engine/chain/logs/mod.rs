//! Logs of any number of blocks: pieces that the nodes take, several under way at a time, given out in order.

mod filter;
mod plan;
mod survey;
mod width;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use serde::Deserialize;

use self::filter::Edge;
use self::plan::Plan;
use super::{Chain, Flow};
use crate::engine::blocks::Blocks;
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::{Error, Kind, Phase, Result};
use crate::engine::hex::quantity;
use crate::engine::jsonrpc::Request;

pub use filter::LogFilter;
pub(super) use survey::survey;

/// How many requests are under way unless the user says otherwise: such a request is work for a node.
const CONCURRENCY: usize = 8;

/// How a search is made.
#[derive(Debug, Clone, Copy)]
pub struct LogOptions {
    /// How many requests may be under way.
    pub concurrency: Option<usize>,
    /// How long each may take.
    pub each: Timeout,
    /// How long all of it may take, if there is a bound.
    pub together: Timeout,
}

/// A search, and its results as they come. Dropping it ends its requests.
pub struct LogStream {
    chain: Arc<Chain>,
    flow: Flow,
    filter: LogFilter,
    concurrency: usize,
    each: Timeout,
    together: Call,
    blocks: OnceLock<Option<Blocks>>,
    search: Mutex<Search>,
    /// Held by who waits for the next piece.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Search {
    /// There is none when there is nothing to search.
    plan: Option<Plan>,
    /// What was asked for, by the number of the call.
    asked: HashMap<u64, Blocks>,
}

/// Some blocks and their logs, a JSON list. If it is dropped before it was taken, it is the next one again.
pub struct LogPiece {
    stream: Arc<LogStream>,
    found: Option<(Blocks, Bytes)>,
}

/// The logs of these blocks, as one list or several.
///
/// # Errors
/// What ends a search, and `NodeBehind` when the nodes do not have all of the blocks.
pub(super) async fn logs_in(chain: &Arc<Chain>, filter: LogFilter, blocks: Blocks) -> Result<Vec<Bytes>> {
    let options = LogOptions { concurrency: None, each: Timeout::Default, together: Timeout::Of(None) };
    let stream = Arc::new(LogStream::new(Arc::clone(chain), filter.over(blocks), options));
    let (mut lists, mut last) = (Vec::new(), None);
    while let Some(piece) = stream.next().await? {
        if let Some((found, list)) = piece.take() {
            lists.push(list);
            last = Some(found.last());
        }
    }
    if last == Some(blocks.last()) {
        return Ok(lists);
    }
    let error = Error::new(Kind::NodeBehind, format!("the node does not have {blocks}"));
    Err(error.of_chain(Some(chain.label())))
}

impl LogStream {
    /// A search, which begins when the first piece is asked for. A runtime must be there.
    #[must_use]
    pub fn new(chain: Arc<Chain>, filter: LogFilter, options: LogOptions) -> Self {
        let LogOptions { concurrency, each, together } = options;
        let concurrency = concurrency.unwrap_or(CONCURRENCY);
        let together = Call::new(together.or(None));
        together.enter(Phase::Receive);
        Self {
            flow: Flow::new(Arc::clone(&chain), Some(concurrency), each),
            chain,
            filter,
            concurrency,
            each,
            together,
            blocks: OnceLock::new(),
            search: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// All blocks that are searched, once that is known.
    #[must_use]
    pub fn blocks(&self) -> Option<Blocks> {
        self.blocks.get().copied().flatten()
    }

    /// The next piece; `None` when there is none any more.
    ///
    /// # Errors
    /// Whatever a request meets that asking for less does not mend, and `Protocol` for an answer with other logs than
    /// those that were asked for.
    pub async fn next(self: &Arc<Self>) -> Result<Option<LogPiece>> {
        let _turn = self.turn.lock().await;
        let found = self.together.bound(pin!(self.found())).await;
        let found = found.unwrap_or_else(|| Err(self.chain.timed_out(&self.together)));
        let found = found.map_err(|error| error.of_chain(Some(self.chain.label())));
        let found = found.inspect_err(|_| self.close())?;
        Ok(found.map(|found| LogPiece { stream: Arc::clone(self), found: Some(found) }))
    }

    /// End every request now.
    pub fn close(&self) {
        self.flow.close();
    }

    async fn found(&self) -> Result<Option<(Blocks, Bytes)>> {
        if self.blocks.get().is_none() {
            let blocks = self.resolve().await?;
            self.search().plan = blocks.map(Plan::new);
            let _ = self.blocks.set(blocks);
        }
        loop {
            if let Some(found) = self.search().go_on(self)? {
                return Ok(Some(found));
            }
            if self.search().is_over() {
                return Ok(None);
            }
            let Some(taken) = self.flow.next().await? else { return Ok(None) };
            if let Some((number, result)) = taken.take() {
                self.search().settle(number, result)?;
            }
        }
    }

    /// What the filter's edges are now. Blocks that are not there yet are not searched.
    async fn resolve(&self) -> Result<Option<Blocks>> {
        let head = self.number_in(Request::bare("eth_blockNumber")).await?;
        let (from, to) = (self.edge(self.filter.from, head).await?, self.edge(self.filter.to, head).await?);
        Ok(Blocks::new(from, to.min(head)))
    }

    async fn edge(&self, edge: Edge, head: u64) -> Result<u64> {
        match edge {
            Edge::Number(number) => Ok(number),
            Edge::Head => Ok(head),
            Edge::Named(name) => {
                let params = format!(r#"["{name}",false]"#);
                self.number_in(Request::new("eth_getBlockByNumber", params)?).await
            }
        }
    }

    /// The number that the node tells, or that of the block that it tells of.
    async fn number_in(&self, request: Request) -> Result<u64> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Told {
            Number(String),
            Block { number: String },
        }
        let answer = self.chain.request(&request, self.each).await?;
        let told = match serde_json::from_slice(&answer) {
            Ok(Told::Number(number) | Told::Block { number }) => quantity(&number),
            Err(_) => None,
        };
        told.ok_or_else(|| {
            let message = format!("the answer to {} has no block number", request.method());
            Error::new(Kind::Protocol, message)
        })
    }

    fn search(&self) -> MutexGuard<'_, Search> {
        self.search.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Search {
    /// What can be given out now. If nothing can, there is as much under way as may be.
    fn go_on(&mut self, stream: &LogStream) -> Result<Option<(Blocks, Bytes)>> {
        let Some(plan) = &mut self.plan else { return Ok(None) };
        let inlet = stream.flow.inlet();
        while inlet.has_room() {
            let Some(blocks) = plan.next(stream.chain.reach(), stream.concurrency) else { break };
            let number = inlet.put(stream.filter.request(blocks)?);
            self.asked.insert(number, blocks);
        }
        Ok(plan.take())
    }

    fn settle(&mut self, number: u64, result: Result<Bytes>) -> Result<()> {
        let (Some(plan), Some(blocks)) = (&mut self.plan, self.asked.remove(&number)) else { return Ok(()) };
        match result {
            Ok(text) => {
                let count = survey(&text, blocks)?;
                plan.answered(blocks, text, count)
            }
            Err(error) => plan.failed(blocks, error),
        }
    }

    fn is_over(&self) -> bool {
        self.plan.as_ref().is_none_or(Plan::is_over)
    }
}

impl LogPiece {
    /// The blocks and their logs.
    #[must_use]
    pub fn take(mut self) -> Option<(Blocks, Bytes)> {
        self.found.take()
    }
}

/// The logs, as JSON text.
impl AsRef<[u8]> for LogPiece {
    fn as_ref(&self) -> &[u8] {
        self.found.as_ref().map_or(&[], |(_, text)| text)
    }
}

impl Drop for LogPiece {
    fn drop(&mut self) {
        if let (Some((blocks, text)), Some(plan)) = (self.found.take(), &mut self.stream.search().plan) {
            plan.untake(blocks, text);
        }
    }
}
