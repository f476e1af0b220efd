"""A chain that grows as fast as it can, behind two ways whose sockets are cut; a process of its own.

It prints its URLs, and begins when it gets a line. When it gets another, it stops and prints what it made.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from genesis_replicator.testing import ResetPeer, ToxicProxy
from servers import devnet
from servers.anvil import find

#: Logs in each block.
LOGS = 100
#: How often the sockets of each way are cut: the mean of the seconds in between.
CUTS = 0.2
#: A reorganisation comes after so many blocks,
EVERY = 1_000
#: and exchanges so many at most.
DEPTH = 12
#: Seconds in which readers are no more behind.
CATCH_UP = 2.0


@dataclass(frozen=True)
class Ways:
    """Where the chain is: straight, for a witness, and by the two ways."""

    straight: str
    cut: list[str]


@dataclass(frozen=True)
class Made:
    """What was made."""

    blocks: int
    exchanged: int
    branches: int


class Hand:
    """The process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """It has just started."""
        self._process = process
        self.ways = Ways(**self._read())

    def begin(self) -> None:
        """Let the chain grow."""
        self._write()

    def end(self) -> Made:
        """Let it stay as it is."""
        self._write()
        return Made(**self._read())

    def _write(self) -> None:
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def _read(self) -> dict[str, object]:
        assert self._process.stdout
        told: dict[str, object] = json.loads(self._process.stdout.readline())
        return told


@contextmanager
def running() -> Iterator[Hand]:
    """The chain, as long as the block runs."""
    command = [sys.executable, "-m", "soak.hand"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Hand(process)
        assert process.stdin
        process.stdin.close()
        process.wait(30)


def cut(way: ToxicProxy, end: threading.Event) -> None:
    """Reset all sockets again and again."""
    while not end.wait(random.expovariate(1 / CUTS)):
        way.remove(way.add(ResetPeer()))


def grow(net: devnet.Devnet, end: threading.Event) -> Made:
    """Make blocks, and sometimes others in their place."""
    exchanged = branches = 0
    first = net.head
    while not end.is_set():
        for _ in range(EVERY):
            if end.is_set():
                break
            net.mine(1, logs=LOGS)
        else:
            depth = random.randint(1, DEPTH)
            # Half of the time for those who are not behind.
            end.wait(random.choice((0, CATCH_UP)))
            net.exchange(depth, logs=LOGS)
            exchanged, branches = exchanged + depth, branches + 1
    return Made(net.head - first, exchanged, branches)


def main() -> None:
    """Serve until nobody needs it any more."""
    command = find()
    assert command, "anvil is not installed"
    end = threading.Event()
    with devnet.running(command) as net:
        net.mine(3)
        url = net.url.replace("http", "ws")
        with ToxicProxy(url) as one, ToxicProxy(url) as two:
            print(json.dumps({"straight": net.url, "cut": [one.url, two.url]}), flush=True)
            sys.stdin.readline()
            cutting = [threading.Thread(target=cut, args=(way, end)) for way in (one, two)]
            for thread in cutting:
                thread.start()
            growing = threading.Event()
            waiting = threading.Thread(target=lambda: (sys.stdin.readline(), growing.set()))
            waiting.start()
            made = grow(net, growing)
            print(json.dumps(vars(made)), flush=True)
            # The ways are as bad for those who are behind.
            sys.stdin.read()
            end.set()
            for thread in cutting:
                thread.join()


if __name__ == "__main__":
    main()
