"""The node of the soak, in a process of its own: its memory and descriptors are not the client's.

It prints its URLs, and spoils the way through its proxy, one toxic after the other, until its input ends.
"""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from genesis_replicator.testing import (
    FAULTS,
    Bandwidth,
    FaultServer,
    Latency,
    LimitData,
    Reply,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
    Toxic,
    ToxicProxy,
)

#: Seconds for which one toxic works.
SPELL = 0.5
#: Seconds that the answers of `pause` take.
PAUSE = 0.002
#: Faults that flood their client would leave no time for anything else.
FLOODS = ("endless_head", "endless_body")
BAD = [
    reply
    for name, reply in FAULTS.items()
    # Who asks to be left alone for minutes is.
    if name not in FLOODS and "retry-after" not in reply.headers
]
TOXICS: tuple[Callable[[], Toxic], ...] = (
    Toxic,
    lambda: Latency(0.05, jitter=0.02),
    lambda: Slicer(100, 0.001),
    lambda: LimitData(2_000),
    lambda: ResetPeer(0.05),
    lambda: Bandwidth(20_000),
    Timeout,
    lambda: SlowClose(0.1),
)


@dataclass(frozen=True)
class Urls:
    """Where the node is reached: straight, and by the bad way."""

    plain: str
    toxic: str


@contextmanager
def running() -> Iterator[Urls]:
    """The node, as long as the block runs."""
    command = [sys.executable, "-m", "soak.node"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        yield Urls(**json.loads(process.stdout.readline()))
        process.stdin.close()
        process.wait(30)


def flaky(params: Any) -> Any:
    """Half of the answers are right: they say what they were asked with. The others are faults."""
    if random.random() < 0.5:
        return params
    fault = random.choice(BAD)
    # A batch has but one HTTP answer, that of its first call: the results of the others get through.
    return replace(fault, result=params) if fault.answer_id is ... else fault


def spoil(proxy: ToxicProxy, end: threading.Event) -> None:
    """Let the toxics take turns; in the end of each round the proxy is dead for a spell."""
    for make in itertools.cycle(TOXICS):
        toxic = proxy.add(make())
        if end.wait(SPELL):
            return
        proxy.remove(toxic)
        if make is TOXICS[-1]:
            proxy.down()
            end.wait(SPELL)
            proxy.up()


def main() -> None:
    """Serve until nobody needs it any more."""
    end = threading.Event()
    with FaultServer() as server, ToxicProxy(server.url) as proxy:
        server.on("flaky", flaky)
        server.on("pause", lambda params: Reply(params, delay=PAUSE))
        server.on("stuck", Reply(hold=True))
        spoiling = threading.Thread(target=spoil, args=(proxy, end))
        spoiling.start()
        print(json.dumps({"plain": server.url, "toxic": proxy.url}), flush=True)
        sys.stdin.read()
        end.set()
        spoiling.join()


if __name__ == "__main__":
    main()
