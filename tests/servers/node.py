"""A JSON-RPC node over HTTP/1.1 that answers as its test tells it, and counts what its clients do.

It runs in a thread with an event loop of its own, so that it goes on while the test's loop is busy.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from servers.connection import ServedConnection
from servers.reply import Reply

if TYPE_CHECKING:
    import ssl

#: A reply, or a function from the params to a result.
Script = Reply | Callable[[Any], Any]


@dataclass(frozen=True)
class Seen:
    """One call as the node saw it."""

    method: str
    params: Any
    path: str
    headers: dict[str, str]
    connection: int


async def rounds(count: int) -> None:
    """Let the loop go round so often; time would say nothing on a busy machine."""
    for _ in range(count):
        await asyncio.sleep(0)


class ScriptedNode:
    """An Ethereum node on network 1 at block 16, unless it is told otherwise."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        """Make a node; `with` starts it."""
        self.seen: list[Seen] = []
        self.accepted = 0
        self.peak = 0
        #: The most requests that were ever in flight on one connection.
        self.peak_in_flight = 0
        #: Rearranges the answers of a batch before they are sent.
        self.batch: Callable[[list[str]], list[str]] = list
        self.port = 0
        self._tls = tls
        self._scripts: dict[str, list[Script]] = {}
        self._open: set[ServedConnection] = set()
        self._loop = asyncio.new_event_loop()
        self._released = asyncio.Event()
        self._ready = threading.Event()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="scripted-node", daemon=True)
        self.on("eth_chainId", Reply("0x1"))
        self.on("net_version", Reply("1"))
        self.on("eth_blockNumber", Reply("0x10"))
        self.on("echo", lambda params: params)

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the scripted node did not start")
        return self

    def __exit__(self, *_: object) -> None:
        """Close every connection and end the thread."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    @property
    def url(self) -> str:
        """Where the node listens."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return len(self._open)

    @property
    def in_flight(self) -> int:
        """How many requests have been read and not answered."""
        return sum(connection.in_flight for connection in tuple(self._open))

    def on(self, method: str, *scripts: Script) -> None:
        """Answer `method` with these, one call each; the last one stays."""
        self._scripts[method] = list(scripts)

    def forget(self, *methods: str) -> None:
        """Answer these methods with "method not found" from now on."""
        for method in methods:
            self._scripts.pop(method, None)

    def calls(self, method: str) -> int:
        """How often `method` was called."""
        return sum(1 for seen in tuple(self.seen) if seen.method == method)

    def release(self) -> None:
        """Answer what is held, and hold nothing any more."""
        self._loop.call_soon_threadsafe(self._released.set)

    def close_connections(self) -> None:
        """Close every connection from this side."""

        def close() -> None:
            for connection in tuple(self._open):
                connection.writer.close()

        self._loop.call_soon_threadsafe(close)

    async def reply(self, request: dict[str, Any], path: str, headers: dict[str, str], number: int) -> Reply:
        """Note a request and find what to say."""
        method, params = request["method"], request.get("params", [])
        self.seen.append(Seen(method, params, path, headers, number))
        scripts = self._scripts.get(method)
        if not scripts:
            return Reply(error={"code": -32601, "message": f"the method {method} does not exist"})
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        reply = script if isinstance(script, Reply) else Reply(script(params))
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if reply.hold:
            await self._released.wait()
        return reply

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())

    async def _serve(self) -> None:
        tasks: set[asyncio.Task[None]] = set()
        transports: set[asyncio.WriteTransport] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._talk(reader, writer))
            tasks.add(task)
            transports.add(writer.transport)
            task.add_done_callback(tasks.discard)
            # Not in the task itself: one that is cancelled before it starts would never get there.
            task.add_done_callback(lambda _: writer.close())

        server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=self._tls, backlog=2048)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        # Whoever has connected comes in first: asyncio loses a socket accepted while its server closes.
        await rounds(10)
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # What was closed with something still to write would wait for a client that may be gone.
        for transport in transports:
            transport.abort()
        # Let the transports report that they are closed before the loop ends.
        await rounds(10)
        await asyncio.sleep(0.01)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        connection = ServedConnection(self, reader, writer, self.accepted)
        self._open.add(connection)
        self.peak = max(self.peak, len(self._open))
        try:
            await connection.serve()
        finally:
            self._open.discard(connection)
