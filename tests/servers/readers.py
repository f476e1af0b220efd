"""Readers of subscriptions: what they take, and what is left of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from genesis_replicator import ChainManager


async def take(items: AsyncIterator[Any], count: int) -> list[Any]:
    """The next items."""
    async with asyncio.timeout(30):
        return [await anext(items) for _ in range(count)]


async def no_more(items: AsyncIterator[Any]) -> None:
    """Nothing comes for a while."""
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(anext(items), 0.3)


def without_removed(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is left when each log that was taken back is the last of those that are left."""
    left: list[dict[str, Any]] = []
    for log in logs:
        if log["removed"]:
            assert left.pop() == {**log, "removed": False}
        else:
            left.append(log)
    return left


async def counted(manager: ChainManager, name: str) -> Any:
    """One of the counts of the chain "eth"."""
    return (await manager.get_pool_metrics("eth"))[name]


def subscriptions(manager: ChainManager) -> int:
    """How many there are."""
    # The metrics are there at once.
    coroutine = manager.get_pool_metrics("eth")
    try:
        coroutine.send(None)
    except StopIteration as end:
        return int(end.value["subscriptions"])
    raise AssertionError("the metrics had to be waited for")
