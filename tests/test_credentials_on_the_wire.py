"""Each form of credentials arrives at the node as the node expects it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from genesis_replicator import ConfigurationError, ConnectionPool, InvalidCredentialsError
from genesis_replicator.testing import FaultServer, SeenCall
from servers.guide import KEY


async def seen_with(node: FaultServer, credentials: dict[str, Any] | None, **options: Any) -> SeenCall:
    """The call as the node saw it."""
    endpoint = options.pop("endpoint", node.url + "/rpc")
    async with ConnectionPool(endpoint, credentials, **options) as pool, pool.acquire() as connection:
        await connection.request("echo")
        assert KEY not in connection.endpoint
    return node.seen[-1]


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("credentials", "header", "value"),
    [
        ({"api_key": KEY}, "x-api-key", KEY),
        ({"api_key": KEY, "placement": "header:X-Token"}, "x-token", KEY),
        ({"api_key": KEY, "placement": "bearer"}, "authorization", f"Bearer {KEY}"),
        ({"api_key": KEY, "placement": "basic"}, "authorization", basic(f":{KEY}")),
        ({"bearer_token": KEY}, "authorization", f"Bearer {KEY}"),
        ({"username": "rpc", "password": "p:w-9Zk2"}, "authorization", basic("rpc:p:w-9Zk2")),
        ({"headers": {"X-Mine": KEY, "X-Other": "two"}}, "x-mine", KEY),
    ],
    ids=repr,
)
async def test_a_form_that_becomes_a_header(
    credentials: dict[str, Any], header: str, value: str, node: FaultServer
) -> None:
    seen = await seen_with(node, credentials)
    assert seen.headers[header] == value
    assert seen.path == "/rpc"


async def test_a_key_in_the_path(node: FaultServer) -> None:
    seen = await seen_with(node, {"api_key": KEY, "placement": "path"})
    assert seen.path == f"/rpc/{KEY}"
    assert KEY not in str(seen.headers)


async def test_a_key_in_the_query(node: FaultServer) -> None:
    seen = await seen_with(
        node, {"api_key": KEY, "placement": "query:dkey"}, endpoint=node.url + "/rpc?network=eth"
    )
    assert parse_qs(urlsplit(seen.path).query) == {"network": ["eth"], "dkey": [KEY]}


async def test_variables_of_the_environment_are_put_in_once(
    node: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENESIS_TEST_KEY", KEY)
    monkeypatch.setenv("GENESIS_TEST_URL", f"{node.url}/rpc")
    credentials = {"api_key": "${GENESIS_TEST_KEY}", "headers": {"X-Mine": "a ${GENESIS_TEST_KEY} b"}}
    seen = await seen_with(
        node,
        credentials,
        endpoint="${GENESIS_TEST_URL}/v3/${GENESIS_TEST_KEY}",
        headers={"X-Other": "${GENESIS_TEST_KEY}"},
    )
    assert seen.path == f"/rpc/v3/{KEY}"
    assert [seen.headers[name] for name in ("x-api-key", "x-mine", "x-other")] == [KEY, f"a {KEY} b", KEY]
    monkeypatch.setenv("GENESIS_TEST_NESTED", "${GENESIS_TEST_KEY}")
    with pytest.raises(InvalidCredentialsError):
        await seen_with(node, {"api_key": "${GENESIS_TEST_NESTED}"})


async def test_userinfo_of_the_url_is_basic_authentication(node: FaultServer) -> None:
    seen = await seen_with(node, None, endpoint=f"http://rpc:{KEY}@127.0.0.1:{node.port}/")
    assert seen.headers["authorization"] == basic(f"rpc:{KEY}")
    assert seen.headers["host"] == f"127.0.0.1:{node.port}"


async def test_headers_of_the_endpoint_are_sent_too(node: FaultServer) -> None:
    seen = await seen_with(node, {"api_key": KEY}, headers={"X-Team": "blue"})
    assert (seen.headers["x-team"], seen.headers["x-api-key"]) == ("blue", KEY)


async def test_two_authorizations_are_refused(node: FaultServer) -> None:
    with pytest.raises((ConfigurationError, ValueError)):
        await seen_with(node, {"bearer_token": KEY, "username": "rpc", "password": "p:w-9Zk2"})
    assert node.accepted == 0


async def test_a_cookie_file_is_read_again_for_each_request(node: FaultServer, tmp_path: Path) -> None:
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:first")
    async with ConnectionPool(node.url, {"cookie_file": str(cookie)}) as pool, pool.acquire() as connection:
        await connection.request("echo")
        assert node.seen[-1].headers["authorization"] == basic("__cookie__:first")
        cookie.write_text("__cookie__:second")
        await connection.request("echo")
        assert node.seen[-1].headers["authorization"] == basic("__cookie__:second")


def verified_claims(header: str, secret: bytes) -> dict[str, Any]:
    """The claims of a bearer JWT, after its signature was checked by the standard library."""
    scheme, _, token = header.partition(" ")
    assert scheme == "Bearer"
    head, claims, signature = token.split(".")

    def decode(part: str) -> bytes:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))

    assert json.loads(decode(head))["alg"] == "HS256"
    expected = hmac.new(secret, f"{head}.{claims}".encode(), hashlib.sha256).digest()
    assert hmac.compare_digest(decode(signature), expected)
    decoded: dict[str, Any] = json.loads(decode(claims))
    return decoded


async def test_an_engine_secret_signs_a_fresh_token_for_each_request(
    node: FaultServer, tmp_path: Path
) -> None:
    secret = hashlib.sha256(b"an engine's secret").digest()
    file = tmp_path / "jwt.hex"
    file.write_text("0x" + secret.hex() + "\n")
    for form in (secret.hex(), "0x" + secret.hex(), str(file)):
        async with ConnectionPool(node.url, {"jwt_secret": form}) as pool, pool.acquire() as connection:
            await connection.request("echo")
            first = verified_claims(node.seen[-1].headers["authorization"], secret)["iat"]
            assert abs(first - time.time()) < 10
            await asyncio.sleep(max(0.0, first + 1.01 - time.time()))
            await connection.request("echo")
            assert verified_claims(node.seen[-1].headers["authorization"], secret)["iat"] > first
