"""What must hold: each row names the work, whom it is compared with, the least that is asked and the aim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from results import Result, Spread, cpu, python_cpu
from scenarios import TASKS

Results = dict[str, Result]

SMALL = "small, 64 in flight"
BLOCK = "block of 200 KB, 16 in flight"


@dataclass(frozen=True)
class Goal:
    """One row. `values` takes one value from each round."""

    work: str
    against: str
    values: Callable[[Results], list[float]]
    least: float
    aim: float
    unit: str = "x"
    #: Whether smaller values are the better ones.
    below: bool = False

    def spread(self, results: Results) -> Spread | None:
        """What came of it, if everybody who is needed took part."""
        try:
            values = self.values(results)
        except KeyError:
            return None
        return Spread.of(values) if values else None

    def holds(self, spread: Spread) -> bool:
        """Whether the median is good enough."""
        return spread.median <= self.least if self.below else spread.median >= self.least


def faster(title: str, *peers: str, ours: str = "ours") -> Callable[[Results], list[float]]:
    """Requests a second by those of the best of the peers."""
    return lambda results: results[title].ratios(ours, peers)


def lighter(title: str, peer: str) -> Callable[[Results], list[float]]:
    """Resident memory by that of the peer."""
    return lambda results: results[title].ratios("ours", [peer], lambda figures: figures.rss)


def growth(results: Results) -> list[float]:
    """Processor time for a request with the most tasks, by that with one task for each connection."""
    result = results["tasks on 100 connections, 100 in flight"]
    _, even, *_, most = TASKS
    return result.ratios(most, [even], cpu)


def python_thread(results: Results) -> list[float]:
    """Microseconds of the Python thread for a small request."""
    return results[SMALL].each("ours", python_cpu)


def late(results: Results) -> list[float]:
    """Milliseconds for a request while the loop is busy."""
    return results["busy loop, 30 in flight"].each("ours", lambda figures: figures.p50 / 1e3)


def given_up(results: Results) -> list[float]:
    """Milliseconds until the node has seen all cancellations."""
    return results["cancellations, 1,000 in flight"].each("ours", lambda figures: figures.seconds * 1e3)


GOALS = (
    Goal(SMALL, "aiohttp+orjson", faster(SMALL, "aiohttp"), 7, 9),
    Goal(SMALL, "web3.py make_request", faster(SMALL, "web3"), 18, 25),
    Goal(SMALL, "best of pyreqwest, primp, httpr", faster(SMALL, "pyreqwest", "primp", "httpr"), 5, 6),
    Goal(SMALL, "the pure-Rust client", faster(SMALL, "limit"), 0.6, 0.8),
    Goal("small, 1 in flight", "aiohttp+orjson", faster("small, 1 in flight", "aiohttp"), 2, 3),
    Goal(
        "small, 64 in flight, TLS, HTTP/1.1",
        "aiohttp+orjson",
        faster("TLS, HTTP/1.1, 64 in flight", "aiohttp"),
        4.5,
        7,
    ),
    Goal(
        "small, 64 in flight, TLS, HTTP/2",
        "aiohttp+orjson (HTTP/1.1)",
        faster("TLS, HTTP/2, 64 in flight", "aiohttp"),
        6,
        9,
    ),
    Goal(
        "request_many of 10,000",
        "the pure-Rust client",
        faster("request_many, 64 in flight", "limit", ours="ours, request_many"),
        0.85,
        0.95,
    ),
    Goal(
        "batch of 100, 16 at once", "aiohttp+orjson", faster("batch of 100, 16 in flight", "aiohttp"), 2.4, 3
    ),
    Goal("200 KB block, 16 in flight, decoded", "aiohttp+orjson", faster(BLOCK, "aiohttp"), 1.0, 1.3),
    Goal("200 KB block, lazy", "aiohttp+orjson", faster(BLOCK, "aiohttp", ours="ours, lazy"), 3.5, 6),
    Goal("200 KB block, raw", "aiohttp+orjson", faster(BLOCK, "aiohttp", ours="ours, raw"), 3.5, 6),
    Goal(
        "async with RateLimiter",
        "aiolimiter",
        faster("RateLimiter, 1 in flight", "aiolimiter", ours="ours RateLimiter"),
        6,
        10,
    ),
    Goal(
        "async with get_connection",
        "an asyncio.LifoQueue pool",
        faster("get_connection, 1 in flight", "LifoQueue"),
        1.2,
        2,
    ),
    Goal("Python thread, small, 64 in flight", "", python_thread, 7, 5, "µs", below=True),
    Goal(
        "resident memory, 1,000 in flight",
        "aiohttp+orjson",
        lighter("memory, 1,000 in flight", "aiohttp"),
        0.8,
        0.7,
        below=True,
    ),
    Goal("p50 while the loop is busy in slices of 1 ms", "", late, 2.5, 2, "ms", below=True),
    Goal(
        "CPU for a request, 10,000 tasks on 100 connections",
        "100 tasks on 100 connections",
        growth,
        1.3,
        1.0,
        below=True,
    ),
    Goal("1,000 cancellations seen by the node", "", given_up, 25, 25, "ms", below=True),
)
