"""The bound on connections holds, seen from both ends, and one connection carries one call at a time."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator

import psutil

from genesis_replicator import ChainManager, ConnectionPool, GenesisError
from genesis_replicator.testing import FaultServer, Reply
from servers.wait import soon, until


def sockets_to(ports: set[int]) -> int:
    """How many sockets of this process lead to these ports."""
    connections = psutil.Process().net_connections("tcp")
    return sum(1 for connection in connections if connection.raddr and connection.raddr.port in ports)


@contextlib.contextmanager
def sampled(ports: set[int]) -> Iterator[list[int]]:
    """Counts the sockets again and again, in a thread, until the block ends."""
    samples: list[int] = []
    end = threading.Event()

    def sample() -> None:
        while not end.wait(0.01):
            samples.append(sockets_to(ports))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        end.set()
        thread.join()


def check_balance(metrics: dict[str, int]) -> None:
    """What must hold after anything that may happen."""
    parts = ("active_connections", "idle_connections", "connecting")
    assert sum(metrics[part] for part in parts) == metrics["total_connections"]
    assert metrics["total_connections"] <= metrics["max_connections"]
    assert (metrics["in_flight_requests"], metrics["waiting_requests"]) == (0, 0)


async def test_three_thousand_callers_of_three_chains_stay_within_the_bound(
    new_node: Callable[[], FaultServer],
) -> None:
    nodes = [new_node() for _ in range(3)]
    async with ChainManager(max_connections=8) as manager:
        for i, node in enumerate(nodes):
            await manager.connect_to_chain(f"c{i}", node.url)
        with sampled({node.port for node in nodes}) as samples:
            calls = [manager.request(f"c{i % 3}", "echo", [i]) for i in range(3000)]
            assert await asyncio.gather(*calls) == [[i] for i in range(3000)]
        metrics = await manager.get_pool_metrics()
    assert 1 < max(samples) <= 8
    assert [node.peak_in_flight for node in nodes] == [1, 1, 1]
    check_balance(metrics)


async def test_one_connection_serves_a_hundred_calls_in_a_row(chain: ChainManager, node: FaultServer) -> None:
    for i in range(100):
        assert await chain.request("eth", "echo", [i]) == [i]
    assert node.accepted == 1


async def test_an_idle_connection_of_one_chain_makes_room_for_another(
    new_node: Callable[[], FaultServer],
) -> None:
    first, second = new_node(), new_node()
    async with ChainManager(max_connections=1) as manager:
        await manager.connect_to_chain("a", first.url)
        await manager.connect_to_chain("b", second.url)
        await until(lambda: first.open == 0)
        assert await soon(manager.request("a", "echo", [1])) == [1]
        await until(lambda: second.open == 0)
        assert (await manager.get_pool_metrics())["total_connections"] == 1


async def test_a_leased_connection_is_never_evicted(new_node: Callable[[], FaultServer]) -> None:
    first, second = new_node(), new_node()
    async with ChainManager(max_connections=2) as manager:
        await manager.connect_to_chain("a", first.url)
        async with manager.get_connection("a") as leased:
            await manager.connect_to_chain("b", second.url)
            await asyncio.gather(*(manager.request("b", "echo", [i]) for i in range(50)))
            assert await leased.request("echo", ["mine"]) == ["mine"]
        assert first.accepted == 1


FAULTS = [
    Reply(truncate=True),
    Reply(hang_up=True),
    Reply(close_after=True),
    Reply(answer_id=-1),
    Reply(body=b"<html>"),
    Reply(status=500, body=b""),
    Reply(hold=True),
    Reply(1, delay=0.02),
]


async def test_the_counts_add_up_after_every_kind_of_fault(node: FaultServer) -> None:
    async with ConnectionPool(node.url, max_connections=4, acquire_timeout=20.0) as pool:
        node.on("bad", *FAULTS * 15, Reply("good"))

        async def call(i: int) -> None:
            with contextlib.suppress(GenesisError, TimeoutError):
                async with asyncio.timeout(0.2 if i % 5 == 0 else 20), pool.acquire() as connection:
                    await connection.request("bad", timeout=0.1)

        async with asyncio.timeout(40):
            await asyncio.gather(*(call(i) for i in range(150)))
        check_balance(await pool.get_metrics())
        assert (await pool.get_metrics())["active_connections"] == 0
        async with asyncio.timeout(10), pool.acquire() as connection:
            assert await connection.request("echo", [1]) == [1]
    await until(lambda: node.open == 0)
