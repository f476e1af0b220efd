"""Runs scripts, each in an interpreter of its own, several at a time."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

#: Processes at a time: some of them wait most of their time.
AT_ONCE = 2 * (os.cpu_count() or 1)
#: Seconds after which a process hangs.
PATIENCE = 50
UVLOOP = "import asyncio, uvloop\nasyncio.set_event_loop_policy(uvloop.EventLoopPolicy())\n"


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    status: int | None
    errors: str
    seconds: float

    @property
    def clean(self) -> bool:
        """With status 0 and without a word."""
        return (self.status, self.errors) == (0, "")


def run(script: str, *arguments: str) -> Ended:
    """Run a script in a fresh interpreter, as a user does; on uvloop if this process is."""
    uvloop = type(asyncio.get_event_loop_policy()).__module__.startswith("uvloop")
    source = (UVLOOP if uvloop else "") + textwrap.dedent(script)
    command = [sys.executable, "-c", source, *arguments]
    # Where `processes.child` is found.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    begun = time.monotonic()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False, env=environment
        )
    except subprocess.TimeoutExpired as late:
        said = late.stderr.decode(errors="replace") if late.stderr else ""
        return Ended(None, f"{said}\nit hangs", time.monotonic() - begun)
    return Ended(done.returncode, done.stderr, time.monotonic() - begun)


def run_often(runs: int, script: str, *arguments: str) -> Iterator[Ended]:
    """Run a script so many times."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        yield from threads.map(lambda _: run(script, *arguments), range(runs))
