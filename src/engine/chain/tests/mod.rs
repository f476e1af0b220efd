//! Chains whose nodes answer from a script, on a clock that stands still while anybody has something to do: what they
//! do is the same in every run, to the millisecond.

mod batches;
mod bundles;
mod cached;
mod connecting;
mod deadlines;
mod doubts;
mod hangs;
mod leases;
mod live;
mod remedies;
mod searches;
mod sockets;
mod storms;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Batching, Chain, ChainConfig, EndpointConfig, Many, Policy, connect};
use crate::engine::classify::Class;
use crate::engine::deadline::{Call, Timeout};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::jsonrpc::Request;
use crate::engine::limiter::RateLimiter;
use crate::engine::log::Log;
use crate::engine::metrics::{Event, Scopes};
use crate::engine::plans::Quota;
use crate::engine::pool::{Gate, Parts, Pool, Settings};
use crate::engine::target::{Target, TargetOptions};
use crate::engine::transport::{
    AddressPolicy, BoxFuture, Dialer, Reply, Route, Script, SendError, TlsOptions,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// What a node makes of a call.
#[derive(Debug, Clone)]
enum Say {
    Result(Value),
    Error(i64, &'static str),
    Status(u16),
    /// 429, and when to come back, in seconds.
    SlowDown(u64),
    Garbage,
    /// More than is read.
    TooLong,
    /// The connection ends without an answer.
    Gone,
    /// There is never an answer.
    Nothing,
    /// The same, but later.
    After(Duration, Box<Say>),
}

type Says = dyn Fn(&str, &Value) -> Say + Send;

/// A node: how it answers, and what it was asked.
struct Node {
    say: Mutex<Box<Says>>,
    seen: Mutex<Vec<String>>,
    /// Who it says it is.
    network: Mutex<&'static str>,
    /// The most calls that it takes at a time, what it says to more, and how many came together.
    most: AtomicUsize,
    refusal: Mutex<Say>,
    batches: Mutex<Vec<usize>>,
    /// It makes the calls of a batch and then finds that its response is too large.
    is_stingy: AtomicBool,
    /// What it says to everything, it says to who asks who it is, too.
    is_strange: AtomicBool,
    /// How fast it may be asked.
    limit: Mutex<Option<RateLimiter>>,
}

impl Node {
    /// A node that tells its network and its first block, and says this to everything else.
    fn that(say: impl Fn(&str, &Value) -> Say + Send + 'static) -> Arc<Self> {
        Arc::new(Self {
            say: Mutex::new(Box::new(say)),
            seen: Mutex::default(),
            network: Mutex::new("0x1"),
            most: AtomicUsize::new(usize::MAX),
            refusal: Mutex::new(Say::Error(-32_014, "batch too large")),
            batches: Mutex::default(),
            is_stingy: AtomicBool::new(false),
            is_strange: AtomicBool::new(false),
            limit: Mutex::default(),
        })
    }

    /// A node that answers every call with its first parameter.
    fn echo() -> Arc<Self> {
        Self::that(|_, params| Say::Result(params[0].clone()))
    }

    /// How many calls came together, batch by batch.
    fn batches(&self) -> Vec<usize> {
        self.batches.lock().unwrap().clone()
    }

    /// From now on it says something else.
    fn on(&self, say: impl Fn(&str, &Value) -> Say + Send + 'static) {
        *self.say.lock().unwrap() = Box::new(say);
    }

    /// How often it was asked for a method.
    fn asked(&self, method: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| *seen == method).count()
    }

    /// What it says to a body: to each call of a batch, unless it is more than it takes.
    async fn answer(&self, body: &[u8]) -> std::result::Result<Reply, SendError> {
        let calls = match serde_json::from_slice(body).unwrap() {
            Value::Array(calls) => calls,
            call => {
                let (id, say) = self.hear(call);
                return say.answer(id).await;
            }
        };
        self.batches.lock().unwrap().push(calls.len());
        if calls.len() > self.most.load(Ordering::Relaxed) {
            let refusal = self.refusal.lock().unwrap().clone();
            return refusal.answer(Value::Null).await;
        }
        let mut answers = Vec::new();
        for (id, say) in calls.into_iter().map(|call| self.hear(call)) {
            let reply = say.answer(id).await?;
            if reply.status != 200 || reply.body.first() != Some(&b'{') {
                return Ok(reply);
            }
            answers.push(String::from_utf8(reply.body.to_vec()).unwrap());
        }
        if self.is_stingy.load(Ordering::Relaxed) {
            return Say::Error(-32_011, "The batch response was too large").answer(Value::Null).await;
        }
        Ok(Reply { status: 200, headers: HeaderMap::new(), body: format!("[{}]", answers.join(",")).into() })
    }

    fn hear(&self, mut call: Value) -> (Value, Say) {
        let method = call["method"].as_str().unwrap();
        self.seen.lock().unwrap().push(method.to_owned());
        let say = match method {
            method if self.is_strange.load(Ordering::Relaxed) => {
                (self.say.lock().unwrap())(method, &call["params"])
            }
            "eth_chainId" => Say::Result(json!(*self.network.lock().unwrap())),
            "eth_getBlockByNumber" if call["params"][0] == "0x0" => Say::Result(json!({"hash": "0xfirst"})),
            method => (self.say.lock().unwrap())(method, &call["params"]),
        };
        (call["id"].take(), say)
    }

    fn pool(self: &Arc<Self>, gate: &Arc<Gate>, scopes: &Arc<Scopes>) -> Pool {
        let node = Arc::clone(self);
        let answer = move |body: Bytes| {
            let node = Arc::clone(&node);
            let answer: BoxFuture<'static, _> = Box::pin(async move { node.answer(&body).await });
            answer
        };
        let script = Script { answer: Arc::new(answer), streams: 1 };
        Pool::new(Parts {
            label: Some("eth".into()),
            dialer: Dialer::scripted(route(), script).unwrap(),
            gate: Arc::clone(gate),
            scopes: Scopes::under(Arc::default(), Arc::clone(scopes)),
            log: Log::silent(),
            quota: self.limit.lock().unwrap().clone().map(|limiter| Quota::new(limiter, None)),
            collector: None,
            settings: Settings::default(),
        })
        .unwrap()
    }
}

impl Say {
    async fn answer(self, id: Value) -> std::result::Result<Reply, SendError> {
        let mut say = self;
        while let Self::After(time, then) = say {
            sleep(time).await;
            say = *then;
        }
        let mut reply = Reply { status: 200, headers: HeaderMap::new(), body: Bytes::new() };
        let body = match say {
            Self::Result(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string(),
            Self::Error(code, message) => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}).to_string()
            }
            Self::Status(status) => {
                reply.status = status;
                String::new()
            }
            Self::SlowDown(seconds) => {
                reply.status = 429;
                reply.headers.insert("retry-after", seconds.into());
                String::new()
            }
            Self::Garbage => "<html>".to_owned(),
            Self::TooLong => return Err(SendError::Failed(too_long())),
            Self::Gone => {
                return Err(SendError::Unanswered(Error::new(Kind::ConnectionClosed, "it is gone")));
            }
            Self::Nothing | Self::After(..) => std::future::pending().await,
        };
        reply.body = body.into();
        Ok(reply)
    }
}

