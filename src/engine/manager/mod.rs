//! Labels and their chains; the one bound on all their connections; start and stop.

mod attempt;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;

use super::chain::{self, Chain, ChainConfig, Many, NetworkId, check_network};
use super::deadline::{Call, Timeout};
use super::error::{Error, Kind, Result};
use super::jsonrpc::Request;
use super::log::{Area, Level, Log};
use super::metrics::{Collector, Counters, Pools, Scopes, Source, Value};
use super::pool::{self, CutAtEnd, Gate, Pool, Settings};
use super::transport::Dialer;
use attempt::{Attempt, interrupted};

/// The chains of a program.
#[derive(Clone)]
pub struct Manager(Arc<Inner>);

struct Inner {
    max_connections: usize,
    settings: Settings,
    counters: Arc<Counters>,
    collector: Option<Collector>,
    log: Log,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// There while the manager runs.
    gate: Option<Arc<Gate>>,
    /// Whether it has ever run.
    started: bool,
    chains: HashMap<Arc<str>, Arc<Chain>>,
    /// Disconnected, but with calls that go on.
    leaving: Vec<Pool>,
    attempts: HashMap<Arc<str>, Weak<Attempt>>,
    /// The network that was first seen under each label.
    seen: HashMap<Arc<str>, NetworkId>,
}

/// What came of a connect. Nothing is in use before `commit`, and nothing is left of it if it is dropped.
pub struct Connected {
    manager: Manager,
    chain: Arc<Chain>,
    attempt: Option<Arc<Attempt>>,
}

impl Manager {
    /// A manager of at most `max_connections` connections over all its chains. It does nothing before `start`.
    #[must_use]
    pub fn new(max_connections: usize, settings: Settings, collector: Option<&Collector>, log: Log) -> Self {
        let counters = Arc::<Counters>::default();
        let state = Mutex::default();
        let inner = Arc::new(Inner {
            max_connections,
            settings,
            counters,
            collector: collector.cloned(),
            log,
            state,
        });
        if let Some(collector) = collector {
            let source: Arc<dyn Source> = Arc::clone(&inner) as _;
            collector.attach(&Arc::downgrade(&source));
        }
        Self(inner)
    }

    /// Begin to work. A running manager goes on; a stopped one begins anew.
    pub fn start(&self) {
        let mut state = self.lock();
        state.started = true;
        let most = self.0.max_connections;
        state.gate.get_or_insert_with(|| Gate::new(most));
    }

    /// Refuse whoever waits, give calls in flight `timeout` to end, close every connection.
    pub async fn stop(&self, timeout: Option<Duration>) {
        let (gate, chains, attempts, mut pools) = {
            let mut state = self.lock();
            let State { gate, chains, attempts, leaving, .. } = &mut *state;
            (gate.take(), std::mem::take(chains), std::mem::take(attempts), std::mem::take(leaving))
        };
        let Some(gate) = gate else { return };
        gate.close();
        for attempt in attempts.values().filter_map(Weak::upgrade) {
            attempt.end();
        }
        for chain in chains.values() {
            chain.dismiss();
        }
        pools.iter().for_each(Pool::dismiss);
        pools.extend(chains.values().flat_map(|chain| chain.pools().cloned()));
        // Whoever gives up waiting for the calls means them to be cut now.
        let _cut = CutAtEnd(pools);
        gate.all_back_within(timeout).await;
    }

