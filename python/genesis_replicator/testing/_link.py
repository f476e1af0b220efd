"""One connection through a `ToxicProxy`: two links, one for each direction."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence

from genesis_replicator.testing._http1 import reset
from genesis_replicator.testing._toxics import Toxic

CHUNK = 65_536
#: How many chunks may be on their way in one direction.
ROOM = 64


class Link:
    """One direction: what is read on one side is written on the other, through the toxics of the moment."""

    def __init__(
        self,
        pair: "Pair",
        ends: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        toxics: Callable[[], Sequence[Toxic]],
    ) -> None:
        """Connect both ends."""
        self.arrived = 0.0
        self.passed: dict[Toxic, int] = {}
        self.close = pair.close
        self.reset = pair.reset
        self._reader, self._writer = ends
        self._toxics = toxics
        self._chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(ROOM)

    async def pump(self) -> None:
        """Until the source ends. A reset on one side is a reset on the other."""
        reading = asyncio.ensure_future(self._read())
        try:
            await self._write()
        except ConnectionError:
            self.reset()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self) -> None:
        now = asyncio.get_running_loop().time
        try:
            while data := await self._reader.read(CHUNK):
                await self._chunks.put((now(), data))
        except ConnectionError:
            self.reset()
        await self._chunks.put((now(), b""))

    async def _write(self) -> None:
        while True:
            self.arrived, data = await self._chunks.get()
            if not data:
                break
            await self._push(data, self._toxics())
        for toxic in self._toxics():
            await toxic.closing(self)
        if self._writer.can_write_eof():
            self._writer.write_eof()

    async def _push(self, data: bytes, toxics: Sequence[Toxic]) -> None:
        if not toxics:
            self._writer.write(data)
            await self._writer.drain()
            return
        async for piece in toxics[0].pieces(data, self):
            await self._push(piece, toxics[1:])


class Pair:
    """A client and the server behind the proxy."""

    def __init__(self, client: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        """Take over the client's socket."""
        self._client = client
        self._writers = [client[1]]
        #: By whether they lead upstream.
        self._links: dict[bool, Link] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()

    async def serve(self, address: tuple[str, int], toxics: Mapping[bool, Sequence[Toxic]]) -> None:
        """Connect to the server and let both talk until either has gone."""
        try:
            server = await asyncio.open_connection(*address)
        except OSError:
            reset(self._client[1])
            return
        self._writers.append(server[1])
        self._links = {
            False: Link(self, (server[0], self._client[1]), lambda: toxics[False]),
            True: Link(self, (self._client[0], server[1]), lambda: toxics[True]),
        }
        for upstream in self._links:
            for toxic in toxics[upstream]:
                self.attach(toxic, upstream=upstream)
        pumps = asyncio.ensure_future(self._pump())
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait((pumps, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.close()
            for task in (pumps, ended, *self._tasks):
                task.cancel()
            await asyncio.gather(pumps, ended, *self._tasks, return_exceptions=True)

    async def _pump(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for link in self._links.values():
                tasks.create_task(link.pump())

    def attach(self, toxic: Toxic, *, upstream: bool) -> None:
        """Let a toxic do what it does without bytes."""
        if link := self._links.get(upstream):
            task = asyncio.ensure_future(toxic.live(link))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Close both sides, once what was written is sent."""
        for writer in self._writers:
            writer.close()
        self._ended.set()

    def reset(self) -> None:
        """Reset both sides."""
        for writer in self._writers:
            reset(writer)
        self._ended.set()

    def abort(self) -> None:
        """Close both sides at once, as a process does that is killed."""
        for writer in self._writers:
            with contextlib.suppress(OSError):
                writer.transport.abort()
        self._ended.set()
