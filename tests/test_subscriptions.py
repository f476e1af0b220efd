"""Subscriptions: every head and every log once and in order, whatever the chain and the way to it do."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from genesis_replicator import (
    ChainManager,
    ConfigurationError,
    HttpStatusError,
    MethodNotSupportedError,
    PoolClosedError,
    RequestTimeoutError,
    RpcError,
    UnknownChainError,
)
from genesis_replicator.testing import FaultServer, Reply, ToxicProxy
from servers import devnet
from servers.devnet import Devnet
from servers.wait import until

NewNode = Callable[[], FaultServer]


@pytest.fixture
def net(anvil_command: str) -> Iterator[Devnet]:
    """A chain of this test's own, with three blocks."""
    with devnet.running(anvil_command) as net:
        net.mine(3)
        yield net


@pytest.fixture(params=["http", "ws"])
def url(request: pytest.FixtureRequest, net: Devnet) -> str:
    """Where it is, with and without sockets."""
    return net.url.replace("http", request.param)


@pytest.fixture
async def eth(manager: ChainManager, url: str) -> AsyncIterator[ChainManager]:
    """The manager, connected to it as "eth"."""
    await manager.connect_to_chain("eth", url)
    yield manager
    await manager.stop()


async def take(items: AsyncIterator[Any], count: int) -> list[Any]:
    """The next items."""
    async with asyncio.timeout(30):
        return [await anext(items) for _ in range(count)]


async def no_more(items: AsyncIterator[Any]) -> None:
    """Nothing comes for a while."""
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(anext(items), 0.3)


