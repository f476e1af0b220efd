"""Requests per second of `manager.request` beside aiohttp with orjson, against a real node.

Both run in this process, in turn, round after round, so that whatever the machine does meanwhile meets both.
What is printed are medians with the smallest and the largest round, and the ratio within each round.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import orjson

from genesis_replicator import ChainManager

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from servers import anvil

Ask = Callable[[], Awaitable[object]]


async def throughput(ask: Ask, in_flight: int, seconds: float) -> float:
    """How many requests a second `in_flight` askers get through."""
    end = time.perf_counter() + seconds
    counts = [0] * in_flight

    async def asker(number: int) -> None:
        while time.perf_counter() < end:
            await ask()
            counts[number] += 1

    start = time.perf_counter()
    await asyncio.gather(*(asker(number) for number in range(in_flight)))
    return sum(counts) / (time.perf_counter() - start)


async def compare(url: str, in_flight: int, rounds: int, seconds: float) -> None:
    """Measure both in turn and print what came of it."""
    connector = aiohttp.TCPConnector(limit=in_flight)
    session = aiohttp.ClientSession(connector=connector)
    async with ChainManager(max_connections=in_flight) as manager, session:
        await manager.connect_to_chain("node", url)

        async def ours() -> object:
            return await manager.request("node", "eth_blockNumber")

        async def theirs() -> object:
            body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []})
            headers = {"content-type": "application/json"}
            async with session.post(url, data=body, headers=headers) as response:
                return orjson.loads(await response.read())["result"]

        clients: dict[str, Ask] = {"genesis-replicator": ours, "aiohttp + orjson": theirs}
        for ask in clients.values():
            await throughput(ask, in_flight, seconds / 4)
        rates: dict[str, list[float]] = {name: [] for name in clients}
        for _ in range(rounds):
            for name, ask in clients.items():
                rates[name].append(await throughput(ask, in_flight, seconds))
    report(rates, in_flight)


def report(rates: dict[str, list[float]], in_flight: int) -> None:
    """Print the table."""
    base = rates["aiohttp + orjson"]
    for name, rounds in rates.items():
        ratios = [rate / other for rate, other in zip(rounds, base, strict=True)]
        print(
            f"{in_flight:4} in flight  {name:20} {statistics.median(rounds):9,.0f} requests/s "
            f"({min(rounds):,.0f} to {max(rounds):,.0f})  {statistics.median(ratios):5.2f} x "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


def main() -> None:
    """Measure against an anvil of our own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    program = anvil.find()
    if program is None:
        sys.exit("the benchmark needs anvil: npm ci in tests/node")
    print(f"Python {sys.version.split()[0]}, server and client on one machine")
    with anvil.running(program) as url:
        for in_flight in options.in_flight:
            asyncio.run(compare(url, in_flight, options.rounds, options.seconds))


if __name__ == "__main__":
    main()
