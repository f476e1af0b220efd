"""`rate_limit="adaptive"`: the limit of a node is found by asking, and told."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

import pytest

from genesis_replicator import ChainManager, ConfigurationError, MetricsCollector
from genesis_replicator.testing import FaultServer, Reply

LIMIT = 40


class Limited:
    """Allows so many calls in any second, and refuses the others as providers do."""

    def __init__(self, node: FaultServer) -> None:
        self.refused = 0
        self._admitted: deque[float] = deque(maxlen=LIMIT)
        node.on("ask", self._answer)

    def _answer(self, _: Any) -> Any:
        now = time.monotonic()
        if len(self._admitted) == LIMIT and now - self._admitted[0] < 1:
            self.refused += 1
            return Reply(status=429, error={"code": -32005, "message": "rate limit exceeded"})
        self._admitted.append(now)
        return "ok"


async def test_the_rate_of_a_node_is_found_and_told(node: FaultServer) -> None:
    limited = Limited(node)
    collector = MetricsCollector()
    async with ChainManager(metrics=collector) as manager:
        await manager.connect_to_chain("eth", node.url, rate_limit="adaptive")
        # As much as a search from 10/s to beyond 40/s takes, and a little of what comes after.
        results = await asyncio.gather(*(manager.request("eth", "ask", timeout=30) for _ in range(160)))
        assert results == ["ok"] * 160
        assert limited.refused > 0
        (endpoint,) = (await manager.get_chain_status("eth"))["endpoints"]
        assert LIMIT / 2 < endpoint["learned_rate"] <= LIMIT
        assert endpoint["rate_refusals"] >= 1
        metrics = await manager.get_pool_metrics("eth")
        assert metrics["rate_refusals"] == limited.refused
        assert LIMIT / 2 <= metrics["learned_rate"] <= LIMIT
        assert "pool_learned_rate" in collector.prometheus_text()
        await manager.disconnect_from_chain("eth")
        async with asyncio.timeout(5):
            while (await manager.get_pool_metrics())["learned_rate"]:
                await asyncio.sleep(0.01)


async def test_each_endpoint_may_find_its_own(node: FaultServer) -> None:
    async with ChainManager() as manager:
        await manager.connect_to_chain("eth", [{"url": node.url, "rate_limit": "adaptive"}, f"{node.url}/2"])
        first, second = (await manager.get_chain_status("eth"))["endpoints"]
        assert first["learned_rate"] > 0
        assert second["learned_rate"] is None


async def test_the_same_again_is_the_same_and_another_word_is_refused(node: FaultServer) -> None:
    async with ChainManager() as manager:
        for _ in range(2):
            assert await manager.connect_to_chain("eth", node.url, rate_limit="adaptive")
        with pytest.raises(ConfigurationError, match="adaptive"):
            await manager.connect_to_chain("other", node.url, rate_limit="adapted")
