"""The ways to the nodes of `soak.nodes`, in a process of their own: forwarders that can be told to misbehave.

Each line of the input is a command, answered by a line with a number: `open PORT` makes a way to `PORT` and
tells its own port; the others name a way: `down`, `up`, `limit` (429 for every request), `allow`, `drop` (the
answer of every third transaction is lost), `count` (requests that were passed on).
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
#: What a node says that has had enough.
REFUSAL = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"limit exceeded"}}'
LIMITED = (
    b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(REFUSAL), REFUSAL)
)
#: One of so many transactions' answers is lost.
LOST = 3


class Way:
    """The way to one node."""

    def __init__(self, target: int) -> None:
        """Nothing listens yet."""
        self.target = target
        self.port = 0
        self.limited = False
        self.drops = False
        self.count = 0
        self.transactions = 0
        self.clients: set[Client] = set()
        self._server: asyncio.Server | None = None

    async def up(self) -> int:
        """Listen, on the port of the last time."""
        make = asyncio.get_running_loop().create_server
        self._server = await make(lambda: Client(self), "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def down(self) -> None:
        """Refuse connections, and reset those that there are."""
        if self._server is not None:
            self._server.close()
        for client in tuple(self.clients):
            client.end()


class Client(asyncio.Protocol):
    """One connection of a client, with the one to the node that belongs to it."""

    def __init__(self, way: Way) -> None:
        """Wait for the first request."""
        self._way = way
        self._text = b""
        self._node: asyncio.Task[asyncio.WriteTransport | None] | None = None
        self.transport: asyncio.Transport | None = None
        self.swallows = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It begins."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._way.clients.add(self)

    def data_received(self, data: bytes) -> None:
        """Pass whole requests on."""
        self._text += data
        while (end := self._end()) is not None:
            request, self._text = self._text[:end], self._text[end:]
            self._pass_on(request)

    def _end(self) -> int | None:
        head = self._text.find(b"\r\n\r\n")
        found = LENGTH.search(self._text, 0, head) if head >= 0 else None
        end = head + 4 + int(found[1]) if found else None
        return end if end is not None and end <= len(self._text) else None

    def _pass_on(self, request: bytes) -> None:
        way = self._way
        if way.limited:
            assert self.transport
            self.transport.write(LIMITED)
            return
        way.count += 1
        if b"eth_sendRawTransaction" in request:
            way.transactions += 1
            self.swallows = way.drops and way.transactions % LOST == 0
        if self._node is None:
            self._node = asyncio.ensure_future(self._connect())
        self._node.add_done_callback(lambda node: (to := node.result()) and to.write(request))

    async def _connect(self) -> asyncio.WriteTransport | None:
        try:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_connection(lambda: Node(self), "127.0.0.1", self._way.target)
        except OSError:
            self.end()
            return None
        return transport

    def connection_lost(self, _: Exception | None) -> None:
        """The node is left, too."""
        self._way.clients.discard(self)
        if self._node is not None:
            self._node.add_done_callback(lambda node: (to := node.result()) and to.abort())

    def end(self) -> None:
        """Reset it."""
        if self.transport is not None:
            self.transport.abort()


class Node(asyncio.Protocol):
    """The connection to the node."""

    def __init__(self, client: Client) -> None:
        """What it says is for this client."""
        self._client = client

    def data_received(self, data: bytes) -> None:
        """Pass the answer back, or lose it."""
        if self._client.swallows or self._client.transport is None:
            self._client.end()
        else:
            self._client.transport.write(data)

    def connection_lost(self, _: Exception | None) -> None:
        """The client loses it, too."""
        self._client.end()


async def obey(ways: list[Way], command: str, number: int) -> int:
    """Do what is asked."""
    if command == "open":
        ways.append(Way(number))
        return await ways[-1].up()
    way = ways[number]
    match command:
        case "down":
            await way.down()
        case "up":
            await way.up()
        case "limit" | "allow":
            way.limited = command == "limit"
        case "drop":
            way.drops = True
    return way.count


async def main() -> None:
    """Obey until the input ends."""
    ways: list[Way] = []
    while line := await asyncio.to_thread(sys.stdin.readline):
        command, number = line.split()
        print(json.dumps(await obey(ways, command, int(number))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
