"""Subscriptions: every head and every log once and in order, whatever the chain and the way to it do."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from genesis_replicator import (
    ChainManager,
)
from genesis_replicator.testing import ToxicProxy
from servers.devnet import Devnet
from servers.readers import counted, no_more, subscriptions, take, without_removed
from servers.wait import until


async def test_heads_come_whole_and_in_order(eth: ChainManager, net: Devnet) -> None:
    async with eth.subscribe("eth", "newHeads") as heads:
        net.mine(40)
        got = await take(heads, 40)
        assert [head["hash"] for head in got] == net.hashes(4)
        net.mine(2)
        got += await take(heads, 2)
    for head in got:
        block = net.block(int(head["number"], 16))
        body = ("transactions", "uncles", "withdrawals", "size", "totalDifficulty")
        assert head == {name: value for name, value in block.items() if name not in body}


async def test_logs_come_once_and_in_order(eth: ChainManager, net: Devnet) -> None:
    async with eth.subscribe("eth", "logs") as logs:
        for count in (2, 0, 5, 1):
            net.mine(2, logs=count)
        assert await take(logs, 16) == net.logs(4)
        await no_more(logs)


async def test_logs_are_those_of_the_filter(eth: ChainManager, net: Devnet) -> None:
    topic = f"{2:#066x}"
    async with eth.subscribe("eth", "logs", {"topics": [topic]}) as logs:
        net.mine(3, logs=4)
        assert await take(logs, 3) == [log for log in net.logs(4) if log["topics"] == [topic]]
    address = net.logs(4)[0]["address"]
    async with eth.subscribe("eth", "logs", {"address": address}) as logs:
        net.mine(1, logs=4)
        await no_more(logs)


async def test_the_first_item_is_the_next_one(eth: ChainManager, net: Devnet) -> None:
    heads = eth.subscribe("eth", "newHeads")
    net.mine(2)
    first = asyncio.ensure_future(heads.__anext__())
    await until(lambda: subscriptions(eth) == 1)
    net.mine(1)
    assert (await first)["hash"] == net.hashes(6)[0]


@pytest.mark.parametrize("more", [0, 4], ids=["as long", "longer"])
async def test_a_branch_takes_the_place_of_another(more: int, eth: ChainManager, net: Devnet) -> None:
    async with eth.subscribe("eth", "newHeads") as heads, eth.subscribe("eth", "logs") as logs:
        net.mine(6, logs=2)
        old = net.hashes(4)
        given = await take(logs, 12)
        await take(heads, 6)
        net.exchange(4, logs=1)
        net.mine(more)
        got = await take(heads, 4 + more)
        assert [head["hash"] for head in got] == net.hashes(6)
        assert [head.get("replaces") for head in got] == [*old[2:], *[None] * more]
        given += await take(logs, 8 + 4)
        # The last one first.
        assert [log["removed"] for log in given] == [False] * 12 + [True] * 8 + [False] * 4
        assert without_removed(given) == net.logs(4)


async def test_a_shorter_branch_takes_the_place_of_another(eth: ChainManager, net: Devnet) -> None:
    async with eth.subscribe("eth", "newHeads") as heads, eth.subscribe("eth", "logs") as logs:
        net.mine(6, logs=2)
        old = net.hashes(4)
        await take(heads, 6)
        given = await take(logs, 12)
        net.roll_back(4)
        net.mine(2, logs=1)
        given += await take(logs, 8 + 2)
        assert without_removed(given) == net.logs(4)
        got = await take(heads, 2)
        net.mine(3)
        got += await take(heads, 3)
        assert [head["hash"] for head in got] == net.hashes(6)
        assert [head.get("replaces") for head in got] == [*old[2:], None]


async def test_a_slow_reader_misses_nothing(eth: ChainManager, net: Devnet) -> None:
    async with (
        eth.subscribe("eth", "newHeads") as slow,
        eth.subscribe("eth", "newHeads") as quick,
        eth.subscribe("eth", "logs") as logs,
    ):
        for _ in range(30):
            net.mine(1, logs=1)
            net.mine(9)
            await take(quick, 10)
        before = await counted(eth, "requests")
        assert await take(logs, 30) == net.logs(4)
        # Far behind, blocks are not searched one by one.
        assert await counted(eth, "requests") - before < 300 + 150
        assert [head["hash"] for head in await take(slow, 300)] == net.hashes(4)
        assert slow.missed == logs.missed == 0


async def test_a_slow_reader_hears_of_what_was_exchanged_meanwhile(eth: ChainManager, net: Devnet) -> None:
    async with eth.subscribe("eth", "logs") as logs, eth.subscribe("eth", "newHeads") as heads:
        net.mine(5, logs=2)
        given = await take(logs, 7)
        await take(heads, 5)
        net.exchange(4, logs=1)
        await take(heads, 4)
        while without_removed(given) != net.logs(4):
            given += await take(logs, 1)
        await no_more(logs)
        assert without_removed(given) == net.logs(4)


async def test_an_outage_is_not_noticed(manager: ChainManager, net: Devnet, url: str) -> None:
    with ToxicProxy(url) as way:
        await manager.connect_to_chain("eth", way.url)
        async with manager.subscribe("eth", "newHeads") as heads, manager.subscribe("eth", "logs") as logs:
            net.mine(3, logs=1)
            await take(heads, 3)
            way.down()
            waiting = asyncio.ensure_future(heads.__anext__())
            net.mine(5, logs=1)
            await asyncio.sleep(0.5)
            assert not waiting.done()
            way.up()
            got = [await asyncio.wait_for(waiting, 20), *await take(heads, 4)]
            assert [head["hash"] for head in got] == net.hashes(7)
            assert await take(logs, 8) == net.logs(4)
        await manager.stop()


async def test_heads_and_logs_through_ways_that_are_cut(manager: ChainManager, net: Devnet, url: str) -> None:
    chance = random.Random(8)  # noqa: S311  # it is no secret
    with ToxicProxy(url) as one, ToxicProxy(url) as two:
        await manager.connect_to_chain("eth", [one.url, two.url])
        async with manager.subscribe("eth", "newHeads") as heads, manager.subscribe("eth", "logs") as logs:

            async def cut() -> None:
                while True:
                    way = chance.choice([one, two])
                    way.down()
                    await asyncio.sleep(0.02)
                    way.up()
                    await asyncio.sleep(chance.uniform(0, 0.1))

            async def chain() -> None:
                for turn in range(60):
                    await asyncio.to_thread(net.mine, 1, logs=turn % 3)
                    if turn % 20 == 19:
                        await asyncio.to_thread(net.exchange, 3, logs=1)

            cutting, mining = asyncio.ensure_future(cut()), asyncio.ensure_future(chain())
            given: list[Any] = []
            got: dict[int, str] = {}
            while not mining.done() or got.get(net.head) != net.hashes(net.head)[0]:
                head = await asyncio.wait_for(anext(heads), 30)
                number = int(head["number"], 16)
                assert got.get(number) == head.get("replaces")
                got[number] = head["hash"]
            await mining
            while without_removed(given) != net.logs(4):
                given += await take(logs, 1)
            cutting.cancel()
            assert list(got.values()) == net.hashes(4)
        await manager.stop()


async def test_pending_transactions_come(eth: ChainManager, net: Devnet) -> None:
    async with eth.subscribe("eth", "newPendingTransactions") as pending:
        sent = [
            net.ask("eth_sendTransaction", {"from": net.sender, "to": net.sender, "gas": "0x5208"})
            for _ in range(5)
        ]
        assert sorted(await take(pending, 5)) == sorted(sent)
