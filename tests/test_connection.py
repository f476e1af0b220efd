"""Connection: a real network connection, leased, given back, lost, forgotten."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
from pathlib import Path
from typing import Any

import pytest

from genesis_replicator import (
    ConnectionClosedError,
    ConnectionPool,
    PoolTimeoutError,
    ProtocolError,
    RpcError,
)
from genesis_replicator.testing import FaultServer, Reply
from servers.wait import soon, until


async def test_it_tells_its_id_chain_and_endpoint(chain: Any, node: FaultServer) -> None:
    async with chain.get_connection("eth") as one, chain.get_connection("eth") as other:
        assert isinstance(one.id, str)
        assert one.id
        assert one.id != other.id
        assert one.chain_id == "eth"
        assert one.endpoint == node.url


async def test_close_gives_it_back_and_may_be_repeated(chain: Any, node: FaultServer) -> None:
    connection = await chain.get_connection("eth")
    await connection.close()
    await connection.close()
    assert (await chain.get_pool_metrics())["active_connections"] == 0
    with pytest.raises(ConnectionClosedError):
        await connection.request("echo")
    with pytest.raises(ConnectionClosedError):
        await connection.batch([("echo", [])])
    async with chain.get_connection("eth") as again:
        assert again.id == connection.id
    assert node.accepted == 1


async def test_close_fails_a_call_in_flight_and_discards_the_socket(chain: Any, node: FaultServer) -> None:
    node.on("slow", Reply(hold=True))
    connection = await chain.get_connection("eth")
    call = asyncio.create_task(connection.request("slow"))
    await until(lambda: node.calls("slow"))
    await connection.close()
    with pytest.raises(ConnectionClosedError):
        await soon(call)
    await until(lambda: node.open == 0)
    assert await chain.request("eth", "echo", [1]) == [1]


async def test_calls_on_one_connection_run_one_after_the_other(chain: Any, node: FaultServer) -> None:
    async with chain.get_connection("eth") as connection:
        calls = [connection.request("echo", [i]) for i in range(50)]
        assert await asyncio.gather(*calls) == [[i] for i in range(50)]
    assert (node.accepted, node.peak_in_flight) == (1, 1)


async def test_it_reconnects_in_its_slot_when_the_peer_closed_it_idle(chain: Any, node: FaultServer) -> None:
    async with chain.get_connection("eth") as connection:
        before = connection.id
        node.close_connections()
        await until(lambda: node.open == 0)
        assert await connection.request("echo", [1]) == [1]
        assert connection.id == before
        assert (await chain.get_pool_metrics())["total_connections"] == 1
    assert node.accepted == 2


async def test_a_pooled_connection_that_the_peer_closed_is_not_handed_out(
    chain: Any, node: FaultServer
) -> None:
    node.close_connections()
    await until(lambda: node.open == 0)
    assert await chain.request("eth", "echo", [1]) == [1]
    assert node.accepted == 2


async def test_two_lines_of_one_function_are_told_apart_as_holders(node: FaultServer) -> None:
    async with ConnectionPool(node.url, max_connections=2) as pool:
        line = inspect.currentframe().f_lineno  # type: ignore[union-attr]
        for _ in range(2):
            first = await pool.acquire()
            second = await pool.acquire()
            with pytest.raises(PoolTimeoutError, match=rf"holder .* at .*:{line + 2}\)"):
                await pool.acquire(timeout=0.01)
            await first.close()
            with pytest.raises(PoolTimeoutError, match=rf"holder .* at .*:{line + 3}\)"):
                first = await pool.acquire()
                await pool.acquire(timeout=0.01)
            await first.close()
            await second.close()


async def test_an_unreturned_connection_comes_back_with_a_warning(node: FaultServer) -> None:
    async with ConnectionPool(node.url, max_connections=1) as pool:

        async def forget() -> None:
            await pool.acquire()

        with pytest.warns(ResourceWarning, match=Path(__file__).name):
            await forget()
            gc.collect()
        async with asyncio.timeout(5), pool.acquire() as connection:
            assert await connection.request("echo", [1]) == [1]


async def test_one_that_is_held_too_long_is_logged_once_with_its_holder(
    node: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    def leaks() -> list[str]:
        return [
            record.getMessage() for record in caplog.records if Path(__file__).name in record.getMessage()
        ]

    with caplog.at_level(logging.WARNING, "genesis_replicator"):
        async with ConnectionPool(node.url, leak_threshold=0.05) as pool, pool.acquire():
            await until(leaks)
            await asyncio.sleep(0.3)
    assert len(leaks()) == 1


BATCH: list[tuple[str, Any]] = [("echo", [0]), ("eth_blockNumber", []), ("echo", [2])]


async def test_batch_answers_are_in_the_order_of_the_calls(chain: Any, node: FaultServer) -> None:
    node.batch = lambda answers: answers[::-1]
    async with chain.get_connection("eth") as connection:
        assert await connection.batch(BATCH) == [[0], "0x10", [2]]
        assert await connection.batch([]) == []


async def test_batch_raises_the_first_failure_or_returns_all(chain: Any) -> None:
    calls = [("echo", [0]), ("nonsense", []), ("echo", [2])]
    async with chain.get_connection("eth") as connection:
        with pytest.raises(RpcError, match="nonsense"):
            await connection.batch(calls)
        first, second, third = await connection.batch(calls, return_exceptions=True)
        assert (first, third) == ([0], [2])
        assert isinstance(second, RpcError)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answers: answers[:-1],
        lambda answers: [answers[0], answers[0], answers[2]],
        lambda answers: [*answers, answers[0]],
        lambda answers: [answers[0].replace('"id":', '"id":9'), *answers[1:]],
    ],
    ids=["missing", "duplicate", "one too many", "wrong id"],
)
async def test_a_batch_with_wrong_ids_is_a_protocol_error(spoil: Any, chain: Any, node: FaultServer) -> None:
    node.batch = spoil
    async with chain.get_connection("eth") as connection:
        with pytest.raises(ProtocolError):
            await connection.batch(BATCH)


async def test_a_call_keeps_its_connection_until_it_is_answered(node: FaultServer) -> None:
    async with ConnectionPool(node.url, max_connections=1) as pool:
        call = asyncio.create_task((await pool.acquire()).request("echo", [1]))
        with pytest.warns(ResourceWarning, match="unclosed connection"):
            assert await soon(call) == [1]
            del call
            gc.collect()
        async with pool.acquire(timeout=1.0) as connection:
            assert await connection.request("echo", [2]) == [2]
