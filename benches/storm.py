"""The storm: callers that are cancelled at random for a while, then ten plain requests; each client in turn.

Each client is a process of its own that may have ten connections to a healthy node.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import processes
import report
from processes import PATIENCE, FailedError, Node, Process
from workers.task import PAUSE, Aftermath, Task

HERE = Path(__file__).parent
CLIENTS = ("ours", "httpx", "aiohttp", "web3", "web3 pooled")
CONNECTIONS = 10
CALLERS = (20, 200)
NAMES = (
    "client",
    "answered",
    "cancelled",
    "failed",
    "served of 10",
    "slowest ms",
    "in use",
    "waiting",
    "descriptors left",
)
INTRODUCTION = """
Made by `{command}`: {connections} connections, {seconds:g} s in which each caller asks a healthy node, which
answers after {pause} ms, and is cancelled at a random moment; then ten plain requests at once, of which each
may take 10 s. *In use* and *waiting* are what the client itself says afterwards. *Descriptors left* are open
when it is closed, and were not before it was opened.
""".strip()


class Storm(Process):
    """A client in a storm."""

    def __init__(self, task: Task, seconds: float) -> None:
        """Begin."""
        super().__init__(sys.executable, "-m", "workers.storm", json.dumps(asdict(task)), str(seconds))
        self._seconds = seconds

    def aftermath(self) -> Aftermath:
        """What is left of it."""
        return Aftermath(**self.hear(self._seconds + 2 * PATIENCE))


def endure(client: str, callers: int, seconds: float, node: Node) -> tuple[str, ...]:
    """The row of a client."""
    task = Task(client, node.addresses["http"], str(node.ca), "pause", callers, CONNECTIONS)
    try:
        with Storm(task, seconds) as storm:
            return row(client, storm.aftermath())
    except FailedError as failure:
        return (client, *["?"] * 2, str(failure), *["?"] * (len(NAMES) - 4))


def row(client: str, left: Aftermath) -> tuple[str, ...]:
    """How it is shown."""
    failed = ", ".join(f"{count:,} {name}" for name, count in left.failed.items())
    told = ["?" if level is None else str(level) for level in (left.in_use, left.waiting)]
    slowest = "?" if left.slowest is None else f"{left.slowest * 1000:.0f}"
    answered, cancelled = f"{left.answered:,}", f"{left.cancelled:,}"
    rest = (str(left.served), slowest, *told, str(left.descriptors))
    return client, answered, cancelled, failed or "0", *rest


def document(command: str, seconds: float, tables: Iterable[tuple[int, list[tuple[str, ...]]]]) -> str:
    """All of it, as Markdown."""
    introduction = INTRODUCTION.format(command=command, connections=CONNECTIONS, seconds=seconds, pause=PAUSE)
    parts = ["# Storm of cancellations", introduction, f"{report.machine()}\n{report.python()}"]
    parts += [f"## {callers} callers\n\n{report.table(NAMES, rows)}" for callers, rows in tables]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Let them all endure it, and say what is left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", default=",".join(CLIENTS), help="names, with commas between them")
    parser.add_argument("--save", action="store_true", help="write storm.md")
    options = parser.parse_args()
    processes.build()
    tables = []
    with tempfile.TemporaryDirectory() as folder, Node(Path(folder)) as node:
        for callers in CALLERS:
            rows = []
            for client in options.clients.split(","):
                print(f"{callers} callers: {client}", file=sys.stderr, flush=True)
                rows.append(endure(client, callers, options.seconds, node))
            tables.append((callers, rows))
    text = document("make storm", options.seconds, tables)
    print(text)
    if options.save:
        (HERE / "storm.md").write_text(text)


if __name__ == "__main__":
    main()
