"""A JSON-RPC node that answers as its test tells it, and counts what its clients do."""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from genesis_replicator.testing._extra import missing
from genesis_replicator.testing._http1 import Http1Connection
from genesis_replicator.testing._reply import Reply, Script
from genesis_replicator.testing._thread import LoopThread, rounds, stop_listening

if TYPE_CHECKING:
    from genesis_replicator.testing._http2 import Http2Connection

#: `FaultServer.seen` keeps at least so many of the last calls, and at most twice as many.
KEPT = 10_000


class Connection(Protocol):
    """One client's connection, whichever HTTP it speaks."""

    writer: asyncio.StreamWriter

    @property
    def in_flight(self) -> int:
        """How many requests have been read and not answered."""

    async def serve(self) -> None:
        """Answer until either side closes it."""

    def say_goodbye(self) -> None:
        """Announce the end, where the protocol has a word for it."""


@dataclass(frozen=True)
class SeenCall:
    """One call as the server saw it.

    Attributes:
        method: What was called.
        params: With what.
        path: The path of the URL.
        headers: The HTTP headers, in lower case.
        connection: Which connection it came on; the first one is 1.
    """

    method: str
    params: Any
    path: str
    headers: dict[str, str]
    connection: int


class FaultServer(LoopThread):
    """A node on the loopback interface whose answers are scripted, faults and all.

    It is an Ethereum node on network 1 at block 16, and its method `echo` answers with its params; `on` gives
    it other answers. A method that it does not know is an error, as on any node.

    ```python
    with FaultServer() as server:
        server.on("eth_gasPrice", Reply(status=503, body=b""), Reply("0x1"))
        ...  # the first call meets a 503, the others get an answer
        assert server.calls("eth_gasPrice") == 2
    ```

    Attributes:
        port: Where it listens.
        ca: The authority to trust, where the server made its certificate itself.
        seen: The last calls, 10,000 at least, in the order in which they came.
        accepted: How many connections there were.
        peak: The most connections that were ever open at a time.
        peak_in_flight: The most requests that were ever in flight on one connection.
        batch: Rearranges the answers of a batch, which are JSON texts, before they are sent.
    """

    def __init__(self, *, tls: bool | ssl.SSLContext = False, http2: bool = False) -> None:
        """Make a server; `with` starts it.

        Args:
            tls: Whether to speak TLS with a certificate of its own (see `ca`), or what to speak it with.
            http2: Whether to offer HTTP/2, which is agreed on while TLS begins. HTTP/1.1 is offered, too.

        Raises:
            ModuleNotFoundError: TLS needs trustme and HTTP/2 needs h2: `genesis-replicator[testing]`.
            ValueError: `http2` without `tls`.
        """
        super().__init__()
        if http2 and not tls:
            message = "http2 needs tls: the two sides agree on HTTP/2 while TLS begins"
            raise ValueError(message)
        self.port = 0
        self.ca: bytes | None = None
        self.seen: list[SeenCall] = []
        self.accepted = 0
        self.peak = 0
        self.peak_in_flight = 0
        self.batch: Callable[[list[str]], list[str]] = list
        self._counts: Counter[str] = Counter()
        self._scripts: dict[str, list[Script]] = {}
        self._tls = self._context(tls)
        self._http2 = _http2_connection() if http2 else None
        if self._tls is not None and http2:
            self._tls.set_alpn_protocols(["h2", "http/1.1"])
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._transports: WeakSet[asyncio.WriteTransport] = WeakSet()
        self._released = asyncio.Event()
        self.on("eth_chainId", Reply("0x1"))
        self.on("net_version", Reply("1"))
        self.on("eth_blockNumber", Reply("0x10"))
        self.on("echo", lambda params: params)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return len(self._connections)

    @property
    def in_flight(self) -> int:
        """How many requests have been read and not answered."""
        return sum(connection.in_flight for connection in tuple(self._connections))

    def on(self, method: str, *scripts: Script) -> None:
        """Answer `method` with these, one call each; the last one stays."""
        self._scripts[method] = list(scripts)

    def forget(self, *methods: str) -> None:
        """Answer these methods with "method not found" from now on."""
        for method in methods:
            self._scripts.pop(method, None)

    def calls(self, method: str) -> int:
        """How often `method` was called."""
        return self._counts[method]

    def release(self) -> None:
        """Answer what is held, and hold nothing any more."""
        self._do(self._released.set)

    def close_connections(self) -> None:
        """Close every connection from this side; on HTTP/2 with a GOAWAY."""

        def close() -> None:
            for connection in tuple(self._connections):
                connection.say_goodbye()
                connection.writer.close()

        self._do(close)

    async def answer(
        self, path: str, headers: dict[str, str], body: bytes, connection: int
    ) -> tuple[Reply, bytes]:
        """What to say to one HTTP request. A batch gets the HTTP side of its first call's reply."""
        request = json.loads(body) if body else {"method": "(no body)"}
        if not isinstance(request, list):
            reply = await self._reply(request, path, headers, connection)
            return reply, reply.item(request.get("id")).encode() if reply.body is None else reply.body
        replies = [await self._reply(item, path, headers, connection) for item in request]
        items = [reply.item(item.get("id")) for reply, item in zip(replies, request, strict=True)]
        return replies[0], f"[{','.join(self.batch(items))}]".encode()

    async def _reply(
        self, request: dict[str, Any], path: str, headers: dict[str, str], connection: int
    ) -> Reply:
        method, params = request["method"], request.get("params", [])
        self._counts[method] += 1
        self.seen.append(SeenCall(method, params, path, headers, connection))
        if len(self.seen) > 2 * KEPT:
            del self.seen[:KEPT]
        scripts = self._scripts.get(method)
        if not scripts:
            return Reply(error={"code": -32601, "message": f"the method {method} does not exist"})
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        said = script if isinstance(script, Reply) else script(params)
        reply = said if isinstance(said, Reply) else Reply(said)
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if reply.hold:
            await self._released.wait()
        return reply

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls, backlog=2048)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            await stop_listening(self._server)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # What was closed with something still to write would wait for a client that may be gone.
        for transport in tuple(self._transports):
            transport.abort()
        # Let the transports report that they are closed before the loop ends.
        await rounds(10)
        await asyncio.sleep(0.01)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._talk(reader, writer))
        self._tasks.add(task)
        self._transports.add(writer.transport)
        task.add_done_callback(self._tasks.discard)
        # Not in the task itself: one that is cancelled before it starts would never get there.
        task.add_done_callback(lambda _: writer.close())

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        ssl_object = writer.get_extra_info("ssl_object")
        agreed = ssl_object.selected_alpn_protocol() if ssl_object else None
        make = self._http2 if agreed == "h2" and self._http2 else Http1Connection
        connection: Connection = make(self, reader, writer, self.accepted)
        self._connections.add(connection)
        self.peak = max(self.peak, len(self._connections))
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)

    def _context(self, tls: bool | ssl.SSLContext) -> ssl.SSLContext | None:  # noqa: FBT001  # as in __init__
        if isinstance(tls, ssl.SSLContext):
            return tls
        if not tls:
            return None
        from genesis_replicator.testing._authority import Authority  # noqa: PLC0415  # it is about TLS only

        authority = Authority()
        self.ca = authority.pem
        return authority.context()


def _http2_connection() -> "type[Http2Connection]":
    try:
        from genesis_replicator.testing._http2 import Http2Connection  # noqa: PLC0415  # needs the extra
    except ModuleNotFoundError as error:
        raise missing(error) from error
    return Http2Connection
