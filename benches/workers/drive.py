"""Rounds: the work is done over and over while clocks run."""

from __future__ import annotations

import asyncio
import itertools
import re
import statistics
import time
from pathlib import Path

from workers.node_counts import NodeCounts
from workers.task import UNITS, Ask, Figures, Task

#: Seconds that the loop is kept busy without a break, in the `busy` scenario.
SLICE = 0.001


class Rounds:
    """All rounds of one client."""

    def __init__(self, task: Task, ask: Ask) -> None:
        """Do `task` by `ask`."""
        self._task = task
        self._ask = ask
        self._units = UNITS.get(task.work, 1)
        self._numbers = itertools.count(1)

    async def run(self, seconds: float) -> Figures:
        """One round."""
        if self._task.drive == "memory":
            return await self._memory()
        if self._task.drive == "cancel":
            return await self._cancel()
        # What was closed while the others had their turns is opened again before the clock runs.
        await self._keep_asking(seconds / 10)
        if self._task.drive == "rate":
            return await self._rate(seconds)
        spinning = asyncio.create_task(spin())
        try:
            return await self._rate(seconds)
        finally:
            spinning.cancel()

    async def _rate(self, seconds: float) -> Figures:
        clocks = time.perf_counter(), time.process_time(), time.thread_time()
        times = await self._keep_asking(seconds)
        wall, cpu, python = (
            now - then
            for now, then in zip(
                (time.perf_counter(), time.process_time(), time.thread_time()), clocks, strict=True
            )
        )
        return self._figures(times, wall, cpu, python)

    async def _keep_asking(self, seconds: float) -> list[float]:
        """The times of all that was asked; everybody who asks does so once at least."""
        ask, numbers, now = self._ask, self._numbers, time.perf_counter
        times: list[float] = []
        end = now() + seconds

        async def asker() -> None:
            begun = now()
            while True:
                await ask(next(numbers))
                done = now()
                times.append(done - begun)
                if done >= end:
                    return
                begun = done

        await asyncio.gather(*(asker() for _ in range(self._task.in_flight)))
        return times

    async def _memory(self) -> Figures:
        """What is resident while all requests are at the node."""
        async with NodeCounts(self._task) as node:
            begun = time.perf_counter()
            asking = self._ask_all()
            await node.until_waiting(self._task.in_flight)
            rss = resident_kilobytes()
            await asyncio.gather(*asking)
        seconds = time.perf_counter() - begun
        return Figures(self._task.in_flight, seconds, 0, seconds * 1e6, seconds * 1e6, rss, 0)

    async def _cancel(self) -> Figures:
        """How long it takes until the node has seen that nobody waits any more."""
        async with NodeCounts(self._task) as node:
            asking = self._ask_all()
            await node.until_waiting(self._task.in_flight)
            begun, cpu, python = time.time(), time.process_time(), time.thread_time()
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            cpu, python = time.process_time() - cpu, time.thread_time() - python
            await node.until_waiting(0)
            seconds = await node.given_up_at() - begun
        return self._figures([seconds], seconds, cpu, python)

    def _ask_all(self) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._one()) for _ in range(self._task.in_flight)]

    async def _one(self) -> None:
        await self._ask(next(self._numbers))

    def _figures(self, times: list[float], wall: float, cpu: float, python: float) -> Figures:
        cuts = statistics.quantiles(times, n=100, method="inclusive") if len(times) > 1 else times * 99
        return Figures(
            requests=len(times) * self._units,
            seconds=wall,
            cpu=cpu,
            p50=cuts[49] * 1e6,
            p99=cuts[98] * 1e6,
            rss=resident_kilobytes(),
            python_cpu=python,
        )


async def spin() -> None:
    """Leave the loop alone for one turn between slices of work."""
    while True:
        end = time.perf_counter() + SLICE
        while time.perf_counter() < end:
            pass
        await asyncio.sleep(0)


def resident_kilobytes() -> int:
    """The memory of this process that is not elsewhere."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) if found else 0
