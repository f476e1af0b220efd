"""What becomes of calls over our provider when something goes wrong, and of the calls beside them."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("web3")
from web3 import AsyncWeb3
from web3.exceptions import Web3RPCError

from genesis_replicator import (
    ChainConnectionError,
    ChainManager,
    HttpStatusError,
    PoolClosedError,
    RequestTimeoutError,
)
from genesis_replicator.testing import FaultServer, Reply
from genesis_replicator.web3 import GenesisProvider


async def test_a_cancelled_request_holds_up_no_other(node: FaultServer) -> None:
    node.on("eth_gasPrice", Reply(hold=True))
    node.on("eth_blockNumber", Reply(result="0x10"))
    provider = GenesisProvider.from_url(node.url, max_connections=1)
    w3 = AsyncWeb3(provider)
    held = [asyncio.ensure_future(w3.eth.gas_price) for _ in range(20)]
    await asyncio.sleep(0.05)
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    async with asyncio.timeout(5):
        assert await w3.eth.block_number == 16
    await provider.disconnect()


async def test_what_reached_no_node_is_raised_as_our_own(node: FaultServer, refused_port: int) -> None:
    away = AsyncWeb3(GenesisProvider.from_url(f"http://127.0.0.1:{refused_port}"))
    with pytest.raises(ChainConnectionError):
        await away.eth.block_number
    assert not await away.is_connected()
    node.on("eth_gasPrice", Reply(hold=True))
    node.on("eth_blockNumber", Reply(status=500, body=b"oops"))
    late, plain = GenesisProvider.from_url(node.url, timeout=0.2), GenesisProvider.from_url(node.url)
    with pytest.raises(RequestTimeoutError):
        await AsyncWeb3(late).eth.gas_price
    with pytest.raises(HttpStatusError):
        await AsyncWeb3(plain).eth.block_number
    for provider in (late, plain):
        await provider.disconnect()


async def test_the_words_and_the_data_of_a_node_reach_web3(node: FaultServer) -> None:
    node.on("eth_gasPrice", Reply(error={"code": -32000, "message": "not today", "data": {"a": 1}}))
    async with ChainManager() as manager:
        await manager.connect_to_chain("eth", node.url)
        w3 = AsyncWeb3(GenesisProvider(manager, "eth"))
        with pytest.raises(Web3RPCError) as caught:
            await w3.eth.gas_price
        assert caught.value.rpc_response["error"] == {
            "code": -32000,
            "message": "not today",
            "data": {"a": 1},
        }


async def test_a_manager_of_its_own_is_stopped_and_starts_again_and_another_s_is_left_alone(
    node: FaultServer,
) -> None:
    node.on("eth_blockNumber", Reply(result="0x10"))
    provider = GenesisProvider.from_url(node.url)
    w3 = AsyncWeb3(provider)
    for _ in range(2):
        assert await w3.eth.block_number == 16
        await provider.disconnect()
    async with ChainManager() as manager:
        await manager.connect_to_chain("eth", node.url)
        mine = GenesisProvider(manager, "eth")
        await mine.disconnect()
        assert await AsyncWeb3(mine).eth.block_number == 16
    with pytest.raises(PoolClosedError):
        await AsyncWeb3(mine).eth.block_number
