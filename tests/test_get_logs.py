"""Logs of any number of blocks: complete and in order, whatever the node takes at a time."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Any

import pytest

from genesis_replicator import (
    ChainManager,
    ConfigurationError,
    NodeBehindError,
    ProtocolError,
    RangeTooLargeError,
    RequestTimeoutError,
    RpcError,
    UnknownChainError,
)
from genesis_replicator.testing import FaultServer, Reply
from servers.ledger import Ledger

NewNode = Callable[[], FaultServer]
ALL = {"fromBlock": 0, "toBlock": "latest"}


@pytest.fixture(scope="module")
def long() -> Ledger:
    """100,000 blocks: quiet ones, busy ones, and a few that are full."""
    return Ledger(
        [
            2_500 if block % 20_000 == 7 else 30 if 40_000 <= block < 41_000 else int(block % 5 == 0)
            for block in range(100_000)
        ]
    )


@pytest.fixture
def small() -> Ledger:
    """100 blocks with three logs each."""
    return Ledger([3] * 100)


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"most_blocks": 2_000, "refusal": "exceed maximum block range: 2000"},
        {"most_blocks": 2_000},
        {"most_logs": 10_000},
        {"most_logs": 10_000, "is_silent": True},
        {"most_blocks": 2_000, "most_logs": 10_000, "is_silent": True},
    ],
    ids=str,
)
async def test_a_hundred_thousand_blocks_come_whole_through_any_limit(
    limits: dict[str, Any], long: Ledger, chain: ChainManager, node: FaultServer
) -> None:
    asked: list[int] = []
    long.serve(node, asked=asked, **limits)
    assert await chain.get_logs("eth", ALL) == long.logs(0, long.head)
    assert len(asked) <= 250, asked


async def test_nodes_with_different_limits_give_the_whole_together(
    long: Ledger, manager: ChainManager, new_node: NewNode
) -> None:
    narrow, short = new_node(), new_node()
    asked: list[int] = []
    long.serve(narrow, most_blocks=2_000, refusal="exceed maximum block range: 2000", asked=asked)
    long.serve(short, most_logs=10_000, is_silent=True)
    await manager.connect_to_chain("eth", [narrow.url, short.url])
    assert await manager.get_logs("eth", ALL) == long.logs(0, long.head)


async def test_a_limit_that_was_told_is_remembered(
    long: Ledger, chain: ChainManager, node: FaultServer
) -> None:
    asked: list[int] = []
    long.serve(node, most_blocks=2_000, refusal="exceed maximum block range: 2000", asked=asked)
    await chain.get_logs("eth", {"fromBlock": 0, "toBlock": 9_999})
    assert max(asked) > 2_000
    asked.clear()
    await chain.get_logs("eth", {"fromBlock": 10_000, "toBlock": 39_999})
    assert 1_900 < max(asked) <= 2_000


async def test_who_takes_many_blocks_is_asked_for_them(
    long: Ledger, manager: ChainManager, new_node: NewNode
) -> None:
    narrow, wide = new_node(), new_node()
    asked: list[int] = []
    long.serve(narrow, most_blocks=10, refusal="exceed maximum block range: 10", asked=asked)
    long.serve(wide)
    await manager.connect_to_chain("eth", [narrow.url, wide.url])
    assert await manager.get_logs("eth", ALL) == long.logs(0, long.head)
    # Once before it has told, and once more if that was when another was late.
    assert len(asked) <= 2, asked


async def test_a_node_that_lacks_the_newest_blocks_is_not_believed(
    small: Ledger, manager: ChainManager, new_node: NewNode
) -> None:
    behind, ahead = new_node(), new_node()
    # Not by so much that it would be set aside for it, and quicker where it matters.
    small.serve(behind, head=97)
    behind.on("eth_blockNumber", Reply("0x61", delay=0.02))
    small.serve(ahead, before=lambda first, last: Reply(small.logs(first, last), delay=0.02))
    await manager.connect_to_chain("eth", [behind.url, ahead.url])
    for _ in range(30):
        pieces = manager.stream_logs("eth", {"fromBlock": 0, "toBlock": 99})
        logs = [log async for _, found in pieces for log in found]
        # Who tells what the newest block is may be the one behind.
        assert pieces.blocks is not None
        assert logs == small.logs(0, pieces.blocks.stop - 1)


async def test_nobody_has_the_blocks_any_more(
    small: Ledger, manager: ChainManager, new_node: NewNode
) -> None:
    first, second = new_node(), new_node()
    for node in first, second:
        small.serve(node, head=50)
        node.on("eth_blockNumber", Reply("0x63"), Reply("0x63"), Reply("0x32"))
    await manager.connect_to_chain("eth", [first.url, second.url])
    # Both told of block 99 once, and have 50 now.
    try:
        logs = await manager.get_logs("eth", ALL)
    except NodeBehindError:
        return
    assert logs == small.logs(0, 50)


async def test_pieces_come_in_order_and_are_all_there_is(
    small: Ledger, chain: ChainManager, node: FaultServer
) -> None:
    def late(first: int, last: int) -> Reply | None:
        return Reply(small.logs(first, last), delay=0.1) if first == 0 and last < 7 else None

    small.serve(node, most_blocks=7, before=late)
    pieces = chain.stream_logs("eth", {"fromBlock": 0, "toBlock": 60})
    assert pieces.blocks is None
    end = 0
    async for blocks, logs in pieces:
        assert pieces.blocks == range(61)
        assert blocks.start == end
        end = blocks.stop
        assert logs == small.logs(blocks.start, blocks.stop - 1)
    assert end == 61
    with pytest.raises(StopAsyncIteration):
        await anext(pieces)


async def test_progress_is_told(small: Ledger, chain: ChainManager, node: FaultServer) -> None:
    small.serve(node, most_blocks=10)
    told: list[tuple[int, int]] = []
    await chain.get_logs(
        "eth", {"fromBlock": 20, "toBlock": 79}, on_progress=lambda done, all_: told.append((done, all_))
    )
    assert told == sorted(told)
    assert len(told) > 5
    assert told[-1] == (60, 60)


async def test_an_error_of_the_callback_ends_the_search(
    small: Ledger, chain: ChainManager, node: FaultServer
) -> None:
    small.serve(node)
    with pytest.raises(ZeroDivisionError):
        await chain.get_logs("eth", ALL, on_progress=lambda *_: 1 // 0)


@pytest.mark.parametrize(
    ("edges", "found"),
    [
        ({}, (99, 99)),
        ({"fromBlock": "earliest", "toBlock": "0x9"}, (0, 9)),
        ({"fromBlock": 90}, (90, 99)),
        ({"fromBlock": "0x5A", "toBlock": 1_000_000}, (90, 99)),
        ({"fromBlock": "finalized", "toBlock": "safe"}, (60, 80)),
    ],
)
async def test_edges_are_numbers_or_names(
    edges: dict[str, Any], found: tuple[int, int], small: Ledger, chain: ChainManager, node: FaultServer
) -> None:
    small.serve(node)
    named = {"finalized": "0x3c", "safe": "0x50"}
    node.on("eth_getBlockByNumber", lambda params: {"number": named[params[0]], "hash": "0x1"})
    assert await chain.get_logs("eth", edges) == small.logs(*found)


async def test_nothing_is_searched_beyond_the_head(
    small: Ledger, chain: ChainManager, node: FaultServer
) -> None:
    small.serve(node)
    pieces = chain.stream_logs("eth", {"fromBlock": 100, "toBlock": 200})
    assert [piece async for piece in pieces] == []
    assert node.calls("eth_getLogs") == 0


async def test_addresses_and_topics_go_along(small: Ledger, chain: ChainManager, node: FaultServer) -> None:
    small.serve(node)
    seen: list[Any] = []
    node.on("eth_getLogs", lambda params: seen.append(params) or [])
    await chain.get_logs(
        "eth", {"address": [b"\x01" * 20], "topics": [None, ["0x2"]], "fromBlock": 5, "toBlock": 6}
    )
    expected = {
        "address": ["0x" + "01" * 20],
        "topics": [None, ["0x2"]],
        "fromBlock": "0x5",
        "toBlock": "0x6",
    }
    assert seen == [[expected]]


@pytest.mark.parametrize(
    ("logs", "why"),
    [
        (None, "list of logs"),
        ({}, "list of logs"),
        ([{"blockNumber": "0x64", "logIndex": "0x0"}], "a log of block 100"),
        ([{"blockNumber": "0x2", "logIndex": "0x1"}, {"blockNumber": "0x2", "logIndex": "0x0"}], "order"),
        ([{"blockNumber": None}], "invalid type"),
    ],
)
async def test_other_logs_than_those_that_were_asked_for_are_refused(
    logs: Any, why: str, small: Ledger, chain: ChainManager, node: FaultServer
) -> None:
    small.serve(node)
    node.on("eth_getLogs", Reply(logs))
    with pytest.raises(ProtocolError, match=why):
        await chain.get_logs("eth", {"fromBlock": 0, "toBlock": 9})


@pytest.mark.parametrize("how", ["silent", "told"])
async def test_a_block_with_more_logs_than_the_node_gives_is_told(
    how: str, chain: ChainManager, node: FaultServer
) -> None:
    Ledger([1, 1, 2_500, 1]).serve(node, most_logs=1_000, is_silent=how == "silent")
    with pytest.raises(RangeTooLargeError, match=r"block 2 has more logs|more than 1000"):
        await chain.get_logs("eth", ALL)


async def test_an_answer_that_is_too_long_is_asked_for_in_parts(
    manager: ChainManager, node: FaultServer
) -> None:
    ledger = Ledger([5] * 400)
    ledger.serve(node)
    await manager.connect_to_chain("eth", node.url, max_response_bytes=50_000)
    assert await manager.get_logs("eth", ALL) == ledger.logs(0, 399)


async def test_other_errors_are_the_callers(small: Ledger, chain: ChainManager, node: FaultServer) -> None:
    small.serve(node, most_blocks=10)
    node.on("eth_getLogs", Reply(error={"code": -32000, "message": "invalid topic"}))
    pieces = chain.stream_logs("eth", ALL)
    with pytest.raises(RpcError, match="invalid topic"):
        await anext(pieces)
    with pytest.raises(StopAsyncIteration):
        await anext(pieces)


@pytest.mark.parametrize(
    ("given", "argument"),
    [
        ({"filter_params": 7}, "filter_params"),
        ({"filter_params": {"blockHash": "0x1"}}, "filter_params"),
        ({"filter_params": {"fromBlock": 5, "toBlock": 4}}, "filter_params"),
        ({"filter_params": {"fromBlock": "pending"}}, "filter_params"),
        ({"filter_params": {"address": object()}}, "params"),
        ({"filter_params": {}, "concurrency": 0}, "concurrency"),
        ({"filter_params": {}, "timeout": -1}, "timeout"),
    ],
)
async def test_bad_arguments_are_named(given: dict[str, Any], argument: str, chain: ChainManager) -> None:
    with pytest.raises(ConfigurationError, match=argument) as caught:
        await chain.get_logs("eth", **given)
    assert caught.value.details["argument"] == argument
    with pytest.raises(ConfigurationError, match=argument):
        chain.stream_logs("eth", **given)


async def test_the_label_must_be_connected(chain: ChainManager) -> None:
    with pytest.raises(UnknownChainError):
        await chain.get_logs("other", {})


async def test_all_of_it_ends_by_its_deadline(small: Ledger, chain: ChainManager, node: FaultServer) -> None:
    small.serve(node, most_blocks=10, before=lambda first, _: Reply(hold=True) if first >= 50 else None)
    with pytest.raises(RequestTimeoutError):
        await chain.get_logs("eth", ALL, timeout=0.3)


async def test_a_cancelled_reader_loses_nothing(
    small: Ledger, chain: ChainManager, node: FaultServer
) -> None:
    small.serve(node, most_blocks=3)
    pieces = chain.stream_logs("eth", ALL)
    logs: list[Any] = []
    for turn in range(200):
        task = asyncio.ensure_future(pieces.__anext__())
        await asyncio.sleep(0)
        if turn % 2:
            # The piece comes while the loop is busy, and then the task is cancelled.
            time.sleep(0.005 * (turn < 20))  # noqa: ASYNC251
            task.cancel()
        try:
            logs += (await task)[1]
        except asyncio.CancelledError:
            continue
        except StopAsyncIteration:
            break
    assert logs == small.logs(0, 99)


@pytest.mark.parametrize("how", ["aclose", "drop", "cancel"])
async def test_the_end_of_the_reader_is_the_end_of_its_requests(
    how: str, small: Ledger, chain: ChainManager, node: FaultServer
) -> None:
    small.serve(node, most_blocks=10, before=lambda first, _: Reply(hold=True) if first >= 50 else None)
    pieces = chain.stream_logs("eth", ALL)
    await anext(pieces)
    if how == "cancel":
        task = asyncio.create_task(chain.get_logs("eth", ALL))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    if how == "drop":
        del pieces
        gc.collect()
    else:
        await pieces.aclose()
    assert (await chain.get_pool_metrics("eth"))["in_flight_requests"] == 0


async def test_logs_of_a_real_node(manager: ChainManager, anvil: str) -> None:
    await manager.connect_to_chain("eth", anvil)
    sender = (await manager.request("eth", "eth_accounts"))[0]
    start = int(await manager.request("eth", "eth_blockNumber"), 16) + 1
    # The code logs nothing at all, twice: LOG0 of no bytes.
    code = "0x60006000a060006000a000"
    for _ in range(5):
        await manager.request(
            "eth", "eth_sendTransaction", [{"from": sender, "data": code, "gas": "0x30000"}]
        )
        await manager.request("eth", "anvil_mine", ["0x5"])
    given = {"fromBlock": start, "toBlock": "latest"}
    expected = await manager.request("eth", "eth_getLogs", [{**given, "fromBlock": hex(start)}])
    assert len(expected) == 10
    assert await manager.get_logs("eth", given) == expected
