"""A process of its own that uses a shared limit as fast as it may, and prints when it was admitted.

Started with a JSON object of arguments; says that it is ready; begins at the time that it then reads.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from genesis_replicator import RateLimiter


async def greedy(limiter: RateLimiter, until: float, stamps: list[float]) -> None:
    """Take one permit after the other."""
    while (left := until - time.monotonic()) > 0:
        try:
            await limiter.acquire(timeout=left)
        except TimeoutError:
            return
        stamps.append(time.monotonic())


async def main(arguments: dict[str, Any]) -> list[float]:
    """Work for a while with many tasks."""
    options = {key: arguments[key] for key in ("shared", "name", "on_outage")}
    limiter = RateLimiter(arguments["max_rate"], arguments["time_window"], **options)
    print("ready", flush=True)
    begin = float(sys.stdin.readline())
    await asyncio.sleep(begin - time.monotonic())
    stamps: list[float] = []
    tasks = [greedy(limiter, begin + arguments["seconds"], stamps) for _ in range(arguments["tasks"])]
    await asyncio.gather(*tasks)
    return stamps


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))))
