"""What a call returns or raises for everything that a server may answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from genesis_replicator import (
    AuthenticationError,
    ChainManager,
    ConnectionClosedError,
    ConnectionPool,
    ExecutionRevertedError,
    HttpStatusError,
    MethodNotSupportedError,
    NodeBehindError,
    ProtocolError,
    ProviderRateLimitError,
    RangeTooLargeError,
    RpcError,
)
from genesis_replicator.testing import FaultServer, Reply
from servers.wait import soon


async def answer(chain: ChainManager, node: FaultServer, reply: Reply) -> Any:
    """What the call gives when the node replies like this, every time."""
    node.on("ask", reply)
    return await soon(chain.request("eth", "ask", timeout=2.0))


@pytest.mark.parametrize(
    "reply",
    [
        Reply(1, answer_id=-7),
        Reply(1, answer_id="other"),
        Reply(1, answer_id=None),
        Reply(1, omit_id=True),
        Reply(body=b"[]"),
        Reply(body=b'{"jsonrpc":"2.0"}'),
        Reply(body=b""),
        Reply(body=b"<html>busy</html>"),
        Reply(raw_result="[1,"),
        Reply(raw_result="01"),
        Reply(raw_result="NaN"),
        Reply(raw_result="[1,]"),
        Reply(body=b'\xff\xfe{"id":1}'),
    ],
    ids=repr,
)
async def test_an_answer_that_is_not_valid_is_a_protocol_error(
    reply: Reply, chain: ChainManager, node: FaultServer
) -> None:
    with pytest.raises(ProtocolError):
        await answer(chain, node, reply)
    assert await chain.request("eth", "echo", [1]) == [1]


async def test_a_truncated_answer_is_an_error_and_never_a_result(
    chain: ChainManager, node: FaultServer
) -> None:
    with pytest.raises((ProtocolError, ConnectionClosedError)):
        await answer(chain, node, Reply("x" * 1000, truncate=True))


async def test_an_html_page_of_a_proxy_is_an_http_status_error(
    chain: ChainManager, node: FaultServer
) -> None:
    with pytest.raises(HttpStatusError, match="502") as caught:
        await answer(chain, node, Reply(status=502, body=b"<html>Bad Gateway</html>"))
    assert caught.value.status == 502


async def test_a_json_rpc_error_in_a_404_is_kept(chain: ChainManager, node: FaultServer) -> None:
    error = {"code": -32601, "message": "Method not found", "data": {"hint": [1]}}
    with pytest.raises(MethodNotSupportedError) as caught:
        await answer(chain, node, Reply(status=404, error=error))
    assert (caught.value.code, caught.value.data) == (-32601, {"hint": [1]})
    assert "Method not found" in str(caught.value)


async def test_an_error_without_a_code_is_an_rpc_error(chain: ChainManager, node: FaultServer) -> None:
    with pytest.raises(RpcError, match="unknown"):
        await answer(chain, node, Reply(error={"message": "unknown"}))


async def test_a_revert_is_told_with_its_data(chain: ChainManager, node: FaultServer) -> None:
    error = {"code": 3, "message": "execution reverted: no", "data": "0x08c379a0"}
    with pytest.raises(ExecutionRevertedError) as caught:
        await answer(chain, node, Reply(error=error))
    assert (caught.value.code, caught.value.data) == (3, "0x08c379a0")
    assert (caught.value.reason, caught.value.details["class"]) == (None, "reverted")


async def test_a_reverts_reason_is_read_from_its_data(chain: ChainManager, node: FaultServer) -> None:
    data = "0x08c379a0" + f"{32:064x}" + f"{9:064x}" + b"not owner".hex().ljust(64, "0")
    with pytest.raises(ExecutionRevertedError, match="not owner") as caught:
        await answer(chain, node, Reply(error={"code": 3, "message": "execution reverted", "data": data}))
    assert caught.value.reason == "not owner"


@pytest.mark.parametrize(
    ("message", "suggested"),
    [
        ("query returned more than 10000 results. Try with this block range [0x1, 0xa].", (1, 10)),
        ("eth_getLogs is limited to a 10,000 range", 10_000),
        ("block range is too wide", None),
    ],
)
async def test_a_range_too_large_tells_what_the_provider_would_take(
    message: str, suggested: object, chain: ChainManager, node: FaultServer
) -> None:
    with pytest.raises(RangeTooLargeError) as caught:
        await answer(chain, node, Reply(error={"code": -32005, "message": message}))
    assert caught.value.suggested == suggested


async def test_a_wait_in_the_words_of_an_answer_is_told(chain: ChainManager, node: FaultServer) -> None:
    error = {"code": -32005, "message": "You've exceeded the RPS limit. Try again in 4ms"}
    with pytest.raises(ProviderRateLimitError) as caught:
        await answer(chain, node, Reply(error=error))
    assert caught.value.retry_after == 0.004


async def test_the_users_rules_say_what_an_error_means(manager: ChainManager, node: FaultServer) -> None:
    rules = [{"means": "rate_limited", "codes": [-39999]}, {"means": "node_behind", "contains": ["Later"]}]
    await manager.connect_to_chain("eth", node.url, error_rules=rules)
    node.on("a", Reply(error={"code": -39999, "message": "?"}))
    node.on("b", Reply(error={"code": 5, "message": "ask LATER"}))
    with pytest.raises(ProviderRateLimitError):
        await manager.request("eth", "a")
    with pytest.raises(NodeBehindError):
        await manager.request("eth", "b")


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_an_authentication_error(
    status: int, chain: ChainManager, node: FaultServer
) -> None:
    with pytest.raises(AuthenticationError):
        await answer(chain, node, Reply(status=status, body=b""))


async def test_a_429_carries_the_seconds_of_retry_after(chain: ChainManager, node: FaultServer) -> None:
    with pytest.raises(ProviderRateLimitError) as caught:
        await answer(chain, node, Reply(status=429, headers={"retry-after": "7"}, body=b""))
    assert caught.value.retry_after == 7.0


async def test_a_redirect_is_not_followed(
    chain: ChainManager, node: FaultServer, new_node: Callable[[], FaultServer]
) -> None:
    other = new_node()
    with pytest.raises(HttpStatusError) as caught:
        await answer(chain, node, Reply(status=302, headers={"location": other.url}, body=b""))
    assert caught.value.status == 302
    assert other.accepted == 0


async def test_a_body_over_the_limit_is_refused(node: FaultServer) -> None:
    async with ConnectionPool(node.url, max_response_bytes=10_000) as pool, pool.acquire() as connection:
        assert await connection.request("echo", ["x" * 9_000])
        with pytest.raises(ProtocolError, match="10"):
            await connection.request("echo", ["x" * 11_000])
        assert await connection.request("echo", [1]) == [1]


async def test_nesting_is_refused_above_2100_only(chain: ChainManager, node: FaultServer) -> None:
    with pytest.raises(ProtocolError):
        await answer(chain, node, Reply(raw_result="[" * 2_110 + "]" * 2_110))
    with pytest.raises(ProtocolError):
        await answer(chain, node, Reply(raw_result='{"a":' * 100_000 + "1" + "}" * 100_000))
    deep = await answer(chain, node, Reply(raw_result="[" * 2_090 + "]" * 2_090))
    depth = 1
    while deep:
        (deep,) = deep
        depth += 1
    assert depth == 2_090


async def test_a_large_body_arrives_whole(chain: ChainManager, node: FaultServer) -> None:
    large = [{"n": i, "text": "é" * 50} for i in range(20_000)]
    assert await answer(chain, node, Reply(large)) == large


NUMBERS = [
    "-0",
    "-0.0",
    "0",
    "1e3",
    "1E-7",
    "1e999",
    "-1e999",
    "0.1",
    "123456789012345678",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "1.7976931348623157e308",
    "5e-324",
]
STRINGS = [
    '""',
    r'"\u00e9\n\t\"\\\/"',
    r'"\ud83d\ude00"',
    r'"\ud83d"',
    r'"\ude00\ud83d"',
    r'"\u0000"',
    '"😀é"',
]
OTHERS = [
    "true",
    "false",
    "null",
    "[]",
    "{}",
    '{"a":1,"a":2}',
    ' [ 1 , { "b" : [ ] } ] ',
    '{"":{"":""}}',
    "[[[[[[1]]]]]]",
    "1" + "0" * 400,
]


@pytest.mark.parametrize("text", NUMBERS + STRINGS + OTHERS)
async def test_a_result_is_what_json_loads_makes_of_it(
    text: str, chain: ChainManager, node: FaultServer
) -> None:
    # repr tells 1 from 1.0 and -0.0 from 0.0, which == does not.
    assert repr(await answer(chain, node, Reply(raw_result=text))) == repr(json.loads(text))
