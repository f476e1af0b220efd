"""What is watched: the resources of this process, and the numbers of the pools."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genesis_replicator import ChainManager

#: Seconds that a client at rest may take to close what it gave up: sockets, and attempts to connect.
SETTLE = 10.0


@dataclass(frozen=True)
class Usage:
    """What the process has at a moment. Memory is in KiB."""

    at: float
    memory: int
    descriptors: int
    threads: int

    @classmethod
    def now(cls) -> Usage:
        """As the kernel tells it."""
        status = Path("/proc/self/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        return cls(time.monotonic(), int(fields["VmRSS"].split()[0]), descriptors, int(fields["Threads"]))


def broken(metrics: Mapping[str, Any]) -> str | None:
    """Which invariant does not hold at this moment, if there is one."""
    active, idle, connecting = (
        metrics["active_connections"],
        metrics["idle_connections"],
        metrics["connecting"],
    )
    total, most = metrics["total_connections"], metrics["max_connections"]
    if active + idle + connecting != total:
        return f"{active} active + {idle} idle + {connecting} connecting is not {total}"
    if total > most:
        return f"{total} connections, and at most {most} are allowed"
    return None


def busy(metrics: Mapping[str, Any]) -> dict[str, int]:
    """What should be 0 at rest and is not."""
    names = ("active_connections", "connecting", "in_flight_requests", "waiting_requests")
    return {name: metrics[name] for name in names if metrics[name]}


@dataclass
class Rests:
    """The moments at which nobody asked for anything: what the process had, and what was wrong."""

    samples: list[Usage] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    async def rest(self, manager: ChainManager) -> None:
        """Look when all is quiet."""
        give_up = time.monotonic() + SETTLE
        while busy(metrics := await manager.get_pool_metrics()) and time.monotonic() < give_up:
            await asyncio.sleep(0.05)
        if left := busy(metrics):
            self.wrong.append(f"after {SETTLE:g} s: {left}")
        if no := broken(metrics):
            self.wrong.append(no)
        gc.collect()
        self.samples.append(Usage.now())
