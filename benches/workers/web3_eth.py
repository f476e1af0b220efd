"""`w3.eth` over our provider, over web3.py's own in two ways, and over nothing: what web3.py itself takes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from web3 import AsyncWeb3
from web3.providers.async_base import AsyncJSONBaseProvider
from web3.types import RPCEndpoint

from genesis_replicator.web3 import GenesisProvider
from workers.ours import connected
from workers.rpc import BATCH
from workers.task import PAUSE, Ask, Open, Task, check
from workers.web3_clients import pooled, stock


class Nothing(AsyncJSONBaseProvider):
    """Answers at once what the node would."""

    async def make_request(self, *_: Any) -> Any:
        """Ask nobody."""
        return {"jsonrpc": "2.0", "id": next(self.request_counter), "result": "0x0"}

    async def make_batch_request(self, requests: Any) -> Any:
        """Ask nobody so many times."""
        return [await self.make_request() for _ in requests]


@asynccontextmanager
async def ours(task: Task) -> AsyncIterator[GenesisProvider]:
    """Our provider over a manager."""
    async with connected(task) as manager:
        yield GenesisProvider(manager, "node")


@asynccontextmanager
async def nothing(_: Task) -> AsyncIterator[Nothing]:
    """No provider at all."""
    yield Nothing()


def over(provider: Callable[[Task], AbstractAsyncContextManager[Any]]) -> Open:
    """The work of a task through `AsyncWeb3` over such a provider."""

    @asynccontextmanager
    async def opened(task: Task) -> AsyncIterator[Ask]:
        async with provider(task) as made:
            yield {"small": small, "batch": batch, "pause": pause}[task.work](AsyncWeb3(made))

    return opened


def small(w3: AsyncWeb3[Any]) -> Ask:
    """The number of a block."""

    async def ask(_: int) -> None:
        check(await w3.eth.get_block_number() == 0)

    return ask


def batch(w3: AsyncWeb3[Any]) -> Ask:
    """The same many times in a batch."""

    async def ask(_: int) -> None:
        async with w3.batch_requests() as requests:
            for _ in range(BATCH):
                requests.add(w3.eth.get_block_number())
            numbers: Sequence[object] = await requests.async_execute()
            check(numbers == [0] * BATCH)

    return ask


def pause(w3: AsyncWeb3[Any]) -> Ask:
    """An answer that takes a moment."""

    async def ask(_: int) -> None:
        check(await w3.manager.coro_request(RPCEndpoint("delay"), [PAUSE]) == hex(PAUSE))

    return ask


open_ours, open_stock, open_pooled, open_nothing = over(ours), over(stock), over(pooled), over(nothing)
