"""Every operation may end at every moment: nothing stays taken, and the next call works."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from genesis_replicator import ChainManager, ConnectionPool, PoolClosedError, RateLimiter
from genesis_replicator.testing import FaultServer
from models.moments import ENDS, End
from servers.wait import SOON, soon, until

#: Ends one coroutine at the moment that is tried.
Moment = Callable[[Coroutine[Any, Any, Any]], Awaitable[None]]

IN_USE = ("active_connections", "in_flight_requests", "waiting_requests")
CALLS = [("echo", [number]) for number in range(5)]


async def metrics_of(of: ChainManager | ConnectionPool) -> dict[str, Any]:
    return await (of.get_pool_metrics() if isinstance(of, ChainManager) else of.get_metrics())


async def assert_nothing_is_taken(of: ChainManager | ConnectionPool) -> None:
    metrics = await metrics_of(of)
    assert {name: metrics[name] for name in IN_USE} == dict.fromkeys(IN_USE, 0)
    parts = ("active_connections", "idle_connections", "connecting")
    assert sum(metrics[part] for part in parts) == metrics["total_connections"] <= metrics["max_connections"]


async def dials_have_ended(of: ChainManager | ConnectionPool) -> None:
    """What dials goes on in a task of its own, which has the connection for a moment before it lies idle."""
    async with asyncio.timeout(SOON):
        while sum([(await metrics_of(of))[name] for name in (*IN_USE, "connecting")]):
            await asyncio.sleep(0)


async def works(manager: ChainManager, chain: str = "eth") -> None:
    await assert_nothing_is_taken(manager)
    assert await soon(manager.request(chain, "echo", ["next"])) == ["next"]


async def request(moment: Moment, manager: ChainManager, _: FaultServer) -> None:
    await moment(manager.request("eth", "echo", [1]))
    await works(manager)


async def request_many(moment: Moment, manager: ChainManager, _: FaultServer) -> None:
    await moment(manager.request_many("eth", CALLS, concurrency=2))
    await works(manager)


async def request_in_line(moment: Moment, manager: ChainManager, _: FaultServer) -> None:
    held = await manager.get_connection("eth")
    await moment(manager.request("eth", "echo", [1]))
    assert (await manager.get_pool_metrics())["waiting_requests"] == 0
    await held.close()
    await works(manager)


async def get_connection(moment: Moment, manager: ChainManager, _: FaultServer) -> None:
    await moment(manager.get_connection("eth"))
    await works(manager)


async def get_connection_of_another_chain(moment: Moment, manager: ChainManager, node: FaultServer) -> None:
    # The manager's only connection is closed for it, and dialled anew.
    await manager.connect_to_chain("other", node.url)
    await works(manager, "other")
    await moment(manager.get_connection("eth"))
    await dials_have_ended(manager)
    await works(manager, "other")
    await manager.disconnect_from_chain("other")


async def connect(moment: Moment, manager: ChainManager, node: FaultServer) -> None:
    await moment(manager.connect_to_chain("other", node.url))
    if "other" in await manager.get_connected_chains():
        await manager.disconnect_from_chain("other")
    await dials_have_ended(manager)
    await works(manager)
    assert await soon(manager.connect_to_chain("other", node.url)) is True
    await manager.disconnect_from_chain("other")


async def request_on_a_connection(moment: Moment, manager: ChainManager, _: FaultServer) -> None:
    async with manager.get_connection("eth") as connection:
        await moment(connection.request("echo", [1]))
        assert await soon(connection.request("echo", ["own"])) == ["own"]
    await works(manager)


async def batch(moment: Moment, manager: ChainManager, _: FaultServer) -> None:
    async with manager.get_connection("eth") as connection:
        await moment(connection.batch(CALLS))
        assert await soon(connection.batch(CALLS)) == [params for _, params in CALLS]
    await works(manager)


async def stream(moment: Moment, manager: ChainManager, _: FaultServer) -> None:
    results = manager.stream("eth", CALLS, concurrency=2)
    await moment(results.__anext__())
    rest = [pair async for pair in results]
    # A result that was taken is the only one that may be missing.
    assert len(rest) >= len(CALLS) - 1
    await results.aclose()
    await works(manager)


async def end_of_a_stream(moment: Moment, manager: ChainManager, _: FaultServer) -> None:
    results = manager.stream("eth", CALLS, concurrency=2)
    await results.__anext__()
    await moment(results.aclose())
    await results.aclose()
    await works(manager)


async def cold_acquire(moment: Moment, _: ChainManager, node: FaultServer) -> None:
    async with ConnectionPool(node.url, max_connections=1) as pool:
        await moment(pool.acquire())
        assert (await pool.get_metrics())["waiting_requests"] == 0
        await dials_have_ended(pool)
        async with pool.acquire(timeout=SOON) as connection:
            assert await connection.request("echo", [1]) == [1]
        assert (await pool.get_metrics())["connections_opened"] == 1


async def close(moment: Moment, _: ChainManager, node: FaultServer) -> None:
    pool = ConnectionPool(node.url, max_connections=1)
    held = await pool.acquire()
    await moment(pool.close(timeout=0.002))
    await soon(pool.close(timeout=0.0))
    await assert_nothing_is_taken(pool)
    with pytest.raises(PoolClosedError):
        await pool.acquire()
    await held.close()


async def stop(moment: Moment, manager: ChainManager, node: FaultServer) -> None:
    held = await manager.get_connection("eth")
    await moment(manager.stop(timeout=0.002))
    await soon(manager.stop(timeout=0.0))
    await held.close()
    await manager.start()
    await manager.connect_to_chain("eth", node.url)
    await works(manager)


async def limiter(moment: Moment, *_: Any) -> None:
    limiter = RateLimiter(2, 0.01)
    assert limiter.try_acquire(2)
    await moment(limiter.acquire())
    await until(lambda: limiter.try_acquire(2))


OPERATIONS = [
    request,
    request_many,
    request_in_line,
    get_connection,
    get_connection_of_another_chain,
    connect,
    request_on_a_connection,
    batch,
    stream,
    end_of_a_stream,
    cold_acquire,
    close,
    stop,
    limiter,
]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
async def test_an_operation_ends_at_any_moment_without_a_trace(
    operation: Callable[[Moment, ChainManager, FaultServer], Awaitable[None]], end: End, node: FaultServer
) -> None:
    async with ChainManager(max_connections=1) as manager:
        await manager.connect_to_chain("eth", node.url)
        turns, at_its_end = 0.0, 0
        while at_its_end < 2 and turns < 1000:

            async def moment(coroutine: Coroutine[Any, Any, Any]) -> None:
                nonlocal at_its_end
                own = [coroutine]
                del coroutine
                at_its_end += await end(own.pop(), int(turns))  # noqa: B023  # called in this round

            await operation(moment, manager, node)
            # One by one at first; then the network takes most of the turns.
            turns += max(1.0, turns / 10)
