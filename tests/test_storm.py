"""After a storm of cancellations a client is as good as new."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from genesis_replicator import ChainManager
from genesis_replicator.testing import FaultServer, Reply
from servers.wait import SOON, soon, until

CONNECTIONS = 10
#: Seconds of a storm. `make storm` goes on for longer, side by side with other clients.
STORM = 1.0
PAUSE = 0.005


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def first_use(node: FaultServer) -> None:
    """Have what the package makes once for all: its threads, and what they wait with."""
    async with ChainManager() as manager:
        await manager.connect_to_chain("eth", node.url, ca=node.ca)
    await until(lambda: node.open == 0)


async def caller(manager: ChainManager, number: int, longest: float) -> int:
    """Ask and be cancelled at random moments; how often."""
    cancelled = 0
    end = time.monotonic() + STORM
    while time.monotonic() < end:
        asking = asyncio.ensure_future(manager.request("eth", "pause", [number]))
        await asyncio.wait((asking,), timeout=random.uniform(0, longest))
        asking.cancel()
        try:
            assert await asking == [number]
        except asyncio.CancelledError:
            cancelled += 1
    return cancelled


@pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("callers", [20, 200])
async def test_after_a_storm_ten_of_ten_are_served_and_nothing_is_left(callers: int, protocol: str) -> None:
    http2 = protocol == "HTTP/2"
    with FaultServer(tls=http2, http2=http2) as node:
        node.on("pause", lambda params: Reply(params, delay=PAUSE))
        await first_use(node)
        before = descriptors()
        async with ChainManager(max_connections=CONNECTIONS) as manager:
            await manager.connect_to_chain("eth", node.url, ca=node.ca)
            longest = 2 * PAUSE * callers / CONNECTIONS
            cancelled = await asyncio.gather(*(caller(manager, n, longest) for n in range(callers)))
            plain = [manager.request("eth", "echo", [number]) for number in range(10)]
            assert await soon(asyncio.gather(*plain)) == [[number] for number in range(10)]
            metrics = await manager.get_pool_metrics()
            assert (metrics["active_connections"], metrics["waiting_requests"]) == (0, 0)
        assert sum(cancelled)
        # The server's side of the sockets is in this process too.
        await until(lambda: descriptors() <= before)


async def test_ten_thousand_tasks_that_are_cancelled_at_once_leave_nothing(
    chain: ChainManager, node: FaultServer
) -> None:
    node.on("stuck", Reply(hold=True))
    tasks = [asyncio.ensure_future(chain.request("eth", "stuck")) for _ in range(10_000)]
    await until(lambda: node.calls("stuck") == CONNECTIONS)
    async with asyncio.timeout(SOON):
        while (await chain.get_pool_metrics())["waiting_requests"] < len(tasks) - CONNECTIONS:
            await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert all(task.cancelled() for task in tasks)
    metrics = await chain.get_pool_metrics()
    assert (metrics["active_connections"], metrics["waiting_requests"]) == (0, 0)
    async with asyncio.timeout(SOON), chain.get_connection("eth") as connection:
        assert await connection.request("echo", [1]) == [1]
