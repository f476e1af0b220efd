//! Readers of a chain whose nodes lag, fail and disagree: every head and every log once and in order.

mod trouble;

use std::collections::HashMap;

use tokio::time::timeout;

use super::*;
use crate::engine::chain::{Subscription, Topic};
use crate::engine::metrics::Gauge;

/// Numbers by chance, the same in every run.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// The chain that all nodes follow: the hashes of its blocks by number, and every block that there ever was.
#[derive(Debug, Default)]
struct World {
    blocks: Vec<String>,
    parents: HashMap<String, (u64, String)>,
}

impl World {
    fn mine(&mut self, count: u64) {
        for _ in 0..count {
            let (number, hash) = (self.blocks.len() as u64, format!("{:#x}", self.parents.len()));
            let parent = self.blocks.last().cloned().unwrap_or_default();
            self.parents.insert(hash.clone(), (number, parent));
            self.blocks.push(hash);
        }
    }

    fn part(&mut self, depth: u64, length: u64) {
        let kept = self.blocks.len().saturating_sub(usize::try_from(depth).unwrap()).max(2);
        self.blocks.truncate(kept);
        self.mine(length);
    }

    fn block(&self, number: u64) -> Value {
        let Some(hash) = self.blocks.get(usize::try_from(number).unwrap()) else { return Value::Null };
        json!({"number": format!("{number:#x}"), "hash": hash, "parentHash": self.parents[hash].1})
    }

    /// Two logs in each block but every third.
    fn logs(&self, hash: &str) -> Vec<Value> {
        let number = self.parents[hash].0;
        let log = |index| json!({"blockNumber": format!("{number:#x}"), "blockHash": hash, "logIndex": format!("{index:#x}")});
        (0..if number.is_multiple_of(3) { 0 } else { 2 }).map(log).collect()
    }

    /// What a node says that lacks the newest `lag` blocks.
    fn say(&self, method: &str, params: &Value, lag: u64) -> Say {
        let head = (self.blocks.len() as u64).saturating_sub(1 + lag);
        Say::Result(match method {
            "eth_blockNumber" => json!(format!("{head:#x}")),
            "eth_getBlockByNumber" if params[0] == "latest" => self.block(head),
            "eth_getBlockByNumber" if number(&params[0]) <= head => self.block(number(&params[0])),
            "eth_getLogs" if params[0]["blockHash"].is_string() => {
                let hash = params[0]["blockHash"].as_str().unwrap();
                let (number, _) = self.parents[hash];
                if number > head || self.blocks[usize::try_from(number).unwrap()] != hash {
                    return Say::Error(-32000, "unknown block");
                }
                self.logs(hash).into()
            }
            "eth_getLogs" => {
                let [first, last] = ["fromBlock", "toBlock"].map(|edge| number(&params[0][edge]));
                let blocks =
                    (first..=last.min(head)).map(|number| &self.blocks[usize::try_from(number).unwrap()]);
                blocks.flat_map(|hash| self.logs(hash)).collect::<Vec<_>>().into()
            }
            _ => Value::Null,
        })
    }
}

fn number(text: &Value) -> u64 {
    u64::from_str_radix(&text.as_str().unwrap()[2..], 16).unwrap()
}

type Shared = Arc<Mutex<World>>;

fn world(blocks: u64) -> Shared {
    let mut world = World::default();
    world.mine(blocks);
    Arc::new(Mutex::new(world))
}

/// A node of this world that is well.
fn node_of(world: &Shared) -> Arc<Node> {
    let world = Arc::clone(world);
    Node::that(move |method, params| world.lock().unwrap().say(method, params, 0))
}

/// One that is not.
fn poor_node_of(world: &Shared, seed: u64) -> Arc<Node> {
    let (world, dice) = (Arc::clone(world), Mutex::new(Dice(seed)));
    Node::that(move |method, params| {
        let mut dice = dice.lock().unwrap();
        let lag = if dice.below(4) == 0 { dice.below(3) } else { 0 };
        let good = world.lock().unwrap().say(method, params, lag);
        let late = Duration::from_millis(dice.below(30));
        match dice.below(20) {
            0 => Say::Gone,
            1 => Say::Garbage,
            2 => Say::Status(503),
            3 => Say::After(late, Box::new(Say::Gone)),
            _ => Say::After(late, Box::new(good)),
        }
    })
}

fn subscribe(chain: &Arc<Chain>, kind: &str) -> Arc<Subscription> {
    let topic = Topic::new(kind.to_owned(), b"[]", None, 16).unwrap();
    Arc::new(Subscription::new(Arc::clone(chain), topic))
}

async fn next(reader: &Arc<Subscription>) -> Value {
    serde_json::from_slice(&reader.next().await.unwrap().unwrap().take().unwrap()).unwrap()
}

