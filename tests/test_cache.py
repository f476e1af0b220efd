"""`connect_to_chain(..., cache=...)`: what cannot change is asked for once, what moves each time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from genesis_replicator import ChainManager, ConfigurationError, RpcError
from genesis_replicator.testing import FaultServer, Reply

HASH = "0x" + "ab" * 32
BLOCK = {"hash": HASH, "number": "0x10"}


def calls(node: FaultServer, method: str) -> int:
    """How often the node was asked for a method."""
    return sum(seen.method == method for seen in node.seen)


async def events(manager: ChainManager) -> dict[str, Any]:
    """What the chain counted."""
    return await manager.get_pool_metrics("eth")


async def test_a_block_by_hash_is_asked_for_once_and_the_metrics_say_so(node: FaultServer) -> None:
    node.on("eth_getBlockByHash", Reply(result=BLOCK))
    async with ChainManager() as manager:
        await manager.connect_to_chain("eth", node.url, cache=True)
        for _ in range(3):
            assert await manager.request("eth", "eth_getBlockByHash", [HASH, False]) == BLOCK
        assert calls(node, "eth_getBlockByHash") == 1
        counted = await events(manager)
        assert (counted["cache_hits"], counted["cache_misses"]) == (2, 1)
        assert counted["cache_bytes"] > 0


async def test_equal_calls_under_way_are_one_and_a_cancelled_one_takes_nothing_from_the_others(
    node: FaultServer,
) -> None:
    node.on("eth_getBlockByHash", Reply(result=BLOCK, delay=0.2))
    async with ChainManager() as manager:
        await manager.connect_to_chain("eth", node.url, cache=True)
        ask = [
            asyncio.create_task(manager.request("eth", "eth_getBlockByHash", [HASH, False]))
            for _ in range(50)
        ]
        await asyncio.sleep(0.05)
        ask[0].cancel()
        results = await asyncio.gather(*ask, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert results[1:] == [BLOCK] * 49
        # The first, and whoever took its place.
        assert calls(node, "eth_getBlockByHash") <= 2
        assert (await events(manager))["shared_requests"] >= 48


async def test_a_moving_tag_null_and_an_error_are_asked_for_each_time(node: FaultServer) -> None:
    node.on("eth_getBlockByNumber", Reply(result=BLOCK))
    node.on("eth_getBlockByHash", Reply(result=None))
    node.on("eth_getTransactionByHash", Reply(error={"code": -32602, "message": "bad"}))
    async with ChainManager() as manager:
        await manager.connect_to_chain("eth", node.url, cache=True, retries=0)
        for _ in range(3):
            await manager.request("eth", "eth_getBlockByNumber", ["latest", False])
            await manager.request("eth", "eth_getBlockByHash", [HASH, False])
            with pytest.raises(RpcError, match="bad"):
                await manager.request("eth", "eth_getTransactionByHash", [HASH])
        latest = [seen for seen in node.seen if seen.params == ["latest", False]]
        assert len(latest) == 3
        assert calls(node, "eth_getBlockByHash") == 3
        assert calls(node, "eth_getTransactionByHash") == 3


async def test_without_the_option_nothing_is_kept(node: FaultServer) -> None:
    node.on("eth_getBlockByHash", Reply(result=BLOCK))
    async with ChainManager() as manager:
        await manager.connect_to_chain("eth", node.url)
        for _ in range(2):
            await manager.request("eth", "eth_getBlockByHash", [HASH, False])
        assert calls(node, "eth_getBlockByHash") == 2


async def test_a_result_is_a_new_object_each_time(node: FaultServer) -> None:
    node.on("eth_getBlockByHash", Reply(result=BLOCK))
    async with ChainManager() as manager:
        await manager.connect_to_chain("eth", node.url, cache=True)
        first = await manager.request("eth", "eth_getBlockByHash", [HASH, False])
        first["number"] = "mine"
        assert await manager.request("eth", "eth_getBlockByHash", [HASH, False]) == BLOCK


@pytest.mark.parametrize("size", [0, -1, 1000, 1.5, "1 MiB", []])
async def test_a_size_that_holds_nothing_is_refused(size: Any, node: FaultServer) -> None:
    async with ChainManager() as manager:
        with pytest.raises(ConfigurationError, match="cache"):
            await manager.connect_to_chain("eth", node.url, cache=size)
        assert await manager.get_connected_chains() == []


async def test_a_real_node_s_old_block_is_kept_and_its_head_is_not(anvil: str) -> None:
    async with ChainManager() as manager:
        await manager.connect_to_chain("eth", anvil, cache=True)
        await manager.request("eth", "anvil_mine", ["0x100"])
        first = await manager.request("eth", "eth_getBlockByNumber", ["0x1", True])
        assert await manager.request("eth", "eth_getBlockByNumber", ["0x1", True]) == first
        head = int(await manager.request("eth", "eth_blockNumber"), 16)
        await manager.request("eth", "anvil_mine", ["0x1"])
        assert int(await manager.request("eth", "eth_blockNumber"), 16) == head + 1
        assert (await events(manager))["cache_hits"] == 1
