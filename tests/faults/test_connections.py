"""Faults of a connection: refused, reset, silent, slow, gone without a word."""

from __future__ import annotations

import asyncio
import time

import pytest

from faults.balance import comes_to_rest
from genesis_replicator import (
    ChainConnectionError,
    ChainManager,
    ConnectionClosedError,
    ConnectionPool,
    ConnectTimeoutError,
    GenesisError,
    ProtocolError,
    RequestTimeoutError,
)
from genesis_replicator.testing import (
    FAULTS,
    Bandwidth,
    FaultServer,
    Latency,
    LimitData,
    Reply,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
    Toxic,
    ToxicProxy,
)
from servers.wait import SOON, soon, until


@pytest.fixture
async def proxied(manager: ChainManager, toxic_proxy: ToxicProxy) -> ChainManager:
    """The manager, connected to the fault server through the proxy as "eth"."""
    await manager.connect_to_chain("eth", toxic_proxy.url)
    return manager


async def test_a_refused_connection_fails_fast_by_host_and_port_and_only_its_own_chain(
    proxied: ChainManager, toxic_proxy: ToxicProxy, node: FaultServer
) -> None:
    await proxied.connect_to_chain("other", node.url)
    toxic_proxy.down()
    with pytest.raises(ChainConnectionError, match=rf"127\.0\.0\.1:{toxic_proxy.port}.* refused") as caught:
        await soon(proxied.request("eth", "echo", timeout=30))
    assert caught.value.chain_id == "eth"
    assert await soon(proxied.request("other", "echo", [1])) == [1]
    await comes_to_rest(proxied)


