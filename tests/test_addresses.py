"""Which addresses may be dialled, however they are spelt, and what may travel unencrypted to whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genesis_replicator import (
    ChainConnectionError,
    ChainManager,
    ConfigurationError,
    ConnectionPool,
    SecurityError,
)
from genesis_replicator.testing import FaultServer, Reply
from servers.guide import KEY
from servers.wait import soon

LINES = (Path(__file__).parent / "addresses.txt").read_text().splitlines()
HOSTS = [tuple(line.split(" ", 1)) for line in LINES if line and not line.startswith("#")]


@pytest.mark.parametrize(("is_", "host"), [(is_, host) for is_, host in HOSTS if is_ != "public"])
async def test_a_host_that_is_not_public_is_refused_before_anything_is_dialled(
    is_: str, host: str, manager: ChainManager
) -> None:
    policies: list[Any] = ["public", ["8.8.8.0/24"]]
    if is_ == "never":
        policies += ["any", "private", ["0.0.0.0/0", "::/0"]]
    for policy in policies:
        with pytest.raises(SecurityError, match="address_policy"):
            await soon(manager.connect_to_chain("eth", f"http://{host}:1/", address_policy=policy))
    assert await manager.get_connected_chains() == []


async def test_a_list_lets_its_own_addresses_be_dialled(node: FaultServer, manager: ChainManager) -> None:
    await manager.connect_to_chain("eth", node.url, address_policy=["127.0.0.0/8", "10.0.0.1"])
    assert await manager.request("eth", "echo", [1]) == [1]
    with pytest.raises(SecurityError):
        await manager.connect_to_chain("other", node.url, address_policy=["10.0.0.1"])


@pytest.mark.parametrize("policy", [[], ["10.0.0.0/33"], ["node.example.org"], "10.0.0.0/8", 5, [5], b"any"])
async def test_what_is_no_policy_is_refused(policy: Any, node: FaultServer, manager: ChainManager) -> None:
    with pytest.raises(ConfigurationError, match="address_policy"):
        await manager.connect_to_chain("eth", node.url, address_policy=policy)


async def test_metadata_is_not_reached_through_a_proxy_either(
    node: FaultServer, manager: ChainManager
) -> None:
    proxy = f"http://127.0.0.1:{node.port}"
    with pytest.raises(SecurityError, match="address_policy"):
        await manager.connect_to_chain("eth", "http://169.254.169.254/latest", proxy=proxy)
    assert node.seen == []


@pytest.mark.parametrize("through", [{"proxy": "http://127.0.0.1:{port}"}, {"trust_env": True}])
@pytest.mark.parametrize("secret", [{"api_key": KEY}, lambda: {"api_key": KEY}])
async def test_a_proxy_sees_no_credentials_unless_that_is_allowed(
    through: dict[str, Any], secret: Any, node: FaultServer, manager: ChainManager
) -> None:
    options = {name: f.format(port=node.port) if isinstance(f, str) else f for name, f in through.items()}
    with pytest.raises(SecurityError, match="proxy"):
        await manager.connect_to_chain("eth", node.url, secret, **options)
    with pytest.raises(SecurityError, match="proxy"):
        ConnectionPool(node.url, secret, **options)
    assert node.seen == []


async def test_a_redirect_is_not_followed_and_says_so(node: FaultServer, manager: ChainManager) -> None:
    node.on("eth_chainId", Reply(status=307, headers={"location": f"{node.url}/elsewhere"}, body=b""))
    with pytest.raises(ChainConnectionError):
        await manager.connect_to_chain("eth", node.url, {"api_key": KEY})
    assert {seen.path for seen in node.seen} == {"/"}
