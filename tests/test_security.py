"""Credentials: which ones cannot be right, and that nothing is dialled with them."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from genesis_replicator import (
    ChainManager,
    ConfigurationError,
    ConnectionPool,
    InvalidCredentialsError,
    RpcError,
    SecurityError,
)
from genesis_replicator.security import explain_credentials, validate_credentials
from genesis_replicator.testing import FaultServer, Reply
from servers.guide import KEY

GOOD: list[dict[str, Any]] = [
    {"api_key": KEY},
    {"api_key": "9f86d081884c7d659a2feaa0c55ad015"},
    {"api_key": "3f2b8c1e-77d4-4a0e-9a55-0c1d2e3f4a5b"},
    {"api_key": KEY, "placement": "query:apikey"},
    {"bearer_token": KEY},
    {"username": "rpc", "password": "s3cret-Pa55w0rd"},
    {"headers": {"X-Token": KEY}},
    {"jwt_secret": "0x" + "7c3fa1" * 10 + "9b2d"},
]
PHRASE = "legal winner thank year wave sausage worth useful legal winner thank yellow"
PRIVATE_KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
BAD: list[dict[str, Any]] = [
    {},
    {"api_key": ""},
    {"api_key": "your_key"},
    {"api_key": "YOUR-PROJECT-ID"},
    {"api_key": "<YOUR-API-KEY>"},
    {"api_key": "${API_KEY}"},
    {"api_key": "changeme"},
    {"api_key": "x" * 32},
    {"api_key": "0" * 32},
    {"api_key": "short"},
    {"api_key": "k" * 5000},
    {"api_key": " " + KEY},
    {"api_key": KEY + "\r\nX-Evil: 1"},
    {"api_key": KEY + "é"},
    {"api_key": PRIVATE_KEY},
    {"api_key": "0x" + PRIVATE_KEY},
    {"api_key": PHRASE},
    {"bearer_token": PHRASE},
    {"username": "rpc"},
    {"password": "s3cret-Pa55w0rd"},
    {"headers": {"X-Token": "a\r\nb"}},
    {"jwt_secret": "0x1234"},
    {"api_kei": KEY},
    {"api_key": 5},
]


@pytest.mark.parametrize("credentials", GOOD, ids="+".join)
async def test_credentials_of_every_form_are_valid(credentials: dict[str, Any]) -> None:
    assert await validate_credentials(credentials) is True


@pytest.mark.parametrize("credentials", BAD, ids=repr)
async def test_credentials_that_cannot_be_right_are_not_valid_and_not_logged(
    credentials: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "genesis_replicator"):
        assert await validate_credentials(credentials) is False
    for value in credentials.values():
        if isinstance(value, str) and len(value) > 5:
            assert value not in caplog.text


async def test_the_reason_of_a_refusal_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    from servers.wait import until

    with caplog.at_level(logging.WARNING, "genesis_replicator"):
        assert not await validate_credentials({"api_key": PRIVATE_KEY})
        await until(lambda: "private key" in caplog.text)
    assert PRIVATE_KEY not in caplog.text


@pytest.mark.parametrize("misuse", [None, "key", 5, [("api_key", KEY)], b"key"])
async def test_what_is_not_a_mapping_is_a_type_error(misuse: Any) -> None:
    with pytest.raises(TypeError):
        await validate_credentials(misuse)


@pytest.mark.parametrize("credentials", [bad for bad in BAD if bad], ids=repr)
async def test_connecting_with_bad_credentials_dials_nothing(
    credentials: dict[str, Any], manager: ChainManager, node: FaultServer
) -> None:
    with pytest.raises((SecurityError, ValueError, TypeError)) as caught:
        await manager.connect_to_chain("eth", node.url, credentials)
    assert node.accepted == 0
    assert all(str(value) not in str(caught.value) for value in credentials.values() if len(str(value)) > 8)
    assert await manager.get_connected_chains() == []


async def test_placeholders_are_invalid_credentials(manager: ChainManager, node: FaultServer) -> None:
    with pytest.raises(InvalidCredentialsError):
        await manager.connect_to_chain("eth", node.url, {"api_key": "your_key"})
    with pytest.raises(SecurityError):
        await manager.connect_to_chain("eth", "https://127.0.0.1:9/v3/YOUR-PROJECT-ID")


PLAIN = "http://192.0.2.1:8545"


@pytest.mark.parametrize(
    ("endpoint", "credentials"),
    [
        (PLAIN, {"api_key": KEY}),
        (PLAIN, {"bearer_token": KEY}),
        (PLAIN, {"username": "rpc", "password": "s3cret-Pa55w0rd"}),
        (f"http://rpc:{KEY}@192.0.2.1:8545", None),
    ],
    ids=["api_key", "bearer_token", "basic", "userinfo"],
)
async def test_credentials_never_go_over_plain_http_to_another_host(
    endpoint: str, credentials: dict[str, str] | None, manager: ChainManager
) -> None:
    with pytest.raises(SecurityError) as caught:
        await manager.connect_to_chain("eth", endpoint, credentials)
    assert KEY not in str(caught.value)
    metrics = await manager.get_pool_metrics()
    assert (metrics["connections_opened"], metrics["connect_failures"]) == (0, 0)


async def test_every_finding_is_explained_and_no_value_is_told() -> None:
    credentials = {
        "api_key": PRIVATE_KEY,
        "api_kei": KEY,
        "bearer_token": PHRASE,
        "headers": {"X-Token": "<TOKEN>"},
        "password": 5,
    }
    found = await explain_credentials(credentials, endpoint="https://mainnet.infura.io/v3/YOUR-PROJECT-ID")
    fields = ["api_kei", "password", "api_key", "bearer_token", "x-token", "endpoint"]
    assert len(found) == len(fields)
    assert all(field in reason for field, reason in zip(fields, found, strict=True)), found
    assert not any(value in reason for reason in found for value in (PRIVATE_KEY, KEY, PHRASE))
    assert "api_key looks like a private key" in found


@pytest.mark.parametrize("credentials", GOOD, ids="+".join)
async def test_what_can_be_right_needs_no_explanation(credentials: dict[str, Any]) -> None:
    assert await explain_credentials(credentials) == []


@pytest.mark.parametrize("credentials", BAD, ids=repr)
async def test_what_is_not_valid_is_explained(credentials: dict[str, Any]) -> None:
    found = await explain_credentials(credentials)
    assert found
    assert all(isinstance(reason, str) for reason in found)


async def test_what_is_not_a_mapping_cannot_be_explained() -> None:
    with pytest.raises(TypeError):
        await explain_credentials([("api_key", KEY)])  # type: ignore[arg-type]


async def test_a_variable_that_is_not_set_is_named(
    manager: ChainManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GENESIS_TEST_KEY", raising=False)
    given: list[tuple[str, Any, Any]] = [
        ("https://node.example.org/${GENESIS_TEST_KEY}", None, None),
        ("https://node.example.org", {"api_key": "${GENESIS_TEST_KEY}"}, None),
        ("https://node.example.org", {"headers": {"X-Token": "${GENESIS_TEST_KEY}"}}, None),
        ("https://node.example.org", None, {"X-Token": "${GENESIS_TEST_KEY}"}),
    ]
    for endpoint, credentials, headers in given:
        with pytest.raises(ConfigurationError, match="variable GENESIS_TEST_KEY is not set"):
            await manager.connect_to_chain("eth", endpoint, credentials, headers=headers)
    assert await validate_credentials({"api_key": "${GENESIS_TEST_KEY}"}) is False
    monkeypatch.setenv("GENESIS_TEST_KEY", KEY)
    assert await validate_credentials({"api_key": "${GENESIS_TEST_KEY}"}) is True
    monkeypatch.setenv("GENESIS_TEST_KEY", PRIVATE_KEY)
    assert await explain_credentials({"api_key": "${GENESIS_TEST_KEY}"}) == [
        "api_key looks like a private key"
    ]


async def test_what_a_variable_puts_into_the_url_is_a_credential(
    manager: ChainManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENESIS_TEST_HOST", "192.0.2.1")
    monkeypatch.setenv("GENESIS_TEST_PATH", "short")
    with pytest.raises(SecurityError, match=r"unencrypted to 192\.0\.2\.1"):
        await manager.connect_to_chain("eth", "http://${GENESIS_TEST_HOST}/${GENESIS_TEST_PATH}")


async def test_what_a_variable_held_is_overheard_whatever_it_looks_like(
    node: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAIN_WORD", "hunter-two")
    node.on("ask", lambda _: Reply(error={"code": -1, "message": f"no such path: {node.seen[-1].path}"}))
    async with ConnectionPool(f"{node.url}/rpc/${{PLAIN_WORD}}") as pool, pool.acquire() as connection:
        with pytest.raises(RpcError, match=r"/rpc/\*\*\*") as caught:
            await connection.request("ask")
    assert node.seen[-1].path == "/rpc/hunter-two"
    assert "hunter-two" not in str(caught.value)
