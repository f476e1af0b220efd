"""Every awaitable is a coroutine, starts when it is awaited, and leaves nothing when it is cancelled."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from genesis_replicator import ChainManager, RateLimiter
from genesis_replicator.testing import FaultServer, Reply
from servers.wait import soon, until

Make = Callable[[ChainManager, FaultServer], Coroutine[Any, Any, Any]]
Await = Callable[[Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]]


async def give_back(value: Any) -> Any:
    """Close what must be given back, so that no test leaks a connection."""
    if hasattr(value, "close"):
        await value.close()
    return value


async def in_task_group(coroutine: Coroutine[Any, Any, Any]) -> Any:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(coroutine)
    return task.result()


async def under_timeout(coroutine: Coroutine[Any, Any, Any]) -> Any:
    async with asyncio.timeout(30):
        return await coroutine


async def by_gather(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return (await asyncio.gather(coroutine))[0]


async def by_task(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return await asyncio.create_task(coroutine)


async def by_wait_for(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return await asyncio.wait_for(coroutine, 30)


async def shielded(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return await asyncio.shield(coroutine)


MAKERS: dict[str, Make] = {
    "request": lambda manager, _: manager.request("eth", "echo", [1]),
    "request_many": lambda manager, _: manager.request_many("eth", [("echo", [1])]),
    "get_connection": lambda manager, _: manager.get_connection("eth"),
    "connect_to_chain": lambda manager, node: manager.connect_to_chain("other", node.url),
    "get_pool_metrics": lambda manager, _: manager.get_pool_metrics(),
    "RateLimiter.acquire": lambda *_: RateLimiter(5, 60.0).acquire(),
}


@pytest.mark.parametrize(
    "wrap",
    [by_task, in_task_group, by_wait_for, under_timeout, shielded, by_gather],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("name", MAKERS)
async def test_asyncio_takes_it_as_a_coroutine(
    name: str, wrap: Await, chain: ChainManager, node: FaultServer
) -> None:
    coroutine = MAKERS[name](chain, node)
    assert asyncio.iscoroutine(coroutine)
    assert inspect.isawaitable(coroutine)
    await give_back(await wrap(coroutine))


def test_asyncio_run_takes_it(node: FaultServer) -> None:
    manager = ChainManager()
    asyncio.run(manager.start())
    assert asyncio.run(manager.connect_to_chain("eth", node.url)) is True
    assert asyncio.run(manager.request("eth", "echo", [1])) == [1]
    asyncio.run(manager.stop())


def test_asyncio_debug_mode_takes_it(node: FaultServer) -> None:
    async def main() -> Any:
        async with ChainManager() as manager:
            await manager.connect_to_chain("eth", node.url)
            task = asyncio.create_task(manager.request("eth", "echo", ["x"]))
            assert "ChainManager.request" in repr(task)
            return await task

    assert asyncio.run(main(), debug=True) == ["x"]


async def test_nothing_starts_before_it_is_awaited(chain: ChainManager, node: FaultServer) -> None:
    coroutine = chain.request("eth", "echo", ["late"])
    await chain.request("eth", "eth_blockNumber")
    assert node.calls("echo") == 0
    assert await coroutine == ["late"]


async def test_one_that_is_never_awaited_warns_with_its_name(chain: ChainManager) -> None:
    with pytest.warns(RuntimeWarning, match=r"coroutine 'ChainManager\.request' was never awaited"):
        chain.request("eth", "echo")
        gc.collect()


async def test_one_that_is_awaited_twice_is_refused(chain: ChainManager) -> None:
    coroutine = chain.request("eth", "echo", [1])
    await coroutine
    with pytest.raises(RuntimeError, match="already awaited"):
        await coroutine


async def test_closing_one_that_never_started_is_silent(chain: ChainManager, node: FaultServer) -> None:
    coroutine = chain.request("eth", "echo")
    coroutine.close()
    del coroutine
    gc.collect()
    assert node.calls("echo") == 0


async def test_cancelling_a_request_frees_its_slot_at_once(chain: ChainManager, node: FaultServer) -> None:
    node.on("slow", Reply(hold=True))
    task = asyncio.create_task(chain.request("eth", "slow"))
    await until(lambda: node.calls("slow"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    metrics = await chain.get_pool_metrics()
    assert (metrics["active_connections"], metrics["in_flight_requests"]) == (0, 0)


async def test_cancelling_a_waiter_frees_its_place_at_once(node: FaultServer) -> None:
    async with ChainManager(max_connections=1) as manager:
        await manager.connect_to_chain("eth", node.url)
        async with manager.get_connection("eth"):
            first = asyncio.create_task(manager.get_connection("eth"))
            await asyncio.sleep(0)
            assert (await manager.get_pool_metrics())["waiting_requests"] == 1
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            assert (await manager.get_pool_metrics())["waiting_requests"] == 0
        assert await soon(manager.request("eth", "echo", [2])) == [2]


async def test_cancelling_after_the_slot_came_free_gives_it_on(node: FaultServer) -> None:
    async with ChainManager(max_connections=1) as manager:
        await manager.connect_to_chain("eth", node.url)
        for _ in range(50):
            held = await manager.get_connection("eth")
            waiter = asyncio.create_task(manager.get_connection("eth"))
            await asyncio.sleep(0)
            await held.close()
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter
        assert await soon(manager.request("eth", "echo", [3])) == [3]


async def test_a_timeout_around_a_call_leaves_nothing_behind(chain: ChainManager, node: FaultServer) -> None:
    node.on("slow", Reply(hold=True))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await chain.request("eth", "slow")
    assert (await chain.get_pool_metrics())["in_flight_requests"] == 0
    assert await chain.request("eth", "echo", [4]) == [4]
