//! Automatic batching: reads that are made within a short time at one endpoint go there in one HTTP request.
//!
//! A bundle goes in a task of its own, which ends with the last who waits for it. Each call in it keeps its own deadline
//! and its own remedies: to whoever made it, it is a call as any other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::ask::{Results, is_too_much, together};
use super::reach::Reach;
use crate::engine::classify::only_reads;
use crate::engine::config;
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::{Error, Kind, Phase, Result};
use crate::engine::jsonrpc::Request;
use crate::engine::pool::Pool;

/// How calls are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// How long the first of them waits for others.
    pub window: Duration,
    /// How many go together at most.
    pub size: usize,
}

/// So long nobody should wait for others.
const LONGEST: f64 = 1.0;

impl Batching {
    /// What the user gave, in seconds and calls; without a window nothing is put together.
    ///
    /// # Errors
    /// `Configuration` when one of them is out of its range.
    pub fn new(window: Option<f64>, size: i64) -> Result<Option<Self>> {
        let size = config::count("batch_size", size, 2)?;
        let Some(window) = window else { return Ok(None) };
        if !(0.0..=LONGEST).contains(&window) {
            return Err(Error::argument("batch_window", "must be seconds, from 0 to 1"));
        }
        Ok(Some(Self { window: Duration::from_secs_f64(window), size }))
    }
}

/// The calls of one endpoint that wait for others.
#[derive(Clone)]
pub(super) struct Bundler(Arc<Inner>);

struct Inner {
    pool: Pool,
    batching: Batching,
    takes: Arc<Reach>,
    open: Mutex<Open>,
}

/// A bundle to which calls are added.
#[derive(Default)]
struct Open {
    number: u64,
    /// What all of its calls are in the middle of.
    stage: Option<Arc<Call>>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    request: Request,
    timeout: Timeout,
    until: Option<Instant>,
    answer: oneshot::Sender<Result<Bytes>>,
}

impl Bundler {
    pub(super) fn new(pool: Pool, batching: Batching, takes: Arc<Reach>) -> Self {
        Self(Arc::new(Inner { pool, batching, takes, open: Mutex::default() }))
    }

    /// Whether a call may go with others. Searches of known blocks go alone: what is said to a bundle about its size
    /// would be taken for a word about the blocks.
    pub(super) fn takes(request: &Request) -> bool {
        only_reads(request.method()) && request.blocks().is_none()
    }

    /// Make a call together with others.
    pub(super) async fn ask(&self, request: &Request, timeout: Timeout, call: &Call) -> Result<Bytes> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { request: request.clone(), timeout, until: call.deadline(), answer };
        call.follow(self.put(waiting));
        answered.await.unwrap_or_else(|_| Err(cut_off()))
    }

    /// The stages of the bundle that it goes in.
    fn put(&self, waiting: Waiting) -> Arc<Call> {
        let mut open = self.0.lock();
        let stage = Arc::clone(open.stage.get_or_insert_with(|| {
            let stage = Call::new(None);
            // It waits because we want it to, as for a limit.
            stage.enter(Phase::Limit);
            Arc::new(stage)
        }));
        open.waiting.push(waiting);
        if open.waiting.len() >= self.0.size() {
            let bundle = open.close();
            drop(open);
            tokio::spawn(Arc::clone(&self.0).send_while_wanted(bundle));
        } else if open.waiting.len() == 1 {
            tokio::spawn(Arc::clone(&self.0).send_after_window(open.number));
        }
        stage
    }
}

impl Open {
    /// This one goes; the next begins.
    fn close(&mut self) -> Self {
        let next = Self { number: self.number + 1, ..Self::default() };
        std::mem::replace(self, next)
    }

    /// How long it may take: as long as anybody waits, and for a connection as long as each would by itself.
    fn bounds(&self) -> (Timeout, Option<Instant>) {
        let is_default = self.waiting.iter().all(|waiting| waiting.timeout == Timeout::Default);
        let timeout = if is_default { Timeout::Default } else { Timeout::Of(None) };
        let until: Option<Vec<_>> = self.waiting.iter().map(|waiting| waiting.until).collect();
        (timeout, until.and_then(|until| until.into_iter().max()))
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn size(&self) -> usize {
        let told = self.takes.most(Instant::now()).and_then(|most| usize::try_from(most).ok());
        told.map_or(self.batching.size, |most| most.min(self.batching.size))
    }

    async fn send_after_window(self: Arc<Self>, number: u64) {
        sleep(self.batching.window).await;
        let bundle = {
            let mut open = self.lock();
            // It may have gone already, because it was full.
            if open.number != number {
                return;
            }
            open.close()
        };
        self.send_while_wanted(bundle).await;
    }

    async fn send_while_wanted(self: Arc<Self>, mut bundle: Open) {
        bundle.waiting.retain(|waiting| !waiting.answer.is_closed());
        let Some(stage) = bundle.stage.take().filter(|_| !bundle.waiting.is_empty()) else { return };
        let (timeout, until) = bundle.bounds();
        let now = Instant::now();
        let call = Arc::new(Call::starting(now, until.map(|until| until.saturating_duration_since(now))));
        stage.follow(Arc::clone(&call));
        let (requests, mut answers): (Vec<_>, Vec<_>) =
            bundle.waiting.into_iter().map(|waiting| (waiting.request, waiting.answer)).unzip();
        let results = tokio::select! {
            biased;
            _ = join_all(answers.iter_mut().map(oneshot::Sender::closed)) => return,
            results = self.results(&requests, timeout, &call) => results,
        };
        for (answer, result) in answers.into_iter().zip(results) {
            // Whoever has gone needs none.
            drop(answer.send(result));
        }
    }

    /// The results of one request, or of more with fewer calls each where one would be too much.
    fn results<'a>(&'a self, requests: &'a [Request], timeout: Timeout, call: &'a Call) -> Results<'a> {
        Box::pin(async move {
            if let [only] = requests {
                return vec![self.pool.attempt(only, timeout, call, None).await];
            }
            let most = self.size().min(self.pool.fits(requests)).max(1);
            if most < requests.len() {
                return self.one_after_the_other(requests.split_at(most), timeout, call).await;
            }
            match together(&self.pool, requests, timeout, call).await {
                Ok(results) => results,
                Err(error) if is_too_much(&error) => {
                    if error.kind() != Kind::Protocol {
                        self.takes.believe(requests.len() as u64 / 2, Instant::now());
                    }
                    self.one_after_the_other(requests.split_at(requests.len() / 2), timeout, call).await
                }
                Err(error) => shared(error, requests.len()),
            }
        })
    }

    /// The first shows how many are taken.
    async fn one_after_the_other(
        &self,
        (some, others): (&[Request], &[Request]),
        timeout: Timeout,
        call: &Call,
    ) -> Vec<Result<Bytes>> {
        let mut results = self.results(some, timeout, call).await;
        results.extend(self.results(others, timeout, call).await);
        results
    }
}

/// One failure, for each of so many calls; it counts once, with whoever is still there.
fn shared(error: Error, count: usize) -> Vec<Result<Bytes>> {
    vec![Err(error.with(|facts| facts.counted = Some(Arc::default()))); count]
}

/// The runtime has stopped.
fn cut_off() -> Error {
    Error::new(Kind::PoolClosed, "the call was cut off: the runtime has stopped")
}
