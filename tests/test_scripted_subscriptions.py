"""Subscriptions at nodes that do what a test says: laggards, refusals, filters that are forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from genesis_replicator import (
    ChainManager,
    ConfigurationError,
    HttpStatusError,
    MethodNotSupportedError,
    RequestTimeoutError,
    RpcError,
    UnknownChainError,
)
from genesis_replicator.testing import FaultServer, Reply
from servers.readers import counted, take
from servers.wait import until

NewNode = Callable[[], FaultServer]


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


async def test_readers_share_who_follows_the_chain(chain: ChainManager, node: FaultServer) -> None:
    block = {"number": "0x5", "hash": "0x05", "parentHash": "0x04"}
    node.on("eth_getBlockByNumber", Reply(block))
    readers = [chain.subscribe("eth", "newHeads") for _ in range(20)]
    await asyncio.gather(*(reader.__aenter__() for reader in readers))
    await asyncio.sleep(1)
    # Each looks once, and one of them four times a second, where nothing is known of the pace.
    assert node.calls("eth_getBlockByNumber") < 20 + 20
    assert await counted(chain, "subscriptions") == 20
    await asyncio.gather(*(reader.aclose() for reader in readers))
    assert await counted(chain, "subscriptions") == 0


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


async def test_a_filter_that_is_forgotten_is_made_anew(chain: ChainManager, node: FaultServer) -> None:
    made = iter(range(100))
    node.on("eth_newPendingTransactionFilter", lambda _: hex(next(made)))
    gone = Reply(error={"code": -32000, "message": "filter not found"})
    answers = iter([Reply(["0xa"]), gone, Reply(["0xb"]), gone, Reply(["0xc", "0xd"])])
    node.on("eth_getFilterChanges", lambda _: next(answers, []))
    async with chain.subscribe("eth", "newPendingTransactions") as pending:
        assert await take(pending, 4) == ["0xa", "0xb", "0xc", "0xd"]
        assert await counted(chain, "resubscriptions") == 2


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
        assert await counted(chain, "items_dropped") == slow.missed
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


async def test_who_comes_before_the_chain_may_try_again(chain: ChainManager, node: FaultServer) -> None:
    heads = chain.subscribe("late", "newHeads")
    logs = chain.stream_logs("late", {"fromBlock": 1, "toBlock": 2})
    for items in (heads, logs):
        for _ in range(2):
            with pytest.raises(UnknownChainError):
                await anext(items)
    await chain.connect_to_chain("late", node.url)
    node.on("eth_getBlockByNumber", Reply({"number": "0x5", "hash": "0x05", "parentHash": "0x04"}))
    async with heads:
        assert (await chain.get_pool_metrics("late"))["subscriptions"] == 1
    node.on("eth_getLogs", Reply([]))
    assert (await anext(logs))[1] == []
