"""Faults of an answer: each is an error of its own call, and never a wrong result."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from faults.balance import comes_to_rest
from genesis_replicator import (
    AuthenticationError,
    ChainManager,
    ConnectionClosedError,
    ConnectionPool,
    ExecutionRevertedError,
    GenesisError,
    HttpStatusError,
    MethodNotSupportedError,
    NodeBehindError,
    ProtocolError,
    ProviderRateLimitError,
    QuotaExhaustedError,
    RangeTooLargeError,
    RequestTimeoutError,
)
from genesis_replicator.testing import FAULTS, FaultServer, Reply
from servers.wait import soon

#: The beginning of a fault's name, and what it is to the caller.
EXPECTED: dict[str, tuple[type[GenesisError], ...]] = {
    "429_": (ProviderRateLimitError,),
    "503_": (HttpStatusError,),
    "alchemy_throughput": (ProviderRateLimitError,),
    "infura_rate": (ProviderRateLimitError,),
    "quicknode_rate": (ProviderRateLimitError,),
    "ankr_key": (AuthenticationError,),
    "range_too_large": (RangeTooLargeError,),
    "node_behind": (NodeBehindError,),
    "reverted": (ExecutionRevertedError,),
    "error_": (MethodNotSupportedError,),
    "page_502": (HttpStatusError,),
    "page_200": (ProtocolError,),
    "redirect": (HttpStatusError,),
    "unauthorized": (AuthenticationError,),
    "hang_up": (ConnectionClosedError,),
    "reset": (ConnectionClosedError, ProtocolError),
    "stall": (RequestTimeoutError,),
    "slow": (RequestTimeoutError,),
    "": (ProtocolError,),
}


@pytest.fixture(params=[{}, {"tls": True, "http2": True}], ids=["HTTP/1.1", "HTTP/2"], scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[FaultServer]:
    with FaultServer(**request.param) as server:
        yield server


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "tenderly_quota"])
async def test_every_fault_of_an_answer_fails_its_call_and_nothing_else(
    name: str, server: FaultServer, manager: ChainManager
) -> None:
    if FAULTS[name].wire and server.ca:
        pytest.skip("these bytes are HTTP/1.1")
    expected = next(errors for start, errors in EXPECTED.items() if name.startswith(start))
    options: dict[str, Any] = {"ca": server.ca, "max_response_bytes": 2**20, "retries": 0}
    await manager.connect_to_chain("eth", server.url, **options)
    server.on("ask", FAULTS[name])
    before = server.calls("ask")
    with pytest.raises(expected):
        await soon(manager.request("eth", "ask", timeout=0.3 if RequestTimeoutError in expected else 4.0))
    assert server.calls("ask") == before + 1
    # Who asked to slow down is left alone for a while; others are not.
    label = "other" if ProviderRateLimitError in expected or "retry-after" in FAULTS[name].headers else "eth"
    await manager.connect_to_chain(label, server.url, **options)
    assert await soon(manager.request(label, "echo", [name])) == [name]
    await comes_to_rest(manager)


async def test_a_used_up_plan_in_a_403_is_no_refused_key(chain: ChainManager, node: FaultServer) -> None:
    node.on("ask", FAULTS["tenderly_quota"])
    with pytest.raises(QuotaExhaustedError):
        await soon(chain.request("eth", "ask"))


RETRY_AFTER = {
    "1": 1.0,
    "0": 0.0,
    "1000000000": 300.0,
    "99999999999999999999999": 300.0,
    "Fri, 31 Dec 2100 23:59:59 GMT": 300.0,
    "Wed, 21 Oct 2015 07:28:00 GMT": 0.0,
    "-1": None,
    "0.5": None,
    "soon": None,
    "": None,
}


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("value", RETRY_AFTER)
async def test_retry_after_is_told_with_a_cap(
    value: str, status: int, manager: ChainManager, node: FaultServer
) -> None:
    await manager.connect_to_chain("eth", node.url, retries=0)
    node.on("ask", Reply(status=status, headers={"retry-after": value}, body=b""))
    with pytest.raises((ProviderRateLimitError, HttpStatusError)) as caught:
        await soon(manager.request("eth", "ask"))
    assert caught.value.details.get("retry_after") == RETRY_AFTER[value]
    assert caught.value.details["status"] == status


@pytest.mark.parametrize("status", [429, 503])
async def test_a_node_that_names_a_wait_is_left_alone_by_all_its_callers(
    status: int, manager: ChainManager, node: FaultServer
) -> None:
    await manager.connect_to_chain("eth", node.url, retries=0)
    node.on("ask", Reply(status=status, headers={"retry-after": "60"}, body=b""))
    for _ in range(3):
        with pytest.raises((ProviderRateLimitError, HttpStatusError)):
            await soon(manager.request("eth", "ask", timeout=2.0))
    assert node.calls("ask") == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_read_is_asked_again_after_the_wait_and_not_before(
    status: int, chain: ChainManager, node: FaultServer
) -> None:
    node.on("eth_gasPrice", Reply(status=status, headers={"retry-after": "1"}, body=b""), Reply("0x1"))
    begin = time.monotonic()
    assert await soon(chain.request("eth", "eth_gasPrice")) == "0x1"
    assert time.monotonic() - begin >= 1.0
    assert node.calls("eth_gasPrice") == 2


@pytest.mark.parametrize("name", ["wrong_id", "text_id", "null_id", "no_id"])
async def test_a_connection_that_answers_with_a_wrong_id_is_not_used_again(
    name: str, chain: ChainManager, node: FaultServer
) -> None:
    node.on("ask", FAULTS[name])
    with pytest.raises(ProtocolError):
        await soon(chain.request("eth", "ask"))
    assert await soon(chain.request("eth", "echo", [1])) == [1]
    assert node.seen[-1].connection != node.seen[-2].connection


async def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one(node: FaultServer) -> None:
    node.on("slow", Reply("of the slow call", delay=0.2))
    async with ConnectionPool(node.url, max_connections=1) as pool:
        for i in range(5):
            with pytest.raises(TimeoutError):
                async with pool.acquire() as connection:
                    await connection.request("slow", timeout=0.05)
            async with pool.acquire() as connection:
                assert await soon(connection.request("echo", [i])) == [i]
        await comes_to_rest(pool)


BROKEN: dict[str, Any] = {
    "cut off": {"body": b'{"jsonrpc":"2.0","id":1,"result":"\x1b[31m' + b"A" * 5_000},
    "not JSON": {"body": b"<\x1b[31m" + b"A" * 5_000},
    "an error": {"error": {"code": 1, "message": "\x1b[31m\r\n" + "A" * 5_000}},
}


@pytest.mark.parametrize("name", BROKEN)
async def test_an_error_shows_little_of_what_the_server_sent_and_no_control_characters(
    name: str, chain: ChainManager, node: FaultServer
) -> None:
    node.on("ask", Reply(**BROKEN[name]))
    with pytest.raises(GenesisError) as caught:
        await soon(chain.request("eth", "ask"))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
