"""The processes of the benchmark: the node, and the workers, which take turns."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from dataclasses import asdict
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from workers.task import Figures, Task

ROOT = Path(__file__).parent.parent
BINARIES = ROOT / "target" / "release"
#: Seconds that a worker may take to connect, and for what a round takes beyond its time.
PATIENCE = 60


class FailedError(Exception):
    """A process did not do what it was asked."""


def build() -> None:
    """Build the node and the native client, unless they are up to date."""
    command = ["cargo", "build", "--quiet", "--locked", "--release", "--package", "genesis-bench"]
    subprocess.run(command, cwd=ROOT, check=True)


class Process:
    """A process that speaks in lines of JSON."""

    def __init__(self, *command: str | Path) -> None:
        """Start it."""
        paths = [ROOT / "python", ROOT / "benches"]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in `end`
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))},
            text=True,
        )

    def __enter__(self) -> Self:
        """Keep it."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.end()

    def tell(self, line: str) -> None:
        """Send a line."""
        assert self._process.stdin
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise FailedError(self._last_words()) from None

    def hear(self, seconds: float) -> Any:
        """The next line."""
        assert self._process.stdout
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            raise FailedError(self._last_words() if ready else f"no answer within {seconds:.0f} s")
        return json.loads(line)

    def end(self) -> None:
        """Let it end, or make it."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._errors.close()

    def _last_words(self) -> str:
        self._errors.seek(0)
        words = self._errors.read().strip().splitlines()
        return words[-1] if words else "it ended without a word"


class Node(Process):
    """The node that all clients ask."""

    def __init__(self, folder: Path) -> None:
        """Start it; what clients must trust goes into the folder."""
        self.ca = folder / "ca.pem"
        super().__init__(BINARIES / "node", self.ca)
        self.addresses: dict[str, str] = self.hear(PATIENCE)
        # It stays open, so that to ask opens none.
        self._connection = HTTPConnection(urlsplit(self.addresses["http"]).netloc)

    def accepted(self) -> int:
        """How many connections it has accepted."""
        call = {"jsonrpc": "2.0", "id": 1, "method": "opened", "params": []}
        self._connection.request("POST", "/", json.dumps(call))
        return int(json.load(self._connection.getresponse())["result"], 16)

    def end(self) -> None:
        """End it."""
        self._connection.close()
        super().end()


class Worker(Process):
    """A client that makes requests when it is its turn."""

    def __init__(self, task: Task) -> None:
        """Start it and wait until it is connected."""
        program = [BINARIES / "limit"] if task.client == "limit" else [sys.executable, "-m", "workers"]
        super().__init__(*program, json.dumps(asdict(task)))
        try:
            self.hear(PATIENCE)
        except FailedError:
            self.end()
            raise

    def turn(self, seconds: float) -> Figures:
        """One round."""
        self.tell(f"go {seconds}")
        return Figures(**self.hear(seconds + PATIENCE))
