"""Several processes keep to one limit together, through a Redis or Valkey server.

    redis-server --port 6379 &
    python examples/shared_limit.py redis://127.0.0.1:6379/0

Each worker takes as much as it gets. At the end you see who had how much, and that no second held too much.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import time

from genesis_replicator import LimiterTimeoutError, RateLimiter

WORKERS = 4
RATE = 500
SECONDS = 3.0


async def take(limiter: RateLimiter, until: float, stamps: list[float]) -> None:
    """What would be a request to a node here is a note of when it would have been sent."""
    while (left := until - time.monotonic()) > 0:
        try:
            await limiter.acquire(timeout=left)
        except LimiterTimeoutError:
            return
        stamps.append(time.monotonic())


async def use(url: str) -> list[float]:
    """One worker: the limiter is made here, because nothing of it survives a fork."""
    limiter = RateLimiter(RATE, 1.0, shared=url, name="example")
    stamps: list[float] = []
    until = time.monotonic() + SECONDS
    await asyncio.gather(*[take(limiter, until, stamps) for _ in range(50)])
    return stamps


def work(url: str) -> list[float]:
    """The same, for a process pool."""
    return asyncio.run(use(url))


def main(url: str) -> None:
    """Run the workers and count."""
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        shares = pool.map(work, [url] * WORKERS)
    for number, stamps in enumerate(shares):
        print(f"worker {number}: {len(stamps)} admissions")
    stamps = sorted(stamp for share in shares for stamp in share)
    # A note is made a moment after its admission, so the second in which they are counted is a little short.
    most = max(sum(first <= stamp < first + 0.9 for stamp in stamps) for first in stamps[:: RATE // 50])
    print(f"together: {len(stamps)}, at most {most} in a second; the limit is {RATE}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "redis://127.0.0.1:6379/0")
