"""Items that are there, and large ones: the loop has its turn, and whoever is cancelled takes nothing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from genesis_replicator import ChainManager
from genesis_replicator.testing import FaultServer, Reply
from servers.blocks import Blocks
from servers.wait import until
from servers.watched import Watched

#: Many times what one slice can hold.
LOGS = [
    {"blockNumber": "0x0", "blockHash": "0x00", "logIndex": hex(index), "data": "0x" + "ab" * 32}
    for index in range(60_000)
]
COUNT = 20

#: An iterator of the results that are asked for.
Items = Callable[[ChainManager, FaultServer], Awaitable[Any]]


async def large_result(chain: ChainManager, node: FaultServer) -> Any:
    node.on("large", Reply(raw_result=json.dumps(LOGS)))
    return chain.stream("eth", [("large", [])])


async def large_piece(chain: ChainManager, node: FaultServer) -> Any:
    node.on("eth_getLogs", Reply(raw_result=json.dumps(LOGS)))
    return chain.stream_logs("eth", {"fromBlock": 0, "toBlock": 0})


async def large_head(chain: ChainManager, node: FaultServer) -> Any:
    blocks = Blocks(node, own=LOGS)
    heads = chain.subscribe("eth", "newHeads")
    await heads.__aenter__()
    blocks.head += 1
    return heads


LARGE = pytest.mark.parametrize("items", [large_result, large_piece, large_head])


@LARGE
async def test_the_loop_has_its_turn_while_a_large_item_is_decoded(
    chain: ChainManager, node: FaultServer, items: Items
) -> None:
    watched = Watched((await items(chain, node)).__anext__())
    await watched
    assert watched.turns > 1


@LARGE
async def test_an_item_whose_decoding_is_cancelled_is_the_next_one_again(
    chain: ChainManager, node: FaultServer, items: Items
) -> None:
    iterator = await items(chain, node)
    call = iterator.__anext__()
    inner, turns = call.__await__(), 0
    # With the second turn of the loop some of it is decoded.
    while turns < 2:
        yielded = inner.send(None)
        turns += yielded is None
        while yielded and not yielded.done():
            await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        call.throw(asyncio.CancelledError())
    item = await iterator.__anext__()
    if items is large_head:
        assert item["number"] == "0x6"
        assert item["own"] == LOGS
    else:
        assert item[1] == LOGS


async def slow_turns(iterator: Any) -> int:
    """How often the loop had its turn while so many items, which are all there, are read by somebody slow."""
    turns = 0
    for _ in range(COUNT):
        watched = Watched(iterator.__anext__())
        await watched
        turns += watched.turns
        end = time.perf_counter() + 0.003
        while time.perf_counter() < end:
            pass
    return turns


async def test_whoever_reads_results_that_are_there_gives_the_loop_its_turn(
    chain: ChainManager, node: FaultServer
) -> None:
    stream = chain.stream("eth", [("echo", [number]) for number in range(COUNT + 1)], concurrency=COUNT + 1)
    await stream.__anext__()
    await until(lambda: node.calls("echo") == COUNT + 1)
    await asyncio.sleep(0.1)
    assert await slow_turns(stream) >= COUNT - 1


async def test_whoever_reads_heads_that_are_there_gives_the_loop_its_turn(
    chain: ChainManager, node: FaultServer
) -> None:
    blocks = Blocks(node)
    async with chain.subscribe("eth", "newHeads") as heads:
        blocks.head += COUNT + 1
        await heads.__anext__()
        assert await slow_turns(heads) >= COUNT - 1


#: One thread asks for items of a chain that is not there, another looks at the subscription.
TWO_THREADS = """
import asyncio, sys, threading
from genesis_replicator import ChainManager, UnknownChainError
sys.setswitchinterval(1e-6)

async def main():
    async with ChainManager() as manager:
        subscription, is_over = manager.subscribe("nobody", "newHeads"), threading.Event()
        def look():
            while not is_over.is_set():
                subscription.missed
        looker = threading.Thread(target=look)
        looker.start()
        for _ in range(20_000):
            try:
                await subscription.__anext__()
            except UnknownChainError:
                pass
        is_over.set()
        looker.join()

asyncio.run(main())
"""


def test_threads_that_share_a_subscription_do_not_stop_each_other() -> None:
    subprocess.run([sys.executable, "-c", TWO_THREADS], check=True, timeout=40)