/// The numbers of the next heads.
async fn numbers(reader: &Arc<Subscription>, count: usize) -> Vec<Value> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        numbers.push(next(reader).await["number"].clone());
    }
    numbers
}

/// What a reader is given, less what is taken back, until nothing comes for a long time. Every wait may be given up, and
/// some items are dropped before they are taken.
async fn read(reader: &Arc<Subscription>, kind: &str, mut dice: Dice) -> Vec<Value> {
    let (mut left, mut given) = (Vec::<Value>::new(), HashMap::new());
    let mut quiet = Duration::ZERO;
    while quiet < 60 * SECOND {
        let patience = Duration::from_millis(dice.below(400));
        let Ok(told) = timeout(patience, reader.next()).await else {
            quiet += patience;
            continue;
        };
        let told = told.unwrap().unwrap();
        if dice.below(10) == 0 {
            drop(told);
            continue;
        }
        quiet = Duration::ZERO;
        let item: Value = serde_json::from_slice(&told.take().unwrap()).unwrap();
        if kind == "logs" {
            if item["removed"] == true {
                let mut last = left.pop().unwrap();
                last["removed"] = true.into();
                assert_eq!(item, last);
            } else {
                left.push(item);
            }
            continue;
        }
        let number = number(&item["number"]);
        assert_eq!(given.insert(number, item["hash"].clone()).unwrap_or_default(), item["replaces"]);
        left.retain(|head| self::number(&head["number"]) < number);
        assert!(left.last().is_none_or(|last| last["hash"] == item["parentHash"]), "{item} after {left:?}");
        left.push(item);
    }
    left
}

async fn live(world: &Shared, mut dice: Dice) {
    for _ in 0..120 {
        tokio::time::sleep(Duration::from_millis(dice.below(200))).await;
        let mut world = world.lock().unwrap();
        match dice.below(12) {
            0 => {
                let depth = 1 + dice.below(5);
                world.part(depth, depth + dice.below(3));
            }
            1 => {
                let depth = 2 + dice.below(4);
                world.part(depth, 1);
            }
            2 => world.mine(1 + dice.below(200)),
            _ => world.mine(1),
        }
    }
    world.lock().unwrap().mine(10);
}

