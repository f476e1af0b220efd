"""Readers of heads and logs of a chain that grows as fast as it can, and parts, over sockets that are cut."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import time
from array import array
from collections.abc import Mapping
from typing import Any

from genesis_replicator import ChainManager
from servers.anvil import ask
from soak import hand, slope
from soak.report import Part
from soak.watch import Usage

#: Seconds between two looks at the memory.
LOOK = 1.0
#: Seconds for which a reader may be told nothing when it is not done.
PATIENCE = 60.0
#: What the memory may grow by after the warm-up, in KiB.
GROWTH = 8_192
#: Room for so many items, taken before the memory is looked at.
ROOM = 4_000_000


class Heads:
    """The heads that are left when others have taken the place of some."""

    def __init__(self) -> None:
        """None yet."""
        self.left = array("Q", bytes(8 * ROOM))
        self.first = 0
        self.items = 0
        self.replaced = 0
        self.last = -1
        self.wrong: list[str] = []

    def take(self, head: Mapping[str, Any]) -> None:
        """One more."""
        number, replaces = int(head["number"], 16), head.get("replaces")
        self.first = self.first or number
        place = number - self.first
        if place < 0 or (replaces is None) != (self.left[place] == 0):
            self.wrong.append(f"head {number} replaces {replaces}")
        elif replaces is not None and self.left[place] != key(replaces):
            self.wrong.append(f"head {number} replaces another than was given")
        if place > 0 and self.left[place - 1] != key(head["parentHash"]):
            self.wrong.append(f"head {number} does not follow the one before")
        self.left[place] = key(head["hash"])
        self.items += 1
        self.replaced += replaces is not None
        self.last = number


class Logs:
    """The logs that are left when some were taken back."""

    def __init__(self) -> None:
        """None yet."""
        self.left = array("Q", bytes(8 * ROOM))
        self.count = 0
        self.items = 0
        self.removed = 0
        self.wrong: list[str] = []

    def take(self, log: Mapping[str, Any]) -> None:
        """One more."""
        self.items += 1
        if log["removed"]:
            self.removed += 1
            self.count -= 1
            if self.left[self.count] != key_of(log):
                self.wrong.append(f"log {log['logIndex']} of {log['blockNumber']} is taken back out of order")
        else:
            self.left[self.count] = key_of(log)
            self.count += 1


def key(text: str) -> int:
    """Eight bytes that stand for a text, and are never 0."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) or 1


def key_of(log: Mapping[str, Any]) -> int:
    """Eight bytes that stand for a log."""
    return key(f"{log['blockHash']}{log['logIndex']}{log['transactionHash']}")


async def read(items: Any, book: Heads | Logs) -> None:
    """Take what comes, until cancelled."""
    async for item in items:
        book.take(item)


async def watch(samples: list[Usage]) -> None:
    """Look at the memory, until cancelled."""
    while True:
        samples.append(Usage.now())
        await asyncio.sleep(LOOK)


async def settled(heads: Heads, logs: Logs, tip: int) -> bool:
    """Wait until nothing comes any more, and all has come: whether it has."""
    before, since = (-1, -1), time.monotonic()
    while True:
        now = (heads.items, logs.items)
        if now != before:
            before, since = now, time.monotonic()
        quiet = time.monotonic() - since
        if heads.last == tip and quiet > 5 * LOOK:
            return True
        if quiet > PATIENCE:
            return False
        await asyncio.sleep(LOOK / 10)


def compare(part: Part, heads: Heads, logs: Logs, url: str, tip: int) -> None:
    """What was given against the chain, as a witness sees it."""
    blocks = (ask(url, "eth_getBlockByNumber", hex(number), False) for number in range(heads.first, tip + 1))  # noqa: FBT003
    wrong = sum(key(block["hash"]) != heads.left[place] for place, block in enumerate(blocks))
    part.must(not wrong, f"of {tip + 1 - heads.first:,} heads in the chain", f"{wrong} are others")
    seen = wrong = 0
    for first in range(heads.first, tip + 1, 50):
        given = {"fromBlock": hex(first), "toBlock": hex(min(first + 49, tip))}
        for log in ask(url, "eth_getLogs", given):
            wrong += seen >= logs.count or logs.left[seen] != key_of(log)
            seen += 1
    part.must(
        not wrong and seen == logs.count,
        f"of {seen:,} logs in the chain",
        f"{logs.count:,} are left, {wrong} others",
    )
    for book in (heads, logs):
        name = type(book).__name__.lower()
        part.must(not book.wrong, f"{name} out of order", f"{len(book.wrong)} {book.wrong[:1]}")


async def run(seconds: float, items: int) -> Part:
    """For so long, or until so many items were given."""
    part = Part(f"heads and logs over two sockets that are cut every {hand.CUTS * 1e3:g} ms")
    # Endpoints that are left alone for a moment are nothing to tell of here.
    logging.getLogger("genesis_replicator").addHandler(logging.NullHandler())
    heads, logs, samples = Heads(), Logs(), list[Usage]()
    with hand.running() as making:
        async with ChainManager() as manager:
            await manager.connect_to_chain("eth", making.ways.cut)
            async with manager.subscribe("eth", "newHeads") as new, manager.subscribe("eth", "logs") as found:
                making.begin()
                tasks = [read(new, heads), read(found, logs), watch(samples)]
                running = [asyncio.ensure_future(task) for task in tasks]
                begun = time.monotonic()
                while time.monotonic() - begun < seconds and heads.items + logs.items < items:
                    await asyncio.sleep(LOOK / 10)
                    for task in itertools.filterfalse(lambda task: not task.done(), running):
                        task.result()
                made = await asyncio.to_thread(making.end)
                took = time.monotonic() - begun
                tip = int(ask(making.ways.straight, "eth_blockNumber"), 16)
                part.must(
                    await settled(heads, logs, tip), "all came", f"up to block {heads.last:,} of {tip:,}"
                )
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)
                metrics = await manager.get_pool_metrics("eth")
        part.tell("seconds", f"{took:.0f}")
        part.tell("blocks, reorganisations", f"{made.blocks:,}, {made.branches} of {made.exchanged} blocks")
        part.tell("heads, of them in place of others", f"{heads.items:,}, {heads.replaced:,}")
        part.tell("logs, of them taken back", f"{logs.items:,}, {logs.removed:,}")
        part.tell("items a second", f"{(heads.items + logs.items) / took:,.0f}")
        await asyncio.to_thread(compare, part, heads, logs, making.ways.straight, tip)
    for name in ("connections_opened", "resubscriptions", "gaps_filled", "requests", "retries"):
        part.tell(name, f"{metrics[name]:,}")
    sizes = [sample.memory for sample in samples]
    part.tell("memory, KiB", f"{sizes[0]:,} first, {max(sizes):,} most, {sizes[-1]:,} last")
    grown = slope.grown(samples)
    part.must(grown < GROWTH, "memory grown after warm-up, KiB", f"{grown:+,.0f}")
    return part
