"""`AsyncWeb3` over our provider beside web3.py's own: `make bench-web3` writes `web3.md`.

Each client is a process of its own, and all take turns, so that whatever else the machine does meets all.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import processes
import report
from processes import Node
from results import Result, Spread, python_cpu, rate
from run import measure
from scenarios import Scenario
from storm import Storm
from workers.task import PAUSE, Aftermath, Task

HERE = Path(__file__).parent
OURS, NOTHING = "ours web3.eth", "web3.eth over nothing"
CLIENTS = (OURS, "web3.eth", "web3.eth pooled")
ROUNDS, SECONDS = 7, 1.0
#: Callers that are cancelled at random moments, and for how many seconds.
CALLERS, STORM, STORMS = 20, 10.0, 5
CONNECTIONS = 10
SCENARIOS = (
    *(Scenario("get_block_number", "small", count, (*CLIENTS, NOTHING)) for count in (1, 16, 64, 256)),
    Scenario("batch_requests of 100", "batch", 4, (*CLIENTS, NOTHING)),
)
NAMES = ("client", "requests/s", "ours / it", "Python µs", "p50 µs", "p99 µs", "sockets")
INTRODUCTION = f"""
Made by `make bench-web3`: {ROUNDS} rounds of {SECONDS:g} s for each client, taking turns. Medians, with the
smallest and the largest round; a ratio is always that of the same round. Client and node share the machine.
*Python* is what the thread that runs Python takes for a request, *sockets* are those that the node accepted
in a round. *pooled* is web3.py's provider with a session of aiohttp that keeps its connections. *over
nothing* is a provider that answers at once: what is left is web3.py itself.
""".strip()
CANCELLED = f"""
{STORMS} times {STORM:g} s in which {CALLERS} callers ask a healthy node, which answers after {PAUSE} ms, on
{CONNECTIONS} connections, and are cancelled at random moments; then ten plain requests at once, of which each
may take 10 s. *Served* is how many of all these were; *slowest* is the median of the times in which all were.
""".strip()


def table(result: Result) -> str:
    """One kind of work."""
    rows = []
    for client, figures in result.rounds.items():
        rows.append(
            (
                client,
                Spread.of(result.each(client, rate)).shown(",.0f"),
                Spread.of(result.ratios(OURS, [client])).shown(".2f"),
                f"{Spread.of(result.each(client, python_cpu)).median:,.1f}",
                f"{statistics.median(each.p50 for each in figures):,.0f}",
                f"{statistics.median(each.p99 for each in figures):,.0f}",
                f"{statistics.median(result.sockets[client]):,.0f}",
            )
        )
    return f"## {result.scenario.title}\n\n{report.table(NAMES, rows)}"


def storms(node: Node) -> str:
    """What becomes of others when requests are cancelled."""
    after: dict[str, list[Aftermath]] = {client: [] for client in CLIENTS}
    for _ in range(STORMS):
        for client, left in after.items():
            task = Task(client, node.addresses["http"], str(node.ca), "pause", CALLERS, CONNECTIONS)
            with Storm(task, STORM) as storm:
                left.append(storm.aftermath())
    rows = [cancelled(client, left) for client, left in after.items()]
    names = ("client", "answered", "cancelled", "served", "slowest ms")
    return f"## After cancelled requests\n\n{CANCELLED}\n\n{report.table(names, rows)}"


def cancelled(client: str, left: list[Aftermath]) -> tuple[str, ...]:
    """The row of a client."""
    slowest = [each.slowest * 1000 for each in left if each.served == 10 and each.slowest is not None]
    return (
        client,
        f"{statistics.median(each.answered for each in left):,.0f}",
        f"{statistics.median(each.cancelled for each in left):,.0f}",
        f"{sum(each.served for each in left)} of {10 * len(left)}",
        f"{statistics.median(slowest):,.0f}" if slowest else "never",
    )


def main() -> None:
    """Measure, and write it down."""
    processes.build()
    with tempfile.TemporaryDirectory() as folder, Node(Path(folder)) as node:
        parts = ["# web3.py over providers", INTRODUCTION, f"{report.machine()}\n{report.python()}"]
        for scenario in SCENARIOS:
            print(scenario.title, file=sys.stderr, flush=True)
            parts.append(table(measure(scenario, node, ROUNDS, SECONDS)))
        parts.append(storms(node))
    text = "\n\n".join(parts) + "\n"
    (HERE / "web3.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
