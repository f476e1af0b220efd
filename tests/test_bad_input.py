"""Arguments that cannot work are refused by name, before anything is done."""

from __future__ import annotations

import asyncio
import math
import resource
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from genesis_replicator import (
    ChainManager,
    ConfigurationError,
    ConnectionPool,
    InvalidCredentialsError,
    SecurityError,
)
from genesis_replicator.testing import FaultServer
from servers.guide import KEY
from servers.wait import soon

URL = "http://127.0.0.1:9"
TOO_MANY = resource.getrlimit(resource.RLIMIT_NOFILE)[0] + 1

SETTINGS: list[tuple[Callable[..., object], dict[str, Any], str]] = [
    (ChainManager, {"max_connections": 0}, "max_connections"),
    (ChainManager, {"max_connections": -1}, "max_connections"),
    (ChainManager, {"max_connections": TOO_MANY}, "max_connections"),
    (ChainManager, {"acquire_timeout": math.nan}, "acquire_timeout"),
    (ChainManager, {"acquire_timeout": -1}, "acquire_timeout"),
    (ChainManager, {"request_timeout": math.nan}, "request_timeout"),
    (ChainManager, {"request_timeout": -0.5}, "request_timeout"),
    (ConnectionPool, {"endpoint": URL, "max_connections": 0}, "max_connections"),
    (ConnectionPool, {"endpoint": URL, "min_connections": -1}, "min_connections"),
    (ConnectionPool, {"endpoint": URL, "max_connections": 2, "min_connections": 3}, "min_connections"),
    (ConnectionPool, {"endpoint": URL, "max_waiting": -1}, "max_waiting"),
    (ConnectionPool, {"endpoint": URL, "idle_timeout": math.nan}, "idle_timeout"),
    (ConnectionPool, {"endpoint": URL, "max_lifetime": -1}, "max_lifetime"),
    (ConnectionPool, {"endpoint": URL, "leak_threshold": -1}, "leak_threshold"),
    (ConnectionPool, {"endpoint": URL, "max_response_bytes": 0}, "max_response_bytes"),
    (ConnectionPool, {"endpoint": "ftp://127.0.0.1"}, "endpoint"),
]


@pytest.mark.parametrize(("make", "arguments", "named"), SETTINGS, ids=repr)
def test_a_setting_that_cannot_work_is_refused_by_name(
    make: Callable[..., object], arguments: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigurationError, match=named):
        make(**arguments)


CONNECTS: list[tuple[dict[str, Any], str]] = [
    ({"error_rules": 5}, "error_rules"),
    ({"error_rules": ["rate_limited"]}, "error_rules"),
    ({"error_rules": [{"means": "rate_limited"}]}, "error_rules"),
    ({"error_rules": [{"means": "slow", "codes": [1]}]}, "error_rules"),
    ({"error_rules": [{"means": "transient", "codes": "1"}]}, "error_rules"),
    ({"error_rules": [{"means": "transient", "code": [1]}]}, "error_rules"),
    ({"chain_id": ""}, "chain_id"),
    ({"endpoint": ""}, "endpoint"),
    ({"endpoint": []}, "endpoint"),
    ({"endpoint": "127.0.0.1:8545"}, "endpoint"),
    ({"endpoint": "ftp://127.0.0.1"}, "endpoint"),
    ({"endpoint": "http://"}, "endpoint"),
    ({"endpoint": "http://127.0.0.1:99999"}, "endpoint"),
    ({"endpoint": "http://127.0.0.1/a b"}, "endpoint"),
    ({"endpoint": "http://127.0.0.1/\r\nX: y"}, "endpoint"),
    ({"endpoint": "http://127.0.0.1/#part"}, "endpoint"),
    ({"timeout": math.nan}, "timeout"),
    ({"timeout": -1}, "timeout"),
    ({"headers": {"Host": "x"}}, "headers"),
    ({"headers": {"Content-Length": "1"}}, "headers"),
    ({"headers": {"X-A": "b\r\nc"}}, "headers"),
    ({"max_response_bytes": 0}, "max_response_bytes"),
    ({"address_policy": "sometimes"}, "address_policy"),
    ({"proxy": "gopher://127.0.0.1"}, "proxy"),
    ({"proxy": "http://127.0.0.1:9", "address_policy": "public"}, "address_policy"),
    ({"ca": "/nonexistent/ca.pem", "endpoint": "https://127.0.0.1:9"}, "ca"),
]


