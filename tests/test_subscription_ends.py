"""What ends a subscription, and what does not: cancelled waits, the chain, the last of the readers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from typing import Any

import pytest

from genesis_replicator import (
    ChainManager,
    PoolClosedError,
)
from servers.devnet import Devnet
from servers.readers import counted, subscriptions, take
from servers.wait import until


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
    assert await counted(eth, "subscriptions") == 1
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
    await until(lambda: subscriptions(eth) == 0)
    await asyncio.sleep(0.1)
    metrics = await eth.get_pool_metrics()
    assert metrics["in_flight_requests"] == 0
    await asyncio.sleep(0.3)
    assert (await eth.get_pool_metrics())["requests"] == metrics["requests"]
    assert net.head == 3
