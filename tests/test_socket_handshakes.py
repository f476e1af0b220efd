"""WebSocket and IPC endpoints: how a node learns who asks, and what is refused before anything is opened."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from genesis_replicator import (
    AuthenticationError,
    ChainConnectionError,
    ChainManager,
    ConfigurationError,
    ConnectionPool,
    ConnectTimeoutError,
    HttpStatusError,
    ProviderRateLimitError,
    SecurityError,
    TlsError,
)
from genesis_replicator.testing import Authority, Timeout, ToxicProxy
from servers.guide import KEY
from servers.socket_node import Socket, SocketNode, result
from servers.wait import soon


async def ask(pool: ConnectionPool, *params: Any) -> Any:
    """A call on a connection of the pool."""
    async with pool.acquire() as connection:
        return await soon(connection.request("echo", params))


@pytest.mark.parametrize(
    ("credentials", "path", "header"),
    [
        ({"api_key": KEY}, "/rpc?a=b", ("x-api-key", KEY)),
        ({"api_key": KEY, "placement": "path"}, f"/rpc/{KEY}?a=b", None),
        ({"api_key": KEY, "placement": "query:dkey"}, f"/rpc?a=b&dkey={KEY}", None),
        ({"bearer_token": KEY}, "/rpc?a=b", ("authorization", f"Bearer {KEY}")),
        ({"headers": {"X-Mine": KEY}}, "/rpc?a=b", ("x-mine", KEY)),
    ],
    ids=repr,
)
async def test_the_handshake_proves_who_asks(
    credentials: dict[str, Any], path: str, header: tuple[str, str] | None, socket_node: SocketNode
) -> None:
    async with ConnectionPool(f"{socket_node.url}/rpc?a=b", credentials, headers={"X-Tenant": "one"}) as pool:
        assert await ask(pool, 1) == [1]
    ((seen, headers),) = socket_node.handshakes
    assert seen == path
    assert headers["x-tenant"] == "one"
    assert headers["host"] == f"127.0.0.1:{socket_node.port}"
    assert headers["user-agent"].startswith("genesis-replicator/")
    if header is not None:
        name, value = header
        assert headers[name] == value
    assert KEY not in json.dumps(socket_node.calls)


async def test_a_token_of_the_engine_api_is_made_for_each_handshake(socket_node: SocketNode) -> None:
    pool = ConnectionPool(socket_node.url, {"jwt_secret": "7c3fa1" * 10 + "9b2d"})
    async with pool, pool.acquire() as one, pool.acquire() as other:
        assert await one.request("echo") == await other.request("echo") == []
    assert [headers["authorization"][:9] for _, headers in socket_node.handshakes] == ["Bearer ey"] * 2


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, AuthenticationError),
        (403, AuthenticationError),
        (429, ProviderRateLimitError),
        (503, HttpStatusError),
        (200, HttpStatusError),
        (302, HttpStatusError),
    ],
)
async def test_a_refused_handshake_is_the_error_of_its_status(
    status: int, error: type[Exception], socket_node: SocketNode
) -> None:
    socket_node.refusal = lambda _: web.Response(
        status=status, text=f"no {KEY}", headers={"Retry-After": "7"}
    )
    async with ConnectionPool(f"{socket_node.url}/{KEY}", {"bearer_token": KEY}) as pool:
        with pytest.raises(error) as caught:
            await ask(pool)
        if isinstance(caught.value, ProviderRateLimitError):
            assert caught.value.retry_after == 7
        assert KEY not in f"{caught.value} {caught.value!r} {vars(caught.value)}"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"", "the connection ended"),
        (b"hello\r\n\r\n", "the answer is not that of a WebSocket"),
        (b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\n\r\n", "the answer is not that of a WebSocket"),
    ],
)
async def test_what_is_no_handshake_is_told(said: bytes, told: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with ConnectionPool(f"ws://127.0.0.1:{port}/{KEY}") as pool:
            with pytest.raises(ChainConnectionError, match=told) as caught:
                await ask(pool)
    assert KEY not in str(caught.value)


async def test_a_handshake_that_is_not_answered_is_a_connect_timeout(socket_node: SocketNode) -> None:
    with ToxicProxy(socket_node.url) as proxy:
        proxy.add(Timeout())
        async with ConnectionPool(proxy.url) as pool:
            with pytest.raises(ConnectTimeoutError):
                await soon(pool.acquire(timeout=0.1))


async def test_a_node_that_refuses_for_its_rate_is_left_alone_as_long_as_it_asks(
    manager: ChainManager, socket_node: SocketNode
) -> None:
    await manager.connect_to_chain("eth", socket_node.url)
    async with manager.get_connection("eth"):
        socket_node.refusal = lambda _: web.Response(status=429, headers={"Retry-After": "60"})
        with pytest.raises(ProviderRateLimitError):
            async with manager.get_connection("eth"):
                pass
        handshakes = len(socket_node.handshakes)
        with pytest.raises(ProviderRateLimitError, match="may be asked again in"):
            await soon(manager.request("eth", "echo", timeout=1))
        assert len(socket_node.handshakes) == handshakes


async def test_a_thousand_callers_of_a_node_that_refuses_make_few_handshakes(
    manager: ChainManager, socket_node: SocketNode
) -> None:
    await manager.connect_to_chain("eth", socket_node.url)
    socket_node.refusal = lambda _: web.Response(status=401)
    await socket_node.close_all()
    begin = time.monotonic()
    calls = [manager.request("eth", "echo", timeout=5) for _ in range(1_000)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, AuthenticationError) for outcome in outcomes)
    assert len(socket_node.handshakes) <= 10 * (1 + time.monotonic() - begin)
    socket_node.refusal = lambda _: None
    assert await soon(manager.request("eth", "echo", [1])) == [1]


class Keys:
    """Makes keys, one after the other."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> dict[str, str]:
        self.made += 1
        return {"bearer_token": f"{KEY}-{self.made}"}


