"""One deadline bounds a call, and a timeout says in which phase its time was spent."""

from __future__ import annotations

import asyncio
import math
import socket
from typing import Any

import pytest

from genesis_replicator import (
    ChainManager,
    ConnectionPool,
    ConnectTimeoutError,
    PoolTimeoutError,
    RequestTimeoutError,
)
from genesis_replicator.testing import FaultServer, Reply
from servers.wait import soon


async def test_a_node_that_never_answers_is_a_receive_timeout(chain: Any, node: FaultServer) -> None:
    node.on("slow", Reply(hold=True))
    with pytest.raises(RequestTimeoutError) as caught:
        await soon(chain.request("eth", "slow", timeout=0.1))
    assert caught.value.phase == "receive"
    assert caught.value.elapsed is not None
    assert caught.value.elapsed >= 0.1
    assert caught.value.chain_id == "eth"


async def test_a_wait_for_a_slot_in_request_is_a_pool_timeout(node: FaultServer) -> None:
    async with ChainManager(max_connections=1) as manager:
        await manager.connect_to_chain("eth", node.url)
        async with manager.get_connection("eth"):
            with pytest.raises(PoolTimeoutError) as caught:
                await soon(manager.request("eth", "echo", timeout=0.05))
    assert caught.value.phase == "queue"


async def test_a_peer_that_accepts_and_never_speaks_tls_is_a_connect_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        async with ConnectionPool(url) as pool:
            with pytest.raises(ConnectTimeoutError) as caught:
                await soon(pool.acquire(timeout=0.1))
    assert caught.value.phase == "connect"


async def test_the_default_of_the_manager_is_used_and_infinity_is_none(node: FaultServer) -> None:
    node.on("slow", Reply("late", hold=True))
    async with ChainManager(request_timeout=0.1) as manager:
        await manager.connect_to_chain("eth", node.url, timeout=30)
        with pytest.raises(RequestTimeoutError):
            await soon(manager.request("eth", "slow"))
        patient = asyncio.create_task(manager.request("eth", "slow", timeout=math.inf))
        await asyncio.wait([patient], timeout=0.3)
        assert not patient.done()
        node.release()
        assert await soon(patient) == "late"


async def test_one_deadline_bounds_all_calls_of_request_many(chain: Any, node: FaultServer) -> None:
    node.on("slow", Reply(delay=0.05))
    with pytest.raises(TimeoutError):
        await soon(chain.request_many("eth", [("slow", [])] * 1000, concurrency=1, timeout=0.3))


async def test_a_queued_call_on_a_busy_connection_keeps_its_own_deadline(
    chain: Any, node: FaultServer
) -> None:
    node.on("slow", Reply("done", hold=True))
    async with chain.get_connection("eth") as connection:
        first = asyncio.create_task(connection.request("slow"))
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await soon(connection.request("echo", timeout=0.05))
        node.release()
        assert await soon(first) == "done"


async def test_request_many_names_the_phase_that_took_its_time(chain: Any) -> None:
    held = [await chain.get_connection("eth") for _ in range(10)]
    with pytest.raises(PoolTimeoutError) as caught:
        await soon(chain.request_many("eth", [("echo", [])] * 3, timeout=0.05))
    assert caught.value.phase == "queue"
    for connection in held:
        await connection.close()


async def test_a_connect_that_waits_for_a_slot_is_a_pool_timeout(chain: Any, node: FaultServer) -> None:
    held = [await chain.get_connection("eth") for _ in range(10)]
    with pytest.raises(PoolTimeoutError) as caught:
        await soon(chain.connect_to_chain("other", node.url, timeout=0.05))
    assert caught.value.phase == "queue"
    for connection in held:
        await connection.close()
