"""What breaks below HTTP, or in it: a fault is an error of its own call, and the chain goes on at once."""

from __future__ import annotations

import pytest

from genesis_replicator import (
    ChainManager,
    ConnectionClosedError,
    GenesisError,
    HttpStatusError,
    ProtocolError,
)
from genesis_replicator.testing import FAULTS, FaultServer, Reply
from servers.wait import soon

SWITCHING = Reply(wire=b"HTTP/1.1 101 Switching Protocols\r\n\r\n")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (FAULTS["reset"], ConnectionClosedError),
        (FAULTS["reset_in_body"], (ConnectionClosedError, ProtocolError)),
        (FAULTS["hang_up"], ConnectionClosedError),
        (FAULTS["endless_body"], ProtocolError),
        (FAULTS["endless_head"], ProtocolError),
        (FAULTS["not_http"], ProtocolError),
        (SWITCHING, HttpStatusError),
        (FAULTS["no_content"], ProtocolError),
    ],
    ids=["reset", "reset in body", "hang up", "endless body", "endless head", "not http", "101", "204"],
)
async def test_a_fault_on_the_wire_fails_its_call_and_nothing_else(
    fault: Reply,
    error: type[GenesisError] | tuple[type[GenesisError], ...],
    manager: ChainManager,
    node: FaultServer,
) -> None:
    node.on("break", fault)
    await manager.connect_to_chain("eth", node.url, max_response_bytes=2**20)
    with pytest.raises(error):
        await soon(manager.request("eth", "break"))
    async with manager.get_connection("eth") as connection:
        name = connection.id
        with pytest.raises(error):
            await soon(connection.request("break"))
        assert await soon(connection.request("eth_chainId")) == "0x1"
        assert connection.id == name
    assert await soon(manager.request("eth", "eth_chainId")) == "0x1"
    await manager.disconnect_from_chain("eth")
    metrics = await manager.get_pool_metrics()
    assert (metrics["active_connections"], metrics["total_connections"]) == (0, 0)
