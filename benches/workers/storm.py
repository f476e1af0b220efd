"""A storm of cancellations: `python -m workers.storm TASK SECONDS` prints what it leaves of a client."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from workers.__main__ import opener
from workers.task import PAUSE, Aftermath, Ask, Task

#: Requests after the storm, all at once, and the seconds that each may take.
PLAIN = 10
PATIENCE = 10.0
#: Seconds in which the sockets of a client that was closed are closed too.
SETTLE = 0.5

#: How many connections are held and how many callers wait, as far as a client tells.
Levels = Callable[[], Awaitable[tuple[int | None, int | None]]]


@asynccontextmanager
async def opened(task: Task) -> AsyncIterator[tuple[Ask, Levels]]:
    """The client of the task, ready."""
    if task.client == "ours":
        from workers.ours import connected, pause

        async with connected(task) as manager:

            async def levels() -> tuple[int | None, int | None]:
                metrics = await manager.get_pool_metrics()
                return metrics["active_connections"], metrics["waiting_requests"]

            yield pause(manager), levels
    else:

        async def untold() -> tuple[int | None, int | None]:
            return None, None

        async with opener(task)(task) as ask:
            yield ask, untold


async def cancel_at_random(ask: Ask, task: Task, seconds: float) -> Counter[str]:
    """Let every caller ask and be cancelled, over and over; how its requests ended."""
    ends: Counter[str] = Counter()
    numbers = itertools.count(1)
    end = time.monotonic() + seconds
    # Twice what a request takes where all wait for their turn: about half of them are cancelled.
    longest = 2 * PAUSE / 1000 * max(1.0, task.in_flight / task.connections)

    async def caller() -> None:
        while time.monotonic() < end:
            asking = asyncio.ensure_future(ask(next(numbers)))
            await asyncio.wait((asking,), timeout=random.uniform(0, longest))
            asking.cancel()
            try:
                await asking
                ends["answered"] += 1
            except asyncio.CancelledError:
                ends["cancelled"] += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
                ends[type(error).__name__] += 1

    await asyncio.gather(*(caller() for _ in range(task.in_flight)))
    return ends


async def served(ask: Ask) -> list[float]:
    """The times of the plain requests that were answered."""

    async def one(number: int) -> float | None:
        begun = time.monotonic()
        try:
            await asyncio.wait_for(ask(number), PATIENCE)
        except Exception:  # noqa: BLE001 - it was not served
            return None
        return time.monotonic() - begun

    times = await asyncio.gather(*(one(number) for number in range(PLAIN)))
    return [seconds for seconds in times if seconds is not None]


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def storm(task: Task, seconds: float) -> Aftermath:
    """The client before, in and after the storm."""
    # What a client makes once for all, like a thread of its own, is no leak.
    async with opened(task) as (ask, _):
        await ask(0)
    await asyncio.sleep(SETTLE)
    before = descriptors()
    async with opened(task) as (ask, levels):
        await ask(0)
        ends = await cancel_at_random(ask, task, seconds)
        times = await served(ask)
        in_use, waiting = await levels()
    await asyncio.sleep(SETTLE)
    answered, cancelled = ends.pop("answered", 0), ends.pop("cancelled", 0)
    slowest = max(times, default=None)
    return Aftermath(
        answered, cancelled, dict(ends), len(times), slowest, in_use, waiting, descriptors() - before
    )


if __name__ == "__main__":
    outcome = asyncio.run(storm(Task(**json.loads(sys.argv[1])), float(sys.argv[2])))
    print(json.dumps(asdict(outcome)))
