"""A real Ethereum node, foundry's anvil, as npm installs it under tests/node."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: The network id of an anvil that nobody configured.
NETWORK_ID = 31337


def find() -> str | None:
    """The program, not npm's script around it, which would keep signals from it; None if there is none."""
    modules = Path(__file__).parent.parent / "node/node_modules"
    installed = sorted(modules.glob("@foundry-rs/anvil-*/bin/anvil"))
    command = os.environ.get("GENESIS_ANVIL") or (installed[0] if installed else modules / ".bin/anvil")
    return str(command) if Path(command).exists() else None


def free_port() -> int:
    """A port on which nothing listens at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(url: str, method: str, *params: Any, timeout: float = 20) -> Any:
    """One call by the standard library, to have a witness that is not the package under test."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
        return json.load(answer)["result"]


def _is_stopped(process: int) -> bool:
    """Whether all of its threads stand still. They are told one after the other."""
    tasks = Path(f"/proc/{process}/task").glob("*/stat")
    return all(task.read_text().rpartition(") ")[2].startswith("T") for task in tasks)


class Anvil:
    """An anvil on a port of its own, which can be started again there."""

    def __init__(self, command: str) -> None:
        """Choose the port; nothing runs yet."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [command, "--host", "127.0.0.1", "--port", str(self.port), "--silent"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen([*self._command, *options], stdin=subprocess.DEVNULL)
        _wait_until_it_answers(self._process, self.url)

    def send(self, number: signal.Signals) -> None:
        """Send its process a signal. One that stops it has done so when this returns."""
        if self._process is None:
            return
        self._process.send_signal(number)
        give_up = time.monotonic() + 10
        while number == signal.SIGSTOP and not _is_stopped(self._process.pid):
            if time.monotonic() > give_up:
                raise TimeoutError("it does not stop")
            time.sleep(0.001)

    def kill(self) -> None:
        """End it without a chance to say goodbye."""
        self.send(signal.SIGKILL)
        self._wait()

    def stop(self) -> None:
        """End it."""
        self.send(signal.SIGTERM)
        # One that was stopped could not end.
        self.send(signal.SIGCONT)
        self._wait()

    def _wait(self) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


@contextlib.contextmanager
def running(command: str) -> Iterator[Anvil]:
    """An anvil that answers, until the block ends."""
    anvil = Anvil(command)
    try:
        anvil.start()
        yield anvil
    finally:
        anvil.stop()


def _wait_until_it_answers(process: subprocess.Popen[bytes], url: str) -> None:
    give_up = time.monotonic() + 30
    while True:
        try:
            ask(url, "eth_chainId")
        except OSError:
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError("anvil did not start") from None
            time.sleep(0.05)
        else:
            return
