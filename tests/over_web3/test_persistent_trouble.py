"""`GenesisPersistentProvider` where calls and subscriptions fail: its book is right, nothing is left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("web3")
from web3 import AsyncWeb3
from web3.types import RPCEndpoint

from genesis_replicator import (
    AuthenticationError,
    ChainManager,
    GenesisError,
    HttpStatusError,
    PoolClosedError,
)
from genesis_replicator.testing import FaultServer, Reply
from genesis_replicator.web3 import GenesisPersistentProvider, GenesisProvider
from servers.blocks import Blocks
from servers.wait import until

DOWN = Reply(status=500, body=b"")


async def test_calls_that_fail_push_no_subscription_out_of_web3s_book(node: FaultServer) -> None:
    blocks = Blocks(node)
    node.on("eth_gasPrice", DOWN)
    async with (
        ChainManager() as manager,
        AsyncWeb3(GenesisPersistentProvider(manager, "eth", request_information_cache_size=20)) as w3,
    ):
        await manager.connect_to_chain("eth", node.url, retries=0)
        id_ = await w3.eth.subscribe("newHeads")
        for _ in range(30):
            with pytest.raises(HttpStatusError):
                await w3.eth.gas_price
            with pytest.raises(HttpStatusError):
                async with w3.batch_requests() as batch:
                    batch.add(w3.eth.get_block_number())
                    node.on("eth_blockNumber", DOWN)
                    await batch.async_execute()
        blocks.head += 1
        async with asyncio.timeout(10):
            message = await anext(w3.socket.process_subscriptions())
        assert (message["subscription"], message["result"]["number"]) == (id_, 6)
        assert list(w3.socket.subscriptions) == [id_]


async def test_a_subscription_that_fails_leaves_nothing_behind(node: FaultServer) -> None:
    Blocks(node)
    provider = GenesisPersistentProvider.from_url(node.url)
    with pytest.raises(AuthenticationError):
        async with AsyncWeb3(provider) as w3, asyncio.timeout(10):
            await w3.eth.subscribe("newHeads")
            node.on("eth_getBlockByNumber", Reply(status=401, body=b""))
            async for _ in w3.socket.process_subscriptions():
                pass
    await until(lambda: node.open == 0)
    with pytest.raises(PoolClosedError, match="the manager is stopped"):
        await provider._manager.get_connected_chains()


async def test_what_is_sent_raw_and_fails_is_received_as_an_error(node: FaultServer) -> None:
    node.on("eth_gasPrice", DOWN)
    async with AsyncWeb3(GenesisPersistentProvider.from_url(node.url, retries=0)) as w3, asyncio.timeout(10):
        await w3.socket.send(RPCEndpoint("eth_gasPrice"), [])
        received: Any = await w3.socket.recv()
    assert "HTTP 500" in received["error"]["message"]


def test_a_provider_serves_one_event_loop_after_another(node: FaultServer) -> None:
    w3 = AsyncWeb3(GenesisProvider.from_url(node.url))

    async def crowd() -> list[int]:
        try:
            return await asyncio.gather(*(w3.eth.block_number for _ in range(4)))
        finally:
            await w3.provider.disconnect()

    assert [asyncio.run(crowd()) for _ in range(3)] == [[16] * 4] * 3


async def test_a_provider_that_is_disconnected_while_it_connects_connects_anew(node: FaultServer) -> None:
    w3 = AsyncWeb3(GenesisProvider.from_url(node.url))
    node.on("eth_chainId", Reply("0x1", delay=0.2))
    first = asyncio.ensure_future(w3.eth.block_number)
    await until(lambda: node.calls("eth_chainId") == 1)
    await w3.provider.disconnect()
    with pytest.raises(GenesisError):
        await first
    assert await w3.eth.block_number == 16
    await w3.provider.disconnect()