async def nothing_was_done(manager: ChainManager) -> None:
    """No label, no socket, not even an attempt."""
    assert await manager.get_connected_chains() == []
    metrics = await manager.get_pool_metrics()
    counts = ("total_connections", "connections_opened", "connect_failures", "waiting_requests", "requests")
    assert [metrics[name] for name in counts] == [0] * len(counts)


@pytest.mark.parametrize(("arguments", "named"), CONNECTS, ids=repr)
async def test_a_connect_that_cannot_work_is_refused_by_name(
    arguments: dict[str, Any], named: str, manager: ChainManager
) -> None:
    with pytest.raises((ConfigurationError, InvalidCredentialsError), match=named):
        await soon(manager.connect_to_chain(**{"chain_id": "eth", "endpoint": URL, **arguments}))
    await nothing_was_done(manager)


@pytest.mark.parametrize(
    ("endpoint", "credentials"),
    [
        ("https://127.0.0.1:9/v3/YOUR-PROJECT-ID", {"api_key": KEY}),
        ("https://127.0.0.1:9/v3/YOUR-PROJECT-ID", None),
        (URL, {"api_key": "0x4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"}),
        ("http://192.0.2.1", {"api_key": KEY}),
    ],
)
async def test_a_connect_that_is_not_secure_is_refused(
    endpoint: str, credentials: dict[str, str] | None, manager: ChainManager
) -> None:
    with pytest.raises(SecurityError):
        await soon(manager.connect_to_chain("eth", endpoint, credentials))
    await nothing_was_done(manager)


CALLS: list[tuple[Callable[[ChainManager], Awaitable[object]], str]] = [
    (lambda manager: manager.request("eth", "", []), "method"),
    (lambda manager: manager.request("eth", "echo", [object()]), "params"),
    (lambda manager: manager.request("eth", "echo", [], timeout=-1), "timeout"),
    (lambda manager: manager.request("eth", "echo", [], timeout=math.nan), "timeout"),
    (lambda manager: manager.get_connection("eth", timeout=-1), "timeout"),
    (lambda manager: manager.request_many("eth", [("echo", [])], concurrency=0), "concurrency"),
    (lambda manager: manager.request_many("eth", [("echo", [{1}])]), "params"),
]


@pytest.mark.parametrize(("call", "named"), CALLS, ids=[str(number) for number in range(len(CALLS))])
async def test_a_call_that_cannot_work_is_refused_by_name_and_not_sent(
    call: Callable[[ChainManager], Awaitable[object]], named: str, chain: ChainManager, node: FaultServer
) -> None:
    before = len(node.seen)
    with pytest.raises(ConfigurationError, match=named):
        await soon(call(chain))
    assert len(node.seen) == before


async def test_arguments_of_the_wrong_type_are_type_errors(chain: ChainManager) -> None:
    wrong: list[Callable[[], Any]] = [
        lambda: chain.request(5, "echo"),  # type: ignore[arg-type]
        lambda: chain.request("eth", None),  # type: ignore[arg-type]
        lambda: chain.connect_to_chain("b", URL, nonsense=True),  # type: ignore[call-arg]
        lambda: ChainManager("ten"),  # type: ignore[arg-type]
    ]
    for call in wrong:
        with pytest.raises(TypeError):
            outcome = call()
            if asyncio.iscoroutine(outcome):
                await outcome
