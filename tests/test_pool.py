"""ConnectionPool: waiting, order, idle connections, and what resize, drain and close do."""

from __future__ import annotations

import asyncio
import re

import pytest

from genesis_replicator import ConnectionPool, PoolClosedError, PoolTimeoutError, TooManyWaitersError
from genesis_replicator.testing import FaultServer, Reply
from servers.wait import soon, until


async def use(pool: ConnectionPool) -> str:
    """Take a connection, call, give it back; the connection's id."""
    async with pool.acquire() as connection:
        await connection.request("echo")
        return connection.id


async def test_it_opens_at_first_use(node: FaultServer) -> None:
    async with ConnectionPool(node.url) as pool:
        assert (await pool.get_metrics())["total_connections"] == 0
        await use(pool)
        assert node.accepted == 1


async def test_acquire_awaits_and_enters(node: FaultServer) -> None:
    async with ConnectionPool(node.url) as pool:
        connection = await pool.acquire()
        await connection.close()
        async with pool.acquire() as same:
            assert same.id == connection.id


async def test_waiters_are_served_first_come_first_served(node: FaultServer) -> None:
    async with ConnectionPool(node.url, max_connections=1) as pool:
        held = await pool.acquire()
        order: list[int] = []

        async def wait(number: int) -> None:
            async with pool.acquire():
                order.append(number)

        tasks = [asyncio.create_task(wait(i)) for i in range(20)]
        await asyncio.sleep(0)
        assert (await pool.get_metrics())["waiting_requests"] == 20
        await held.close()
        await soon(asyncio.gather(*tasks))
        assert order == list(range(20))


async def test_a_wait_that_runs_out_tells_the_numbers(node: FaultServer) -> None:
    async with ConnectionPool(node.url, max_connections=2, acquire_timeout=30.0) as pool:
        held = [await pool.acquire(), await pool.acquire()]
        with pytest.raises(PoolTimeoutError) as caught:
            await soon(pool.acquire(timeout=0.05))
        for connection in held:
            await connection.close()
    error = caught.value
    assert isinstance(error, TimeoutError)
    assert error.phase == "queue"
    assert error.elapsed is not None
    assert error.elapsed >= 0.05
    for word in ("2 in use", "connecting", "waiting"):
        assert word in str(error)
    assert len(re.findall(r"\d+", str(error))) >= 4


async def test_the_configured_acquire_timeout_is_the_default(node: FaultServer) -> None:
    async with ConnectionPool(node.url, max_connections=1, acquire_timeout=0.05) as pool, pool.acquire():
        with pytest.raises(PoolTimeoutError):
            await soon(pool.acquire())


async def test_no_more_than_max_waiting_callers_wait(node: FaultServer) -> None:
    async with ConnectionPool(node.url, max_connections=1, max_waiting=1) as pool:
        held = await pool.acquire()
        waiter = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        with pytest.raises(TooManyWaitersError):
            await soon(pool.acquire())
        await held.close()
        await (await soon(waiter)).close()


async def test_idle_connections_are_closed_above_min_connections(node: FaultServer) -> None:
    async with ConnectionPool(node.url, min_connections=1, idle_timeout=0.2) as pool:
        connections = [await pool.acquire() for _ in range(3)]
        for connection in connections:
            await connection.request("echo")
        assert node.open == 3
        for connection in connections:
            await connection.close()
        await until(lambda: node.open == 1)
        assert (await pool.get_metrics())["idle_connections"] == 1


async def test_without_min_connections_every_idle_connection_is_closed(node: FaultServer) -> None:
    async with ConnectionPool(node.url, idle_timeout=0.2) as pool:
        await use(pool)
        await until(lambda: node.open == 0)
        assert (await pool.get_metrics())["total_connections"] == 0


async def test_a_connection_over_its_lifetime_is_replaced(node: FaultServer) -> None:
    async with ConnectionPool(node.url, max_lifetime=0.05) as pool:
        first = await use(pool)
        await asyncio.sleep(0.1)
        assert await use(pool) != first
        assert node.accepted == 2


async def test_resize_changes_the_bound(node: FaultServer) -> None:
    async with ConnectionPool(node.url, max_connections=1) as pool:
        first = await pool.acquire()
        waiter = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        await pool.resize(2)
        second = await soon(waiter)
        await pool.resize(1)
        await first.close()
        await second.close()
        await until(lambda: node.open <= 1)
        metrics = await pool.get_metrics()
        assert (metrics["max_connections"], metrics["total_connections"]) == (1, 1)


async def test_drain_replaces_every_connection_and_leaves_the_pool_usable(node: FaultServer) -> None:
    async with ConnectionPool(node.url) as pool:
        old = await use(pool)
        leased = await pool.acquire()
        draining = asyncio.create_task(pool.drain())
        await asyncio.sleep(0)
        assert await leased.request("echo", [1]) == [1]
        await leased.close()
        await soon(draining)
        await until(lambda: node.open == 0)
        assert await use(pool) != old


async def test_close_waits_for_leases_then_ends_them(node: FaultServer) -> None:
    pool = ConnectionPool(node.url, max_connections=1)
    async with pool:
        leased = await pool.acquire()
        waiter = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        await soon(pool.close(timeout=0.05))
        with pytest.raises(PoolClosedError):
            await soon(waiter)
        with pytest.raises(PoolClosedError):
            await soon(pool.acquire())
        await leased.close()
        await pool.close()
    await until(lambda: node.open == 0)


async def test_a_cancelled_acquire_leaves_its_dial_to_the_next_waiter(node: FaultServer) -> None:
    async with ConnectionPool(node.url, max_connections=1) as pool:
        for _ in range(20):
            acquire = asyncio.create_task(pool.acquire())
            await asyncio.sleep(0)
            acquire.cancel()
            outcome = (await asyncio.gather(acquire, return_exceptions=True))[0]
            if not isinstance(outcome, BaseException):
                await outcome.close()
        await soon(use(pool))
        assert node.accepted == 1


async def test_a_call_that_is_given_up_costs_its_connection_and_nobody_gets_its_answer(
    node: FaultServer,
) -> None:
    node.on("slow", Reply("of the slow call", hold=True))
    async with ConnectionPool(node.url, max_connections=1) as pool:
        async with pool.acquire() as connection:
            with pytest.raises(TimeoutError):
                await connection.request("slow", timeout=0.05)
            node.release()
            assert await connection.request("echo", ["mine"]) == ["mine"]
        assert node.accepted == 2
