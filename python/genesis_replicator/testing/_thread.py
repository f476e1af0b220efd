"""What the servers of this folder run in: a thread with an event loop of its own.

So they go on while the loop of a test is busy, and a test may be synchronous.
"""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

T = TypeVar("T")

#: How long a server may take to start, to obey or to end before this is called a failure.
PATIENCE = 10.0


async def rounds(count: int) -> None:
    """Let the loop go round so often; time would say nothing on a busy machine."""
    for _ in range(count):
        await asyncio.sleep(0)


async def stop_listening(server: asyncio.Server) -> None:
    """Close a server. asyncio loses a socket that it is about to take over when its server closes."""
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        loop.remove_reader(listener.fileno())
    await rounds(10)
    server.close()


class LoopThread(ABC):
    """A server that works while its `with` block runs, once."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Listen."""
        if self._thread is not None:
            message = f"this {type(self).__name__} was used already; make another one"
            raise RuntimeError(message)
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._live, name=type(self).__name__, daemon=True)
        self._thread.start()
        try:
            self._wait(self._open)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Close every connection and end the thread."""
        try:
            self._wait(self._close)
        finally:
            self._end()

    @abstractmethod
    async def _open(self) -> None:
        """Begin to listen."""

    @abstractmethod
    async def _close(self) -> None:
        """Stop listening, and end what is left."""

    def _wait(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run `work` in the thread and wait for it."""
        loop = self._running()
        return asyncio.run_coroutine_threadsafe(work(), loop).result(PATIENCE)

    def _do(self, action: Callable[[], T]) -> T:
        """Call `action` in the thread and wait for it; a script is there already."""
        if threading.current_thread() is self._thread:
            return action()

        async def act() -> T:
            return action()

        return self._wait(act)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._loop.is_closed():
            message = f"this {type(self).__name__} does not run; use it in a `with` block"
            raise RuntimeError(message)
        return self._loop

    def _live(self) -> None:
        loop = self._running()
        try:
            loop.run_forever()
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

    def _end(self) -> None:
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE)
