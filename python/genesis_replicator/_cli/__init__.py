"""The command line: its arguments, and which command they lead to."""

import argparse
import asyncio
import math
import os
import sys
from collections.abc import Sequence

from genesis_replicator import __version__
from genesis_replicator._cli.check import check
from genesis_replicator._cli.demo import demo

# What a shell shows for a process that a signal has ended.
INTERRUPTED, CUT_SHORT, TERMINATED = 130, 141, 143


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the result is the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "demo":
            return asyncio.run(demo())
        return asyncio.run(check(options.url, options.api_key_env, options.timeout))
    except KeyboardInterrupt:
        return INTERRUPTED
    except asyncio.CancelledError:
        return TERMINATED
    except BrokenPipeError:
        # The reader, say `head`, has seen enough. Python flushes once more at exit: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CUT_SHORT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m genesis_replicator", description="Access to blockchain nodes."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    look = commands.add_parser(
        "check",
        help="tell who a node is, how fast it answers and what it allows",
        description="Exit status: 0 the node answers, 1 it does not or refuses, 2 an argument is not usable.",
    )
    look.add_argument("url", metavar="URL", help="where the node listens")
    look.add_argument("--api-key-env", metavar="NAME", help="the environment variable that holds the API key")
    look.add_argument(
        "--timeout", metavar="S", type=seconds, default=10.0, help="for each call (default: 10)"
    )
    commands.add_parser("demo", help="start local nodes and show the package at work")
    return parser


def seconds(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        message = "must be a positive number of seconds"
        raise argparse.ArgumentTypeError(message)
    return value
