"""Batches of web3.py go where any call of the chain may go."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("web3")
from web3 import AsyncWeb3
from web3.exceptions import Web3RPCError

from genesis_replicator import ChainConnectionError, ChainManager, RequestTimeoutError
from genesis_replicator.testing import FaultServer, Reply
from genesis_replicator.web3 import GenesisProvider


async def blocks(w3: AsyncWeb3[Any], count: int) -> Any:
    async with w3.batch_requests() as batch:
        for number in range(count):
            batch.add(w3.eth.get_balance("0x" + "00" * 20, number))
        return await batch.async_execute()


async def test_a_batch_goes_to_another_endpoint_where_one_fails(new_node: Any) -> None:
    failing, healthy = new_node(), new_node()
    failing.on("eth_getBalance", Reply(hang_up=True))
    healthy.on("eth_getBalance", Reply(result="0x5"))
    async with ChainManager() as manager:
        await manager.connect_to_chain("eth", [failing.url, healthy.url])
        w3 = AsyncWeb3(GenesisProvider(manager, "eth"))
        for _ in range(4):
            assert await blocks(w3, 3) == [5, 5, 5]


async def test_a_node_s_error_is_raised_as_web3_does_and_told_one_by_one_below(node: FaultServer) -> None:
    node.on("eth_getBalance", Reply(result="0x5"), Reply(error={"code": -32000, "message": "pruned"}))
    provider = GenesisProvider.from_url(node.url)
    with pytest.raises(Web3RPCError, match="pruned"):
        await blocks(AsyncWeb3(provider), 2)
    node.on("eth_getBalance", Reply(result="0x5"), Reply(error={"code": -32000, "message": "pruned"}))
    answers = await provider.make_batch_request([("eth_getBalance", []), ("eth_getBalance", [])])  # type: ignore[list-item]
    assert [answer.get("result", answer.get("error")) for answer in answers] == [
        "0x5",
        {"code": -32000, "message": "pruned"},
    ]
    assert len({answer["id"] for answer in answers}) == 2
    await provider.disconnect()


async def test_a_batch_that_no_node_answers_is_raised_as_our_own(
    node: FaultServer, refused_port: int
) -> None:
    away = GenesisProvider.from_url(f"http://127.0.0.1:{refused_port}")
    with pytest.raises(ChainConnectionError):
        await blocks(AsyncWeb3(away), 2)
    node.on("eth_getBalance", Reply(hold=True))
    late = GenesisProvider.from_url(node.url, timeout=0.2)
    with pytest.raises(RequestTimeoutError):
        await blocks(AsyncWeb3(late), 2)
    await late.disconnect()
