"""After a storm of cancellations a client is as good as new."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from genesis_replicator import ChainManager
from genesis_replicator.testing import FaultServer, Reply
from servers.wait import soon, until

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
