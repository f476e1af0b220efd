"""`make soak`: every part, its tables, and status 1 if something did not hold."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping

from soak import cancellations, crowd, faulty, heads, lives, mix, node, nodes
from soak.report import Part


def parts(options: argparse.Namespace) -> Mapping[str, Callable[[node.Urls], Part]]:
    """What there is to run, by name."""
    return {
        "mix": lambda urls: asyncio.run(mix.run(urls, options.seconds)),
        "crowd": lambda urls: asyncio.run(crowd.run(urls)),
        "cancellations": lambda urls: asyncio.run(cancellations.run(urls, options.cancellations)),
        "faulty": lambda _: faulty.run(options.faulty),
        "processes": lambda _: lives.run(options.processes),
        "heads": lambda _: asyncio.run(heads.run(options.seconds, options.items)),
        "nodes": lambda _: nodes.run(options.pair, options.transactions),
    }


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of the mix, and of the heads")
    parser.add_argument("--cancellations", type=int, default=1_000_000)
    parser.add_argument("--faulty", type=int, default=100_000, help="calls that meet faults")
    parser.add_argument("--processes", type=int, default=200, help="runs of each kind")
    parser.add_argument("--pair", type=float, default=60, help="seconds for each pair of nodes in trouble")
    parser.add_argument("--transactions", type=int, default=1_000, help="of which answers are lost")
    parser.add_argument("--items", type=int, default=1_000_000, help="heads and logs that are enough")
    parser.add_argument("--parts", help="names with commas between them; all if it is left out")
    options = parser.parse_args()
    found = parts(options)
    held = True
    for name in options.parts.split(",") if options.parts else found:
        # Each part has a node of its own, and begins with a process at rest.
        with node.running() as urls:
            part = found[name](urls)
        print(part, end="\n\n", flush=True)
        held = held and part.held
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
