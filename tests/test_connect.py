"""Connecting: in parallel, shared, refused, cancelled; and who the node says it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from genesis_replicator import (
    AuthenticationError,
    ChainConnectionError,
    ChainManager,
    ChainMismatchError,
)
from genesis_replicator.testing import FaultServer, Reply
from servers.wait import soon, until

KEY = {"api_key": "k7Qm2VxT9pLw4ZsRb8NdYc3H"}


async def nothing_is_left(manager: ChainManager) -> None:
    """No label and no connection stay behind after a connect that failed."""
    assert await manager.get_connected_chains() == []
    metrics = await manager.get_pool_metrics()
    assert (metrics["total_connections"], metrics["waiting_requests"]) == (0, 0)


async def test_many_chains_connect_in_parallel(new_node: Callable[[], FaultServer]) -> None:
    nodes = [new_node() for _ in range(3)]
    async with ChainManager(max_connections=4) as manager:
        connects = [manager.connect_to_chain(f"c{i}", nodes[i % 3].url) for i in range(60)]
        assert await soon(asyncio.gather(*connects)) == [True] * 60
        assert len(await manager.get_connected_chains()) == 60
        assert (await manager.get_pool_metrics())["total_connections"] <= 4


async def test_a_refused_connection_says_why_and_leaves_nothing(
    manager: ChainManager, refused_port: int
) -> None:
    with pytest.raises(ChainConnectionError, match=r"127\.0\.0\.1") as caught:
        await soon(manager.connect_to_chain("eth", f"http://127.0.0.1:{refused_port}"))
    assert caught.value.chain_id == "eth"
    await nothing_is_left(manager)


@pytest.mark.parametrize(
    "reply", [Reply(status=502, body=b"<html>"), Reply(hang_up=True), Reply(raw_result="[1,")], ids=repr
)
async def test_a_node_that_does_not_answer_right_leaves_nothing(
    reply: Reply, manager: ChainManager, node: FaultServer
) -> None:
    node.on("eth_chainId", reply)
    with pytest.raises(ChainConnectionError) as caught:
        await soon(manager.connect_to_chain("eth", node.url, timeout=2))
    assert caught.value.__cause__ is not None
    await nothing_is_left(manager)


async def test_refused_credentials_are_the_cause_of_the_failure(
    manager: ChainManager, node: FaultServer
) -> None:
    node.on("eth_chainId", Reply(status=401, body=b""))
    with pytest.raises(ChainConnectionError) as caught:
        await soon(manager.connect_to_chain("eth", node.url, KEY))
    assert isinstance(caught.value.__cause__, AuthenticationError)
    await nothing_is_left(manager)


async def test_a_cancelled_connect_leaves_nothing(manager: ChainManager, node: FaultServer) -> None:
    node.on("eth_chainId", Reply("0x1", hold=True))
    connect = asyncio.create_task(manager.connect_to_chain("eth", node.url))
    await until(lambda: node.calls("eth_chainId"))
    connect.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connect
    await until(lambda: node.open == 0)
    await nothing_is_left(manager)


async def test_a_connect_that_takes_too_long_is_a_timeout_and_leaves_nothing(
    manager: ChainManager, node: FaultServer
) -> None:
    node.on("eth_chainId", Reply("0x1", hold=True))
    with pytest.raises(ChainConnectionError) as caught:
        await soon(manager.connect_to_chain("eth", node.url, timeout=0.1))
    chain_of_causes = (caught.value, caught.value.__cause__)
    assert any(isinstance(error, TimeoutError) for error in chain_of_causes)
    await until(lambda: node.open == 0)
    await nothing_is_left(manager)


async def test_equal_connects_in_flight_share_one_attempt(manager: ChainManager, node: FaultServer) -> None:
    node.on("eth_chainId", Reply("0x1", hold=True))
    connects = [asyncio.create_task(manager.connect_to_chain("eth", node.url)) for _ in range(20)]
    await until(lambda: node.calls("eth_chainId"))
    for task in connects[:19]:
        task.cancel()
    await asyncio.gather(*connects[:19], return_exceptions=True)
    node.release()
    assert await soon(connects[19]) is True
    assert all(task.cancelled() for task in connects[:19])
    assert (node.calls("eth_chainId"), node.accepted) == (1, 1)


async def test_a_shared_attempt_ends_when_its_last_waiter_is_cancelled(
    manager: ChainManager, node: FaultServer
) -> None:
    node.on("eth_chainId", Reply("0x1", hold=True))
    connects = [asyncio.create_task(manager.connect_to_chain("eth", node.url)) for _ in range(2)]
    await until(lambda: node.calls("eth_chainId"))
    for task in connects:
        task.cancel()
    await asyncio.gather(*connects, return_exceptions=True)
    await until(lambda: node.open == 0)
    await nothing_is_left(manager)


async def test_another_network_than_asked_for_is_refused(manager: ChainManager, node: FaultServer) -> None:
    with pytest.raises(ChainMismatchError, match="5"):
        await manager.connect_to_chain("eth", node.url, network_id=5)
    await nothing_is_left(manager)
    assert await manager.connect_to_chain("eth", node.url, network_id=1)


async def test_a_node_that_knows_no_identity_method_is_usable(
    manager: ChainManager, node: FaultServer
) -> None:
    node.forget("eth_chainId", "net_version", "eth_blockNumber")
    assert await manager.connect_to_chain("odd", node.url)
    assert await manager.request("odd", "echo", [1]) == [1]
    assert (await manager.get_chain_status("odd"))["network_id"] is None


GENESIS = "91b171bb158e2d3848fa23a9f1c25182fb8e20313b2c1eb49219da7a70ce90c3"
FAMILIES: dict[str, dict[str, Any]] = {
    "bitcoin": {
        "getblockchaininfo": {"chain": "regtest", "blocks": 7, "headers": 7, "bestblockhash": GENESIS},
        "getblockhash": GENESIS,
        "getblockcount": 7,
    },
    "solana": {
        "getGenesisHash": "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d",
        "getHealth": "ok",
        "getSlot": 7,
        "getBlockHeight": 7,
    },
    "substrate": {
        "chain_getBlockHash": "0x" + GENESIS,
        "system_chain": "Polkadot",
        "chain_getHeader": {"number": "0x7", "parentHash": "0x" + GENESIS},
    },
}


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_node_of_another_family_is_recognised(
    family: str, manager: ChainManager, node: FaultServer
) -> None:
    node.forget("eth_chainId", "net_version", "eth_blockNumber")
    for method, result in FAMILIES[family].items():
        node.on(method, Reply(result))
    await manager.connect_to_chain(family, node.url)
    status = await manager.get_chain_status(family)
    known = {GENESIS, "0x" + GENESIS, "regtest", "Polkadot", FAMILIES["solana"]["getGenesisHash"]}
    assert status["network_id"] in known
    assert status["head_block"] == 7


async def test_verify_credentials_tells_a_refused_key_from_a_bad_network(
    manager: ChainManager, node: FaultServer
) -> None:
    await manager.connect_to_chain("eth", node.url, KEY)
    assert await manager.verify_credentials("eth") is True
    for method in ("eth_chainId", "net_version", "eth_blockNumber"):
        node.on(method, Reply(status=401, body=b""))
    assert await manager.verify_credentials("eth") is False
    for method in ("eth_chainId", "net_version", "eth_blockNumber"):
        node.on(method, Reply(hang_up=True))
    with pytest.raises(ChainConnectionError):
        await soon(manager.verify_credentials("eth"))