async def test_a_thousand_callers_of_a_node_that_refuses_make_few_attempts(
    proxied: ChainManager, toxic_proxy: ToxicProxy
) -> None:
    toxic_proxy.down()
    begin = time.monotonic()
    calls = [proxied.request("eth", "echo", timeout=5) for _ in range(1_000)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    attempts = (await proxied.get_pool_metrics())["connect_failures"]
    assert all(isinstance(outcome, ChainConnectionError) for outcome in outcomes)
    assert attempts <= 10 * (1 + time.monotonic() - begin)
    await comes_to_rest(proxied)


async def test_a_node_that_listens_again_is_used_within_a_second(
    proxied: ChainManager, toxic_proxy: ToxicProxy
) -> None:
    async def recovery() -> float:
        toxic_proxy.down()
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            with pytest.raises(ChainConnectionError):
                await soon(proxied.request("eth", "echo", timeout=1.0))
        toxic_proxy.up()
        listening = time.monotonic()
        async with asyncio.timeout(SOON):
            while True:
                try:
                    await proxied.request("eth", "echo")
                except ChainConnectionError:
                    continue
                return time.monotonic() - listening

    # The best of three, because a busy machine may hold up any one of them.
    times = [await recovery() for _ in range(3)]
    assert min(times) <= 1.0, times


async def test_waiting_calls_are_served_once_the_node_listens_again(
    proxied: ChainManager, toxic_proxy: ToxicProxy
) -> None:
    silence = toxic_proxy.add(Timeout())
    waiting = [asyncio.ensure_future(proxied.request("eth", "echo", [i])) for i in range(100)]
    await asyncio.wait(waiting, timeout=0.2)
    assert not any(call.done() for call in waiting)
    toxic_proxy.remove(silence)
    assert await soon(asyncio.gather(*waiting)) == [[i] for i in range(100)]


@pytest.mark.parametrize("name", ["reset", "reset_in_body", "truncated_body", "truncated_chunks", "hang_up"])
async def test_a_write_that_broke_off_is_sent_once_and_its_connection_discarded(
    name: str, chain: ChainManager, node: FaultServer
) -> None:
    node.on("eth_sendTransaction", FAULTS[name], Reply("0x1"))
    with pytest.raises((ConnectionClosedError, ProtocolError)):
        await soon(chain.request("eth", "eth_sendTransaction", [{}]))
    assert node.calls("eth_sendTransaction") == 1
    assert await soon(chain.request("eth", "echo", [1])) == [1]
    (write,) = (seen for seen in node.seen if seen.method == "eth_sendTransaction")
    assert node.seen[-1].connection != write.connection
    await comes_to_rest(chain)


@pytest.mark.parametrize("name", ["reset", "hang_up"])
async def test_a_read_without_a_byte_of_an_answer_is_asked_for_again(
    name: str, manager: ChainManager, node: FaultServer
) -> None:
    await manager.connect_to_chain("eth", node.url, retries=0)
    node.on("eth_gasPrice", FAULTS[name], Reply("0x1"))
    assert await soon(manager.request("eth", "eth_gasPrice")) == "0x1"
    node.on("eth_gasPrice", FAULTS[name])
    with pytest.raises(ConnectionClosedError):
        await soon(manager.request("eth", "eth_gasPrice"))
    assert node.calls("eth_gasPrice") == 4


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_answer_of_a_byte_a_second_ends_at_the_deadline_and_frees_its_slot(
    *, chunked: bool, node: FaultServer
) -> None:
    node.on("slow", Reply("x" * 1_000, rate=1.0, chunked=chunked))
    async with ConnectionPool(node.url, max_connections=1) as pool:
        async with pool.acquire() as connection:
            with pytest.raises(RequestTimeoutError) as caught:
                await soon(connection.request("slow", timeout=0.3))
        assert caught.value.phase == "receive"
        async with pool.acquire(timeout=1.0) as connection:
            assert await soon(connection.request("echo", [1])) == [1]
        await comes_to_rest(pool)
    await until(lambda: node.open == 0)


async def test_a_peer_that_goes_silent_is_bounded_by_the_deadline_and_replaced(
    proxied: ChainManager, toxic_proxy: ToxicProxy
) -> None:
    # Its end never comes through, as if the cable were cut.
    silence = toxic_proxy.add(Timeout())
    with pytest.raises(RequestTimeoutError) as caught:
        await soon(proxied.request("eth", "echo", timeout=0.2))
    assert caught.value.phase == "receive"
    toxic_proxy.remove(silence)
    assert await soon(proxied.request("eth", "echo", [1])) == [1]
    assert toxic_proxy.accepted == 2
    await comes_to_rest(proxied)


async def test_a_peer_that_accepts_and_says_nothing_is_a_connect_timeout_over_tls() -> None:
    with FaultServer(tls=True) as server, ToxicProxy(server.url) as proxy:
        proxy.add(Timeout())
        async with ConnectionPool(proxy.url, ca=server.ca, max_connections=1) as pool:
            with pytest.raises(ConnectTimeoutError) as caught:
                await soon(pool.acquire(timeout=0.2))
            assert caught.value.phase == "connect"
            proxy.clear()
            async with pool.acquire() as connection:
                assert await soon(connection.request("echo", [1])) == [1]
        await until(lambda: proxy.open == 0)


TOXICS = {
    "latency": Latency(0.02, jitter=0.02),
    "bandwidth": Bandwidth(100_000),
    "slicer": Slicer(7),
    "slow_close": SlowClose(0.1),
    "limit_data": LimitData(500),
    "reset_peer": ResetPeer(0.05),
    "timeout": Timeout(after=0.05),
}


@pytest.mark.parametrize("upstream", [False, True])
@pytest.mark.parametrize("name", TOXICS)
async def test_a_bad_way_to_the_node_gives_right_answers_or_errors_and_no_slot_is_lost(
    name: str, *, upstream: bool, proxied: ChainManager, toxic_proxy: ToxicProxy
) -> None:
    kind = TOXICS[name]
    toxic = toxic_proxy.add(_copy(kind), upstream=upstream)
    calls = [proxied.request("eth", "echo", [i, "x" * 50], timeout=2.0) for i in range(100)]
    async with asyncio.timeout(20):
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    failed = [outcome for outcome in outcomes if isinstance(outcome, GenesisError)]
    assert all(outcome in ([i, "x" * 50], *failed) for i, outcome in enumerate(outcomes))
    if name in {"latency", "bandwidth", "slicer", "slow_close"}:
        assert failed == []
    toxic_proxy.remove(toxic)
    assert await soon(proxied.request("eth", "echo", [1])) == [1]
    await comes_to_rest(proxied)


def _copy(toxic: Toxic) -> Toxic:
    """The same toxic, unused."""
    fields = {key: value for key, value in vars(toxic).items() if not key.startswith("_")}
    return type(toxic)(**fields)
