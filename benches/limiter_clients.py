"""One rate limiter in a process of its own: how long it takes where there is room, and what waiting costs.

`python limiter_clients.py NAME uncontended|waiting` prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Protocol

#: A rate that is never reached.
PLENTY = 100_000_000
#: The load of those who wait: so many tasks that come again and again, on so many calls a second.
WAITERS, RATE = 10_000, 5_000
#: Seconds that the loop without waiting takes, and how often it looks at the clock.
LASTING, ROUND = 0.4, 1000
#: Seconds until the first burst is over, and for which the waiting is measured.
SETTLING, MEASURED = 1.5, 2.0

#: Waits until one call may go on.
Acquire = Callable[[], Awaitable[object]]


class Block(Protocol):
    """What `async with` takes."""

    def __aenter__(self) -> Awaitable[object]:
        """Waits."""

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Awaitable[object]:
        """Ends."""


def ours(rate: int) -> Block:
    """The one of this package."""
    from genesis_replicator import RateLimiter

    return RateLimiter(rate, 1.0)


def aiolimiter(rate: int) -> Block:
    """A leaky bucket in Python."""
    from aiolimiter import AsyncLimiter

    limiter: Block = AsyncLimiter(rate, 1.0)
    return limiter


def semaphore(_: int) -> Block:
    """Limits no rate: what the standard library's lock costs."""
    return asyncio.Semaphore(PLENTY)


class Bare:
    """Limits in the simplest way that wakes so many tasks a second: one timer, and a future for each."""

    def __init__(self, rate: int) -> None:
        """The first second has its calls, too."""
        self.rate, self.left, self.loop = rate, rate, asyncio.get_running_loop()
        self.queue: deque[asyncio.Future[None]] = deque()
        self.loop.call_later(1.0, self.wake)

    def wake(self) -> None:
        """The next ones."""
        self.loop.call_later(1.0, self.wake)
        for _ in range(min(self.rate, len(self.queue))):
            self.queue.popleft().set_result(None)

    async def acquire(self) -> None:
        """Wait for the turn."""
        if self.left:
            self.left -= 1
            return
        future = self.loop.create_future()
        self.queue.append(future)
        await future


def bare(rate: int) -> Acquire:
    """No limiter, but what waking tasks costs asyncio itself."""
    return Bare(rate).acquire


def pyrate(rate: int) -> Acquire:
    """A list of what was admitted, in Python."""
    from pyrate_limiter import Duration, Limiter, Rate

    acquire: Acquire = Limiter(Rate(rate, Duration.SECOND)).try_acquire_async
    return acquire


def limits(rate: int) -> Acquire:
    """It only refuses, so who is refused sleeps for as long as it says."""
    from limits import RateLimitItemPerSecond
    from limits.aio.storage import MemoryStorage
    from limits.aio.strategies import MovingWindowRateLimiter

    strategy, item = MovingWindowRateLimiter(MemoryStorage()), RateLimitItemPerSecond(rate)

    async def acquire() -> None:
        while not await strategy.hit(item, "key"):
            stats = await strategy.get_window_stats(item, "key")
            await asyncio.sleep(max(0.001, stats.reset_time - time.time()))

    return acquire


def throttled(rate: int) -> Acquire:
    """Its default algorithm, with a timeout that lets it wait."""
    from throttled.asyncio import MemoryStore, Throttled, per_sec

    limit: Acquire = Throttled(key="key", quota=per_sec(rate), store=MemoryStore(), timeout=60).limit
    return limit


BLOCKS = {"genesis-replicator": ours, "aiolimiter": aiolimiter, "asyncio.Semaphore": semaphore}
CALLS = {"bare futures": bare, "pyrate-limiter": pyrate, "limits": limits, "throttled-py": throttled}


async def uncontended(name: str) -> dict[str, float]:
    """Nanoseconds of CPU for one call that finds room."""
    count, start = 0, time.process_time()
    if name in BLOCKS:
        block = BLOCKS[name](PLENTY)
        while time.process_time() - start < LASTING:
            for _ in range(ROUND):
                async with block:
                    pass
            count += ROUND
    else:
        acquire = CALLS[name](PLENTY)
        while time.process_time() - start < LASTING:
            for _ in range(ROUND):
                await acquire()
            count += ROUND
    return {"ns": (time.process_time() - start) / count * 1e9}


async def waiting(name: str) -> dict[str, float]:
    """CPU for one call, calls per second, and the fullest second, of many tasks that always wait."""
    stamps: list[float] = []

    async def enter(block: Block) -> None:
        while True:
            async with block:
                stamps.append(time.perf_counter())

    async def call(acquire: Acquire) -> None:
        while True:
            await acquire()
            stamps.append(time.perf_counter())

    if name in BLOCKS:
        block = BLOCKS[name](RATE)
        waiters = [asyncio.create_task(enter(block)) for _ in range(WAITERS)]
    else:
        acquire = CALLS[name](RATE)
        waiters = [asyncio.create_task(call(acquire)) for _ in range(WAITERS)]
    await asyncio.sleep(SETTLING)
    cpu, start, before = time.process_time(), time.perf_counter(), len(stamps)
    await asyncio.sleep(MEASURED)
    cpu, took, calls = time.process_time() - cpu, time.perf_counter() - start, len(stamps) - before
    for waiter in waiters:
        waiter.cancel()
    await asyncio.gather(*waiters, return_exceptions=True)
    return {"us": cpu / calls * 1e6, "rate": calls / took, "fullest": fullest_second(stamps)}


def fullest_second(stamps: list[float]) -> int:
    """The most calls that went on in any second."""
    stamps.sort()
    most = first = 0
    for last, stamp in enumerate(stamps):
        while stamp - stamps[first] >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


if __name__ == "__main__":
    work = {"uncontended": uncontended, "waiting": waiting}[sys.argv[2]]
    print(json.dumps(asyncio.run(work(sys.argv[1]))))
