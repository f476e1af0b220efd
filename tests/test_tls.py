"""TLS: a private authority is trusted when it is named, and nothing else is."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from genesis_replicator import ChainConnectionError, ChainManager, ConnectionPool, TlsError
from genesis_replicator.testing import Authority, FaultServer
from servers.guide import KEY
from servers.tls_door import TlsDoor
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


def identity_from(authority: trustme.CA) -> bytes:
    """A certificate and its key."""
    return authority.issue_cert("bot@example.org").private_key_and_cert_chain_pem.bytes()


@pytest.fixture(scope="module")
def members() -> trustme.CA:
    """Who vouches for clients."""
    return trustme.CA()


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
@pytest.mark.parametrize("shown", ["nothing", "a stranger's", "a member's"])
async def test_a_server_that_wants_to_know_us_lets_in_who_it_knows_and_its_refusal_is_told(
    version: str, protocol: str, shown: str, authority: Authority, members: trustme.CA
) -> None:
    context = authority.context("127.0.0.1")
    context.maximum_version = ssl.TLSVersion[version]
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=members.cert_pem.bytes().decode())
    is_member = shown == "a member's"
    # It speaks HTTP/1.1 only, but does not come to that with whom it refuses.
    context.set_alpn_protocols(["http/1.1" if is_member else protocol])
    cert = None if shown == "nothing" else identity_from(members if is_member else trustme.CA())
    with TlsDoor(context) as door:
        async with ConnectionPool(door.url, ca=authority.pem, client_cert=cert) as pool:
            if is_member:
                async with pool.acquire() as connection:
                    assert await soon(connection.request("eth_chainId")) == "0x1"
            else:
                with pytest.raises(TlsError, match="alert"):
                    async with pool.acquire() as connection:
                        await soon(connection.request("eth_chainId"))
        assert door.let_in == is_member


@pytest.mark.parametrize("protocols", [["http/1.1"], ["h2"]])
@pytest.mark.parametrize("fault", ["expired", "self-signed", "another host", "too old a protocol"])
async def test_a_server_that_cannot_be_trusted_sees_no_request(
    fault: str, protocols: list[str], authority: Authority, manager: ChainManager
) -> None:
    signer = Authority() if fault == "self-signed" else authority
    host = "other.example" if fault == "another host" else "127.0.0.1"
    context = signer.context(host, expired=fault == "expired")
    context.set_alpn_protocols(protocols)
    if fault == "too old a protocol":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
            context.set_ciphers("ALL:@SECLEVEL=0")
    with FaultServer(tls=context) as node:
        # Without a common protocol this server hangs up.
        expected = ChainConnectionError if fault == "too old a protocol" else TlsError
        with pytest.raises(expected):
            await soon(manager.connect_to_chain("eth", node.url, {"api_key": KEY}, ca=authority.pem))
        assert node.seen == []
