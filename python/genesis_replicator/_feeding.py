"""Reads the calls of a stream from an async iterator, in a task of its own."""

from collections.abc import AsyncIterator, Awaitable
from typing import Any, Protocol


class Feed(Protocol):
    """Where the calls go."""

    def room(self) -> Awaitable[bool]:
        """Wait for room for a call; `False` when none is wanted any more."""

    def put(self, call: tuple[str, Any]) -> None:
        """Begin a call."""

    def end(self, error: BaseException | None) -> None:
        """Say that no call comes any more, because of `error` if there is one."""


async def feed(calls: AsyncIterator[tuple[str, Any]], into: Feed) -> None:
    """Read a call whenever there is room for one. What the iterator raises, the stream raises."""
    failure: BaseException | None = None
    try:
        while await into.room():
            into.put(await anext(calls))
    except StopAsyncIteration:
        pass
    except BaseException as error:
        failure = error
        if not isinstance(error, Exception):
            raise
    finally:
        into.end(failure)
