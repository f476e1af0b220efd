"""What the node says about those who wait for it, asked on a connection of its own, beside the client's."""

from __future__ import annotations

import asyncio
import json
from typing import Self
from urllib.parse import urlsplit

from workers.task import Task

#: Seconds that it may take until the node knows of all of them.
PATIENCE = 10


class NodeCounts:
    """A connection to the plain node."""

    def __init__(self, task: Task) -> None:
        """Connect when entered."""
        self._port = urlsplit(task.url).port

    async def __aenter__(self) -> Self:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        self._writer.close()
        await self._writer.wait_closed()

    async def until_waiting(self, count: int) -> None:
        """Return when so many late answers are being waited for; some clients never get so far."""
        async with asyncio.timeout(PATIENCE):
            while await self._ask("waiting") != count:
                await asyncio.sleep(0.005)

    async def given_up_at(self) -> float:
        """When the node last saw somebody give up, in seconds of the epoch."""
        return await self._ask("given_up_at") / 1e9

    async def _ask(self, method: str) -> int:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": []})
        self._writer.write(
            f"POST / HTTP/1.1\r\nhost: node\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
        )
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        answer = json.loads(await self._reader.readexactly(int(length.split(b":")[1])))
        return int(answer["result"], 16)