#[tokio::test(start_paused = true)]
async fn every_head_and_log_comes_once_whatever_the_nodes_do() {
    for seed in 0..8 {
        let world = world(20);
        let nodes = [poor_node_of(&world, seed), poor_node_of(&world, seed + 100)];
        let chain = Arc::new(chain(&nodes, None).await);
        let (heads, logs) = (subscribe(&chain, "newHeads"), subscribe(&chain, "logs"));
        let (began, also) = tokio::join!(heads.begin(), logs.begin());
        began.and(also).unwrap();
        let ((), given_heads, given_logs) = tokio::join!(
            live(&world, Dice(seed + 200)),
            read(&heads, "newHeads", Dice(seed + 300)),
            read(&logs, "logs", Dice(seed + 400)),
        );
        let world = world.lock().unwrap();
        let hashes: Vec<_> = given_heads.iter().map(|head| head["hash"].as_str().unwrap()).collect();
        let last: Vec<_> = world.blocks.iter().rev().take(hashes.len()).rev().map(String::as_str).collect();
        assert!(hashes.len() > 100, "{hashes:?}");
        assert_eq!(hashes, last, "heads, seed {seed}");
        let first = usize::try_from(number(&given_logs[0]["blockNumber"])).unwrap();
        let should: Vec<_> = world.blocks[first..].iter().flat_map(|hash| world.logs(hash)).collect();
        assert_eq!(given_logs, should, "logs, seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_far_behind_takes_no_logs_of_blocks_that_were_exchanged() {
    let world = world(5);
    let node = node_of(&world);
    let chain = Arc::new(chain(std::slice::from_ref(&node), None).await);
    let logs = subscribe(&chain, "logs");
    logs.begin().await.unwrap();
    world.lock().unwrap().mine(300);
    let (stale, times) = (Arc::clone(&world), Mutex::new(0));
    node.on(move |method, params| {
        let mut times = times.lock().unwrap();
        let good = stale.lock().unwrap().say(method, params, 0);
        match good {
            Say::Result(Value::Array(mut logs)) if method == "eth_getLogs" && *times < 3 => {
                *times += 1;
                let place = logs.len() / *times - 1;
                logs[place]["blockHash"] = "0xstale".into();
                Say::Result(logs.into())
            }
            good => good,
        }
    });
    for number in (5..305).filter(|number: &u64| !number.is_multiple_of(3)) {
        let expected = {
            let world = world.lock().unwrap();
            world.logs(&world.blocks[usize::try_from(number).unwrap()])
        };
        for log in expected {
            assert_eq!(next(&logs).await, log);
        }
    }
    // So many blocks at a time, and the last ones alone.
    assert!(node.asked("eth_getLogs") < 150, "{}", node.asked("eth_getLogs"));
}

#[tokio::test(start_paused = true)]
async fn a_chain_is_asked_as_often_as_its_pace_wants() {
    let world = world(5);
    let node = node_of(&world);
    let chain = Arc::new(chain(std::slice::from_ref(&node), None).await);
    let heads = subscribe(&chain, "newHeads");
    heads.begin().await.unwrap();
    for _ in 0..30 {
        tokio::time::sleep(4 * SECOND).await;
        world.lock().unwrap().mine(1);
        next(&heads).await;
    }
    let before = node.asked("eth_getBlockByNumber");
    for _ in 0..10 {
        tokio::time::sleep(4 * SECOND).await;
        world.lock().unwrap().mine(1);
        next(&heads).await;
    }
    let asked = node.asked("eth_getBlockByNumber") - before;
    assert!((35..=50).contains(&asked), "{asked} looks at 10 blocks");
    assert_eq!(counted(&chain, Event::GapFilled), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_follows_a_chain_that_nobody_reads() {
    let world = world(5);
    let node = node_of(&world);
    let chain = Arc::new(chain(std::slice::from_ref(&node), None).await);
    let gauge = || chain.scopes().own().gauge(Gauge::Subscriptions);
    let (one, other) = (subscribe(&chain, "newHeads"), subscribe(&chain, "logs"));
    one.begin().await.unwrap();
    other.begin().await.unwrap();
    assert_eq!(gauge(), 2);
    one.close();
    assert!(one.next().await.unwrap().is_none());
    world.lock().unwrap().mine(3);
    assert_eq!(next(&other).await["blockNumber"], "0x5");
    drop(other);
    assert_eq!(gauge(), 0);
    let asked = node.asked("eth_getBlockByNumber");
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(node.asked("eth_getBlockByNumber"), asked);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_chain_is_told_to_all_who_read_it() {
    let world = world(5);
    let chain = Arc::new(chain(&[node_of(&world)], None).await);
    let heads = subscribe(&chain, "newHeads");
    heads.begin().await.unwrap();
    let (end, ()) = tokio::join!(heads.next(), async { chain.dismiss() });
    assert_eq!(end.err().unwrap().kind(), Kind::PoolClosed);
    assert_eq!(subscribe(&chain, "newHeads").begin().await.unwrap_err().kind(), Kind::PoolClosed);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_away_for_long_is_waited_for() {
    let world = world(5);
    let node = node_of(&world);
    let chain = Arc::new(chain(std::slice::from_ref(&node), None).await);
    let heads = subscribe(&chain, "newHeads");
    heads.begin().await.unwrap();
    node.on(|_, _| Say::Gone);
    assert!(timeout(600 * SECOND, heads.next()).await.is_err());
    world.lock().unwrap().mine(2);
    let well = Arc::clone(&world);
    node.on(move |method, params| well.lock().unwrap().say(method, params, 0));
    assert_eq!(timeout(30 * SECOND, numbers(&heads, 2)).await.unwrap(), ["0x5", "0x6"]);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_is_told_to_those_who_wait() {
    let world = world(5);
    let node = node_of(&world);
    let chain = Arc::new(chain(std::slice::from_ref(&node), None).await);
    let heads = subscribe(&chain, "newHeads");
    heads.begin().await.unwrap();
    node.on(|_, _| Say::Status(401));
    assert_eq!(heads.next().await.err().unwrap().kind(), Kind::Authentication);
    world.lock().unwrap().mine(1);
    let well = Arc::clone(&world);
    node.on(move |method, params| well.lock().unwrap().say(method, params, 0));
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(numbers(&heads, 1).await, ["0x5"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_gives_other_blocks_than_it_is_asked_for_is_not_believed() {
    let world = world(5);
    let node = node_of(&world);
    let chain = Arc::new(chain(std::slice::from_ref(&node), None).await);
    let heads = subscribe(&chain, "newHeads");
    heads.begin().await.unwrap();
    world.lock().unwrap().mine(3);
    let wrong = Arc::clone(&world);
    node.on(move |method, params| match params[0].as_str() {
        Some("latest") => wrong.lock().unwrap().say(method, params, 0),
        _ => Say::Result(wrong.lock().unwrap().block(3)),
    });
    let error = heads.next().await.err().unwrap();
    assert_eq!((error.kind(), error.message()), (Kind::Protocol, "asked for block 5, the node gave block 3"));
}
