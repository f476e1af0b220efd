"""Event loops of every kind, also several at once, may use the package and share one manager."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from genesis_replicator import ChainManager
from genesis_replicator.testing import FaultServer, Reply


class LoopWithoutReaders(asyncio.SelectorEventLoop):
    """Like the proactor loop of Windows: it watches no file descriptors for its users."""

    def add_reader(self, *_: Any) -> None:  # type: ignore[override]
        raise NotImplementedError

    def remove_reader(self, *_: Any) -> bool:
        raise NotImplementedError


async def use(url: str) -> Any:
    """A manager's whole life, with a suspended call and a cancelled one."""
    async with ChainManager() as manager:
        await manager.connect_to_chain("eth", url)
        stuck = asyncio.create_task(manager.request("eth", "stuck"))
        await asyncio.sleep(0)
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        return await asyncio.gather(*(manager.request("eth", "echo", [i]) for i in range(50)))


def run_on(make_loop: Callable[[], asyncio.AbstractEventLoop], url: str) -> None:
    with asyncio.Runner(loop_factory=make_loop) as runner:
        assert runner.run(use(url)) == [[i] for i in range(50)]


def test_a_loop_without_add_reader_works(node: FaultServer) -> None:
    node.on("stuck", Reply(hold=True))
    run_on(LoopWithoutReaders, node.url)


def test_uvloop_works(node: FaultServer) -> None:
    uvloop = pytest.importorskip("uvloop")
    node.on("stuck", Reply(hold=True))
    run_on(uvloop.new_event_loop, node.url)


def test_many_loops_one_after_the_other_work(node: FaultServer) -> None:
    node.on("stuck", Reply(hold=True))
    for _ in range(10):
        run_on(asyncio.new_event_loop, node.url)


def test_loops_in_several_threads_share_one_manager(node: FaultServer) -> None:
    manager = ChainManager(max_connections=4)
    ready = threading.Barrier(4)

    async def calls(thread: int) -> list[Any]:
        ready.wait(10)
        return await asyncio.gather(*(manager.request("eth", "echo", [thread, i]) for i in range(50)))

    asyncio.run(manager.start())
    asyncio.run(manager.connect_to_chain("eth", node.url))
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda thread: asyncio.run(calls(thread)), range(4)))
    asyncio.run(manager.stop())
    assert results == [[[thread, i] for i in range(50)] for thread in range(4)]
    assert node.peak_in_flight == 1
    assert node.peak <= 4


def test_a_loop_that_ends_with_calls_in_flight_frees_their_slots(node: FaultServer) -> None:
    node.on("stuck", Reply(hold=True))
    manager = ChainManager(max_connections=1)

    async def leave() -> None:
        task = asyncio.create_task(manager.request("eth", "stuck"))
        while not node.calls("stuck"):
            await asyncio.sleep(0.005)
        assert not task.done()

    asyncio.run(manager.start())
    asyncio.run(manager.connect_to_chain("eth", node.url))
    asyncio.run(leave())
    assert asyncio.run(manager.request("eth", "echo", [1], timeout=10)) == [1]
    asyncio.run(manager.stop())
