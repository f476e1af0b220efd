"""The proof run: many calls, a third of which meet a fault, and each answer carries its own proof.

`python tests/faults/proof.py 100000` makes as many as it is told to and prints a table; the tests make fewer.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.balance import adds_up, comes_to_rest
from genesis_replicator import (
    ChainConnectionError,
    ChainManager,
    ConnectionClosedError,
    GenesisError,
    HttpStatusError,
    ProtocolError,
    ProviderRateLimitError,
    RequestTimeoutError,
)
from genesis_replicator.testing import FaultServer, Reply, ToxicProxy

#: Each fault, which one call in twenty meets, and what may come of it.
OUTCOMES: dict[str, tuple[type[GenesisError], ...]] = {
    "reset": (ConnectionClosedError, ProtocolError),
    "truncation": (ConnectionClosedError, ProtocolError),
    "stall": (RequestTimeoutError,),
    "429": (ProviderRateLimitError,),
    "503": (HttpStatusError,),
    "wrong id": (ProtocolError,),
    "refused": (ChainConnectionError,),
}
HEALTHY = "none"
KINDS = [*OUTCOMES, *[HEALTHY] * (20 - len(OUTCOMES))]
CONNECTIONS = 64
CALLERS = 200
#: Seconds that a call may take: what stalls must not hold up the others for long.
DEADLINES = {"stall": 0.3}
DEADLINE = 30.0


@dataclass
class Proof:
    """What came of a run.

    Attributes:
        counts: How often each fault met which outcome.
        violations: What must never happen.
        latest: The most seconds by which a call ended after its deadline.
        seconds: How long the run took.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    latest: float = float("-inf")
    seconds: float = 0.0

    def table(self) -> str:
        """For people."""
        rows = [
            f"{fault:11} {outcome:24} {count:>8,}" for (fault, outcome), count in sorted(self.counts.items())
        ]
        total = f"{self.counts.total():,} calls in {self.seconds:.1f} s, {len(self.violations)} violations"
        latest = f"the latest ended {self.latest * 1000:+.0f} ms after its deadline"
        return "\n".join([*rows, total, latest, *self.violations[:20]])


async def prove(count: int, *, seed: int = 1) -> Proof:
    """Make so many calls."""
    proof = Proof()
    with FaultServer() as server, ToxicProxy(server.url) as proxy:
        for kind in OUTCOMES:
            server.on(kind, lambda params, kind=kind: spoiled(kind, params))
        server.on(HEALTHY, answer)
        async with ChainManager(max_connections=CONNECTIONS) as manager:
            await manager.connect_to_chain("alive", server.url)
            await manager.connect_to_chain("dead", proxy.url)
            proxy.down()
            begin = time.monotonic()
            async with watched(manager, proof), asyncio.TaskGroup() as callers:
                plan = calls(count, seed)
                for caller in range(CALLERS):
                    callers.create_task(call_all(manager, plan, proof, leases=caller % 4 == 0))
            proof.seconds = time.monotonic() - begin
            await comes_to_rest(manager)
            last = [manager.request("alive", HEALTHY, [i]) for i in range(CONNECTIONS)]
            if await asyncio.gather(*last) != [answer([i]) for i in range(CONNECTIONS)]:
                proof.violations.append("a plain call after the run is not answered right")
            # The server may see a new socket before the end of the old one.
            if server.peak > CONNECTIONS * 2:
                proof.violations.append(f"{server.peak} connections at a time")
    return proof


def answer(params: list[Any]) -> str:
    """The right answer: a digest of the params, in very different lengths."""
    digest = hashlib.sha256(repr(params).encode()).hexdigest()
    return digest * (1 + params[0] % 100)


def spoiled(kind: str, params: list[Any]) -> Reply:
    """What the server says to a call that meets this fault. What it might take for an answer is wrong."""
    right, odd = answer(params), params[0] % 2 == 1
    replies = {
        "reset": Reply(right, hang_up=odd, truncate=not odd, reset=True),
        "truncation": Reply(right, truncate=True, chunked=odd),
        "stall": Reply(right, delay=2.0) if odd else Reply(right, rate=10.0),
        # A longer wait would hold up everybody who asks this node, as it should.
        "429": Reply(status=429, headers={"retry-after": "0"}, body=b""),
        "503": Reply(status=503, headers={"retry-after": "0"}, body=b"busy"),
        "wrong id": Reply(answer([params[0] + 1]), answer_id=params[0] + 1_000_000_000),
        "refused": Reply("nobody should hear this"),
    }
    return replies[kind]


def calls(count: int, seed: int) -> Iterator[tuple[int, str]]:
    """The calls to make, each with its fault."""
    source = random.Random(seed)  # noqa: S311
    return ((number, source.choice(KINDS)) for number in range(count))


async def call_all(
    manager: ChainManager, plan: Iterable[tuple[int, str]], proof: Proof, *, leases: bool
) -> None:
    """Make calls of the plan until there are no more, each by itself or on a leased connection."""
    for number, kind in plan:
        params, deadline = [number], DEADLINES.get(kind, DEADLINE)
        chain = "dead" if kind == "refused" else "alive"
        begin = time.monotonic()
        try:
            if leases:
                async with manager.get_connection(chain, timeout=DEADLINE) as connection:
                    begin = time.monotonic()
                    result = await connection.request(kind, params, timeout=deadline)
            else:
                result = await manager.request(chain, kind, params, timeout=deadline)
        except GenesisError as error:
            outcome = type(error).__name__
            if not isinstance(error, OUTCOMES.get(kind, ())) and not waited_in_vain(kind, error):
                proof.violations.append(f"call {number}, {kind}: {outcome}: {error}")
        else:
            outcome = "an answer"
            if result != answer(params):
                proof.violations.append(f"call {number}, {kind}: a wrong answer")
        proof.latest = max(proof.latest, time.monotonic() - begin - deadline)
        proof.counts[kind, outcome] += 1


def waited_in_vain(kind: str, error: GenesisError) -> bool:
    """Whether a call with a short deadline got no connection in time: on a busy machine that may be."""
    return kind in DEADLINES and isinstance(error, TimeoutError)


@asynccontextmanager
async def watched(manager: ChainManager, proof: Proof) -> AsyncIterator[None]:
    """Look at the metrics again and again: they always add up."""

    async def watch() -> None:
        while True:
            metrics = await manager.get_pool_metrics()
            if not adds_up(metrics):
                proof.violations.append(f"the metrics do not add up: {metrics}")
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()


if __name__ == "__main__":
    finished = asyncio.run(prove(int(sys.argv[1])))
    print(finished.table())
    sys.exit(bool(finished.violations))
