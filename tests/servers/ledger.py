"""A chain of logs that a scripted node answers from, with the limits of a provider."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from genesis_replicator.testing import FaultServer, Reply


class Ledger:
    """Logs by block."""

    def __init__(self, counts: list[int]) -> None:
        """Make so many logs in each block, from block 0."""
        self.blocks = [[_log(block, index) for index in range(count)] for block, count in enumerate(counts)]

    @property
    def head(self) -> int:
        """The newest block."""
        return len(self.blocks) - 1

    def logs(self, first: int, last: int) -> list[dict[str, Any]]:
        """The logs of these blocks."""
        return [log for block in self.blocks[first : last + 1] for log in block]

    def serve(  # noqa: PLR0913
        self,
        node: FaultServer,
        *,
        head: int | None = None,
        most_blocks: int | None = None,
        refusal: str = "block range is too wide",
        most_logs: int | None = None,
        is_silent: bool = False,
        asked: list[int] | None = None,
        before: Callable[[int, int], Reply | None] = lambda *_: None,
    ) -> None:
        """Let `node` answer from this, with blocks up to `head`.

        `asked` is told how many blocks each request is about, `before` may answer by the first and the last.
        """
        newest = self.head if head is None else head

        def search(params: Any) -> Any:
            first, last = (int(params[0][edge], 16) for edge in ("fromBlock", "toBlock"))
            if asked is not None:
                asked.append(last - first + 1)
            if (reply := before(first, last)) is not None:
                return reply
            if most_blocks is not None and last - first + 1 > most_blocks:
                return Reply(error={"code": -32602, "message": refusal})
            logs = self.logs(first, min(last, newest))
            if most_logs is not None and len(logs) > most_logs:
                if is_silent:
                    return logs[:most_logs]
                return Reply(
                    error={"code": -32005, "message": f"query returned more than {most_logs} results"}
                )
            return logs

        node.on("eth_getLogs", search)
        node.on("eth_blockNumber", Reply(hex(newest)))


def _log(block: int, index: int) -> dict[str, Any]:
    return {
        "address": "0x" + "ab" * 20,
        "topics": ["0x" + f"{block:064x}"],
        "data": "0x",
        "blockNumber": hex(block),
        "logIndex": hex(index),
        "removed": False,
    }
