"""Durations, errors and alerts, and their export to a monitoring system."""

from genesis_replicator._native import MetricsCollector

__all__ = ["MetricsCollector", "prometheus_text"]


def prometheus_text(collector: MetricsCollector) -> str:
    """Everything that the collector holds, in the text format that Prometheus scrapes."""
    return collector.prometheus_text()
