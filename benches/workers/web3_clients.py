"""web3.py: `make_request` with the session it makes itself and with a pooled one, and `get_block`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.types import RPCEndpoint

from workers.rpc import TRANSACTIONS, check_block
from workers.task import PAUSE, Ask, Task, check


@asynccontextmanager
async def stock(task: Task) -> AsyncIterator[AsyncHTTPProvider]:
    """The session that web3.py makes: it opens a connection for each request."""
    provider = AsyncHTTPProvider(task.url)
    yield provider
    await provider.disconnect()


@asynccontextmanager
async def pooled(task: Task) -> AsyncIterator[AsyncHTTPProvider]:
    """A session that keeps its connections."""
    import aiohttp

    async with stock(task) as provider:
        connector = aiohttp.TCPConnector(limit=task.connections, keepalive_timeout=300)
        await provider.cache_async_session(aiohttp.ClientSession(connector=connector, raise_for_status=True))
        yield provider


@asynccontextmanager
async def open_stock(task: Task) -> AsyncIterator[Ask]:
    """`make_request` with web3.py's own session."""
    async with stock(task) as provider:
        yield make_request(provider, task)


@asynccontextmanager
async def open_pooled(task: Task) -> AsyncIterator[Ask]:
    """`make_request` with the pooled one."""
    async with pooled(task) as provider:
        yield make_request(provider, task)


@asynccontextmanager
async def open_get_block(task: Task) -> AsyncIterator[Ask]:
    """`get_block`, which turns the fields of a block into Python's types."""
    async with stock(task) as provider:
        web3 = AsyncWeb3(provider)

        async def ask(number: int) -> None:
            block = await web3.eth.get_block(number, full_transactions=True)
            check(len(block["transactions"]) == TRANSACTIONS)

        yield ask


def make_request(provider: AsyncHTTPProvider, task: Task) -> Ask:
    """The work of the task, without the conversions of `web3.eth`."""

    async def call(method: str, params: list[Any]) -> Any:
        return (await provider.make_request(RPCEndpoint(method), params))["result"]

    async def small(number: int) -> None:
        check(await call("eth_blockNumber", [number]) == hex(number))

    async def block(number: int) -> None:
        check_block(await call("eth_getBlockByNumber", [hex(number), True]))

    async def pause(_: int) -> None:
        check(await call("delay", [PAUSE]) == hex(PAUSE))

    return {"small": small, "block": block, "pause": pause}[task.work]