def shown(node: SocketNode) -> list[int]:
    """The numbers of the keys that were shown to the node."""
    return [int(headers["authorization"].rpartition("-")[2]) for _, headers in node.handshakes]


async def test_renewed_credentials_are_asked_for_anew_when_the_handshake_is_refused(
    manager: ChainManager, socket_node: SocketNode
) -> None:
    socket_node.refusal = lambda number: web.Response(status=401) if number in (1, 3, 5) else None
    async with ConnectionPool(socket_node.url, Keys()) as pool, pool.acquire() as connection:
        assert await soon(connection.request("echo", [1])) == [1]
        await socket_node.close_all()
        assert await soon(connection.request("echo", [2])) == [2]
    assert shown(socket_node) == [1, 2, 2, 3]
    await manager.connect_to_chain("eth", socket_node.url, Keys())
    assert await soon(manager.request("eth", "echo", [3])) == [3]
    assert shown(socket_node)[4:] == [1, 2]


async def test_they_are_asked_for_once_more_and_no_further(socket_node: SocketNode) -> None:
    socket_node.refusal = lambda _: web.Response(status=401)
    async with ConnectionPool(socket_node.url, keys := Keys()) as pool:
        with pytest.raises(AuthenticationError):
            await ask(pool)
    assert keys.made == 2


async def test_renewed_credentials_that_a_socket_does_not_show_get_another_socket(
    manager: ChainManager, socket_node: SocketNode
) -> None:
    async def answer(socket: Socket, call: Any) -> None:
        if call["method"] == "ask" and len(socket_node.handshakes) == 1:
            error = {"code": 401, "message": "invalid api key"}
            await socket.send_json({"id": call["id"], "error": error})
        else:
            await socket.send_json(result(call))

    socket_node.answer = answer
    await manager.connect_to_chain("eth", socket_node.url, Keys())
    assert await soon(manager.request("eth", "ask", [1])) == [1]
    assert shown(socket_node) == [1, 2]


async def test_wss_trusts_the_authority_that_is_named_and_no_other(
    manager: ChainManager,
) -> None:
    authority = Authority()
    async with SocketNode(authority.context("127.0.0.1")) as node:
        for options in ({}, {"ca": Authority().pem}):
            async with ConnectionPool(node.url, **options) as pool:
                with pytest.raises(TlsError):
                    await ask(pool)
        assert node.handshakes == []
        await manager.connect_to_chain("eth", node.url, {"bearer_token": KEY}, ca=authority.pem)
        calls = [manager.request("eth", "echo", [number]) for number in range(200)]
        assert await soon(asyncio.gather(*calls)) == [[number] for number in range(200)]


@pytest.mark.parametrize("endpoint", ["ws://127.0.0.1:1", "wss://node.example.org", "ipc:///tmp/node.ipc"])
@pytest.mark.parametrize(("option", "value"), [("proxy", "http://127.0.0.1:1"), ("trust_env", True)])
def test_a_socket_goes_through_no_proxy(endpoint: str, option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^{option}: .* without a proxy"):
        ConnectionPool(endpoint, **{option: value})


def test_credentials_travel_encrypted() -> None:
    with pytest.raises(SecurityError, match="use wss"):
        ConnectionPool("ws://node.example.org", {"api_key": KEY})
    ConnectionPool("ws://node.example.org", {"api_key": KEY}, allow_plaintext=True)
    ConnectionPool("wss://node.example.org", {"api_key": KEY})


@pytest.mark.parametrize(
    "option", [{"credentials": {"api_key": KEY}}, {"headers": {"X-Mine": "1"}}], ids=repr
)
def test_a_unix_socket_takes_no_credentials(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="an ipc endpoint takes none"):
        ConnectionPool("ipc:///tmp/node.ipc", **option)


async def test_a_unix_socket_is_on_this_machine(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/node.ipc"
    for policy in ("public", ["10.0.0.0/8"]):
        with pytest.raises(SecurityError, match="address_policy"):
            ConnectionPool(endpoint, address_policy=policy)
    for policy in ("any", "private", ["127.0.0.0/8"]):
        async with ConnectionPool(endpoint, address_policy=policy) as pool:
            with pytest.raises(ChainConnectionError, match=f"cannot connect to {endpoint}"):
                await ask(pool)


@pytest.mark.parametrize(
    "endpoint", ["ipc://", "ipc:node.ipc", "ipc://host/node.ipc", "ipc:///a?b", "wsx://a"]
)
def test_a_url_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="endpoint"):
        ConnectionPool(endpoint)
