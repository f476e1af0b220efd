"""A TCP proxy that spoils what passes through it."""

import asyncio
import socket
from typing import TypeVar
from urllib.parse import urlsplit

from genesis_replicator.testing._link import Pair
from genesis_replicator.testing._thread import LoopThread, rounds, stop_listening
from genesis_replicator.testing._toxics import Toxic

T = TypeVar("T", bound=Toxic)


class ToxicProxy(LoopThread):
    """Stands between a client and a server, whichever they are; toxics make the way between them a bad one.

    Toxics are added, changed and removed while connections are open. Those of a direction work
    one after the other.

    ```python
    with FaultServer() as server, ToxicProxy(server.url) as proxy:
        await manager.connect_to_chain("eth", proxy.url)
        latency = proxy.add(Latency(0.2, jitter=0.05))
        ...
        latency.seconds = 2.0
        ...
        proxy.remove(latency)
    ```

    Attributes:
        port: Where it listens.
        accepted: How many connections there were.
    """

    def __init__(self, target: str) -> None:
        """Make a proxy; `with` starts it.

        Args:
            target: The URL of the server. Its path and its scheme are those of `url`, too.

        Raises:
            ValueError: `target` names no host and port.
        """
        super().__init__()
        parts = urlsplit(target)
        port = parts.port or {"http": 80, "https": 443, "ws": 80, "wss": 443}.get(parts.scheme)
        if parts.hostname is None or port is None:
            message = "target must be a URL with a host, and a port where the scheme tells none"
            raise ValueError(message)
        self.port = 0
        self.accepted = 0
        self._target = (parts.hostname, port)
        self._parts = parts
        #: By whether they work upstream.
        self._toxics: dict[bool, tuple[Toxic, ...]] = {False: (), True: ()}
        self._pairs: dict[asyncio.Task[None], Pair] = {}
        self._server: asyncio.Server | None = None
        #: Keeps the port while nobody listens on it.
        self._reserved: socket.socket | None = None

    @property
    def url(self) -> str:
        """The URL that leads through the proxy."""
        return self._parts._replace(netloc=f"127.0.0.1:{self.port}").geturl()

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return len(self._pairs)

    def add(self, toxic: T, *, upstream: bool = False) -> T:
        """Add a toxic to what comes from the server, or to what goes upstream to it."""

        def add() -> T:
            if any(toxic in toxics for toxics in self._toxics.values()) or toxic.removed:
                message = "a toxic can be added once; make another one"
                raise ValueError(message)
            self._toxics[upstream] += (toxic,)
            for pair in self._pairs.values():
                pair.attach(toxic, upstream=upstream)
            return toxic

        return self._do(add)

    def remove(self, toxic: Toxic) -> None:
        """Remove a toxic; what it holds goes on at once."""

        def remove() -> None:
            for upstream, toxics in self._toxics.items():
                self._toxics[upstream] = tuple(other for other in toxics if other is not toxic)
            toxic.remove()

        self._do(remove)

    def clear(self) -> None:
        """Remove every toxic."""
        for toxics in tuple(self._toxics.values()):
            for toxic in toxics:
                self.remove(toxic)

    def down(self) -> None:
        """Be dead: cut every connection, and refuse new ones until `up`."""

        async def down() -> None:
            if self._server is None:
                return
            server, self._server = self._server, None
            await stop_listening(server)
            for pair in self._pairs.values():
                pair.abort()
            self._reserved = self._bound(self.port)

        self._wait(down)

    def up(self) -> None:
        """Listen again, on the same port."""
        self._wait(self._listen)

    async def _open(self) -> None:
        self._reserved = self._bound(0)
        self.port = self._reserved.getsockname()[1]
        await self._listen()

    async def _listen(self) -> None:
        if self._reserved is None:
            return
        reserved, self._reserved = self._reserved, None
        self._server = await asyncio.start_server(self._accept, sock=reserved, backlog=2048)

    async def _close(self) -> None:
        if self._server is not None:
            await stop_listening(self._server)
        if self._reserved is not None:
            self._reserved.close()
        for pair in self._pairs.values():
            pair.abort()
        for task in tuple(self._pairs):
            task.cancel()
        await asyncio.gather(*self._pairs, return_exceptions=True)
        await rounds(10)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        pair = Pair((reader, writer))
        task = asyncio.ensure_future(pair.serve(self._target, self._toxics))
        self._pairs[task] = pair
        task.add_done_callback(self._pairs.pop)
        task.add_done_callback(lambda _: writer.close())

    @staticmethod
    def _bound(port: int) -> socket.socket:
        # asyncio spares small writes their delay only on sockets that say TCP.
        bound = socket.socket(proto=socket.IPPROTO_TCP)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        return bound
