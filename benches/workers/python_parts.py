"""What Python has in place of our limiter and our pool: aiolimiter, and a pool on `asyncio.LifoQueue`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from workers.task import TAKES, Ask, Task


@asynccontextmanager
async def open_aiolimiter(_: Task) -> AsyncIterator[Ask]:
    """A limiter that nobody exhausts."""
    from aiolimiter import AsyncLimiter

    limiter = AsyncLimiter(10_000_000, 1.0)

    async def ask(_: int) -> None:
        for _ in range(TAKES):
            async with limiter:
                pass

    yield ask


@asynccontextmanager
async def open_pool(task: Task) -> AsyncIterator[Ask]:
    """A pool as it is usually written. It checks nothing, ends no connection, and waits without a limit."""
    idle = filled(task)

    @asynccontextmanager
    async def connection() -> AsyncIterator[object]:
        taken = await idle.get()
        try:
            yield taken
        finally:
            idle.put_nowait(taken)

    async def ask(_: int) -> None:
        for _ in range(TAKES):
            async with connection():
                pass

    yield ask


@asynccontextmanager
async def open_bare_pool(task: Task) -> AsyncIterator[Ask]:
    """The same without the context manager: the least that a pool in Python can cost."""
    idle = filled(task)

    async def ask(_: int) -> None:
        for _ in range(TAKES):
            taken = await idle.get()
            try:
                pass
            finally:
                idle.put_nowait(taken)

    yield ask


def filled(task: Task) -> asyncio.LifoQueue[object]:
    """As many connections as the task has."""
    idle: asyncio.LifoQueue[object] = asyncio.LifoQueue()
    for _ in range(task.connections):
        idle.put_nowait(object())
    return idle
