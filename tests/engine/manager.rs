//! Labels: connecting once for many, who the node is, and the end of everything.

use std::sync::atomic::Ordering;
use std::time::Duration;

use genesis_replicator::engine::chain::{ChainConfig, EndpointConfig, NetworkId, Policy};
use genesis_replicator::engine::deadline::Timeout;
use genesis_replicator::engine::error::{Error, Kind, Result};
use genesis_replicator::engine::family::Family;
use genesis_replicator::engine::jsonrpc::Request;
use genesis_replicator::engine::log::Log;
use genesis_replicator::engine::manager::Manager;
use genesis_replicator::engine::pool::{Connection, Settings};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::server::{Answer, Ask, Options, Server, echo, plain, scripted_at};
use crate::support::*;

fn started(max_connections: usize) -> Manager {
    let manager = Manager::new(max_connections, Settings::default(), None, Log::silent());
    manager.start();
    manager
}

fn config(url: &str) -> ChainConfig {
    ChainConfig {
        endpoints: vec![EndpointConfig { route: route(url), rate_limit: None, weight: 1.0, batching: None }],
        network_id: None,
        policy: Policy::default(),
        cache: None,
    }
}

async fn connect(manager: &Manager, label: &str, config: ChainConfig) -> Result<()> {
    soon(manager.connect(label, config, Timeout::Of(Some(PATIENCE)))).await?.commit()
}

async fn ask(manager: &Manager, label: &str) -> Result<Value> {
    let result = manager.request(label, &request(&json!(["here"])), Timeout::Of(Some(PATIENCE))).await?;
    Ok(serde_json::from_slice(&result).unwrap())
}

fn kind<T>(result: Result<T>) -> Option<Kind> {
    result.err().map(|error| error.kind())
}

/// A node of a family answers its own questions and no others.
async fn node(method: &'static str, answer: Value) -> Server {
    plain(move |ask| {
        let answer = answer.clone();
        async move {
            if ask.method == method {
                Answer::Result(answer)
            } else {
                Answer::Error(-32601, "no such method")
            }
        }
    })
    .await
}

