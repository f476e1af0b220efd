"""What breaks below HTTP, or in it: a fault is an error of its own call, and the chain goes on at once."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from genesis_replicator import (
    ChainManager,
    ConnectionClosedError,
    GenesisError,
    HttpStatusError,
    ProtocolError,
)
from servers.wait import soon

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

#: What the server does to a call of the method "break", once it has read it. The socket is closed afterwards.
Fault = Callable[[socket.socket], object]


def reset(peer: socket.socket) -> None:
    """Close with a RST instead of a FIN."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset_in_the_body(peer: socket.socket) -> None:
    peer.sendall(HEAD + b'{"jsonrpc"')
    reset(peer)


def close_the_sending_side(peer: socket.socket) -> None:
    peer.shutdown(socket.SHUT_WR)
    peer.recv(1)  # until the client has closed its side, too


def body_without_end(peer: socket.socket) -> None:
    peer.sendall(CHUNKED)
    while True:
        peer.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")


def head_without_end(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        peer.sendall(b"x-filler: " + b"a" * 1000 + b"\r\n")


def not_http(peer: socket.socket) -> None:
    peer.sendall(b"\x00\xff garbage\r\n\r\n")


def switching_protocols(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")


def no_content(peer: socket.socket) -> None:
    # A whole answer in HTTP: unless the end is announced, the next call races with it.
    peer.sendall(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")


def receive(peer: socket.socket) -> bytes:
    """Some bytes, or the end of this conversation."""
    data = peer.recv(65_536)
    if not data:
        raise ConnectionError
    return data


def read_call(peer: socket.socket) -> dict[str, Any]:
    """One JSON-RPC call."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += receive(peer)
    head, _, body = data.partition(b"\r\n\r\n")
    (length,) = (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < int(length.partition(b":")[2]):
        body += receive(peer)
    call: dict[str, Any] = json.loads(body)
    return call


def serve(peer: socket.socket, fault: Fault) -> None:
    """Answer calls with 0x1, until one is to be broken."""
    with peer, contextlib.suppress(OSError):
        while (call := read_call(peer))["method"] != "break":
            answer = json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": "0x1"}).encode()
            peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(answer), answer))
        fault(peer)


@contextlib.contextmanager
def faulty_server(fault: Fault) -> Iterator[str]:
    """A node that meets the method "break" with this fault."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = listener.accept()
                    threading.Thread(target=serve, args=(peer, fault), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        # A thread that accepts keeps a listener open that is only closed.
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (reset, ConnectionClosedError),
        (reset_in_the_body, (ConnectionClosedError, ProtocolError)),
        (close_the_sending_side, ConnectionClosedError),
        (body_without_end, ProtocolError),
        (head_without_end, ProtocolError),
        (not_http, ProtocolError),
        (switching_protocols, HttpStatusError),
        (no_content, ProtocolError),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_a_fault_on_the_wire_fails_its_call_and_nothing_else(
    fault: Fault, error: type[GenesisError] | tuple[type[GenesisError], ...], manager: ChainManager
) -> None:
    with faulty_server(fault) as url:
        await manager.connect_to_chain("eth", url, max_response_bytes=2**20)
        with pytest.raises(error):
            await soon(manager.request("eth", "break"))
        async with manager.get_connection("eth") as connection:
            name = connection.id
            with pytest.raises(error):
                await soon(connection.request("break"))
            assert await soon(connection.request("eth_chainId")) == "0x1"
            assert connection.id == name
        assert await soon(manager.request("eth", "eth_chainId")) == "0x1"
        await manager.disconnect_from_chain("eth")
    metrics = await manager.get_pool_metrics()
    assert (metrics["active_connections"], metrics["total_connections"]) == (0, 0)
