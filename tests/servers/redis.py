"""A real redis-server, alone or as a cluster, as Debian installs it. Each is ended by its process id."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from servers.anvil import free_port


def find() -> str | None:
    """The command, or None where it is not installed."""
    return shutil.which("redis-server")


def ask(port: int, *words: object, timeout: float = 5.0) -> Any:
    """One command over a connection of its own: an answer, or a `RuntimeError` with what the server says."""
    with socket.create_connection(("127.0.0.1", port), timeout) as link:
        parts = [str(word).encode() for word in words]
        link.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
        with link.makefile("rb") as stream:
            return _read(stream)


def _read(stream: Any) -> Any:
    kind, rest = (line := stream.readline())[:1], line[1:].strip()
    if kind == b"-":
        raise RuntimeError(rest.decode())
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == b"-1" else stream.read(int(rest) + 2)[:-2].decode(errors="replace")
    if kind == b"*":
        return [_read(stream) for _ in range(int(rest))]
    return rest.decode()


class RedisServer:
    """A server that can be killed, stopped, started anew on its port, and asked."""

    def __init__(self, command: str, *options: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = command
        self._options = options
        self._folder = tempfile.mkdtemp(prefix="redis-")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        command = [self._command, "--bind", "127.0.0.1", "--port", str(self.port)]
        command += ["--save", "", "--appendonly", "no", "--dir", self._folder, *self._options]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)
        give_up = time.monotonic() + 20
        while True:
            if self._answers():
                return
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError("redis-server did not start")
            time.sleep(0.02)

    def ask(self, *words: object) -> Any:
        """The answer to one command."""
        return ask(self.port, *words)

    def _answers(self) -> bool:
        try:
            return bool(self.ask("PING") == "PONG")
        except OSError:
            return False
        except RuntimeError as refused:
            return "NOAUTH" in str(refused)

    def clients(self) -> int:
        """How many connections there are besides this one."""
        return len(str(self.ask("CLIENT", "LIST", "TYPE", "normal")).splitlines()) - 1

    def calls(self) -> int:
        """How many times scripts were run."""
        lines = str(self.ask("INFO", "commandstats")).splitlines()
        counts = [line.split("calls=")[1].split(",")[0] for line in lines if line.startswith("cmdstat_eval")]
        return sum(map(int, counts))

    def signal(self, number: int) -> None:
        """Send a signal to the server."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once. All that it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.signal(signal.SIGCONT)
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextlib.contextmanager
def cluster(command: str) -> Iterator[list[RedisServer]]:
    """Three masters and a replica of the first, in this order."""
    options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"]
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(RedisServer(command, *options, port=_cluster_port())) for _ in range(4)]
        for number, node in enumerate(nodes[:3]):
            first, last = 16384 * number // 3, 16384 * (number + 1) // 3 - 1
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port)
        _until(lambda: all(_knows(node, "cluster_known_nodes:4") for node in nodes))
        master = nodes[0].ask("CLUSTER", "MYID")
        _until(lambda: _replicates(nodes[3], master))
        _until(lambda: all(_knows(node, "cluster_state:ok") for node in nodes))
        _until(lambda: "master_link_status:up" in nodes[3].ask("INFO", "replication"))
        yield nodes


def _cluster_port() -> int:
    """A port that leaves room for the cluster's own one, 10,000 above."""
    while (port := free_port()) > 55_000:
        pass
    return port


def _knows(node: RedisServer, fact: str) -> bool:
    return fact in node.ask("CLUSTER", "INFO")


def _replicates(node: RedisServer, master: str) -> bool:
    try:
        return bool(node.ask("CLUSTER", "REPLICATE", master) == "OK")
    except RuntimeError:
        return False


def _until(condition: Any) -> None:
    give_up = time.monotonic() + 30
    while not condition():
        if time.monotonic() > give_up:
            raise RuntimeError("the cluster did not form")
        time.sleep(0.05)
