"""What Python has in place of our limiter and our pool: aiolimiter, and a pool on `asyncio.LifoQueue`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

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


class Lease:
    """A connection for as long as the block lasts."""

    __slots__ = ("connection", "idle")

    def __init__(self, idle: asyncio.LifoQueue[object]) -> None:
        """Take nothing yet."""
        self.idle = idle
        self.connection: object = None

    async def __aenter__(self) -> Self:
        """Take the one that was used last."""
        self.connection = await self.idle.get()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Give it back."""
        self.idle.put_nowait(self.connection)


@asynccontextmanager
async def open_lifo_pool(task: Task) -> AsyncIterator[Ask]:
    """The least that a pool can be: no checks, no lifetimes, no figures."""
    idle: asyncio.LifoQueue[object] = asyncio.LifoQueue()
    for _ in range(task.connections):
        idle.put_nowait(object())

    async def ask(_: int) -> None:
        for _ in range(TAKES):
            async with Lease(idle):
                pass

    yield ask
