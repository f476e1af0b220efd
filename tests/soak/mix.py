"""Everything at once: requests of every kind, cancellations, faults, reconnects, pools that come and go."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from genesis_replicator import ChainManager, ConnectionPool, GenesisError, RateLimiter
from soak import slope
from soak.node import Urls
from soak.report import Part
from soak.watch import Rests, broken

CALLERS = 40
CONNECTIONS = 10
#: Times at which everybody rests.
RESTS = 12
#: Calls of one `request_many` or stream, and of a batch.
MANY = 20
#: What the memory may grow by after the warm-up, in KiB: it goes up and down by as much.
GROWTH = 4096
CHAINS = ("plain", "toxic")
METHODS = ("echo", "flaky", "flaky", "pause")


class WrongAnswerError(Exception):
    """An answer to somebody else."""


def check(answer: Any, asked: Any) -> None:
    """What comes back must be what was asked with."""
    if answer != asked:
        message = f"{answer!r}, not {asked!r}"
        raise WrongAnswerError(message)


class Mix:
    """One manager and all that is done with it."""

    def __init__(self, manager: ChainManager, urls: Urls) -> None:
        """The chains `plain` and `toxic` are asked."""
        self._manager = manager
        self._urls = urls
        self._limiter = RateLimiter(50, 0.1)
        self.ends: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def connect(self) -> None:
        """Try until both chains are connected."""
        while missing := set(CHAINS) - set(await self._manager.get_connected_chains()):
            for chain in missing:
                with contextlib.suppress(GenesisError):
                    await self._manager.connect_to_chain(chain, getattr(self._urls, chain), timeout=1.0)
            await asyncio.sleep(0.05)

    async def spell(self, seconds: float) -> None:
        """Do everything for so long, and then nothing."""
        end = time.monotonic() + seconds
        callers = [self._keep_on(end, self._call) for _ in range(CALLERS)]
        others = (self._reconnect, self._use_a_pool, self._use_a_manager, self._look)
        await asyncio.gather(*callers, *(self._keep_on(end, other) for other in others))

    async def _keep_on(self, end: float, act: Callable[[], Awaitable[None]]) -> None:
        while time.monotonic() < end:
            task = asyncio.ensure_future(act())
            if random.random() < 0.3:
                await asyncio.wait((task,), timeout=random.expovariate(20))
                task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                self.ends["cancelled"] += 1
            except (GenesisError, WrongAnswerError) as error:
                self.ends[type(error).__name__] += 1
            else:
                self.ends["done"] += 1

    async def _call(self) -> None:
        ways = (
            self._request,
            self._request,
            self._request,
            self._lease,
            self._many,
            self._stream,
            self._wait,
        )
        await random.choice(ways)(random.choice(CHAINS), random.choice(METHODS))

    async def _request(self, chain: str, method: str) -> None:
        asked = [random.random()]
        check(await self._manager.request(chain, method, asked, timeout=random.uniform(0.01, 1.0)), asked)

    async def _lease(self, chain: str, method: str) -> None:
        asked = [[random.random()] for _ in range(MANY)]
        async with self._manager.get_connection(chain, timeout=1.0) as connection:
            calls = [(method, each) for each in asked]
            found = await connection.batch(calls, timeout=1.0, return_exceptions=True)
            self._check_all(found, asked)

    async def _many(self, chain: str, method: str) -> None:
        asked = [[random.random()] for _ in range(MANY)]
        calls = [(method, each) for each in asked]
        found = await self._manager.request_many(chain, calls, timeout=1.0, return_exceptions=True)
        self._check_all(found, asked)

    async def _stream(self, chain: str, method: str) -> None:
        asked = [[random.random()] for _ in range(MANY)]
        calls = ((method, each) for each in asked)
        stream = self._manager.stream(chain, calls, concurrency=3, timeout=0.5, return_exceptions=True)
        async with contextlib.aclosing(stream):
            async for number, found in stream:
                self._check_all([found], [asked[number]])
                if random.random() < 0.05:
                    break

    async def _wait(self, *_: str) -> None:
        await self._limiter.acquire(timeout=0.2)

    async def _reconnect(self) -> None:
        await self.connect()
        await asyncio.sleep(0.5)
        await self._manager.disconnect_from_chain(random.choice(CHAINS))
        await self.connect()

    async def _use_a_pool(self) -> None:
        async with ConnectionPool(self._urls.toxic, max_connections=3, min_connections=1) as pool:
            async with pool.acquire(1.0) as connection:
                asked = [random.random()]
                check(await connection.request("flaky", asked, timeout=0.3), asked)
            await pool.resize(random.randint(1, 5))
            await pool.close(0.1)

    async def _use_a_manager(self) -> None:
        async with ChainManager(max_connections=2) as manager:
            await manager.connect_to_chain("own", self._urls.toxic, timeout=1.0)
            task = asyncio.ensure_future(manager.request("own", "stuck", timeout=1.0))
            try:
                await asyncio.sleep(0)
                await manager.stop(0.05)
            finally:
                await asyncio.gather(task, return_exceptions=True)

    async def _look(self) -> None:
        if no := broken(await self._manager.get_pool_metrics()):
            self.wrong.append(no)
        self.ends["looks"] += 1
        await asyncio.sleep(0.01)

    @staticmethod
    def _check_all(found: list[Any], asked: list[Any]) -> None:
        for answer, question in zip(found, asked, strict=True):
            if not isinstance(answer, Exception):
                check(answer, question)


async def run(urls: Urls, seconds: float) -> Part:
    """All of it for so long."""
    part = Part(f"{seconds:g} s of everything")
    resting = Rests()
    async with ChainManager(max_connections=CONNECTIONS) as manager:
        mix = Mix(manager, urls)
        await mix.connect()
        for _ in range(RESTS):
            await mix.spell(seconds / RESTS)
            await mix.connect()
            await resting.rest(manager)
        for number in range(CONNECTIONS):
            check(await manager.request("plain", "echo", [number]), [number])
        metrics = await manager.get_pool_metrics()
    looks = mix.ends.pop("looks")
    for name, count in mix.ends.most_common():
        if name != WrongAnswerError.__name__:
            part.tell(name, f"{count:,}")
    part.tell("connections opened", f"{metrics['connections_opened']:,}")
    wrong_answers = mix.ends[WrongAnswerError.__name__]
    part.must(wrong_answers == 0, "wrong answers", f"{wrong_answers}")
    part.must(not mix.wrong, f"invariants at {looks:,} looks", mix.wrong[0] if mix.wrong else "hold")
    part.rested(resting)
    grown = slope.grown(resting.samples)
    part.must(grown < GROWTH, "memory grown after warm-up, KiB", f"{grown:+,.0f}")
    counted = slope.after_warm_up(resting.samples)
    opened = max(sample.descriptors for sample in counted) - counted[0].descriptors
    part.must(opened <= CONNECTIONS, "most descriptors beyond those after warm-up", f"{opened}")
    return part