/// A node that says so late, after as many milliseconds, who it is.
async fn slow_node(ms: u64) -> Server {
    plain(move |ask: Ask| async move {
        if ask.method == "eth_chainId" {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        echo(ask).await
    })
    .await
}

#[tokio::test]
async fn the_families_are_told_apart_by_what_they_answer() {
    let hash = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d";
    for (method, answer, family, network) in [
        ("eth_chainId", json!("0x7a69"), Family::Evm, Some(NetworkId::Number(31337))),
        (
            "getblockchaininfo",
            json!({"chain": "regtest"}),
            Family::Bitcoin,
            Some(NetworkId::Name("regtest".into())),
        ),
        ("getGenesisHash", json!(hash), Family::Solana, Some(NetworkId::Name(hash.into()))),
        ("chain_getBlockHash", json!("0x91b1"), Family::Substrate, Some(NetworkId::Name("0x91b1".into()))),
        ("something_else", json!(1), Family::Generic, None),
    ] {
        let (server, manager) = (node(method, answer).await, started(2));
        connect(&manager, "node", config(&server.url())).await.unwrap();
        let chain = manager.chain("node").unwrap();
        assert_eq!((chain.identity().family, &chain.identity().network), (family, &network));
        assert_eq!(server.seen.accepted.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn equal_connects_share_one_attempt() {
    let (server, manager) = (slow_node(30).await, started(5));
    let connects: Vec<_> = (0..20)
        .map(|_| {
            let (manager, config) = (manager.clone(), config(&server.url()));
            tokio::spawn(async move { connect(&manager, "node", config).await })
        })
        .collect();
    for connect in connects {
        soon(connect).await.unwrap().unwrap();
    }
    assert_eq!(
        (server.seen.accepted.load(Ordering::SeqCst), server.seen.requests.load(Ordering::SeqCst)),
        (1, 1)
    );
    connect(&manager, "node", config(&server.url())).await.unwrap();
    assert_eq!(server.seen.requests.load(Ordering::SeqCst), 1);
    assert_eq!(manager.labels().unwrap(), ["node"]);
}

#[tokio::test]
async fn an_attempt_ends_with_the_last_who_waits_for_it() {
    let (server, manager) = (slow_node(60_000).await, started(1));
    let spawn = || {
        let (manager, config) = (manager.clone(), config(&server.url()));
        tokio::spawn(async move { connect(&manager, "node", config).await })
    };
    let connects = [spawn(), spawn()];
    until("the node is asked", || server.seen.in_flight.load(Ordering::SeqCst) == 1).await;
    let [first, last] = connects;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(server.seen.open.load(Ordering::SeqCst), 1);
    last.abort();
    assert!(last.await.unwrap_err().is_cancelled());
    until("its socket is closed", || server.seen.open.load(Ordering::SeqCst) == 0).await;
    // Nothing is left of it: not the label, not its place.
    let other = plain(echo).await;
    connect(&manager, "node", config(&other.url())).await.unwrap();
    assert_eq!(ask(&manager, "node").await.unwrap(), json!("here"));
}

#[tokio::test]
async fn a_connect_to_nowhere_that_is_given_up_leaves_its_place_to_others() {
    let (hole, server, manager) = (BlackHole::new().await, plain(echo).await, started(1));
    let error = manager.connect("hole", config(&hole.url), of_ms(30)).await.err().unwrap();
    assert_eq!(error.kind(), Kind::ConnectTimeout);
    connect(&manager, "node", config(&server.url())).await.unwrap();
    assert_eq!(kind(ask(&manager, "hole").await), Some(Kind::UnknownChain));
}

#[tokio::test]
async fn other_arguments_under_a_label_in_use_are_refused() {
    let (server, manager) = (slow_node(50).await, started(2));
    let others = || ChainConfig { network_id: Some(NetworkId::Number(1)), ..config(&server.url()) };
    let first = tokio::spawn({
        let (manager, config) = (manager.clone(), config(&server.url()));
        async move { connect(&manager, "node", config).await }
    });
    until("the node is asked", || server.seen.in_flight.load(Ordering::SeqCst) == 1).await;
    for how in ["is being connected already", "is connected already"] {
        let error = connect(&manager, "node", others()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::ChainConnection);
        assert!(error.message().contains(how), "{error}");
        until("the first is done", || first.is_finished()).await;
    }
    manager.disconnect("node").unwrap();
    connect(&manager, "node", others()).await.unwrap();
}

#[tokio::test]
async fn what_is_not_put_to_use_leaves_nothing_behind() {
    let (server, manager) = (plain(echo).await, started(1));
    let connected = soon(manager.connect("node", config(&server.url()), of_ms(5_000))).await.unwrap();
    assert!(manager.labels().unwrap().is_empty());
    drop(connected);
    assert_eq!(kind(ask(&manager, "node").await), Some(Kind::UnknownChain));
    until("its socket is closed", || server.seen.open.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn the_wrong_network_is_refused() {
    let (server, manager) = (node("eth_chainId", json!("0x1")).await, started(2));
    let wanted = ChainConfig { network_id: Some(NetworkId::Number(5)), ..config(&server.url()) };
    let error = connect(&manager, "node", wanted).await.unwrap_err();
    assert_eq!(error.kind(), Kind::ChainMismatch);
    assert_eq!(error.message(), "'node' is 1, but network 5 was asked for");
    until("its socket is closed", || server.seen.open.load(Ordering::SeqCst) == 0).await;
    // The same label must be the same network the next time.
    connect(&manager, "node", config(&server.url())).await.unwrap();
    manager.disconnect("node").unwrap();
    let other = node("eth_chainId", json!("0x2")).await;
    let error: Error = connect(&manager, "node", config(&other.url())).await.unwrap_err();
    assert_eq!(error.kind(), Kind::ChainMismatch);
    until("nor is this one's open", || other.seen.open.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn a_manager_that_does_not_run_says_so() {
    let server = plain(echo).await;
    let manager = Manager::new(2, Settings::default(), None, Log::silent());
    let says = |result: Result<()>, text: &str| {
        let error = result.unwrap_err();
        assert!(error.kind() == Kind::PoolClosed && error.message().contains(text), "{error:?}");
    };
    says(connect(&manager, "node", config(&server.url())).await, "not started");
    says(ask(&manager, "node").await.map(drop), "not started");
    manager.start();
    manager.start();
    connect(&manager, "node", config(&server.url())).await.unwrap();
    soon(manager.stop(None)).await;
    soon(manager.stop(None)).await;
    says(connect(&manager, "node", config(&server.url())).await, "is stopped");
    says(ask(&manager, "node").await.map(drop), "is stopped");
    says(manager.disconnect("node"), "is stopped");
    until("its socket is closed", || server.seen.open.load(Ordering::SeqCst) == 0).await;
    manager.start();
    assert_eq!(kind(ask(&manager, "node").await), Some(Kind::UnknownChain));
    connect(&manager, "node", config(&server.url())).await.unwrap();
    assert_eq!(ask(&manager, "node").await.unwrap(), json!("here"));
}

#[tokio::test]
async fn a_busy_manager_stops_in_its_time_and_everything_ends_with_it() {
    let busy =
        plain(|ask| async move { if ask.method == "echo" { Answer::Never } else { echo(ask).await } }).await;
    let (never, hole) = (slow_node(60_000).await, BlackHole::new().await);
    let manager = started(4);
    connect(&manager, "busy", config(&busy.url())).await.unwrap();
    let chain = manager.chain("busy").unwrap();
    let held: Connection = chain.connection(of_ms(5_000), "test.rs:2".into()).await.unwrap();
    let call = tokio::spawn({
        let manager = manager.clone();
        async move { ask(&manager, "busy").await }
    });
    let connects = [never.url(), hole.url.clone()].map(|url| {
        let (manager, config) = (manager.clone(), config(&url));
        tokio::spawn(async move { connect(&manager, &url, config).await })
    });
    until("all are under way", || {
        busy.seen.in_flight.load(Ordering::SeqCst) == 1 && never.seen.in_flight.load(Ordering::SeqCst) == 1
    })
    .await;
    let began = Instant::now();
    soon(manager.stop(Some(Duration::from_millis(30)))).await;
    assert!(began.elapsed() >= Duration::from_millis(30));
    for connect in connects {
        assert_eq!(kind(soon(connect).await.unwrap()), Some(Kind::PoolClosed));
    }
    let ended = soon(call).await.unwrap().unwrap_err();
    assert!(matches!(ended.kind(), Kind::ConnectionClosed | Kind::PoolClosed), "{ended:?}");
    assert_eq!(kind(call_on(&held, json!([1]), of_ms(5_000)).await), Some(Kind::ConnectionClosed));
    until("all sockets are closed", || {
        busy.seen.open.load(Ordering::SeqCst) + never.seen.open.load(Ordering::SeqCst) == 0
    })
    .await;
    // What its holder never gave back is not counted for ever.
    assert_eq!(levels(chain.pools().next().unwrap()).total(), 0);
    drop(held);
}

#[tokio::test]
async fn what_was_connected_before_a_stop_is_not_put_to_use_after_it() {
    let (server, manager) = (plain(echo).await, started(2));
    let connected = soon(manager.connect("node", config(&server.url()), of_ms(5_000))).await.unwrap();
    soon(manager.stop(None)).await;
    manager.start();
    assert_eq!(kind(connected.commit()), Some(Kind::PoolClosed));
    assert!(manager.labels().unwrap().is_empty());
    until("its socket is closed", || server.seen.open.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn calls_in_flight_survive_a_disconnect_and_nothing_else_does() {
    let (server, manager) = (plain(echo).await, started(2));
    connect(&manager, "node", config(&server.url())).await.unwrap();
    let call = tokio::spawn({
        let manager = manager.clone();
        let slow = request(&json!([1, 50]));
        async move { manager.request("node", &slow, of_ms(5_000)).await }
    });
    until("it is on its way", || server.seen.in_flight.load(Ordering::SeqCst) == 1).await;
    manager.disconnect("node").unwrap();
    let error = manager.disconnect("node").unwrap_err();
    assert_eq!(error.message(), "chain 'node' is not connected (connected: none)");
    assert_eq!(soon(call).await.unwrap().unwrap(), "1");
    until("its socket is closed", || server.seen.open.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn many_calls_that_run_out_of_time_end_together_and_free_their_connections() {
    let (server, manager) = (plain(slow_or_echo).await, started(2));
    connect(&manager, "node", config(&server.url())).await.unwrap();
    let requests: Vec<Request> = (0..9).map(|_| request(&json!(["hangs"]))).collect();
    let many = genesis_replicator::engine::chain::Many {
        requests,
        concurrency: Some(2),
        timeout: of_ms(40),
        fail_fast: true,
    };
    let error = manager.request_many("node", many).await.unwrap_err();
    assert_eq!(error.kind(), Kind::RequestTimeout);
    // One question when it connected, and as many calls as may run at a time.
    assert!(server.seen.requests.load(Ordering::SeqCst) <= 3);
    assert_eq!(ask(&manager, "node").await.unwrap(), json!("here"));
}

async fn slow_or_echo(ask: Ask) -> Answer {
    if ask.params[0] == "hangs" { Answer::Never } else { echo(ask).await }
}

#[tokio::test]
async fn after_a_lease_that_could_not_be_had_none_to_a_stranger_is_given() {
    let (server, manager) = (node("eth_chainId", json!("0x1")).await, started(1));
    connect(&manager, "node", config(&server.url())).await.unwrap();
    let (address, chain) = (server.address, manager.chain("node").unwrap());
    drop(server);
    let lease = async || chain.connection(of_ms(5_000), "test.rs:1".into()).await.map(drop);
    // The connection that lies idle is given as long as its end is not known.
    let lost = loop {
        if let Err(error) = soon(lease()).await {
            break error;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(lost.kind(), Kind::ChainConnection);
    let _stranger =
        scripted_at(address, Options::default(), |_| async { Answer::Result(json!("0x5")) }).await;
    let leased = loop {
        // It may be tried while it does not listen yet.
        match soon(lease()).await {
            Err(error) if error.kind() == Kind::ChainConnection => {}
            leased => break leased,
        }
    };
    assert_eq!(kind(leased), Some(Kind::ChainMismatch));
}
