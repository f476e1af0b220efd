"""Real nodes let in who brings what they ask for: an execution client's engine API, and litecoind."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from genesis_replicator import AuthenticationError, ChainConnectionError, ChainManager, ConnectionPool
from servers import engine_api, litecoin
from servers.conditions import required
from servers.engine_api import SECRET, ExecutionClient
from servers.litecoin import PASSWORD, USER, Litecoin
from servers.wait import soon


@pytest.fixture(scope="module")
def client() -> Iterator[ExecutionClient]:
    """An execution client that runs."""
    command = required(engine_api.find(), "GENESIS_REQUIRE_ENGINE", "EthereumJS; run npm ci in tests/node")
    with ExecutionClient(command) as client:
        yield client


@pytest.fixture
def bitcoin() -> Iterator[Litecoin]:
    """A node of Bitcoin's family."""
    command = required(
        litecoin.find(), "GENESIS_REQUIRE_LITECOIN", "litecoind; run apt-get install litecoind"
    )
    with Litecoin(command) as node:
        yield node


def token(secret: str, issued: float) -> str:
    """A JWT that says it was made at a time of our choice."""

    def encode(part: bytes) -> str:
        return base64.urlsafe_b64encode(part).rstrip(b"=").decode()

    claims = encode(json.dumps({"iat": int(issued)}).encode())
    signed = encode(b'{"alg":"HS256","typ":"JWT"}') + "." + claims
    tag = hmac.new(bytes.fromhex(secret), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{encode(tag)}"


async def test_the_engine_api_accepts_our_token(client: ExecutionClient, manager: ChainManager) -> None:
    for label, secret in {"hex": SECRET, "prefixed": "0x" + SECRET, "file": str(client.secret_file)}.items():
        await soon(manager.connect_to_chain(label, client.url, {"jwt_secret": secret}))
        offered = await soon(manager.request(label, "engine_exchangeCapabilities", [[]]))
        assert any(method.startswith("engine_newPayload") for method in offered)
        assert await manager.verify_credentials(label) is True


async def test_a_token_of_a_callable_is_accepted_again_when_the_one_before_is_stale(
    client: ExecutionClient, manager: ChainManager
) -> None:
    made: list[float] = []

    def make() -> dict[str, str]:
        made.append(time.time() - (0 if made else 3600))
        return {"bearer_token": token(SECRET, made[-1])}

    await soon(manager.connect_to_chain("eth", client.url, make))
    assert await soon(manager.request("eth", "eth_chainId")) == "0x1"
    assert len(made) == 2


@pytest.mark.parametrize("wrong", ["none", "stale", "early", "secret"])
async def test_the_engine_api_refuses_any_other_token(
    wrong: str, client: ExecutionClient, manager: ChainManager
) -> None:
    credentials: dict[str, dict[str, Any] | None] = {
        "none": None,
        "stale": {"bearer_token": token(SECRET, time.time() - 3600)},
        "early": {"bearer_token": token(SECRET, time.time() + 3600)},
        "secret": {"jwt_secret": SECRET[::-1]},
    }
    with pytest.raises(ChainConnectionError) as caught:
        await soon(manager.connect_to_chain("eth", client.url, credentials[wrong]))
    assert isinstance(caught.value.__cause__, AuthenticationError)
    async with ConnectionPool(client.url, credentials[wrong]) as pool, pool.acquire() as connection:
        with pytest.raises(AuthenticationError):
            await soon(connection.request("engine_exchangeCapabilities", [[]]))


async def test_the_cookie_is_read_again_after_the_node_was_restarted(
    bitcoin: Litecoin, manager: ChainManager
) -> None:
    await soon(manager.connect_to_chain("ltc", bitcoin.url, {"cookie_file": str(bitcoin.cookie)}))
    before = bitcoin.cookie.read_text()
    status = await soon(manager.get_chain_status("ltc"))
    assert (status["family"], status["network_id"]) == ("bitcoin", "regtest")
    bitcoin.restart()
    assert bitcoin.cookie.read_text() != before
    assert await soon(manager.request("ltc", "getblockcount")) == 0
    assert await soon(manager.verify_credentials("ltc")) is True
    old = bitcoin.folder / "old-cookie"
    old.write_text(before)
    async with ConnectionPool(bitcoin.url, {"cookie_file": str(old)}) as pool, pool.acquire() as connection:
        with pytest.raises(AuthenticationError):
            await soon(connection.request("getblockcount"))


async def test_a_user_and_a_password_work_before_and_after_a_restart(
    bitcoin: Litecoin, manager: ChainManager
) -> None:
    await soon(manager.connect_to_chain("ltc", bitcoin.url, {"username": USER, "password": PASSWORD}))
    at_once = bitcoin.url.replace("//", f"//{USER}:{PASSWORD}@")
    await soon(manager.connect_to_chain("url", at_once))
    bitcoin.restart()
    for label in ("ltc", "url"):
        assert await soon(manager.request(label, "getblockcount")) == 0
    with pytest.raises(ChainConnectionError) as caught:
        await soon(
            manager.connect_to_chain("wrong", bitcoin.url, {"username": USER, "password": PASSWORD[::-1]})
        )
    assert isinstance(caught.value.__cause__, AuthenticationError)
