"""A chain of three nodes, two of them in trouble, in every pair of troubles; a crowd that notices nothing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field

from genesis_replicator import ChainManager, GenesisError
from servers.anvil import NETWORK_ID
from soak import fleet
from soak.fleet import Fleet
from soak.report import Part

CALLERS = 200
#: The longest that a caller rests between two calls, in seconds.
REST = 0.1
#: One of so many calls hands a transaction in.
TRANSACTIONS = 100
FAULTS = ("killed", "stopped", "lagging", "stranger", "limited")
#: Seconds for which a limited node says so.
LIMITED = 10.0
#: When the troubles begin and end, as shares of the time.
BEGIN, END = 0.1, 0.6
#: Seconds of all being well, to know what that takes.
WELL = 5.0
#: Seconds in which a node that is back must be used.
BACK = 5.0
#: A call is given up after so many seconds.
PATIENCE = 10.0
#: The shortest time after which a call is made elsewhere, too.
HEDGE = 0.005


@dataclass
class Seen:
    """What the crowd met."""

    times: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def percentile(self, percent: int) -> float:
        """So many calls of a hundred took less."""
        return statistics.quantiles(self.times, n=100)[percent - 1]


async def calls(manager: ChainManager, transactions: list[str], seen: Seen) -> None:
    """One caller, until cancelled."""
    account = "0x" + "11" * 20
    reads = (("eth_blockNumber", []), ("eth_getBalance", [account, "latest"]), ("eth_chainId", []))
    while True:
        await asyncio.sleep(random.uniform(0, REST))
        method, params = random.choice(reads)
        if transactions and random.randrange(TRANSACTIONS) == 0:
            method, params = "eth_sendRawTransaction", [transactions.pop()]
        begun = time.perf_counter()
        try:
            answer = await manager.request("eth", method, params, timeout=PATIENCE)
            if method == "eth_chainId" and answer != hex(NETWORK_ID):
                seen.errors[f"an answer of network {answer}"] += 1
        except GenesisError as error:
            seen.errors[f"{method}: {type(error).__name__}: {error}"] += 1
        seen.times.append(time.perf_counter() - begun)


@contextlib.asynccontextmanager
async def crowd(manager: ChainManager, transactions: list[str]) -> Seen:
    """All of them, as long as the block runs."""
    seen = Seen()
    tasks = [asyncio.ensure_future(calls(manager, transactions, seen)) for _ in range(CALLERS)]
    try:
        yield seen
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def used_again(ways: Fleet, number: int) -> float:
    """The seconds until a request is passed on."""
    begun, before = time.monotonic(), ways.tell("count", number)
    while await asyncio.to_thread(ways.tell, "count", number) <= before:
        if time.monotonic() - begun > 2 * BACK:
            break
        await asyncio.sleep(0.05)
    return time.monotonic() - begun


async def one_pair(part: Part, ways: Fleet, pair: tuple[str, str], seconds: float) -> None:
    """Two troubles at a time."""
    transactions = ways.signed(int(seconds * CALLERS / REST * 2 / TRANSACTIONS))
    async with ChainManager(max_connections=100) as manager:
        await manager.connect_to_chain("eth", ways.urls)
        mining = asyncio.ensure_future(ways.mine())
        async with crowd(manager, transactions) as well:
            await asyncio.sleep(WELL)
        async with crowd(manager, transactions) as seen:
            await asyncio.sleep(BEGIN * seconds)
            times = await trouble(ways, pair, (END - BEGIN) * seconds)
            await asyncio.sleep((1 - END) * seconds)
        mining.cancel()
        metrics = await manager.get_pool_metrics()
    tell(part, pair, well, seen, times)
    part.tell("retries, hedges, won", f"{metrics['retries']}, {metrics['hedges']}, {metrics['hedges_won']}")


async def trouble(ways: Fleet, pair: tuple[str, str], seconds: float) -> dict[str, float]:
    """Two nodes have one of the troubles each, for so long; then, how soon they are used again."""
    for number, fault in enumerate(pair):
        await asyncio.to_thread(ways.spoil, number, fault)
    lasts = {fault: min(LIMITED, seconds) if fault == "limited" else seconds for fault in pair}
    begun = time.monotonic()
    back = {}
    for fault in sorted(pair, key=lasts.__getitem__):
        number = pair.index(fault)
        await asyncio.sleep(begun + lasts[fault] - time.monotonic())
        await asyncio.to_thread(ways.mend, number, fault)
        back[fault] = asyncio.ensure_future(used_again(ways, number))
    return {fault: await again for fault, again in back.items()}


def tell(part: Part, pair: tuple[str, str], well: Seen, seen: Seen, times: dict[str, float]) -> None:
    """The rows of a pair."""
    part.tell(f"{pair[0]} and {pair[1]}: calls", f"{len(seen.times):,}")
    part.must(not seen.errors, "errors", str(seen.errors.most_common(2) if seen.errors else 0))
    bound = 3 * well.percentile(99) + max(HEDGE, well.percentile(95))
    late = f"{seen.percentile(99) * 1e3:.1f} ms, {well.percentile(99) * 1e3:.1f} ms when all are well"
    part.must(seen.percentile(99) < bound, f"99 of 100 within {bound * 1e3:.1f} ms", late)
    for fault, took in times.items():
        row = f"{fault}, used again after"
        if fault == "lagging":
            part.tell(row, f"{took:.2f} s")
        else:
            part.must(took < BACK, row, f"{took:.2f} s")


def all_mined(node: str) -> Counter[str]:
    """How often each transaction was mined, when no more is left."""
    mined: Counter[str] = Counter()
    while True:
        fleet.rpc(node, "anvil_mine", "0x1")
        block = fleet.rpc(node, "eth_getBlockByNumber", "latest", False)  # noqa: FBT003  # hashes will do
        if not block["transactions"]:
            return mined
        mined.update(block["transactions"])


async def transactions(part: Part, count: int) -> None:
    """Hand in so many where every third answer is lost: each must be mined once and told."""
    with fleet.running(1) as ways:
        signed = ways.signed(count)
        ways.tell("drop", 0)
        async with ChainManager(max_connections=20) as manager:
            await manager.connect_to_chain("eth", ways.urls[0])
            work = (manager.request("eth", "eth_sendRawTransaction", [raw]) for raw in signed)
            hashes = await asyncio.gather(*work, return_exceptions=True)
        node = ways.nodes[0].url
        errors = [told for told in hashes if isinstance(told, Exception)]
        mined = all_mined(node)
        part.must(not errors, "errors", f"{len(errors)} {errors[:1] if errors else ''}")
        told = Counter(told for told in hashes if isinstance(told, str))
        part.must(
            told == mined and len(mined) == count,
            f"of {count:,} transactions with lost answers",
            f"{len(told):,} told, {len(mined):,} mined, {mined.total():,} times",
        )


def run(seconds: float, count: int) -> Part:
    """Every pair for so long, and so many transactions."""
    part = Part(f"three nodes, two of them in trouble, {CALLERS} callers, {seconds:g} s each")
    for pair in itertools.combinations(FAULTS, 2):
        with fleet.running() as ways:
            asyncio.run(one_pair(part, ways, pair, seconds))
    asyncio.run(transactions(part, count))
    return part
