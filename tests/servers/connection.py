"""One client connection of the scripted node: reads requests while it answers, so that it sees pipelining."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from servers.node import ScriptedNode
    from servers.reply import Reply

#: A request: its path, its headers in lower case, and its JSON body.
Request = tuple[str, dict[str, str], Any]


class ServedConnection:
    """Serves one socket until either side closes it."""

    def __init__(
        self, node: ScriptedNode, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        """Take over the socket."""
        self.writer = writer
        self.in_flight = 0
        self._node = node
        self._reader = reader
        self._number = number
        self._requests: asyncio.Queue[Request] = asyncio.Queue()

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

    async def _read_all(self) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await self._read_one()
                self.in_flight += 1
                self._node.peak_in_flight = max(self._node.peak_in_flight, self.in_flight)
                self._requests.put_nowait(request)

    async def _read_one(self) -> Request:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return head[0].split(" ")[1], headers, json.loads(body) if body else {"method": "(no body)"}

    async def _answer_all(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                path, headers, body = await self._requests.get()
                reply, payload = await self._payload(path, headers, body)
                if reply.hang_up:
                    return
                data = reply.http(payload)
                self.writer.write(data[: len(data) - len(payload) // 2 - 1] if reply.truncate else data)
                await self.writer.drain()
                self.in_flight -= 1
                if reply.truncate or reply.close_after:
                    return

    async def _payload(self, path: str, headers: dict[str, str], body: Any) -> tuple[Reply, bytes]:
        if not isinstance(body, list):
            reply = await self._node.reply(body, path, headers, self._number)
            return reply, reply.item(body.get("id")).encode() if reply.body is None else reply.body
        replies = [await self._node.reply(item, path, headers, self._number) for item in body]
        items = [reply.item(item.get("id")) for reply, item in zip(replies, body, strict=True)]
        return replies[0], f"[{','.join(self._node.batch(items))}]".encode()
