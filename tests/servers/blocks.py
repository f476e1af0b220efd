"""The blocks of a scripted node."""

from __future__ import annotations

from typing import Any

from genesis_replicator.testing import FaultServer


class Blocks:
    """A chain whose newest block a test says.

    Attributes:
        head: Its number.
    """

    def __init__(self, node: FaultServer, **own: Any) -> None:
        """The node tells blocks, which have more members of their own."""
        self.head = 5
        self._own = own
        node.on("eth_getBlockByNumber", self.block)

    def block(self, params: Any) -> Any:
        """The block that is asked for."""
        number = self.head if params[0] == "latest" else int(params[0], 16)
        parent = f"0x{number - 1:064x}"
        return {"number": hex(number), "hash": f"0x{number:064x}", "parentHash": parent, **self._own}
