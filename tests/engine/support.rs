//! What the tests have in common: routes, pools and calls, and waiting for something to become true.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use bytes::Bytes;
use genesis_replicator::engine::deadline::Timeout;
use genesis_replicator::engine::error::{Error, Result};
use genesis_replicator::engine::jsonrpc::Request;
use genesis_replicator::engine::log::{Area, Level, Log, Record};
use genesis_replicator::engine::metrics::{Counters, LevelCounts, Scopes};
use genesis_replicator::engine::pool::{Connection, Gate, Parts, Pool, Settings};
use genesis_replicator::engine::target::{Target, TargetOptions};
use genesis_replicator::engine::transport::{AddressPolicy, Dialer, Route, TlsOptions};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub fn route(url: &str) -> Route {
    Route {
        target: Target::new(url, None, &TargetOptions::default()).unwrap(),
        proxy: None,
        trust_env: false,
        tls: TlsOptions::default(),
        addresses: AddressPolicy::Any,
        max_response_bytes: 1 << 20,
        error_rules: Vec::new(),
    }
}

/// A pool that stands alone.
pub fn pool(route: Route, max_connections: usize) -> Pool {
    pool_with(route, max_connections, Settings::default())
}

pub fn pool_with(route: Route, max_connections: usize, settings: Settings) -> Pool {
    member(route, &Gate::new(max_connections), None, settings)
}

/// A pool among others behind one gate.
pub fn member(route: Route, gate: &Arc<Gate>, above: Option<&Arc<Counters>>, settings: Settings) -> Pool {
    let scopes = match above {
        Some(all) => Scopes::within(Arc::default(), Arc::clone(all)),
        None => Scopes::alone(Arc::default()),
    };
    let dialer = Dialer::new(route).unwrap();
    let log = Log::silent();
    Pool::new(Parts {
        label: None,
        dialer,
        gate: Arc::clone(gate),
        scopes,
        log,
        quota: None,
        collector: None,
        settings,
    })
    .unwrap()
}

/// A pool whose records can be read.
pub fn logged(route: Route, settings: Settings) -> (Pool, Receiver<Record>) {
    let (log, records) = Log::new();
    log.set_threshold(Area::Pool, Some(Level::Debug));
    let dialer = Dialer::new(route).unwrap();
    let scopes = Scopes::alone(Arc::default());
    let parts = Parts {
        label: Some("eth".into()),
        dialer,
        gate: Gate::new(4),
        scopes,
        log,
        quota: None,
        collector: None,
        settings,
    };
    (Pool::new(parts).unwrap(), records)
}

/// A call of `echo` that brings `params` along.
pub fn request(params: &Value) -> Request {
    Request::new("echo", Bytes::from(params.to_string())).unwrap()
}

pub async fn call(pool: &Pool, params: Value) -> Result<Value> {
    let result = pool.request(&request(&params), Timeout::Of(Some(PATIENCE))).await?;
    Ok(serde_json::from_slice(&result).unwrap())
}

pub fn of_ms(ms: u64) -> Timeout {
    Timeout::Of(Some(Duration::from_millis(ms)))
}

pub async fn lease(pool: &Pool) -> Connection {
    let lease = pool.lease(Timeout::Of(Some(PATIENCE))).await.unwrap();
    Connection::new(pool, lease, "test.rs:1".into()).unwrap()
}

pub async fn call_on(connection: &Connection, params: Value, timeout: Timeout) -> Result<Value> {
    let result = connection.request(&request(&params), timeout).await?;
    Ok(serde_json::from_slice(&result).unwrap())
}

pub fn levels(pool: &Pool) -> LevelCounts {
    pool.scopes().own().levels().snapshot()
}

/// Wait until `is_so`, or fail with what was waited for.
pub async fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "never came true: {what}");
        sleep(Duration::from_millis(1)).await;
    }
}

/// What must not hang.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("it hangs")
}

/// A listener whose queue is full, so that whoever connects waits without end.
pub struct BlackHole {
    pub url: String,
    _listener: TcpListener,
    _queued: Vec<std::net::TcpStream>,
}

impl BlackHole {
    pub async fn new() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let queued = tokio::task::spawn_blocking(move || {
            let connect = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok();
            std::iter::from_fn(connect).take(16).collect()
        });
        Self { url: format!("http://{address}/"), _queued: queued.await.unwrap(), _listener: listener }
    }
}

/// How many sockets of this machine lead, or are being led, to `ports`.
pub fn client_sockets(ports: &[u16]) -> usize {
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let port_of =
        |address: &str| address.rsplit(':').next().and_then(|hex| u16::from_str_radix(hex, 16).ok());
    // The table is read in pieces, while other tests go on: a line may come twice.
    let mut found = HashSet::new();
    for line in table.lines().skip(1) {
        let fields: Vec<_> = line.split_whitespace().collect();
        // 01 is established, 02 is connecting.
        let is_open = matches!(fields[3], "01" | "02");
        if is_open && port_of(fields[2]).is_some_and(|port| ports.contains(&port)) {
            found.insert((fields[1], fields[2]));
        }
    }
    found.len()
}

/// Numbers by chance that are the same in every run.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// No text of an error, nor of what caused it, holds `secret`.
pub fn assert_hides(error: &Error, secret: &str) {
    let text = format!("{error} {error:?} {:?}", error.facts());
    assert!(!text.contains(secret), "{text}");
}
