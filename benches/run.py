"""The benchmark: every client in a process of its own, all asking one node, in turn, round after round.

Whatever the machine does meanwhile meets all of them. Only one works at a time, and nothing is pinned to a
processor.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import shlex
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import plot
import processes
import report
from processes import FailedError, Node, Worker
from results import Result
from scenarios import SCENARIOS, Scenario

HERE = Path(__file__).parent
#: More than the sockets of all clients of the largest scenario together, which the node holds.
FILES = 16_384


def measure(scenario: Scenario, node: Node, rounds: int, seconds: float) -> Result:
    """Let all clients of the scenario take their turns."""
    result = Result(scenario)
    workers: dict[str, Worker] = {}
    with ExitStack() as stack:
        for client in scenario.clients:
            try:
                worker = Worker(scenario.task(client, node.addresses, str(node.ca)))
                workers[client] = stack.enter_context(worker)
            except FailedError as failure:
                result.failures[client] = str(failure)
        for number in range(rounds):
            order = list(workers)
            first = number % max(len(order), 1)
            for client in order[first:] + order[:first]:
                before = node.accepted()
                try:
                    result.rounds.setdefault(client, []).append(workers[client].turn(seconds))
                    result.sockets.setdefault(client, []).append(node.accepted() - before)
                except FailedError as failure:
                    result.failures[client] = str(failure)
                    del workers[client]
    # In the order of the scenario, and only those who were there to the end.
    result.rounds = {client: result.rounds[client] for client in scenario.clients if client in workers}
    return result


def chosen(options: argparse.Namespace) -> list[Scenario]:
    """The scenarios that were asked for, with the clients that were asked for."""
    scenarios = []
    for scenario in SCENARIOS:
        if options.only and not any(scenario.name.startswith(name) for name in options.only.split(",")):
            continue
        if options.in_flight and scenario.in_flight not in options.in_flight:
            continue
        clients = options.clients.split(",") if options.clients else scenario.clients
        clients = tuple(client for client in scenario.clients if client in clients)
        if clients:
            scenarios.append(scenario.only(clients))
    return scenarios


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="names of scenarios, or how they begin, with commas between them")
    parser.add_argument("--clients", help="names of clients, with commas between them")
    parser.add_argument("--in-flight", type=int, nargs="+", help="only scenarios with so many in flight")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--save", action="store_true", help="write results.md and results.png")
    return parser.parse_args()


def main() -> None:
    """Measure, and say what came of it."""
    options = parse()
    scenarios = chosen(options)
    if not scenarios:
        sys.exit("no scenario is called so: " + ", ".join(dict.fromkeys(each.name for each in SCENARIOS)))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, most), most))
    processes.build()
    results: dict[str, Result] = {}
    with tempfile.TemporaryDirectory() as folder, Node(Path(folder)) as node:
        for scenario in scenarios:
            print(f"{scenario.title}: {', '.join(scenario.clients)}", file=sys.stderr, flush=True)
            results[scenario.title] = measure(scenario, node, options.rounds, options.seconds)
    command = "make bench" if options.save else shlex.join(["benches/run.py", *sys.argv[1:]])
    text = report.document(results, command, options.rounds, options.seconds)
    print(text)
    if options.save:
        (HERE / "results.md").write_text(text)
        draw(results)


def draw(results: dict[str, Result]) -> None:
    """The picture for the README."""
    result = results.get("small, 64 in flight")
    if importlib.util.find_spec("matplotlib") is None:
        print("no picture: matplotlib is missing", file=sys.stderr)
    elif result:
        plot.draw(result, HERE / "results.png")


if __name__ == "__main__":
    main()
