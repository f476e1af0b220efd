"""A real Ethereum node, foundry's anvil, as npm installs it under tests/node."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

#: The network id of an anvil that nobody configured.
NETWORK_ID = 31337


def find() -> str | None:
    """The command, or None where npm has not installed it."""
    command = os.environ.get("GENESIS_ANVIL") or Path(__file__).parent.parent / "node/node_modules/.bin/anvil"
    return str(command) if Path(command).exists() else None


def free_port() -> int:
    """A port on which nothing listens at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(url: str, method: str) -> object:
    """One call by the standard library, to have a witness that is not the package under test."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": []}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
        return json.load(answer)["result"]


@contextlib.contextmanager
def running(command: str) -> Iterator[str]:
    """Start an anvil, wait until it answers, give its URL, and end that process."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = [command, "--host", "127.0.0.1", "--port", str(port), "--silent"]
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL)
    try:
        _wait_until_it_answers(process, url)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


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
