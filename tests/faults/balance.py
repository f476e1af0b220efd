"""What must hold of the metrics after any fault."""

from __future__ import annotations

from typing import Any

from genesis_replicator import ChainManager, ConnectionPool
from servers.wait import until


def adds_up(metrics: dict[str, Any]) -> bool:
    """Whether every connection is counted once, and none is one too many."""
    parts = ("active_connections", "idle_connections", "connecting")
    total: int = metrics["total_connections"]
    return bool(sum(metrics[part] for part in parts) == total <= metrics["max_connections"])


def is_at_rest(metrics: dict[str, Any]) -> bool:
    """Whether nothing is used and nobody waits."""
    busy = ("active_connections", "connecting", "in_flight_requests", "waiting_requests")
    return adds_up(metrics) and not any(metrics[key] for key in busy)


async def comes_to_rest(owner: ChainManager | ConnectionPool) -> None:
    """It adds up at once, and nothing is left over as soon as what was given up is gone."""
    latest: dict[str, Any] = {}

    async def look() -> dict[str, Any]:
        if isinstance(owner, ChainManager):
            return await owner.get_pool_metrics()
        return await owner.get_metrics()

    latest = await look()
    assert adds_up(latest), latest
    for _ in range(1000):
        if is_at_rest(latest):
            return
        await until(lambda: True)
        latest = await look()
    raise AssertionError(latest)
