"""A small Ethereum node made of answers: what the demo talks to when no real one is installed.

It speaks JSON-RPC over HTTP/1.1 with keep-alive, single calls and batches, on the loopback interface, and
mines each transaction at once. A method named in `delays` is answered that many seconds later.
"""

import asyncio
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from genesis_replicator._cli.ledger import Ledger, RpcRefusal

MAX_BODY = 1 << 20
PARSE_ERROR = RpcRefusal(-32700, "parse error")
INVALID_REQUEST = RpcRefusal(-32600, "invalid request")


class ScriptedNode:
    """One node, which listens while its `async with` block runs."""

    def __init__(self, chain_id: int, *, delays: Mapping[str, float] | None = None) -> None:
        """Make a node of the network `chain_id`."""
        self._ledger = Ledger(chain_id)
        self._delays = dict(delays or {})
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self.url = ""

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening and end every conversation."""
        if self._server is not None:
            self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: asyncio's would report the cancellation at the end as an error.
        task = asyncio.create_task(self._converse(reader, writer))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after the other until the peer has no more."""
        try:
            while (request := await _read_request(reader)) is not None:
                body, keep_alive = request
                answer = await self._answer(body)
                connection = "keep-alive" if keep_alive else "close"
                head = (
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                    f"content-length: {len(answer)}\r\nconnection: {connection}\r\n\r\n"
                )
                writer.write(head.encode() + answer)
                await writer.drain()
                if not keep_alive:
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            # The peer left in the middle, or does not speak HTTP.
            pass
        finally:
            writer.close()

    async def _answer(self, body: bytes) -> bytes:
        try:
            message = json.loads(body)
        except ValueError:
            return _encode(_error(None, PARSE_ERROR))
        if isinstance(message, list):
            return _encode(await asyncio.gather(*map(self._call, message)))
        return _encode(await self._call(message))

    async def _call(self, message: Any) -> dict[str, Any]:
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            return _error(None, INVALID_REQUEST)
        method, number = message["method"], message.get("id")
        if delay := self._delays.get(method):
            await asyncio.sleep(delay)
        try:
            result = self._ledger.call(method, message.get("params") or [])
        except RpcRefusal as refusal:
            return _error(number, refusal)
        return {"jsonrpc": "2.0", "id": number, "result": result}


def _error(number: Any, refusal: RpcRefusal) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": refusal.code, "message": str(refusal)}}


def _encode(answer: Any) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode()


async def _read_request(reader: asyncio.StreamReader) -> tuple[bytes, bool] | None:
    """The body of the next request, and whether another may follow; `None` when the peer has closed."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines[1:])
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= MAX_BODY:
        message = "the body is too large"
        raise ValueError(message)
    return await reader.readexactly(length), headers.get("connection", "").lower() != "close"