def without_removed(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is left when each log that was taken back is the last of those that are left."""
    left: list[dict[str, Any]] = []
    for log in logs:
        if log["removed"]:
            assert left.pop() == {**log, "removed": False}
        else:
            left.append(log)
    return left


async def test_heads_come_whole_and_in_order(eth: ChainManager, net: Devnet) -> None:
    async with eth.subscribe("eth", "newHeads") as heads:
        net.mine(40)
        got = await take(heads, 40)
        assert [head["hash"] for head in got] == net.hashes(4)
        net.mine(2)
        got += await take(heads, 2)
    for head in got:
        block = net.block(int(head["number"], 16))
        body = ("transactions", "uncles", "withdrawals", "size", "totalDifficulty")
        assert head == {name: value for name, value in block.items() if name not in body}


async def test_logs_come_once_and_in_order(eth: ChainManager, net: Devnet) -> None:
    async with eth.subscribe("eth", "logs") as logs:
        for count in (2, 0, 5, 1):
            net.mine(2, logs=count)
        assert await take(logs, 16) == net.logs(4)
        await no_more(logs)


async def test_logs_are_those_of_the_filter(eth: ChainManager, net: Devnet) -> None:
    topic = f"{2:#066x}"
    async with eth.subscribe("eth", "logs", {"topics": [topic]}) as logs:
        net.mine(3, logs=4)
        assert await take(logs, 3) == [log for log in net.logs(4) if log["topics"] == [topic]]
    address = net.logs(4)[0]["address"]
    async with eth.subscribe("eth", "logs", {"address": address}) as logs:
        net.mine(1, logs=4)
        await no_more(logs)


async def test_the_first_item_is_the_next_one(eth: ChainManager, net: Devnet) -> None:
    heads = eth.subscribe("eth", "newHeads")
    net.mine(2)
    first = asyncio.ensure_future(heads.__anext__())
    await until(lambda: _subscriptions(eth) == 1)
    net.mine(1)
    assert (await first)["hash"] == net.hashes(6)[0]


async def test_a_reader_begins_at_what_is_the_newest_block_then(
    chain: ChainManager, node: FaultServer
) -> None:
    head = 5

    def block(params: Any) -> Any:
        number = head if params[0] == "latest" else int(params[0], 16)
        return {"number": hex(number), "hash": hex(number), "parentHash": hex(number - 1)}

    node.on("eth_getBlockByNumber", block)
    async with chain.subscribe("eth", "newHeads") as early:
        head = 9
        # Nobody has heard of block 9 yet.
        async with chain.subscribe("eth", "newHeads") as late:
            head = 10
            assert [head["number"] for head in await take(early, 5)] == ["0x6", "0x7", "0x8", "0x9", "0xa"]
            assert [head["number"] for head in await take(late, 1)] == ["0xa"]


async def _counted(manager: ChainManager, name: str) -> Any:
    return (await manager.get_pool_metrics("eth"))[name]


@pytest.mark.parametrize("more", [0, 4], ids=["as long", "longer"])
async def test_a_branch_takes_the_place_of_another(more: int, eth: ChainManager, net: Devnet) -> None:
    async with eth.subscribe("eth", "newHeads") as heads, eth.subscribe("eth", "logs") as logs:
        net.mine(6, logs=2)
        old = net.hashes(4)
        given = await take(logs, 12)
        await take(heads, 6)
        net.exchange(4, logs=1)
        net.mine(more)
        got = await take(heads, 4 + more)
        assert [head["hash"] for head in got] == net.hashes(6)
        assert [head.get("replaces") for head in got] == [*old[2:], *[None] * more]
        given += await take(logs, 8 + 4)
        # The last one first.
        assert [log["removed"] for log in given] == [False] * 12 + [True] * 8 + [False] * 4
        assert without_removed(given) == net.logs(4)


async def test_a_shorter_branch_takes_the_place_of_another(eth: ChainManager, net: Devnet) -> None:
    async with eth.subscribe("eth", "newHeads") as heads, eth.subscribe("eth", "logs") as logs:
        net.mine(6, logs=2)
        old = net.hashes(4)
        await take(heads, 6)
        given = await take(logs, 12)
        net.roll_back(4)
        net.mine(2, logs=1)
        given += await take(logs, 8 + 2)
        assert without_removed(given) == net.logs(4)
        got = await take(heads, 2)
        net.mine(3)
        got += await take(heads, 3)
        assert [head["hash"] for head in got] == net.hashes(6)
        assert [head.get("replaces") for head in got] == [*old[2:], None]


async def test_a_slow_reader_misses_nothing(eth: ChainManager, net: Devnet) -> None:
    async with (
        eth.subscribe("eth", "newHeads") as slow,
        eth.subscribe("eth", "newHeads") as quick,
        eth.subscribe("eth", "logs") as logs,
    ):
        for _ in range(30):
            net.mine(1, logs=1)
            net.mine(9)
            await take(quick, 10)
        before = await _counted(eth, "requests")
        assert await take(logs, 30) == net.logs(4)
        # Far behind, blocks are not searched one by one.
        assert await _counted(eth, "requests") - before < 300 + 150
        assert [head["hash"] for head in await take(slow, 300)] == net.hashes(4)
        assert slow.missed == logs.missed == 0


async def test_a_slow_reader_hears_of_what_was_exchanged_meanwhile(eth: ChainManager, net: Devnet) -> None:
    async with eth.subscribe("eth", "logs") as logs, eth.subscribe("eth", "newHeads") as heads:
        net.mine(5, logs=2)
        given = await take(logs, 7)
        await take(heads, 5)
        net.exchange(4, logs=1)
        await take(heads, 4)
        while without_removed(given) != net.logs(4):
            given += await take(logs, 1)
        await no_more(logs)
        assert without_removed(given) == net.logs(4)


async def test_a_cancelled_reader_loses_nothing(eth: ChainManager, net: Devnet) -> None:
    async with eth.subscribe("eth", "newHeads") as heads, eth.subscribe("eth", "logs") as logs:
        got: list[list[Any]] = [[], []]
        for turn in range(120):
            if turn % 3 == 0 and turn < 60:
                net.mine(1, logs=3)
            for items, into in zip((heads, logs), got, strict=True):
                task = asyncio.ensure_future(items.__anext__())
                await asyncio.sleep(0.001 * (turn % 7))
                if turn % 2:
                    # The item comes while the loop is busy, and then the task is cancelled.
                    time.sleep(0.002)  # noqa: ASYNC251
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    into.append(await task)
        got[0] += await take(heads, 20 - len(got[0]))
        got[1] += await take(logs, 60 - len(got[1]))
        assert [head["hash"] for head in got[0]] == net.hashes(4)
        assert got[1] == net.logs(4)


@pytest.mark.parametrize("kind", ["newHeads", "logs", "newPendingTransactions"])
@pytest.mark.parametrize("how", ["disconnect", "stop"])
async def test_the_end_of_the_chain_ends_its_readers(
    how: str, kind: str, eth: ChainManager, net: Devnet
) -> None:
    items = eth.subscribe("eth", kind)
    async with items:
        waiting = asyncio.ensure_future(items.__anext__())
        await asyncio.sleep(0.1)
        await (eth.disconnect_from_chain("eth") if how == "disconnect" else eth.stop())
        for task in (waiting, items.__anext__()):
            with pytest.raises(PoolClosedError, match="'eth' was disconnected"):
                await asyncio.wait_for(task, 5)
    if how == "disconnect":
        metrics = await eth.get_pool_metrics()
        assert (metrics["subscriptions"], metrics["in_flight_requests"]) == (0, 0)
        # Nobody follows the chain any more.
        await asyncio.sleep(0.3)
        assert (await eth.get_pool_metrics())["requests"] == metrics["requests"]
    assert net.head == 3


@pytest.mark.parametrize("kind", ["newHeads", "logs", "newPendingTransactions"])
@pytest.mark.parametrize("how", ["aclose", "leave", "drop", "cancel"])
async def test_the_end_of_the_last_reader_ends_the_following(
    how: str, kind: str, eth: ChainManager, net: Devnet
) -> None:
    items = eth.subscribe("eth", kind)
    await items.__aenter__()
    assert await _counted(eth, "subscriptions") == 1
    waiting = asyncio.ensure_future(items.__anext__())
    await asyncio.sleep(0.05)
    if how == "aclose":
        await items.aclose()
        await items.aclose()
    elif how == "leave":
        await items.__aexit__(None, None, None)
    else:
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        if how == "drop":
            del items
            gc.collect()
        else:
            await items.aclose()
    if how in ("aclose", "leave"):
        for task in (waiting, items.__anext__()):
            with pytest.raises(StopAsyncIteration):
                await asyncio.wait_for(task, 5)
    await until(lambda: _subscriptions(eth) == 0)
    await asyncio.sleep(0.1)
    metrics = await eth.get_pool_metrics()
    assert metrics["in_flight_requests"] == 0
    await asyncio.sleep(0.3)
    assert (await eth.get_pool_metrics())["requests"] == metrics["requests"]
    assert net.head == 3


def _subscriptions(manager: ChainManager) -> int:
    # The metrics are there at once.
    coroutine = manager.get_pool_metrics("eth")
    try:
        coroutine.send(None)
    except StopIteration as end:
        return int(end.value["subscriptions"])
    raise AssertionError("the metrics had to be waited for")


async def test_readers_share_who_follows_the_chain(chain: ChainManager, node: FaultServer) -> None:
    block = {"number": "0x5", "hash": "0x05", "parentHash": "0x04"}
    node.on("eth_getBlockByNumber", Reply(block))
    readers = [chain.subscribe("eth", "newHeads") for _ in range(20)]
    await asyncio.gather(*(reader.__aenter__() for reader in readers))
    await asyncio.sleep(1)
    # Each looks once, and one of them four times a second, where nothing is known of the pace.
    assert node.calls("eth_getBlockByNumber") < 20 + 20
    assert await _counted(chain, "subscriptions") == 20
    await asyncio.gather(*(reader.aclose() for reader in readers))
    assert await _counted(chain, "subscriptions") == 0


async def test_a_node_that_lags_is_not_believed(manager: ChainManager, new_node: NewNode) -> None:
    """Two nodes of one chain: the one that is quicker with logs has the newest two blocks only later."""
    head = 10

    def serve(node: FaultServer, lag: int, blocks: float, logs: float) -> None:
        def block(params: Any) -> Any:
            number = head - lag if params[0] == "latest" else int(params[0], 16)
            there = number <= head - lag
            text = {"number": hex(number), "hash": f"0x{number:064x}", "parentHash": f"0x{number - 1:064x}"}
            return Reply(text if there else None, delay=blocks)

        def search(params: Any) -> Any:
            number = int(params[0]["blockHash"], 16)
            log = {"blockNumber": hex(number), "blockHash": f"0x{number:064x}", "logIndex": "0x0"}
            # It does not say that it does not know the block.
            return Reply([log] if number <= head - lag else [], delay=logs)

        node.on("eth_blockNumber", lambda _: Reply(hex(head - lag), delay=blocks))
        node.on("eth_getBlockByNumber", block)
        node.on("eth_getLogs", search)

    behind, ahead = new_node(), new_node()
    serve(behind, 2, 0.02, 0)
    serve(ahead, 0, 0, 0.02)
    await manager.connect_to_chain("eth", [behind.url, ahead.url], hedging=False)
    # Who is quicker is known.
    await manager.request_many("eth", [("eth_getLogs", [{"blockHash": "0x1"}])] * 20, concurrency=2)
    async with manager.subscribe("eth", "logs") as logs, manager.subscribe("eth", "newHeads") as heads:
        got: list[list[Any]] = [[], []]
        for _ in range(20):
            head += 1
            for items, into in zip((logs, heads), got, strict=True):
                into.extend(await take(items, 1))
        for into, name in zip(got, ("blockNumber", "number"), strict=True):
            numbers = [int(item[name], 16) for item in into]
            # It began where the one behind was, or the other.
            assert numbers[0] in (9, 10, 11)
            assert numbers == list(range(numbers[0], numbers[0] + 20))
            assert not any("replaces" in item for item in into)


async def test_an_outage_is_not_noticed(manager: ChainManager, net: Devnet, url: str) -> None:
    with ToxicProxy(url) as way:
        await manager.connect_to_chain("eth", way.url)
        async with manager.subscribe("eth", "newHeads") as heads, manager.subscribe("eth", "logs") as logs:
            net.mine(3, logs=1)
            await take(heads, 3)
            way.down()
            waiting = asyncio.ensure_future(heads.__anext__())
            net.mine(5, logs=1)
            await asyncio.sleep(0.5)
            assert not waiting.done()
            way.up()
            got = [await asyncio.wait_for(waiting, 20), *await take(heads, 4)]
            assert [head["hash"] for head in got] == net.hashes(7)
            assert await take(logs, 8) == net.logs(4)
        await manager.stop()


async def test_heads_and_logs_through_ways_that_are_cut(manager: ChainManager, net: Devnet, url: str) -> None:
    chance = random.Random(8)  # noqa: S311  # it is no secret
    with ToxicProxy(url) as one, ToxicProxy(url) as two:
        await manager.connect_to_chain("eth", [one.url, two.url])
        async with manager.subscribe("eth", "newHeads") as heads, manager.subscribe("eth", "logs") as logs:

            async def cut() -> None:
                while True:
                    way = chance.choice([one, two])
                    way.down()
                    await asyncio.sleep(0.02)
                    way.up()
                    await asyncio.sleep(chance.uniform(0, 0.1))

            async def chain() -> None:
                for turn in range(60):
                    await asyncio.to_thread(net.mine, 1, logs=turn % 3)
                    if turn % 20 == 19:
                        await asyncio.to_thread(net.exchange, 3, logs=1)

            cutting, mining = asyncio.ensure_future(cut()), asyncio.ensure_future(chain())
            given: list[Any] = []
            got: dict[int, str] = {}
            while not mining.done() or got.get(net.head) != net.hashes(net.head)[0]:
                head = await asyncio.wait_for(anext(heads), 30)
                number = int(head["number"], 16)
                assert got.get(number) == head.get("replaces")
                got[number] = head["hash"]
            await mining
            while without_removed(given) != net.logs(4):
                given += await take(logs, 1)
            cutting.cancel()
            assert list(got.values()) == net.hashes(4)
        await manager.stop()


async def test_an_error_that_does_not_pass_is_told_and_the_reader_may_go_on(
    chain: ChainManager, node: FaultServer
) -> None:
    head = 5

    def block(params: Any) -> Any:
        number = head if params[0] == "latest" else int(params[0], 16)
        return {"number": hex(number), "hash": f"0x{number}", "parentHash": f"0x{number - 1}"}

    node.on("eth_getBlockByNumber", block)
    node.on("eth_getLogs", Reply(error={"code": -32602, "message": "invalid topic"}))
    async with chain.subscribe("eth", "logs", {"topics": ["x"]}) as logs:
        head = 6
        with pytest.raises(RpcError, match="invalid topic"):
            await asyncio.wait_for(anext(logs), 5)
        log = {"blockNumber": "0x6", "blockHash": "0x6", "logIndex": "0x0"}
        node.on("eth_getLogs", Reply([log]))
        assert await take(logs, 1) == [log]


async def test_logs_of_another_block_are_not_taken(chain: ChainManager, node: FaultServer) -> None:
    head = 5

    def block(params: Any) -> Any:
        number = head if params[0] == "latest" else int(params[0], 16)
        return {"number": hex(number), "hash": hex(number), "parentHash": hex(number - 1)}

    log = {"blockNumber": "0x6", "blockHash": "0x6", "logIndex": "0x0"}
    stale = {**log, "blockHash": "0xb"}
    answers = iter([[stale], [log, {**stale, "logIndex": "0x1"}], [log]])
    node.on("eth_getBlockByNumber", block)
    node.on("eth_getLogs", lambda _: next(answers))
    async with chain.subscribe("eth", "logs") as logs:
        head = 6
        assert await take(logs, 1) == [log]
        assert next(answers, None) is None


async def test_pending_transactions_come(eth: ChainManager, net: Devnet) -> None:
    async with eth.subscribe("eth", "newPendingTransactions") as pending:
        sent = [
            net.ask("eth_sendTransaction", {"from": net.sender, "to": net.sender, "gas": "0x5208"})
            for _ in range(5)
        ]
        assert sorted(await take(pending, 5)) == sorted(sent)


async def test_a_filter_that_is_forgotten_is_made_anew(chain: ChainManager, node: FaultServer) -> None:
    made = iter(range(100))
    node.on("eth_newPendingTransactionFilter", lambda _: hex(next(made)))
    gone = Reply(error={"code": -32000, "message": "filter not found"})
    answers = iter([Reply(["0xa"]), gone, Reply(["0xb"]), gone, Reply(["0xc", "0xd"])])
    node.on("eth_getFilterChanges", lambda _: next(answers, []))
    async with chain.subscribe("eth", "newPendingTransactions") as pending:
        assert await take(pending, 4) == ["0xa", "0xb", "0xc", "0xd"]
        assert await _counted(chain, "resubscriptions") == 2


async def test_what_is_pushed_is_let_go_when_its_reader_is_slow(
    chain: ChainManager, node: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    node.on("eth_newPendingTransactionFilter", Reply("0x1"))
    node.on("eth_getFilterChanges", Reply([]))
    answers = iter([list(range(10)), list(range(10, 20))])
    async with (
        chain.subscribe("eth", "newPendingTransactions", buffer=3) as slow,
        chain.subscribe("eth", "newPendingTransactions") as other,
    ):
        node.on("eth_getFilterChanges", lambda _: next(answers, []))
        seen = await take(other, 10)
        await until(lambda: slow.missed >= 7)
        seen += await take(other, 20 - len(seen))
        assert seen[-1] == 19
        assert await take(slow, 3) == [17, 18, 19]
        assert slow.missed + 3 == 20
        assert other.missed == 0
        assert await _counted(chain, "items_dropped") == slow.missed
        assert node.calls("eth_newPendingTransactionFilter") == 1
    await until(lambda: "let go" in caplog.text)
    assert caplog.text.count("let go") == 1


async def test_other_kinds_need_a_socket(chain: ChainManager) -> None:
    for kind in ("syncing", "newPendingTransactions"):
        params = [True] if kind != "syncing" else None
        with pytest.raises(ConfigurationError, match="socket") as caught:
            await anext(chain.subscribe("eth", kind, params))
        assert caught.value.details["argument"] == "kind"
    with pytest.raises(ConfigurationError, match="socket"):
        async with chain.subscribe("eth", "slotSubscribe", unsubscribe="slotUnsubscribe"):
            pass


@pytest.mark.parametrize(
    ("given", "argument"),
    [
        ({"kind": ""}, "kind"),
        ({"kind": "logs", "params": 7}, "params"),
        ({"kind": "logs", "buffer": 0}, "buffer"),
        ({"kind": "x", "unsubscribe": ""}, "unsubscribe"),
    ],
)
async def test_bad_arguments_are_named(given: dict[str, Any], argument: str, chain: ChainManager) -> None:
    with pytest.raises(ConfigurationError, match=argument) as caught:
        chain.subscribe("eth", **given)
    assert caught.value.details["argument"] == argument


@pytest.mark.parametrize(
    ("kind", "params"),
    [("newHeads", [1]), ("logs", {"fromBlock": 1}), ("logs", [1])],
)
async def test_bad_params_are_told_when_it_begins(kind: str, params: Any, chain: ChainManager) -> None:
    with pytest.raises(ConfigurationError, match="params"):
        await anext(chain.subscribe("eth", kind, params))


async def test_who_cannot_begin_hears_why(node: FaultServer) -> None:
    async with ChainManager(request_timeout=0.5) as manager:
        await manager.connect_to_chain("eth", node.url, retries=0)
        for method, kind in (
            ("eth_getBlockByNumber", "newHeads"),
            ("eth_newPendingTransactionFilter", "newPendingTransactions"),
        ):
            node.on(method, Reply(status=503, body=b""))
            with pytest.raises(RequestTimeoutError) as caught:
                await anext(manager.subscribe("eth", kind))
            assert isinstance(caught.value.__cause__, HttpStatusError)
            node.on(method, Reply(error={"code": -32601, "message": "no such method"}))
            with pytest.raises(MethodNotSupportedError):
                await anext(manager.subscribe("eth", kind))


async def test_the_label_must_be_connected(chain: ChainManager) -> None:
    with pytest.raises(UnknownChainError):
        await anext(chain.subscribe("other", "newHeads"))
