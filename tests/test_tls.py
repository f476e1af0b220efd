"""TLS: a private authority is trusted when it is named, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from genesis_replicator import ChainManager, ConnectionPool, TlsError
from genesis_replicator.testing import Authority, FaultServer
from servers.wait import soon


@pytest.fixture(scope="module")
def authority() -> Authority:
    """An authority that no system trusts."""
    return Authority()


@pytest.fixture
def ca(authority: Authority, tmp_path: Path) -> Path:
    """Its certificate as a file."""
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.pem)
    return path


@pytest.fixture
def tls_node(authority: Authority) -> Iterator[Callable[[str], FaultServer]]:
    """Makes nodes whose certificate is for the host that is asked for."""
    with ExitStack() as stack:
        yield lambda host: stack.enter_context(FaultServer(tls=authority.context(host)))


async def test_https_works_with_the_authority_given_as_a_path_or_as_bytes(
    tls_node: Callable[[str], FaultServer], ca: Path, authority: Authority
) -> None:
    node = tls_node("127.0.0.1")
    for given in (ca, str(ca), authority.pem):
        async with ConnectionPool(node.url, ca=given) as pool, pool.acquire() as connection:
            assert await soon(connection.request("echo", [1])) == [1]


async def test_a_connection_over_tls_is_reused(
    tls_node: Callable[[str], FaultServer], ca: Path, manager: ChainManager
) -> None:
    node = tls_node("127.0.0.1")
    await manager.connect_to_chain("eth", node.url, ca=ca)
    for i in range(20):
        assert await manager.request("eth", "echo", [i]) == [i]
    assert node.accepted == 1


async def test_an_unknown_authority_is_refused(
    tls_node: Callable[[str], FaultServer], manager: ChainManager
) -> None:
    node = tls_node("127.0.0.1")
    with pytest.raises(TlsError) as caught:
        await soon(manager.connect_to_chain("eth", node.url))
    assert caught.value.chain_id == "eth"
    assert node.seen == []
    assert await manager.get_connected_chains() == []


async def test_a_certificate_of_another_host_is_refused(
    tls_node: Callable[[str], FaultServer], ca: Path
) -> None:
    node = tls_node("other.example")
    async with ConnectionPool(node.url, ca=ca) as pool:
        with pytest.raises(TlsError):
            await soon(pool.acquire())
    assert node.seen == []
