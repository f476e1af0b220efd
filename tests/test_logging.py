"""The log tells each connection's life, obeys the levels, and never makes a request wait."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from genesis_replicator import ChainManager, ConnectionPool
from genesis_replicator.testing import FaultServer
from servers.wait import SOON, soon, until

LOGGER = logging.getLogger("genesis_replicator")


class Kept(logging.Handler):
    """A handler that keeps what it gets, and does something else first."""

    def __init__(self, first: Any = None) -> None:
        """`first` is called for every record."""
        super().__init__()
        self.unblock: Callable[[], None] = lambda: None
        self.records: list[logging.LogRecord] = []
        self._first = first

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record."""
        self.records.append(record)
        if self._first:
            self._first()

    def text(self) -> str:
        """All messages."""
        return "\n".join(record.getMessage() for record in tuple(self.records))


@pytest.fixture
def kept() -> Kept:
    """A handler on the package's logger, which is set to DEBUG."""
    handler = Kept()
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
    return handler


async def one_life(url: str) -> None:
    """A connection from its opening to its end."""
    async with ConnectionPool(url) as pool, pool.acquire() as connection:
        await connection.request("echo")


async def test_debug_shows_the_life_of_a_connection_in_order(kept: Kept, node: FaultServer) -> None:
    async with ConnectionPool(node.url) as pool, pool.acquire() as connection:
        await connection.request("echo")
        identity = connection.id
    await until(lambda: "closed" in kept.text())
    events = ("opened", "acquired", "returned", "closed")
    lines = [record.getMessage() for record in kept.records if identity in record.getMessage()]
    seen = [event for line in lines for event in events if event in line]
    assert seen == list(events)


async def test_records_come_from_children_of_the_logger_and_from_one_thread(
    kept: Kept, node: FaultServer
) -> None:
    await one_life(node.url)
    await until(lambda: "closed" in kept.text())
    assert {record.name for record in kept.records} <= {
        f"genesis_replicator.{a}" for a in ("pool", "manager")
    }
    assert len({record.thread for record in kept.records}) == 1
    assert kept.records[0].thread != threading.get_ident()


async def test_a_changed_level_takes_effect_both_ways(kept: Kept, node: FaultServer) -> None:
    LOGGER.setLevel(logging.WARNING)
    await asyncio.sleep(0.3)
    kept.records.clear()
    await one_life(node.url)
    await asyncio.sleep(0.3)
    assert kept.records == []
    LOGGER.setLevel(logging.DEBUG)
    async with asyncio.timeout(SOON):
        while "acquired" not in kept.text():
            await one_life(node.url)


async def test_stop_flushes_the_log(kept: Kept, node: FaultServer) -> None:
    async with ChainManager() as manager:
        await manager.connect_to_chain("eth", node.url)
    assert "closed" in kept.text()


async def test_a_handler_that_blocks_does_not_block_requests(node: FaultServer) -> None:
    unblock = threading.Event()
    handler = Kept(lambda: unblock.wait(60))
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
    try:
        async with ConnectionPool(node.url) as pool:
            async with asyncio.timeout(SOON):
                for i in range(100):
                    async with pool.acquire() as connection:
                        assert await connection.request("echo", [i]) == [i]
            await until(lambda: handler.records)
            assert len(handler.records) == 1
            unblock.set()
    finally:
        unblock.set()


@pytest.fixture
def blocked() -> Iterator[Kept]:
    """A handler on the package's logger that keeps a record and then blocks."""
    unblock = threading.Event()
    handler = Kept(lambda: unblock.wait(60))
    handler.unblock = unblock.set
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
    yield handler
    unblock.set()


async def test_a_handler_that_blocks_holds_up_neither_stop_nor_new_managers(
    blocked: Kept, node: FaultServer
) -> None:
    for _ in range(2):
        manager = ChainManager()
        await manager.start()
        await manager.connect_to_chain("eth", node.url)
        await until(lambda: blocked.records)
        await soon(manager.stop())
    assert len(blocked.records) == 1


async def test_what_a_blocked_handler_misses_is_bounded_and_told(blocked: Kept, node: FaultServer) -> None:
    async with ConnectionPool(node.url) as pool:
        # Each leaves two records, and the queue holds 8192.
        for _ in range(6_000):
            async with pool.acquire():
                pass
        blocked.unblock()
        await until(lambda: "log records were dropped" in blocked.text())
    assert len(blocked.records) < 12_000


async def test_a_handler_may_use_the_package_itself(node: FaultServer) -> None:
    answers: list[Any] = []

    async def ask() -> None:
        async with ConnectionPool(node.url) as pool, pool.acquire() as connection:
            answers.append(await connection.request("echo", [len(answers)]))

    def use_it_once() -> None:
        LOGGER.removeHandler(handler)
        asyncio.run(ask())

    handler = Kept(use_it_once)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
    await one_life(node.url)
    await until(lambda: answers == [[0]])


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, asyncio.CancelledError])
async def test_a_handler_that_raises_stops_neither_requests_nor_the_log(
    error: type[BaseException], node: FaultServer
) -> None:
    def fail() -> None:
        raise error("a bad handler")

    bad, good = Kept(fail), Kept()
    LOGGER.addHandler(good)
    LOGGER.addHandler(bad)
    LOGGER.setLevel(logging.DEBUG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.unraisablehook", lambda _: None)
        await one_life(node.url)
        await until(lambda: "closed" in good.text())
    assert bad.records
