"""A way to a redis-server on which scripts see a clock that a test can set."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from servers.redis import RedisServer

ASKED = b"redis.call('TIME')"
ANSWERED = (
    b"(function() local t = redis.call('TIME')"
    b" t[1] = t[1] + tonumber(redis.call('GET', 'test:ahead') or 0) return t end)()"
)


@contextlib.asynccontextmanager
async def clock_of(server: RedisServer) -> AsyncIterator[str]:
    """The URL of the way. `SET test:ahead 3600` on the server puts the clock an hour forward."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = await asyncio.open_connection("127.0.0.1", server.port)
        for work in (_requests(reader, upstream[1]), _answers(upstream[0], writer)):
            task = asyncio.create_task(work)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}/0"
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _requests(reader: asyncio.StreamReader, upstream: asyncio.StreamWriter) -> None:
    with (
        contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError),
        contextlib.closing(upstream),
    ):
        while True:
            words = []
            for _ in range(int((await reader.readline())[1:])):
                length = int((await reader.readline())[1:])
                words.append((await reader.readexactly(length + 2))[:-2].replace(ASKED, ANSWERED))
            upstream.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
            await upstream.drain()


async def _answers(upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError), contextlib.closing(writer):
        while data := await upstream.read(65536):
            writer.write(data)
            await writer.drain()
