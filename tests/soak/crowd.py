"""A crowd of tasks that wait for one pool, and are all cancelled at once."""

from __future__ import annotations

import asyncio
import time

from genesis_replicator import ChainManager
from soak.node import Urls
from soak.report import Part
from soak.watch import Usage, busy

TASKS = 10_000
CONNECTIONS = 10
#: Times that it is done: what is left by one crowd would add up.
TIMES = 5


async def run(urls: Urls) -> Part:
    """Crowd after crowd."""
    part = Part(f"{TASKS:,} tasks, all cancelled at once, {TIMES} times")
    async with ChainManager(max_connections=CONNECTIONS) as manager:
        await manager.connect_to_chain("node", urls.plain)
        for number in range(TIMES):
            before = Usage.now()
            tasks = [asyncio.ensure_future(manager.request("node", "stuck")) for _ in range(TASKS)]
            while (await manager.get_pool_metrics())["waiting_requests"] < TASKS - CONNECTIONS:
                await asyncio.sleep(0.01)
            crowded = Usage.now()
            begun = time.perf_counter()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            cancelled = time.perf_counter() - begun
            left = busy(await manager.get_pool_metrics())
            begun = time.perf_counter()
            async with manager.get_connection("node"):
                acquired = time.perf_counter() - begun
            del tasks, task
            part.tell(
                f"{number + 1}: KiB before, and for each task",
                f"{before.memory:,}, {(crowded.memory - before.memory) / TASKS:.2f}",
            )
            part.tell("all cancelled after", f"{cancelled * 1e3:.0f} ms")
            part.must(not (left.keys() - {"connecting"}), "in use and waiting", str(left or 0))
            part.must(acquired < 1.0, "the next acquire", f"{acquired * 1e3:.1f} ms")
    return part
