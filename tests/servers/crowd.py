"""Many processes on one shared limit, and what they were admitted to."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

WORKER = Path(__file__).parent.parent / "shared_worker.py"
LATER = 0.2


def run(processes: int, seconds: float, **options: Any) -> list[float]:
    """All admissions in order. The options are those of the limiter; the processes begin at one moment."""
    arguments = {"name": "crowd", "on_outage": "local_share", "seconds": seconds, "tasks": 20, **options}
    command = [sys.executable, str(WORKER), json.dumps(arguments)]
    pipe = subprocess.PIPE
    crowd = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(processes)]
    try:
        for process in crowd:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        begin = time.monotonic() + LATER
        for process in crowd:
            assert process.stdin is not None
            process.stdin.write(f"{begin}\n")
            process.stdin.flush()
        said = [process.communicate(timeout=seconds + 30)[0] for process in crowd]
    finally:
        for process in crowd:
            process.kill()
            process.communicate()
    return sorted(stamp for text in said for stamp in json.loads(text))


def most_in_a_window(stamps: Sequence[float], seconds: float) -> int:
    """The most admissions that any window of this length holds; the stamps are in order."""
    most = first = 0
    for last, stamp in enumerate(stamps):
        while stamp - stamps[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