    /// Connect to a chain under `label`. Equal connects under way are one.
    ///
    /// # Errors
    /// `ChainConnection` and its kin; `Configuration` for an empty label.
    pub async fn connect(&self, label: &str, config: ChainConfig, timeout: Timeout) -> Result<Connected> {
        if label.trim().is_empty() {
            return Err(Error::argument("chain_id", "must be a name, not empty"));
        }
        let label: Arc<str> = label.into();
        let attempt = {
            let mut state = self.lock();
            if let Some(chain) = state.chains.get(&label) {
                let chain = Arc::clone(chain);
                check_same(&label, chain.config() == &config, "is connected")?;
                return Ok(Connected { manager: self.clone(), chain, attempt: None });
            }
            self.attempt(&mut state, &label, config)?
        };
        let call = Call::new(timeout.or(self.0.settings.request_timeout));
        let chain = call.bound(pin!(attempt.wait())).await;
        let chain = chain.unwrap_or_else(|| Err(attempt.timed_out(&call)))?;
        if let (Some(seen), Some(found)) = (self.lock().seen.get(&label), chain.identity().network.as_ref()) {
            check_network(&label, seen, Some(found), "was seen under this label before")?;
        }
        Ok(Connected { manager: self.clone(), chain, attempt: Some(attempt) })
    }

    fn attempt(
        &self,
        state: &mut MutexGuard<'_, State>,
        label: &Arc<str>,
        config: ChainConfig,
    ) -> Result<Arc<Attempt>> {
        let gate = state.gate.clone().ok_or_else(|| not_running(state.started))?;
        let under_way = state.attempts.get(label).and_then(Weak::upgrade);
        // One that has failed is over, though not all who waited for it have heard.
        if let Some(attempt) = under_way.filter(|attempt| !attempt.has_failed()) {
            check_same(label, attempt.config() == &config, "is being connected")?;
            return Ok(attempt);
        }
        let scopes = Arc::new(Scopes::within(Arc::default(), Arc::clone(&self.0.counters)));
        let pools = config.endpoints.iter().map(|endpoint| {
            // Where there is one endpoint, what it counts is what its chain does.
            let scopes = match config.endpoints.as_slice() {
                [_] => Scopes::clone(&scopes),
                _ => Scopes::under(Arc::default(), Arc::clone(&scopes)),
            };
            Pool::new(pool::Parts {
                label: Some(Arc::clone(label)),
                dialer: Dialer::new(endpoint.route.clone())?,
                gate: Arc::clone(&gate),
                scopes,
                log: self.0.log.clone(),
                collector: self.0.collector.clone(),
                quota: endpoint.rate_limit.as_ref().map(chain::Limit::quota),
                settings: self.0.settings.clone(),
            })
        });
        let pools = pools.collect::<Result<_>>()?;
        let (label_of, log) = (Arc::clone(label), self.0.log.clone());
        let attempt = Arc::new(Attempt::start(chain::Parts { label: label_of, pools, config, scopes, log }));
        state.attempts.retain(|_, attempt| attempt.strong_count() > 0);
        state.attempts.insert(Arc::clone(label), Arc::downgrade(&attempt));
        Ok(attempt)
    }

    /// Close the connections of `label`; calls in flight end by themselves.
    ///
    /// # Errors
    /// `UnknownChain`.
    pub fn disconnect(&self, label: &str) -> Result<()> {
        let chain = self.lock().chains.remove(label);
        let chain = chain.ok_or_else(|| self.unknown(label))?;
        chain.dismiss();
        let mut state = self.lock();
        state.leaving.retain(Pool::is_in_use);
        state.leaving.extend(chain.pools().filter(|pool| pool.is_in_use()).cloned());
        drop(state);
        self.info(|| format!("'{label}' disconnected"));
        Ok(())
    }

    /// The chain under `label`.
    ///
    /// # Errors
    /// `UnknownChain`, or `PoolClosed` when the manager does not run.
    pub fn chain(&self, label: &str) -> Result<Arc<Chain>> {
        let state = self.lock();
        if state.gate.is_none() {
            return Err(not_running(state.started));
        }
        let chain = state.chains.get(label).map(Arc::clone);
        drop(state);
        chain.ok_or_else(|| self.unknown(label))
    }

    /// Make one call. The result is JSON text.
    ///
    /// # Errors
    /// `UnknownChain`, or whatever the call meets.
    pub async fn request(&self, label: &str, request: &Request, timeout: Timeout) -> Result<Bytes> {
        self.chain(label)?.request(request, timeout).await
    }

