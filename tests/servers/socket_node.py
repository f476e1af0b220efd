"""A node that is reached by a WebSocket, in the event loop of the test, which says what it does."""

from __future__ import annotations

import json
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Self

from aiohttp import WSMsgType, web

from servers.wait import until

Socket = web.WebSocketResponse
Answer = Callable[[Socket, Any], Awaitable[None]]


def result(call: Any) -> dict[str, Any]:
    """A good answer: the parameters of the call, or a network id."""
    known = {"eth_chainId": "0x1", "eth_blockNumber": "0x10", "web3_clientVersion": "node/v1"}
    return {"jsonrpc": "2.0", "id": call["id"], "result": known.get(call["method"], call["params"])}


async def echo(socket: Socket, call: Any) -> None:
    """Answer a call, or a batch of them."""
    await socket.send_json([result(one) for one in call] if isinstance(call, list) else result(call))


class SocketNode:
    """The node; `async with` starts and stops it.

    Attributes:
        answer: What it does with each message.
        refusal: What it says to a handshake, unless that is nothing; asked with its number.
        handshakes: Path and headers of each handshake.
        calls: Every message.
        codes: The codes with which its sockets were closed.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        """Make it; nothing listens yet."""
        self.answer: Answer = echo
        self.refusal: Callable[[int], web.Response | None] = lambda _number: None
        self.handshakes: list[tuple[str, dict[str, str]]] = []
        self.calls: list[Any] = []
        self.codes: list[int | None] = []
        self.port = 0
        self._context = context
        self._sockets: set[Socket] = set()
        self._accepted: list[Any] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{'wss' if self._context else 'ws'}://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """How many sockets are open."""
        return len(self._sockets)

    async def __aenter__(self) -> Self:
        """Listen."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close every socket, and listen no more."""
        await self.close_all()
        await self._runner.cleanup()
        # Over TLS they wait for the other side's farewell.
        await until(lambda: all(accepted.fileno() < 0 for accepted in self._accepted))

    async def close_all(self) -> None:
        """Close every socket."""
        for socket in tuple(self._sockets):
            await socket.close()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            self._accepted.append(request.transport.get_extra_info("socket"))
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.handshakes.append((request.path_qs, headers))
        refusal = self.refusal(len(self.handshakes))
        if refusal is not None:
            return refusal
        socket = Socket(max_msg_size=0)
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    call = json.loads(message.data)
                    self.calls.append(call)
                    await self.answer(socket, call)
        except ConnectionResetError:
            pass
        finally:
            self._sockets.discard(socket)
            self.codes.append(socket.close_code)
        return socket
