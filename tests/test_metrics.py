"""The numbers: what a manager counts, what a collector keeps, and when an alert fires."""

from __future__ import annotations

import asyncio
import math
import re

import pytest

from genesis_replicator import ChainManager, ConfigurationError, MetricsCollector
from genesis_replicator.monitoring import prometheus_text
from genesis_replicator.testing import FaultServer, Reply
from servers.wait import until

KEYS = {
    "max_connections", "active_connections", "idle_connections", "connecting", "total_connections",
    "in_flight_requests", "waiting_requests", "pool_utilization", "acquisitions", "waits", "timeouts",
    "cancellations", "rejections", "connections_opened", "connections_closed", "connections_lost",
    "connect_failures", "requests", "errors", "retries", "wait_seconds", "request_seconds",
}  # fmt: skip


async def test_pool_metrics_have_every_key_for_the_whole_and_for_each_chain(chain: ChainManager) -> None:
    metrics = await chain.get_pool_metrics()
    assert metrics.keys() >= KEYS | {"process", "chains"}
    assert metrics["chains"].keys() == {"eth"}
    assert metrics["chains"]["eth"].keys() >= KEYS
    assert (await chain.get_pool_metrics("eth")).keys() >= KEYS
    assert metrics["process"]["resident_memory_bytes"] > 1_000_000
    assert metrics["process"]["open_descriptors"] > 3


async def test_metrics_follow_what_is_done(chain: ChainManager, node: FaultServer) -> None:
    node.on("slow", Reply(hold=True))
    node.on("bad", Reply(error={"code": -32000, "message": "no"}))
    before = await chain.get_pool_metrics("eth")
    for i in range(10):
        await chain.request("eth", "echo", [i])
    await asyncio.gather(chain.request("eth", "bad"), return_exceptions=True)
    stuck = asyncio.create_task(chain.request("eth", "slow"))
    await until(lambda: node.calls("slow"))
    during = await chain.get_pool_metrics("eth")
    assert during["requests"] - before["requests"] >= 11
    assert sum(during["errors"].values()) == 1
    assert (during["in_flight_requests"], during["active_connections"]) == (1, 1)
    assert during["pool_utilization"] == pytest.approx(10.0)
    assert during["request_seconds"]["count"] >= 11
    assert 0 < during["request_seconds"]["p50"] <= during["request_seconds"]["p99"]
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)
    assert (await chain.get_pool_metrics("eth"))["pool_utilization"] == 0


async def test_metrics_count_opened_closed_and_lost_connections(
    chain: ChainManager, node: FaultServer
) -> None:
    node.close_connections()
    await until(lambda: node.open == 0)
    await chain.request("eth", "echo")
    metrics = await chain.get_pool_metrics("eth")
    assert metrics["connections_opened"] == 2
    assert metrics["connections_lost"] == 1
    assert sum(metrics["connections_closed"].values()) >= 1


def test_a_collector_keeps_durations_by_operation() -> None:
    collector = MetricsCollector()
    assert collector.quantile(0.5) is None
    for duration in range(1, 101):
        collector.record_duration(duration / 100, "read")
    collector.record_duration(5.0)
    assert collector.quantile(0.5, "read") == pytest.approx(0.5, rel=0.05)
    assert collector.quantile(1.0) == pytest.approx(5.0, rel=0.05)
    assert collector.quantile(0.5, "write") is None


def test_the_error_rate_is_a_share_of_the_operations() -> None:
    collector = MetricsCollector()
    assert collector.error_rate == 0.0
    for _ in range(4):
        collector.record_duration(0.1)
    collector.record_error(ValueError("no"))
    assert collector.error_rate == pytest.approx(0.25)
    for _ in range(20):
        collector.record_error("OtherError", "read")
    assert collector.error_rate == 1.0


async def test_an_alert_fires_once_when_it_rises_and_is_armed_again_below() -> None:
    collector = MetricsCollector()
    fired: list[tuple[str, float]] = []
    collector.alert("error_rate", above=0.5, callback=lambda name, value: fired.append((name, value)))
    collector.record_error("X")
    await until(lambda: fired)
    collector.record_error("X")
    await asyncio.sleep(0.5)
    assert fired == [("error_rate", 1.0)]
    for _ in range(10):
        collector.record_duration(0.1)
    # The rate is 0.2 now; the collector looks every 100 ms and arms the alert again.
    await asyncio.sleep(0.5)
    for _ in range(18):
        collector.record_error("X")
    await until(lambda: len(fired) == 2)


async def test_a_removed_alert_stays_silent() -> None:
    collector = MetricsCollector()
    fired: list[str] = []
    removed = collector.alert("error_rate", above=0.5, callback=lambda *_: fired.append("removed"))
    collector.alert("error_rate", above=0.5, callback=lambda *_: fired.append("kept"))
    collector.remove_alert(removed)
    collector.record_error("X")
    await until(lambda: fired)
    assert fired == ["kept"]


async def test_an_alert_on_pool_utilization_is_fed_by_the_manager(node: FaultServer) -> None:
    collector = MetricsCollector()
    fired: list[float] = []
    collector.alert("pool_utilization", above=80, callback=lambda _, value: fired.append(value))
    async with ChainManager(max_connections=1, metrics=collector) as manager:
        await manager.connect_to_chain("eth", node.url)
        await asyncio.sleep(0.3)
        assert fired == []
        async with manager.get_connection("eth"):
            await until(lambda: fired)
    assert fired == [100.0]


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0])
def test_a_duration_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="seconds"):
        MetricsCollector().record_duration(seconds)


def test_an_alert_on_an_unknown_metric_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="name"):
        MetricsCollector().alert("happiness", above=1.0, callback=lambda *_: None)


SAMPLE = re.compile(r'^([a-z_]+)(\{[a-z_]+="(?:[^"\\\n]|\\.)*"(?:,[a-z_]+="(?:[^"\\\n]|\\.)*")*\})? (\S+)$')


async def test_the_prometheus_text_can_be_parsed_and_holds_the_chain(node: FaultServer) -> None:
    collector = MetricsCollector()
    async with ChainManager(metrics=collector) as manager:
        await manager.connect_to_chain('odd "label"\n', node.url)
        collector.record_duration(0.5, "read")
        collector.record_error("ValueError")
        text = prometheus_text(collector)
    described = set(re.findall(r"^# TYPE (\S+) (?:counter|gauge|summary|histogram)$", text, re.MULTILINE))
    assert described == set(re.findall(r"^# HELP (\S+) .+$", text, re.MULTILINE))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    for line in lines:
        sample = SAMPLE.match(line)
        assert sample, line
        assert re.sub(r"_(?:sum|count|bucket)$", "", sample[1]) in described or sample[1] in described
        float(sample[3])
        assert sample[1].startswith("genesis_replicator_")
    assert r"odd \"label\"\n" in text
    assert text.endswith("\n")
