"""Faults of TLS: no request is sent, nothing is tried in plain text, and the chain is not connected."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest

from faults.balance import comes_to_rest
from genesis_replicator import (
    ChainConnectionError,
    ChainManager,
    SecurityError,
    TlsError,
)
from genesis_replicator.testing import Authority, FaultServer
from servers.wait import soon

BAD: dict[str, Callable[[Authority], ssl.SSLContext]] = {
    "expired": lambda authority: authority.context(expired=True),
    "of another host": lambda authority: authority.context("other.example"),
    "of another authority": lambda _: Authority().context(),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_peer_that_cannot_be_trusted_gets_no_request_and_is_a_security_error(
    name: str, manager: ChainManager
) -> None:
    authority = Authority()
    with FaultServer(tls=BAD[name](authority)) as server:
        with pytest.raises(TlsError) as caught:
            await soon(manager.connect_to_chain("eth", server.url, ca=authority.pem))
        assert isinstance(caught.value, SecurityError)
        assert server.seen == []
        assert await manager.get_connected_chains() == []
        await comes_to_rest(manager)


async def test_a_peer_whose_tls_is_too_old_is_a_security_error(manager: ChainManager) -> None:
    authority = Authority()
    context = authority.context()
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with shaking_hands(context) as port, pytest.raises(TlsError):
        await soon(manager.connect_to_chain("eth", f"https://127.0.0.1:{port}", ca=authority.pem))
    await comes_to_rest(manager)


@contextlib.contextmanager
def shaking_hands(context: ssl.SSLContext) -> Iterator[int]:
    """A server that tells why a handshake failed, which asyncio's does not."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            with peer, contextlib.suppress(OSError):
                context.wrap_socket(peer, server_side=True).close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


async def test_a_peer_that_speaks_no_tls_gets_no_request(manager: ChainManager, node: FaultServer) -> None:
    with pytest.raises(ChainConnectionError):
        await soon(manager.connect_to_chain("eth", node.url.replace("http:", "https:"), timeout=0.3))
    assert node.seen == []
    assert node.accepted == 1
    await comes_to_rest(manager)
