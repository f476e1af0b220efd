"""What a process that multiprocessing starts runs: it must be importable."""

from __future__ import annotations

import asyncio
from typing import Any

from genesis_replicator import ChainManager


def ask(url: str) -> Any:
    """A manager's whole life."""
    return asyncio.run(_ask(url))


def ask_and_leave(url: str) -> None:
    """The same, with a call in flight at the end."""
    asyncio.run(_ask(url, in_flight=True))


async def _ask(url: str, *, in_flight: bool = False) -> Any:
    manager = ChainManager(max_connections=2)
    await manager.start()
    await manager.connect_to_chain("eth", url)
    if in_flight:
        asyncio.create_task(manager.request("eth", "slow"))  # noqa: RUF006 - the loop ends it
        await asyncio.sleep(0)
    answer = await manager.request("eth", "echo", [1])
    if not in_flight:
        await manager.stop()
    return answer
