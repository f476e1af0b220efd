"""An anvil that mines when it is told to, whose blocks have logs, and whose newest blocks are exchanged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from servers.anvil import Anvil, ask

#: Logs so many times, with a topic that counts down, and makes no contract.
LOGGING = "0x61{:04x}5b8060006000a1600190038060035700"


class Devnet:
    """The node, as a hand that makes its chain."""

    def __init__(self, anvil: Anvil) -> None:
        """`anvil` runs and does not mine by itself."""
        self.anvil = anvil
        self.url = anvil.url
        self.sender = self.ask("eth_accounts")[0]

    def ask(self, method: str, *params: Any) -> Any:
        """One call."""
        return ask(self.url, method, *params)

    @property
    def head(self) -> int:
        """The number of the newest block."""
        return int(self.ask("eth_blockNumber"), 16)

    def mine(self, blocks: int = 1, *, logs: int = 0) -> None:
        """Make blocks, each with so many logs."""
        for _ in range(blocks):
            if logs:
                self.ask("eth_sendTransaction", self._logging(logs))
            self.ask("evm_mine")

    def exchange(self, depth: int, *, logs: int = 0) -> None:
        """Exchange the newest blocks for as many others, each with so many logs."""
        pairs = [[self._logging(logs), block] for block in range(depth)] if logs else []
        self.ask("anvil_reorg", depth, pairs)

    def roll_back(self, depth: int) -> None:
        """Forget the newest blocks. Those that come instead are others: some time goes by."""
        self.ask("anvil_rollback", depth)
        self.ask("evm_increaseTime", 60)

    def block(self, number: int) -> dict[str, Any]:
        """A block."""
        return self.ask("eth_getBlockByNumber", hex(number), False)  # noqa: FBT003  # hashes will do

    def hashes(self, first: int) -> list[str]:
        """The hashes of all blocks from one on."""
        return [self.block(number)["hash"] for number in range(first, self.head + 1)]

    def logs(self, first: int) -> list[dict[str, Any]]:
        """All logs of the blocks from one on."""
        return self.ask("eth_getLogs", {"fromBlock": hex(first), "toBlock": "latest"})

    def _logging(self, logs: int) -> dict[str, str]:
        return {"from": self.sender, "data": LOGGING.format(logs), "gas": hex(200_000 + 1_500 * logs)}


@contextlib.contextmanager
def running(command: str) -> Iterator[Devnet]:
    """One of its own, until the block ends."""
    anvil = Anvil(command)
    try:
        anvil.start("--no-mining", "--chain-id", "31337")
        yield Devnet(anvil)
    finally:
        anvil.stop()
