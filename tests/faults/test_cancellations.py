"""Tasks that are cancelled, wherever they are."""

from __future__ import annotations

import asyncio

from faults.balance import comes_to_rest
from genesis_replicator import ChainManager
from genesis_replicator.testing import FaultServer, Latency, Reply, ToxicProxy
from servers.wait import soon, until


async def test_ten_thousand_cancelled_tasks_leave_nothing_and_the_next_one_is_served(
    chain: ChainManager, node: FaultServer
) -> None:
    node.on("held", Reply(hold=True))
    tasks = [asyncio.ensure_future(chain.request("eth", "held")) for _ in range(10_000)]
    await until(lambda: node.in_flight == 10)
    for task in tasks:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    async with chain.get_connection("eth", timeout=1.0) as connection:
        assert await soon(connection.request("echo", [1])) == [1]
    await comes_to_rest(chain)


async def test_calls_that_are_cancelled_at_every_moment_of_a_slow_connect_leave_nothing(
    manager: ChainManager, toxic_proxy: ToxicProxy
) -> None:
    await manager.connect_to_chain("eth", toxic_proxy.url)
    toxic_proxy.add(Latency(0.01), upstream=True)
    for step in range(60):
        toxic_proxy.down()
        toxic_proxy.up()
        calls = [asyncio.ensure_future(manager.request("eth", "echo", [i])) for i in range(5)]
        await asyncio.wait(calls, timeout=step * 0.0005)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    assert await soon(manager.request("eth", "echo", [1])) == [1]
    await comes_to_rest(manager)
