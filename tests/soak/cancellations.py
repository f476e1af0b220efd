"""Many cancellations: callers that are cancelled at random moments, in rounds with a rest after each."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from genesis_replicator import ChainManager
from soak import slope
from soak.node import PAUSE, Urls
from soak.report import Part
from soak.watch import Rests

CALLERS = 100
CONNECTIONS = 10
#: Cancellations between two rests.
ROUND = 10_000
#: What the memory may grow by in an hour, in MiB.
ALLOWED = 1.0
#: Seconds after which the last are cancelled. Some are in flight then, and most wait their turn.
LONGEST = 10 * PAUSE
#: The part of the requests that are left alone.
PATIENT = 0.1


class Callers:
    """They ask and are cancelled until there were so many cancellations."""

    def __init__(self, manager: ChainManager) -> None:
        """Ask the chain `node` of the manager."""
        self._manager = manager
        self.answered = 0
        self.cancelled = 0
        self.wrong = 0

    async def round(self) -> None:
        """One round, with everybody back at its end."""
        end = self.cancelled + ROUND
        await asyncio.gather(*(self._caller(number, end) for number in range(CALLERS)))

    async def _caller(self, number: int, end: int) -> None:
        while self.cancelled < end:
            asking = asyncio.ensure_future(self._manager.request("node", "pause", [number]))
            if random.random() > PATIENT:
                await asyncio.wait((asking,), timeout=random.uniform(0, LONGEST))
                asking.cancel()
            try:
                answer: Any = await asking
            except asyncio.CancelledError:
                self.cancelled += 1
                continue
            self.answered += 1
            self.wrong += answer != [number]


async def run(urls: Urls, count: int) -> Part:
    """So many cancellations."""
    part = Part(f"{count:,} cancellations")
    resting = Rests()
    async with ChainManager(max_connections=CONNECTIONS) as manager:
        await manager.connect_to_chain("node", urls.plain)
        callers = Callers(manager)
        while callers.cancelled < count:
            await callers.round()
            await resting.rest(manager)
        metrics = await manager.get_pool_metrics()
    part.tell("requests that were answered", f"{callers.answered:,}")
    part.tell("connections opened", f"{metrics['connections_opened']:,}")
    part.must(callers.wrong == 0, "wrong answers", f"{callers.wrong}")
    part.rested(resting)
    grown = slope.of(resting.samples)
    part.must(grown.mean - 2 * grown.error < ALLOWED, "memory slope after warm-up", str(grown))
    return part
