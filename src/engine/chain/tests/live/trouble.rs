//! Readers who give up before they have begun, and whose chain begins anew, or whose nodes disagree and say what is no
//! answer.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_beginning_that_is_given_up_goes_on_when_it_is_asked_for_again() {
    let world = world(5);
    let slow = Arc::clone(&world);
    let node = Node::that(move |method, params| {
        Say::After(100 * MS, Box::new(slow.lock().unwrap().say(method, params, 0)))
    });
    let chain = Arc::new(chain(&[node], None).await);
    let (heads, logs) = (subscribe(&chain, "newHeads"), subscribe(&chain, "logs"));
    for reader in [heads, logs] {
        let mut waits = 0;
        while timeout(30 * MS, reader.begin()).await.is_err() {
            waits += 1;
            assert!(waits < 10, "it begins anew each time");
        }
        drop(reader);
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_begins_anew_is_read_on_from_its_newest_block() {
    let world = world(50);
    let chain = Arc::new(chain(&[node_of(&world)], None).await);
    let (heads, fresh) = (subscribe(&chain, "newHeads"), subscribe(&chain, "newHeads"));
    heads.begin().await.unwrap();
    world.lock().unwrap().mine(3);
    numbers(&heads, 3).await;
    fresh.begin().await.unwrap();
    world.lock().unwrap().part(50, 8);
    for reader in [&heads, &fresh] {
        let told = timeout(60 * SECOND, numbers(reader, 1)).await;
        assert_eq!(told.unwrap(), ["0xa"]);
    }
    world.lock().unwrap().mine(1);
    assert_eq!(timeout(5 * SECOND, numbers(&heads, 1)).await.unwrap(), ["0xb"]);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_disagree_are_asked_no_more_often() {
    let (world, other) = (world(50), world(50));
    other.lock().unwrap().part(6, 0);
    other.lock().unwrap().parents.insert("?".into(), (0, "?".into()));
    other.lock().unwrap().mine(3);
    let nodes = [node_of(&world), node_of(&other)];
    let chain = Arc::new(chain(&nodes, None).await);
    let heads = subscribe(&chain, "newHeads");
    heads.begin().await.unwrap();
    let asked = || nodes.iter().map(|node| node.asked("eth_getBlockByNumber")).sum::<usize>();
    let before = asked();
    let _ = timeout(60 * SECOND, read(&heads, "newHeads", Dice(1))).await;
    assert!(asked() - before < 800, "{} looks in a minute without a block", asked() - before);
}

#[tokio::test(start_paused = true)]
async fn null_for_the_logs_of_a_block_is_asked_for_again() {
    let world = world(5);
    let (say, times) = (Arc::clone(&world), Mutex::new(0));
    let node = Node::that(move |method, params| {
        let mut times = times.lock().unwrap();
        *times += u32::from(method == "eth_getLogs");
        if method == "eth_getLogs" && *times < 20 {
            return Say::Result(Value::Null);
        }
        say.lock().unwrap().say(method, params, 0)
    });
    let chain = Arc::new(chain(&[node], None).await);
    let logs = subscribe(&chain, "logs");
    logs.begin().await.unwrap();
    world.lock().unwrap().mine(1);
    assert_eq!(next(&logs).await["blockNumber"], "0x5");
}

#[tokio::test(start_paused = true)]
async fn pending_transactions_of_a_stranger_are_not_taken() {
    const MAKE: &str = "eth_newPendingTransactionFilter";
    let well = |method: &str, _: &Value| match method {
        MAKE => Say::Result(json!("0x1")),
        _ => Say::Result(json!(["0xabc"])),
    };
    let node = Node::that(well);
    let chain = Arc::new(chain(std::slice::from_ref(&node), None).await);
    let pending = subscribe(&chain, "newPendingTransactions");
    assert_eq!(next(&pending).await, "0xabc");
    node.on(|_, _| Say::Gone);
    tokio::time::sleep(5 * SECOND).await;
    *node.network.lock().unwrap() = "0x5";
    node.on(well);
    let asked = || (node.asked(MAKE), node.asked("eth_getFilterChanges"));
    let before = asked();
    // What had come before is read first.
    let mut end = None;
    for _ in 0..1000 {
        end = pending.next().await.err().map(|error| error.kind());
        if end.is_some() {
            break;
        }
    }
    assert_eq!((end, asked()), (Some(Kind::ChainMismatch), before));
    *node.network.lock().unwrap() = "0x1";
    assert_eq!(next(&pending).await, "0xabc");
}

#[tokio::test(start_paused = true)]
async fn a_block_that_follows_none_is_not_asked_for_without_a_pause() {
    let world = world(5);
    let node = node_of(&world);
    let chain = Arc::new(chain(std::slice::from_ref(&node), None).await);
    let heads = subscribe(&chain, "newHeads");
    heads.begin().await.unwrap();
    node.on(move |method, params| match params[0].as_str() {
        Some("latest" | "0x5") => {
            Say::Result(json!({"number": "0x5", "hash": "0xother", "parentHash": "0xnone"}))
        }
        _ => world.lock().unwrap().say(method, params, 0),
    });
    let before = node.asked("eth_getBlockByNumber");
    assert!(timeout(60 * SECOND, heads.next()).await.is_err());
    let asked = node.asked("eth_getBlockByNumber") - before;
    assert!(asked < 200, "{asked} looks in a minute");
}

#[tokio::test(start_paused = true)]
async fn logs_of_a_block_that_was_exchanged_are_given_up_whatever_a_node_calls_that() {
    let world = world(5);
    let node = node_of(&world);
    let chain = Arc::new(chain(std::slice::from_ref(&node), None).await);
    let logs = subscribe(&chain, "logs");
    logs.begin().await.unwrap();
    let (say, is_parted) = (Arc::clone(&world), AtomicBool::new(false));
    node.on(move |method, params| {
        let mut world = say.lock().unwrap();
        if method == "eth_getLogs" && !is_parted.swap(true, Ordering::Relaxed) {
            world.part(1, 3);
        }
        match world.say(method, params, 0) {
            Say::Error(..) => Say::Error(-32000, "it is none of mine"),
            good => good,
        }
    });
    world.lock().unwrap().mine(1);
    let refused = timeout(60 * SECOND, logs.next()).await.unwrap();
    assert_eq!(refused.err().unwrap().kind(), Kind::Rpc);
    tokio::time::sleep(5 * SECOND).await;
    for number in [5, 5, 7, 7] {
        let log = timeout(60 * SECOND, next(&logs)).await.unwrap();
        assert_eq!((&log["blockNumber"], &log["removed"]), (&json!(format!("{number:#x}")), &Value::Null));
    }
    assert!(node.asked("eth_getLogs") < 10, "{}", node.asked("eth_getLogs"));
}

#[tokio::test(start_paused = true)]
async fn logs_that_a_node_marks_as_those_of_a_block_that_was_exchanged_are_not_taken() {
    let world = world(5);
    let node = node_of(&world);
    let chain = Arc::new(chain(std::slice::from_ref(&node), None).await);
    let logs = subscribe(&chain, "logs");
    logs.begin().await.unwrap();
    let (say, is_parted) = (Arc::clone(&world), AtomicBool::new(false));
    // As Besu does it.
    node.on(move |method, params| {
        let mut world = say.lock().unwrap();
        let Some(hash) = params[0]["blockHash"].as_str() else { return world.say(method, params, 0) };
        if !is_parted.swap(true, Ordering::Relaxed) {
            world.part(1, 3);
        }
        let mut logs = world.logs(hash);
        for log in &mut logs {
            log["removed"] = (!world.blocks.iter().any(|block| block == hash)).into();
        }
        Say::Result(logs.into())
    });
    world.lock().unwrap().mine(1);
    let mut given = Vec::new();
    for _ in 0..4 {
        let log = timeout(60 * SECOND, next(&logs)).await.unwrap();
        assert_eq!(log["removed"], false);
        given.push(log["blockHash"].clone());
    }
    let world = world.lock().unwrap();
    assert_eq!(given, [5, 5, 7, 7].map(|number| &*world.blocks[number]));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_never_has_the_logs_of_its_blocks_is_asked_less_and_less_often() {
    let world = world(5);
    let node = node_of(&world);
    let chain = Arc::new(chain(std::slice::from_ref(&node), None).await);
    let logs = subscribe(&chain, "logs");
    logs.begin().await.unwrap();
    let say = Arc::clone(&world);
    node.on(move |method, params| match method {
        "eth_getLogs" => Say::Error(-32000, "unknown block"),
        _ => say.lock().unwrap().say(method, params, 0),
    });
    world.lock().unwrap().mine(20);
    assert!(timeout(60 * SECOND, logs.next()).await.is_err());
    let asked = node.asked("eth_getLogs");
    assert!(asked < 400, "{asked} questions in a minute");
    let well = Arc::clone(&world);
    node.on(move |method, params| well.lock().unwrap().say(method, params, 0));
    assert_eq!(timeout(60 * SECOND, next(&logs)).await.unwrap()["blockNumber"], "0x5");
}

#[tokio::test(start_paused = true)]
async fn who_has_got_something_is_not_made_to_wait_longer_the_next_time() {
    let world = world(5);
    let node = node_of(&world);
    let chain = Arc::new(chain(std::slice::from_ref(&node), None).await);
    let heads = subscribe(&chain, "newHeads");
    heads.begin().await.unwrap();
    let (say, seen) = (Arc::clone(&world), Mutex::new(std::collections::HashSet::new()));
    // It lacks each block for the first time.
    node.on(move |method, params| match params[0].as_str() {
        Some(number) if number != "latest" && seen.lock().unwrap().insert(number.to_owned()) => {
            Say::Result(Value::Null)
        }
        _ => say.lock().unwrap().say(method, params, 0),
    });
    for _ in 0..20 {
        tokio::time::sleep(4 * SECOND).await;
        world.lock().unwrap().mine(2);
        // It is looked for within a second.
        timeout(1200 * MS, numbers(&heads, 2)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_failure_that_does_not_pass_a_reader_is_told_once() {
    let world = world(5);
    let node = node_of(&world);
    let chain = Arc::new(chain(std::slice::from_ref(&node), None).await);
    let heads = subscribe(&chain, "newHeads");
    heads.begin().await.unwrap();
    node.on(|_, _| Say::Status(401));
    let before = node.asked("eth_getBlockByNumber");
    for number in 1..=20 {
        let told = timeout(60 * SECOND, heads.next()).await.unwrap();
        assert_eq!(told.err().unwrap().kind(), Kind::Authentication);
        assert_eq!(node.asked("eth_getBlockByNumber") - before, number);
    }
    let well = Arc::clone(&world);
    node.on(move |method, params| well.lock().unwrap().say(method, params, 0));
    world.lock().unwrap().mine(1);
    assert_eq!(timeout(60 * SECOND, numbers(&heads, 1)).await.unwrap(), ["0x5"]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_who_follows_the_chain_is_told_as_often_as_somebody_asks() {
    let node = node_of(&world(5));
    let chain = Arc::new(chain(std::slice::from_ref(&node), None).await);
    let heads = subscribe(&chain, "newHeads");
    heads.begin().await.unwrap();
    node.on(|_, _| unreachable!("he fails in a way that nobody has thought of"));
    for _ in 0..3 {
        let end = timeout(60 * SECOND, heads.next()).await.unwrap();
        assert_eq!(end.err().unwrap().kind(), Kind::PoolClosed);
    }
}
