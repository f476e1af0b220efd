"""ChainManager: its life, its labels, and what it tells about the chains."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from genesis_replicator import ChainConnectionError, ChainManager, PoolClosedError, UnknownChainError
from genesis_replicator.testing import FaultServer, Reply
from servers.wait import soon, until


async def test_start_and_stop_may_be_repeated(node: FaultServer) -> None:
    manager = ChainManager()
    await manager.stop()
    await manager.start()
    await manager.start()
    await manager.connect_to_chain("eth", node.url)
    await manager.stop()
    await manager.stop()


CALLS: dict[str, tuple[Any, ...]] = {
    "connect_to_chain": ("eth", "http://127.0.0.1:9"),
    "disconnect_from_chain": ("eth",),
    "get_connected_chains": (),
    "get_chain_status": ("eth",),
    "get_connection": ("eth",),
    "request": ("eth", "echo"),
    "request_many": ("eth", [("echo", [])]),
    "verify_credentials": ("eth",),
}


@pytest.mark.parametrize("name", CALLS)
async def test_use_before_start_and_after_stop_is_a_clear_error(name: str) -> None:
    manager = ChainManager()
    with pytest.raises(PoolClosedError, match="start"):
        await soon(getattr(manager, name)(*CALLS[name]))
    await manager.start()
    await manager.stop()
    with pytest.raises(PoolClosedError):
        await soon(getattr(manager, name)(*CALLS[name]))


async def test_stop_ends_calls_in_flight_and_waiters(node: FaultServer) -> None:
    node.on("slow", Reply(hold=True))
    async with ChainManager(max_connections=1) as manager:
        await manager.connect_to_chain("eth", node.url)
        tasks = [asyncio.create_task(manager.request("eth", "slow")) for _ in range(3)]
        while not node.calls("slow"):
            await asyncio.sleep(0.005)
        await soon(manager.stop(timeout=0.05))
        outcomes = await soon(asyncio.gather(*tasks, return_exceptions=True))
    assert all(isinstance(outcome, ChainConnectionError) for outcome in outcomes)


async def test_stop_waits_for_calls_that_end_in_time(node: FaultServer) -> None:
    node.on("slow", Reply("done", hold=True))
    async with ChainManager() as manager:
        await manager.connect_to_chain("eth", node.url)
        call = asyncio.create_task(manager.request("eth", "slow"))
        while not node.calls("slow"):
            await asyncio.sleep(0.005)
        stop = asyncio.create_task(manager.stop(timeout=30))
        await asyncio.sleep(0)
        node.release()
        assert await soon(call) == "done"
        await soon(stop)


async def test_the_same_label_again_is_true_with_equal_arguments_only(
    chain: ChainManager, node: FaultServer, refused_port: int
) -> None:
    accepted = node.accepted
    assert await chain.connect_to_chain("eth", node.url) is True
    assert await chain.connect_to_chain(chain_id="eth", endpoint=node.url, credentials=None) is True
    with pytest.raises(ChainConnectionError, match="eth"):
        await chain.connect_to_chain("eth", f"http://127.0.0.1:{refused_port}")
    with pytest.raises(ChainConnectionError, match="eth"):
        await chain.connect_to_chain("eth", node.url, {"api_key": "k7Qm2VxT9pLw4ZsRb8NdYc3H"})
    assert node.accepted == accepted
    assert await chain.get_connected_chains() == ["eth"]


async def test_none_and_empty_credentials_connect_without_credentials(
    manager: ChainManager, node: FaultServer
) -> None:
    assert await manager.connect_to_chain("a", node.url, None)
    assert await manager.connect_to_chain("b", node.url, {})
    assert not any({"authorization", "x-api-key"} & set(seen.headers) for seen in node.seen)


@pytest.mark.parametrize("call", ["get_connection", "request", "get_chain_status", "disconnect_from_chain"])
async def test_an_unknown_label_is_named_in_its_error(call: str, manager: ChainManager) -> None:
    arguments = ("nowhere", "echo") if call == "request" else ("nowhere",)
    with pytest.raises(UnknownChainError) as caught:
        await soon(getattr(manager, call)(*arguments))
    assert isinstance(caught.value, ChainConnectionError)
    assert isinstance(caught.value, KeyError)
    assert "nowhere" in str(caught.value)
    assert not str(caught.value).startswith(("'", '"'))
    assert caught.value.chain_id == "nowhere"


async def test_disconnecting_closes_the_sockets_and_forgets_the_label(
    chain: ChainManager, node: FaultServer
) -> None:
    await chain.disconnect_from_chain("eth")
    assert await chain.get_connected_chains() == []
    async with asyncio.timeout(10):
        while node.open:
            await asyncio.sleep(0.005)
    with pytest.raises(UnknownChainError):
        await chain.request("eth", "echo")
    assert await chain.connect_to_chain("eth", node.url)


async def test_status_tells_who_the_node_is_and_how_it_does(chain: ChainManager) -> None:
    status = await chain.get_chain_status("eth")
    assert status["label"] == "eth"
    assert status["network_id"] == 1
    assert status["head_block"] == 16
    assert 0 < status["latency"] < 30
    (endpoint,) = status["endpoints"]
    assert endpoint["healthy"] is True


async def test_request_many_keeps_the_order_and_bounds_its_concurrency(
    chain: ChainManager, node: FaultServer
) -> None:
    calls: list[tuple[str, Any]] = [("echo", [i]) for i in range(500)]
    assert await chain.request_many("eth", calls, concurrency=3) == [[i] for i in range(500)]
    assert node.peak <= 4
    assert await chain.request_many("eth", []) == []


async def test_request_many_keeps_a_connection_until_somebody_waits_for_one(node: FaultServer) -> None:
    async with ChainManager(max_connections=1) as manager:
        await manager.connect_to_chain("eth", node.url)

        async def acquisitions() -> int:
            return (await manager.get_pool_metrics())["acquisitions"]

        before = await acquisitions()
        await manager.request_many("eth", [("echo", [i]) for i in range(50)], concurrency=1)
        assert await acquisitions() - before == 1
        many = asyncio.create_task(manager.request_many("eth", [("echo", [])] * 50_000, concurrency=1))
        await until(lambda: node.calls("echo") > 60)
        assert await soon(manager.request("eth", "echo", ["me"])) == ["me"]
        assert not many.done()
        many.cancel()


async def test_request_many_raises_the_first_failure_or_returns_all(chain: ChainManager) -> None:
    from genesis_replicator import RpcError

    calls: list[tuple[str, Any]] = [("echo", [0]), ("nonsense", []), ("echo", [2])]
    with pytest.raises(RpcError) as caught:
        await chain.request_many("eth", calls)
    assert caught.value.code == -32601
    first, second, third = await chain.request_many("eth", calls, return_exceptions=True)
    assert (first, third) == ([0], [2])
    assert isinstance(second, RpcError)
    assert second.code == -32601
