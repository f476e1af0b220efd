"""genesis-replicator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

from genesis_replicator import ChainManager, RateLimiter
from workers.rpc import BATCH, DELAY, check_batch, check_block
from workers.task import MANY, PAUSE, TAKES, Ask, Task, check


@asynccontextmanager
async def connected(task: Task) -> AsyncIterator[ChainManager]:
    """A manager with one chain."""
    async with ChainManager(max_connections=task.connections) as manager:
        ca = task.ca if task.url.startswith("https") else None
        await manager.connect_to_chain("node", task.url, ca=ca)
        yield manager


@asynccontextmanager
async def open_manager(task: Task) -> AsyncIterator[Ask]:
    """The work of the task by a manager."""
    async with connected(task) as manager:
        yield {
            "small": small,
            "block": block,
            "lazy": lazy,
            "raw": raw,
            "batch": batch,
            "many": many,
            "delay": delay,
            "lease": lease,
        }[task.work](manager)


@asynccontextmanager
async def open_limiter(_: Task) -> AsyncIterator[Ask]:
    """A limiter that nobody exhausts."""
    limiter = RateLimiter(10_000_000, 1.0)

    async def ask(_: int) -> None:
        for _ in range(TAKES):
            async with limiter:
                pass

    yield ask


def small(manager: ChainManager) -> Ask:
    """A short answer, which shows the number that it was asked with."""

    async def ask(number: int) -> None:
        check(await manager.request("node", "eth_blockNumber", [number]) == hex(number))

    return ask


def block(manager: ChainManager) -> Ask:
    """A block of 200 KB with its transactions."""

    async def ask(number: int) -> None:
        check_block(await manager.request("node", "eth_getBlockByNumber", [hex(number), True]))

    return ask


def lazy(manager: ChainManager) -> Ask:
    """The same block, of which only three fields become Python objects."""

    async def ask(number: int) -> None:
        check_block(await decoded(manager, number, "lazy"))

    return ask


def raw(manager: ChainManager) -> Ask:
    """The same block as bytes."""

    async def ask(number: int) -> None:
        text = await decoded(manager, number, "raw")
        check(type(text) is bytes and text[:1] == b"{" and text[-1:] == b"}")

    return ask


def decoded(manager: Any, number: int, decode: str) -> Awaitable[Any]:
    """A block, decoded in the way asked for."""
    answer: Awaitable[Any] = manager.request(
        "node", "eth_getBlockByNumber", [hex(number), True], decode=decode
    )
    return answer


def delay(manager: ChainManager) -> Ask:
    """An answer that comes late."""

    async def ask(_: int) -> None:
        check(await manager.request("node", "delay", [DELAY]) == hex(DELAY))

    return ask


def pause(manager: ChainManager) -> Ask:
    """An answer that takes a moment."""

    async def ask(_: int) -> None:
        check(await manager.request("node", "delay", [PAUSE]) == hex(PAUSE))

    return ask


def batch(manager: ChainManager) -> Ask:
    """A batch of short answers on a connection that is leased for it."""

    async def ask(number: int) -> None:
        numbers = range(number * BATCH, (number + 1) * BATCH)
        async with manager.get_connection("node") as connection:
            check_batch(await connection.batch([("eth_blockNumber", [id_]) for id_ in numbers]), number)

    return ask


def many(manager: ChainManager) -> Ask:
    """Many short answers for one await."""

    async def ask(number: int) -> None:
        numbers = range(number * MANY, (number + 1) * MANY)
        results = await manager.request_many("node", [("eth_blockNumber", [id_]) for id_ in numbers])
        check(len(results) == MANY and results[-1] == hex(numbers[-1]))
        check(all(type(result) is str for result in results))

    return ask


def lease(manager: ChainManager) -> Ask:
    """A connection, taken and given back."""

    async def ask(_: int) -> None:
        for _ in range(TAKES):
            async with manager.get_connection("node"):
                pass

    return ask
