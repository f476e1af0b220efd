"""Waiting for a condition, with a generous bound: how fast it comes true never decides a test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

#: What counts as "at once" on a slow, busy machine, against waits of 30 s and more.
SOON = 5.0


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Return when `condition` is true."""
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            raise AssertionError("the condition did not come true in time")
        await asyncio.sleep(0.005)


async def soon(awaitable: Awaitable[T]) -> T:
    """The result of something that must not wait for any timeout of the package."""
    async with asyncio.timeout(SOON):
        return await awaitable
