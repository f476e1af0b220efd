//! Leases, and calls through every stage but the socket, which a script stands for.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use genesis_replicator::engine::chain::{self, Chain, ChainConfig, EndpointConfig, Many, Policy};
use genesis_replicator::engine::deadline::{Call, Timeout};
use genesis_replicator::engine::error::Result;
use genesis_replicator::engine::jsonrpc::Request;
use genesis_replicator::engine::limiter::RateLimiter;
use genesis_replicator::engine::log::Log;
use genesis_replicator::engine::metrics::Scopes;
use genesis_replicator::engine::plans::Quota;
use genesis_replicator::engine::pool::{Connection, Gate, Parts, Pool, Settings};
use genesis_replicator::engine::target::{Target, TargetOptions};
use genesis_replicator::engine::transport::{AddressPolicy, Dialer, Reply, Route, Script, TlsOptions};
use http::HeaderMap;
use tokio::runtime::Runtime;
use tokio::task::yield_now;

use crate::messages::balance;
use crate::{Case, OFTEN, SELDOM, texts};

/// The bound of each pool.
const CONNECTIONS: usize = 64;
/// How many calls are made for one await.
const MANY: usize = 100;
/// What comes before the id in a request.
const BEFORE_ID: usize = r#"{"jsonrpc":"2.0","id":"#.len();

/// The other side.
#[derive(Clone, Copy, PartialEq)]
enum Node {
    /// Answers at once: what is left is the engine.
    Ready,
    /// Answers a turn of the runtime later, as a socket does, so that the deadline's timer is set.
    Later,
    /// Answers at once, and all requests share a connection.
    Shared,
}

pub fn cases(runtime: &Rc<Runtime>) -> Result<Vec<Case>> {
    let mut cases = vec![lease(runtime)?];
    let limit = RateLimiter::new(65_536, Duration::from_millis(1), None)?;
    for (name, node, limit) in [
        ("request", Node::Ready, None),
        ("request_limited", Node::Ready, Some(limit)),
        ("request_suspended", Node::Later, None),
        ("request_shared", Node::Shared, None),
    ] {
        let (pool, call) = (pool(node, limit)?, balance()?);
        let step = async move || assert!(pool.request(&call, Timeout::Default).await.is_ok());
        cases.push(Case::awaited(name, OFTEN, runtime, step));
    }
    cases.push(request_on_lease(runtime)?);
    for (name, cache) in [("request_of_chain", None), ("request_cached", Some(1 << 20))] {
        let (chain, call) = (chain(runtime, Node::Ready, cache)?, known()?);
        let step = async move || assert!(chain.request(&call, Timeout::Default).await.is_ok());
        cases.push(Case::awaited(name, OFTEN, runtime, step));
    }
    cases.push(request_many(runtime)?);
    Ok(cases)
}

fn lease(runtime: &Rc<Runtime>) -> Result<Case> {
    let pool = pool(Node::Ready, None)?;
    let step = async move || assert!(pool.lease(Timeout::Default).await.is_ok());
    Ok(Case::awaited("lease", OFTEN, runtime, step))
}

fn request_on_lease(runtime: &Rc<Runtime>) -> Result<Case> {
    let (pool, call) = (pool(Node::Ready, None)?, balance()?);
    let lease = runtime.block_on(pool.lease(Timeout::Default))?;
    let connection = Connection::new(&pool, lease, "calls.rs:1".into())?;
    let step = async move || assert!(connection.request(&call, Timeout::Default).await.is_ok());
    Ok(Case::awaited("request_on_lease", OFTEN, runtime, step))
}

fn request_many(runtime: &Rc<Runtime>) -> Result<Case> {
    let (chain, call) = (chain(runtime, Node::Later, None)?, balance()?);
    let step = async move || {
        let requests = vec![call.clone(); MANY];
        let many = Many { requests, concurrency: None, timeout: Timeout::Default, fail_fast: true };
        assert!(many.run(&chain).await.is_ok_and(|results| results.len() == MANY));
    };
    Ok(Case::awaited("request_many_100", SELDOM, runtime, step))
}

/// A call that a cache keeps the answer to.
fn known() -> Result<Request> {
    Request::new("eth_getBlockByHash", format!(r#"["0x{:064x}",false]"#, 7))
}

/// A chain of one endpoint.
fn chain(runtime: &Runtime, node: Node, cache: Option<u64>) -> Result<Chain> {
    let pool = pool(node, None)?;
    let endpoint = EndpointConfig { route: route(node)?, rate_limit: None, weight: 1.0, batching: None };
    let config =
        ChainConfig { endpoints: vec![endpoint], network_id: None, policy: Policy::default(), cache };
    let scopes = Arc::clone(pool.scopes());
    let parts = chain::Parts { label: "eth".into(), pools: vec![pool], config, scopes, log: Log::silent() };
    runtime.block_on(Chain::connect(parts, Arc::new(Call::new(None))))
}

/// A pool as a manager makes them, counted for its chain and for all.
fn pool(node: Node, limiter: Option<RateLimiter>) -> Result<Pool> {
    Pool::new(Parts {
        label: Some("eth".into()),
        dialer: Dialer::scripted(route(node)?, script(node))?,
        gate: Gate::new(CONNECTIONS),
        scopes: Scopes::within(Arc::default(), Arc::default()),
        log: Log::silent(),
        quota: limiter.map(|limiter| Quota::new(limiter, None)),
        collector: None,
        settings: Settings::default(),
    })
}

/// Where it leads makes no difference but one: HTTP/2 needs TLS.
fn route(node: Node) -> Result<Route> {
    let endpoint = if node == Node::Shared { "https://127.0.0.1/" } else { "http://127.0.0.1/" };
    Ok(Route {
        target: Target::new(endpoint, None, &TargetOptions::default())?,
        proxy: None,
        trust_env: false,
        tls: TlsOptions::default(),
        addresses: AddressPolicy::Any,
        max_response_bytes: 1 << 20,
        error_rules: Vec::new(),
    })
}

fn script(node: Node) -> Script {
    Script {
        answer: Arc::new(move |body| {
            Box::pin(async move {
                if node == Node::Later {
                    yield_now().await;
                }
                Ok(Reply { status: 200, headers: HeaderMap::new(), body: answer(&body) })
            })
        }),
        streams: if node == Node::Shared { CONNECTIONS } else { 1 },
    }
}

/// Writes the id of the request, and a number, into an answer.
fn answer(body: &Bytes) -> Bytes {
    let rest = body.get(BEFORE_ID..).unwrap_or_default();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let id = rest.get(..digits).unwrap_or_default();
    [br#"{"jsonrpc":"2.0","id":"#, id, br#","result":"#, texts::NUMBER.as_bytes(), b"}"].concat().into()
}
