"""What each toxic does to a connection, and that it does so while the connection is open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import pytest

from genesis_replicator import ChainConnectionError, ConnectionClosedError, ConnectionPool, ProtocolError
from genesis_replicator.testing import (
    Bandwidth,
    FaultServer,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
    Toxic,
    ToxicProxy,
)
from servers.wait import soon, until

T = TypeVar("T")
Call = Callable[..., Awaitable[Any]]


@pytest.fixture
async def call(toxic_proxy: ToxicProxy) -> AsyncIterator[Call]:
    """Calls through the proxy, over a connection that is open already."""
    async with ConnectionPool(toxic_proxy.url, max_connections=1) as pool:

        async def call(*params: Any) -> Any:
            async with pool.acquire() as connection:
                return await connection.request("echo", params)

        await call()
        yield call


async def timed(awaitable: Awaitable[Any]) -> float:
    """How long it took."""
    begin = time.monotonic()
    await awaitable
    return time.monotonic() - begin


async def connected(proxy: ToxicProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A plain connection through the proxy."""
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def is_reset(proxy: ToxicProxy) -> None:
    """A new connection is reset, perhaps before its client knows that it has one."""
    with pytest.raises(ConnectionResetError):
        reader, writer = await connected(proxy)
        try:
            await soon(reader.read(1))
        finally:
            writer.close()


async def test_without_toxics_everything_passes_unchanged(call: Call, toxic_proxy: ToxicProxy) -> None:
    large = "é" * 500_000
    assert await call(large) == [large]
    assert (toxic_proxy.accepted, toxic_proxy.open) == (1, 1)


@pytest.mark.parametrize("upstream", [False, True])
async def test_latency_delays_either_direction(
    *, upstream: bool, call: Call, toxic_proxy: ToxicProxy
) -> None:
    toxic_proxy.add(Latency(0.2, jitter=0.05), upstream=upstream)
    assert await timed(call()) >= 0.14


async def test_a_toxic_is_changed_and_removed_while_bytes_wait(call: Call, toxic_proxy: ToxicProxy) -> None:
    latency = toxic_proxy.add(Latency(0.0))
    await soon(call())
    latency.seconds = 60.0
    waiting = asyncio.ensure_future(call(1))
    await asyncio.wait([waiting], timeout=0.2)
    assert not waiting.done()
    toxic_proxy.remove(latency)
    assert await soon(waiting) == [1]


async def test_bandwidth_bounds_the_bytes_of_a_second(call: Call, toxic_proxy: ToxicProxy) -> None:
    toxic_proxy.add(Bandwidth(50_000))
    assert await timed(call("x" * 20_000)) >= 0.35


async def test_a_slicer_cuts_without_changing_anything(call: Call, toxic_proxy: ToxicProxy) -> None:
    toxic_proxy.add(Slicer(100, delay=0.01))
    text = "x" * 2_000
    begin = time.monotonic()
    assert await call(text) == [text]
    assert time.monotonic() - begin >= 0.2


async def test_limit_data_cuts_an_answer_off(call: Call, toxic_proxy: ToxicProxy) -> None:
    toxic_proxy.add(LimitData(500))
    with pytest.raises((ConnectionClosedError, ProtocolError)):
        await soon(call("x" * 1_000))
    toxic_proxy.clear()
    assert await soon(call(1)) == [1]


async def test_reset_peer_resets_what_is_open_and_what_comes(toxic_proxy: ToxicProxy) -> None:
    reader, writer = await connected(toxic_proxy)
    await until(lambda: toxic_proxy.open == 1)
    toxic_proxy.add(ResetPeer())
    with pytest.raises(ConnectionResetError):
        await soon(reader.read(1))
    writer.close()
    await is_reset(toxic_proxy)
    await until(lambda: toxic_proxy.open == 0)


async def test_timeout_holds_everything_until_it_is_removed(
    call: Call, toxic_proxy: ToxicProxy, fault_server: FaultServer
) -> None:
    seen = fault_server.calls("echo")
    silence = toxic_proxy.add(Timeout(), upstream=True)
    waiting = asyncio.ensure_future(call(1))
    await asyncio.wait([waiting], timeout=0.2)
    assert fault_server.calls("echo") == seen
    toxic_proxy.remove(silence)
    assert await soon(waiting) == [1]


async def test_timeout_closes_connections_when_it_is_told_to(call: Call, toxic_proxy: ToxicProxy) -> None:
    toxic_proxy.add(Timeout(after=0.1))
    with pytest.raises(ConnectionClosedError):
        await soon(call())
    await until(lambda: toxic_proxy.open == 0)


async def test_slow_close_tells_of_the_end_late(toxic_proxy: ToxicProxy, fault_server: FaultServer) -> None:
    toxic_proxy.add(SlowClose(0.3))
    reader, writer = await connected(toxic_proxy)
    await until(lambda: fault_server.open == 1)
    fault_server.close_connections()
    assert await timed(reader.read()) >= 0.25
    writer.close()


async def test_a_proxy_that_is_down_cuts_and_refuses_until_it_is_up(
    call: Call, toxic_proxy: ToxicProxy
) -> None:
    port = toxic_proxy.port
    toxic_proxy.down()
    toxic_proxy.down()
    with pytest.raises(ChainConnectionError, match="refused"):
        await soon(call())
    with pytest.raises(ConnectionRefusedError):
        await connected(toxic_proxy)
    toxic_proxy.up()
    assert toxic_proxy.port == port
    assert await soon(call(1)) == [1]


async def test_a_client_is_reset_when_the_server_behind_does_not_listen(refused_port: int) -> None:
    with ToxicProxy(f"http://127.0.0.1:{refused_port}/path") as proxy:
        assert proxy.url == f"http://127.0.0.1:{proxy.port}/path"
        await is_reset(proxy)


async def test_the_toxics_of_a_direction_work_one_after_the_other(
    call: Call, toxic_proxy: ToxicProxy
) -> None:
    for _ in range(3):
        toxic_proxy.add(Latency(0.1), upstream=True)
    toxic_proxy.add(LimitData(1_000_000), upstream=True)
    assert await timed(call()) >= 0.1


def test_a_toxic_is_added_once(toxic_proxy: ToxicProxy) -> None:
    toxic = toxic_proxy.add(Toxic())
    with pytest.raises(ValueError, match="once"):
        toxic_proxy.add(toxic)
    toxic_proxy.remove(toxic)
    with pytest.raises(ValueError, match="once"):
        toxic_proxy.add(toxic)


def test_a_target_without_a_port_is_refused() -> None:
    with pytest.raises(ValueError, match="target"):
        ToxicProxy("127.0.0.1:80")
    with pytest.raises(ValueError, match="target"):
        ToxicProxy("tcp://127.0.0.1")


async def test_an_answer_passes_while_the_other_direction_is_closed() -> None:
    async def answer_after_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"heard " + await reader.read())
        await asyncio.sleep(0.1)
        writer.write(b" and said")
        writer.close()

    server = await asyncio.start_server(answer_after_the_end, "127.0.0.1", 0)
    async with server:
        with ToxicProxy(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as proxy:
            reader, writer = await connected(proxy)
            writer.write(b"this")
            writer.write_eof()
            assert await soon(reader.read()) == b"heard this and said"
            writer.close()