/// As the transports say it.
fn too_long() -> Error {
    let message = "the answer is larger than max_response_bytes";
    Error::new(Kind::Protocol, message).with(|facts| facts.class = Some(Class::RangeTooLarge))
}

fn route() -> Route {
    Route {
        target: Target::new("http://127.0.0.1/", None, &TargetOptions::default()).unwrap(),
        proxy: None,
        trust_env: false,
        tls: TlsOptions::default(),
        addresses: AddressPolicy::Any,
        max_response_bytes: 1 << 20,
        error_rules: Vec::new(),
    }
}

/// A chain of these nodes, with a cache of so many bytes or none.
async fn chain(nodes: &[Arc<Node>], cache: Option<u64>) -> Chain {
    connected(nodes, cache, None).await
}

/// The same with calls that are put together.
async fn connected(nodes: &[Arc<Node>], cache: Option<u64>, batching: Option<Batching>) -> Chain {
    connecting(nodes, &Gate::new(256), cache, batching).await.unwrap()
}

/// The same with connections that `gate` lets through, or why there is no such chain.
async fn connecting(
    nodes: &[Arc<Node>],
    gate: &Arc<Gate>,
    cache: Option<u64>,
    batching: Option<Batching>,
) -> Result<Chain> {
    let scopes = Arc::new(Scopes::within(Arc::default(), Arc::default()));
    let endpoint = || EndpointConfig { route: route(), rate_limit: None, weight: 1.0, batching };
    let config = ChainConfig {
        endpoints: nodes.iter().map(|_| endpoint()).collect(),
        network_id: None,
        policy: Policy::default(),
        cache,
    };
    let pools = nodes.iter().map(|node| node.pool(gate, &scopes)).collect();
    let parts = connect::Parts { label: "eth".into(), pools, config, scopes, log: Log::silent() };
    Chain::connect(parts, Arc::new(Call::new(None))).await
}

async fn ask(chain: &Chain, method: &str, params: &Value) -> Result<Value> {
    ask_within(chain, method, params, 10 * SECOND).await
}

async fn ask_within(chain: &Chain, method: &str, params: &Value, time: Duration) -> Result<Value> {
    let request = Request::new(method, params.to_string()).unwrap();
    let result = chain.request(&request, Timeout::Of(Some(time))).await?;
    Ok(serde_json::from_slice(&result).unwrap())
}

/// Many calls at once, and what comes of each.
async fn ask_many(
    chain: &Chain,
    calls: &[(&str, Value)],
    concurrency: usize,
    timeout: Timeout,
) -> Vec<Result<Bytes>> {
    let requests = calls.iter().map(|(method, params)| Request::new(method, params.to_string()).unwrap());
    let requests = requests.collect();
    let many = Many { requests, concurrency: Some(concurrency), timeout, fail_fast: false };
    many.run(chain).await.unwrap()
}

fn kind<T>(result: Result<T>) -> Option<Kind> {
    result.err().map(|error| error.kind())
}

fn counted(chain: &Chain, event: Event) -> u64 {
    chain.scopes().own().counted(event)
}
