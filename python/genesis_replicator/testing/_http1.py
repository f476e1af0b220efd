"""One HTTP/1.1 connection of a client: reads requests while it answers, so that it sees pipelining."""

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING

from genesis_replicator.testing._reply import Reply

if TYPE_CHECKING:
    from genesis_replicator.testing._server import FaultServer

#: A request: its path, its headers in lower case, and its body.
Request = tuple[str, dict[str, str], bytes]


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with a RST."""
    peer = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):  # the other side was faster
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def write_forever(writer: asyncio.StreamWriter, text: bytes) -> None:
    """Until the client goes away; not at all without a text."""
    while text:
        writer.write(text)
        await writer.drain()
        # Where nothing is to be waited for, the loop has no turn to hear of the client's end.
        await asyncio.sleep(0)


class Http1Connection:
    """Serves one socket until either side closes it."""

    def __init__(
        self,
        server: "FaultServer",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        number: int,
    ) -> None:
        """Take over the socket."""
        self.writer = writer
        self._in_flight = 0
        self._server = server
        self._reader = reader
        self._number = number
        self._requests: asyncio.Queue[Request] = asyncio.Queue()

    @property
    def in_flight(self) -> int:
        """How many requests have been read and not answered."""
        return self._in_flight

    async def serve(self) -> None:
        """Answer requests in the order in which they come."""
        answering = asyncio.ensure_future(self._answer_all())
        reading = asyncio.ensure_future(self._read_all())
        try:
            await asyncio.wait((answering, reading), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (answering, reading):
                task.cancel()
            await asyncio.gather(answering, reading, return_exceptions=True)

    def say_goodbye(self) -> None:
        """HTTP/1.1 has no word for it."""

    async def _read_all(self) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await self._read_one()
                self._in_flight += 1
                self._server.peak_in_flight = max(self._server.peak_in_flight, self.in_flight)
                self._requests.put_nowait(request)

    async def _read_one(self) -> Request:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return head[0].split(" ")[1], headers, body

    async def _answer_all(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                path, headers, body = await self._requests.get()
                reply, payload = await self._server.answer(path, headers, body, self._number)
                await self._send(reply, payload)
                self._in_flight -= 1
                if reply.reset:
                    reset(self.writer)
                if reply.wire is not None or reply.hang_up or reply.truncate or reply.close_after:
                    return

    async def _send(self, reply: Reply, payload: bytes) -> None:
        if reply.hang_up:
            return
        if reply.wire is not None:
            self.writer.write(reply.wire)
            await write_forever(self.writer, reply.endless)
            return
        start = reply.head(len(payload))
        for piece in reply.pieces(payload):
            self.writer.write(start + (b"%x\r\n%s\r\n" % (len(piece), piece) if reply.chunked else piece))
            start = b""
            await self.writer.drain()
            if reply.rate is not None:
                await asyncio.sleep(len(piece) / reply.rate)
        self.writer.write(start + (b"0\r\n\r\n" if reply.chunked and not reply.truncate else b""))
        await self.writer.drain()