    /// Make many calls. The results are JSON texts, in the order of the calls.
    ///
    /// # Errors
    /// `UnknownChain`, or what ends all of them.
    pub async fn request_many(&self, label: &str, many: Many) -> Result<Vec<Result<Bytes>>> {
        let chain = self.chain(label)?;
        many.run(&chain).await
    }

    /// The bound on its connections.
    #[must_use]
    pub fn max_connections(&self) -> usize {
        self.0.max_connections
    }

    /// The labels, in order.
    ///
    /// # Errors
    /// `PoolClosed` when the manager does not run.
    pub fn labels(&self) -> Result<Vec<String>> {
        let state = self.lock();
        if state.gate.is_none() {
            return Err(not_running(state.started));
        }
        let mut labels: Vec<String> = state.chains.keys().map(std::string::ToString::to_string).collect();
        labels.sort();
        Ok(labels)
    }

    /// Everything that is counted: of one chain, or of all.
    ///
    /// # Errors
    /// `UnknownChain`.
    pub fn pool_metrics(&self, label: Option<&str>) -> Result<Value> {
        let Some(label) = label else { return Ok(self.0.pools().snapshot()) };
        let chain = self.chain(label)?;
        let counters = chain.scopes().own();
        Ok(super::metrics::pool_snapshot(counters, self.0.max_connections as u64))
    }

    /// Where its records go.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.0.log
    }

    fn unknown(&self, label: &str) -> Error {
        let state = self.lock();
        if state.gate.is_none() {
            return not_running(state.started);
        }
        let mut known: Vec<_> = state.chains.keys().map(|known| format!("'{known}'")).collect();
        known.sort();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Error::new(Kind::UnknownChain, format!("chain '{label}' is not connected (connected: {known})"))
            .with(|facts| facts.chain = Some(label.into()))
    }

    fn info(&self, message: impl FnOnce() -> String) {
        self.0.log.write(Level::Info, Area::Manager, message);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Inner {
    fn label(&self) -> String {
        "manager".to_owned()
    }

    fn pools(&self) -> Pools {
        let state = self.lock();
        let chain =
            |(label, chain): (&Arc<str>, &Arc<Chain>)| (label.to_string(), Arc::clone(chain.scopes().own()));
        let mut chains: Vec<_> = state.chains.iter().map(chain).collect();
        chains.sort_by(|a, b| a.0.cmp(&b.0));
        Pools { max_connections: self.max_connections as u64, all: Arc::clone(&self.counters), chains }
    }
}

impl Connected {
    /// Put the chain to use: from now on its label is known.
    ///
    /// # Errors
    /// `PoolClosed` when the manager was stopped in the meantime.
    pub fn commit(self) -> Result<()> {
        let Some(attempt) = &self.attempt else { return Ok(()) };
        if !attempt.claim() {
            return Ok(());
        }
        let label = self.chain.label();
        {
            let mut state = self.manager.lock();
            // Closed when the manager was stopped, even if it runs again.
            if self.chain.pools().any(Pool::is_closed) {
                return Err(interrupted());
            }
            state.attempts.remove(label);
            if let Some(network) = &self.chain.identity().network {
                state.seen.entry(Arc::clone(label)).or_insert_with(|| network.clone());
            }
            state.chains.insert(Arc::clone(label), Arc::clone(&self.chain));
        }
        self.manager.info(|| {
            let targets: Vec<_> = self.chain.pools().map(|pool| pool.target().to_string()).collect();
            format!("'{label}' connected to {}", targets.join(", "))
        });
        Ok(())
    }
}

fn check_same(label: &Arc<str>, same: bool, how: &str) -> Result<()> {
    if same {
        return Ok(());
    }
    let message = format!("'{label}' {how} already with other arguments");
    Err(Error::new(Kind::ChainConnection, message).of_chain(Some(label)))
}

fn not_running(started: bool) -> Error {
    let message = if started {
        "the manager is stopped; call start() to use it again"
    } else {
        "the manager is not started; call start() or use 'async with'"
    };
    Error::new(Kind::PoolClosed, message)
}
