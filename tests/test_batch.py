"""Batches: explicit ones over a chain, and calls that are put together on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from genesis_replicator import (
    ChainManager,
    ConfigurationError,
    ExecutionRevertedError,
    RequestTimeoutError,
    UnknownChainError,
)
from genesis_replicator.testing import FaultServer, Reply, ToxicProxy
from servers.anvil import NETWORK_ID

NewNode = Callable[[], FaultServer]
CALLS = [("echo", [0]), ("eth_blockNumber", []), ("echo", [2])]
REVERTED = Reply(error={"code": 3, "message": "execution reverted"})


async def test_a_batch_over_a_chain_is_one_request_with_results_in_order(
    chain: ChainManager, node: FaultServer
) -> None:
    assert await chain.batch("eth", CALLS) == [[0], "0x10", [2]]
    connections = {call.connection for call in node.seen if call.method == "echo"}
    assert len(connections) == 1
    assert await chain.batch("eth", []) == []


async def test_a_batch_raises_the_first_failure_or_returns_each(
    chain: ChainManager, node: FaultServer
) -> None:
    node.on("eth_call", REVERTED)
    calls = [("echo", [0]), ("eth_call", [{}, "latest"]), ("echo", [2])]
    with pytest.raises(ExecutionRevertedError):
        await chain.batch("eth", calls)
    first, second, third = await chain.batch("eth", calls, return_exceptions=True)
    assert (first, third) == ([0], [2])
    assert isinstance(second, ExecutionRevertedError)


async def test_a_batch_goes_to_another_endpoint_when_one_fails(
    manager: ChainManager, node: FaultServer, toxic_proxy: ToxicProxy
) -> None:
    await manager.connect_to_chain("eth", [toxic_proxy.url, node.url])
    toxic_proxy.down()
    for _ in range(10):
        assert await manager.batch("eth", CALLS) == [[0], "0x10", [2]]


async def test_a_call_of_a_batch_that_one_endpoint_fails_is_made_at_another(
    manager: ChainManager, new_node: NewNode
) -> None:
    good, bad = new_node(), new_node()
    await manager.connect_to_chain("eth", [good.url, bad.url])
    good.on("eth_gasPrice", Reply("0x1"))
    bad.on("eth_gasPrice", Reply(error={"code": -32603, "message": "internal error"}))
    for _ in range(10):
        assert await manager.batch("eth", [("eth_gasPrice", []), ("echo", [2])]) == ["0x1", [2]]
    assert bad.calls("eth_gasPrice") > 0


async def test_a_batch_ends_by_its_timeout(chain: ChainManager, node: FaultServer) -> None:
    node.on("echo", Reply(hold=True))
    with pytest.raises(RequestTimeoutError):
        await chain.batch("eth", CALLS, timeout=0.2)


async def test_a_batch_on_a_real_node(manager: ChainManager, anvil: str) -> None:
    await manager.connect_to_chain("dev", anvil)
    calls = [("eth_chainId", []), ("no_such_method", []), ("eth_getBalance", ["0x" + "11" * 20, "latest"])]
    network, unknown, balance = await manager.batch("dev", calls, return_exceptions=True)
    assert (int(network, 16), int(balance, 16)) == (NETWORK_ID, 0)
    assert isinstance(unknown, Exception)


async def test_a_batch_needs_a_chain_and_calls(chain: ChainManager) -> None:
    with pytest.raises(UnknownChainError):
        await chain.batch("other", CALLS)
    with pytest.raises(ConfigurationError, match="calls"):
        await chain.batch("eth", [("echo",)])  # type: ignore[list-item]


def bundles(node: FaultServer) -> list[int]:
    """How many calls come together from now on, batch by batch."""
    sizes: list[int] = []

    def count(answers: list[str]) -> list[str]:
        sizes.append(len(answers))
        return answers

    node.batch = count
    return sizes


async def test_reads_within_the_window_go_together(manager: ChainManager, node: FaultServer) -> None:
    await manager.connect_to_chain("eth", node.url, batch_window=0.05, batch_size=30)
    sizes = bundles(node)
    calls = (manager.request("eth", "eth_getBalance", [number]) for number in range(100))
    node.on("eth_getBalance", lambda params: params)
    assert await asyncio.gather(*calls) == [[number] for number in range(100)]
    assert max(sizes) == 30
    assert sum(sizes) >= 99


async def test_each_of_them_has_its_own_error_and_its_own_cancellation(
    manager: ChainManager, node: FaultServer
) -> None:
    await manager.connect_to_chain("eth", node.url, batch_window=0.05)
    sizes = bundles(node)
    node.on("eth_call", REVERTED)
    node.on("eth_gasPrice", Reply("0x1", delay=0.2))
    tasks = [
        asyncio.ensure_future(manager.request("eth", method))
        for method in ("eth_call", "eth_gasPrice", "eth_gasPrice", "eth_blockNumber")
    ]
    await asyncio.sleep(0.1)
    tasks[1].cancel()
    reverted, cancelled, price, head = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(reverted, ExecutionRevertedError)
    assert isinstance(cancelled, asyncio.CancelledError)
    assert (price, head) == ("0x1", "0x10")
    assert sizes == [4]


async def test_an_endpoint_may_have_a_window_of_its_own(manager: ChainManager, node: FaultServer) -> None:
    await manager.connect_to_chain("eth", [{"url": node.url, "batch_window": 0.05, "batch_size": 2}])
    sizes = bundles(node)
    await asyncio.gather(*(manager.request("eth", "eth_blockNumber") for _ in range(4)))
    assert sizes == [2, 2]


async def test_what_a_node_takes_is_learned_and_told(manager: ChainManager, node: FaultServer) -> None:
    await manager.connect_to_chain("eth", node.url)

    def refuse(answers: list[str]) -> list[str]:
        if len(answers) <= 8:
            return answers
        return ['{"id":null,"error":{"code":-32014,"message":"batch too large"}}']

    node.batch = refuse
    assert await manager.batch("eth", [("echo", [number]) for number in range(20)]) == [
        [number] for number in range(20)
    ]
    (endpoint,) = (await manager.get_chain_status("eth"))["endpoints"]
    assert endpoint["max_batch_size"] == 5
    assert endpoint["error_answers"] == {"range_too_large": 2}


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"batch_window": -0.1}, "batch_window"),
        ({"batch_window": 2}, "batch_window"),
        ({"batch_window": float("nan")}, "batch_window"),
        ({"batch_size": 1}, "batch_size"),
    ],
)
async def test_windows_and_sizes_out_of_range_are_refused(
    manager: ChainManager, node: FaultServer, options: dict[str, Any], argument: str
) -> None:
    with pytest.raises(ConfigurationError, match=argument):
        await manager.connect_to_chain("eth", node.url, **options)
