"""Ways to end a coroutine of the package at some moment: so many turns of the loop after it has begun."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from servers.wait import rounds

#: Begins a coroutine, ends it after so many turns, and says whether it had come to its end before.
End = Callable[[Coroutine[Any, Any, Any], int], Awaitable[bool]]


async def cancelled(coroutine: Coroutine[Any, Any, Any], turns: int) -> bool:
    """By cancelling its task."""
    task = asyncio.create_task(coroutine)
    await rounds(turns)
    task.cancel()
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(outcome, asyncio.CancelledError):
        return False
    await give_back(outcome)
    return True


async def thrown(coroutine: Coroutine[Any, Any, Any], turns: int) -> bool:
    """By throwing the error into it, by hand, though its result may be there."""
    return await by_hand(coroutine, turns, throw)


async def closed(coroutine: Coroutine[Any, Any, Any], turns: int) -> bool:
    """By closing it."""
    return await by_hand(coroutine, turns, lambda coroutine: coroutine.close())


async def forgotten(coroutine: Coroutine[Any, Any, Any], turns: int) -> bool:
    """By letting it go."""
    own = [coroutine]
    del coroutine
    return await by_hand(own.pop(), turns, lambda _: None)


def throw(coroutine: Coroutine[Any, Any, Any]) -> None:
    """As a task does it that is cancelled."""
    try:
        coroutine.throw(asyncio.CancelledError("enough"))
    except asyncio.CancelledError:
        return
    raise AssertionError("it went on")


async def by_hand(
    coroutine: Coroutine[Any, Any, Any], turns: int, end: Callable[[Coroutine[Any, Any, Any]], None]
) -> bool:
    """Send it on until it waits, then end it."""
    try:
        waiter = coroutine.send(None)
    except StopIteration as stop:
        await give_back(stop.value)
        return True
    await rounds(turns)
    ended = bool(waiter.done())
    end(coroutine)
    return ended


async def give_back(value: Any) -> None:
    """Close a connection that came after all."""
    if hasattr(value, "close"):
        await value.close()


ENDS: list[End] = [cancelled, thrown, closed, forgotten]
