"""The keyed limiter of genesis_replicator.security refuses each client on its own."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from genesis_replicator.foundation_services.exceptions import ConfigurationError, RateLimitExceededError
from genesis_replicator.monitoring import MetricsCollector
from genesis_replicator.security import RateLimiter, SecurityError, SecurityEvent
from servers.wait import until


async def refusals(limiter: RateLimiter, client: str | bytes | int, times: int) -> int:
    """Ask so many times, and count how often that is refused."""
    refused = 0
    for _ in range(times):
        try:
            await limiter.check_rate_limit(client)
        except RateLimitExceededError:
            refused += 1
    return refused


async def test_the_decision_tells_the_rest_of_the_quota() -> None:
    limiter = RateLimiter(max_requests=3, window_seconds=60)
    for remaining in (2, 1, 0):
        decision = await limiter.check_rate_limit("a")
        assert decision
        assert (decision.limit, decision.remaining) == (3, remaining)
        assert 0 < decision.reset_after <= 64


async def test_over_the_limit_is_a_security_error_with_retry_after() -> None:
    limiter = RateLimiter(1, 60)
    await limiter.check_rate_limit("client-of-mine")
    with pytest.raises(RateLimitExceededError) as caught:
        await limiter.check_rate_limit("client-of-mine")
    assert isinstance(caught.value, SecurityError)
    assert caught.value.retry_after is not None
    assert 50 < caught.value.retry_after <= 64
    assert "client-of-mine" not in str(caught.value)


async def test_one_client_does_not_use_up_the_quota_of_another() -> None:
    limiter = RateLimiter(1, 60)
    for client in ("a", "b", b"c", 4):
        assert await limiter.check_rate_limit(client)
    with pytest.raises(RateLimitExceededError):
        await limiter.check_rate_limit("a")


async def test_the_quota_comes_back_after_retry_after() -> None:
    limiter = RateLimiter(1, 0.2)
    await limiter.check_rate_limit("a")
    with pytest.raises(RateLimitExceededError) as caught:
        await limiter.check_rate_limit("a")
    await asyncio.sleep((caught.value.retry_after or 0) + 0.01)
    assert await limiter.check_rate_limit("a")


async def test_a_flood_of_new_clients_does_not_free_a_throttled_one() -> None:
    limiter = RateLimiter(1, 60, max_clients=50)
    await limiter.check_rate_limit("victim")
    refused = sum([await refusals(limiter, f"flood-{number}", 1) for number in range(500)])
    assert refused == 500 - 49, "fifty are told apart, and the last of them is everybody else"
    with pytest.raises(RateLimitExceededError):
        await limiter.check_rate_limit("victim")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"max_requests": 0}, "max_requests"),
        ({"max_requests": -1}, "max_requests"),
        ({"window_seconds": 0}, "window_seconds"),
        ({"window_seconds": math.nan}, "window_seconds"),
        ({"max_clients": 0}, "max_clients"),
    ],
    ids=repr,
)
def test_bad_settings_are_refused_by_name(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        RateLimiter(**arguments)


async def test_what_hammers_on_is_told_to_the_callback_the_log_and_the_metrics(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: list[SecurityEvent] = []
    metrics = MetricsCollector()
    limiter = RateLimiter(5, 3600, on_event=events.append, metrics=metrics)
    before = time.time()
    with caplog.at_level(logging.WARNING, "genesis_replicator.security"):
        assert await refusals(limiter, "sk-secret-key", 500) == 495
        await until(lambda: "hammering" in caplog.text)
    (event,) = events
    assert (event.kind, event.count, event.client) == ("hammering", 100, limiter.fingerprint("sk-secret-key"))
    assert before <= event.when <= time.time()
    assert event.client in caplog.text
    assert "sk-" not in caplog.text + repr(event)
    assert metrics.snapshot()["security_events"] == {"hammering": 1}
    assert 'genesis_replicator_security_events_total{kind="hammering"} 1' in metrics.prometheus_text()


async def test_many_new_clients_at_once_are_told() -> None:
    events: list[SecurityEvent] = []
    limiter = RateLimiter(5, 3600, max_clients=1000, on_event=events.append)
    for number in range(99):
        await limiter.check_rate_limit(number)
        await limiter.check_rate_limit(number)
    assert events == []
    await limiter.check_rate_limit(99)
    assert [(event.kind, event.count, event.client) for event in events] == [("new_clients", 100, None)]


async def test_repeated_credential_failures_are_told_and_change_no_limit() -> None:
    events: list[SecurityEvent] = []
    limiter = RateLimiter(1, 3600, on_event=events.append)
    for _ in range(10):
        limiter.record_credential_failure("ann")
        limiter.record_credential_failure(b"ann")
    expected = [("credential_failures", 5, limiter.fingerprint(client)) for client in ("ann", b"ann")]
    assert [(event.kind, event.count, event.client) for event in events] == expected
    assert await limiter.check_rate_limit("ann")


async def test_a_callback_that_raises_changes_no_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: raised.append(report.exc_type))
    limiter = RateLimiter(1, 3600, on_event=lambda _: 1 / 0)
    assert await refusals(limiter, "ann", 200) == 199
    assert raised == [ZeroDivisionError]


async def test_a_callback_may_ask_the_limiter_itself() -> None:
    names: list[str] = []
    limiter = RateLimiter(1, 3600, on_event=lambda event: names.append(f"{limiter!r} {event.kind}"))
    await refusals(limiter, "ann", 200)
    assert names == ["<RateLimiter of 1 clients> hammering"]


def test_a_limiter_that_its_own_callback_knows_is_collected() -> None:
    class Service:
        def __init__(self) -> None:
            self.limiter = RateLimiter(on_event=self.hear)

        def hear(self, event: SecurityEvent) -> None:
            """Hear of it."""

    gone = weakref.ref(Service())
    gc.collect()
    assert gone() is None


def test_what_cannot_be_called_or_counted_with_is_refused() -> None:
    with pytest.raises(TypeError, match="on_event"):
        RateLimiter(on_event=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="metrics"):
        RateLimiter(metrics={})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "client", ["x" * 1024, "\u20ac" * 400, b"x" * 1024, 1 << 9000, -(10**5000)], ids=type
)
def test_an_id_that_is_too_long_is_refused_by_name(client: str | bytes | int) -> None:
    limiter = RateLimiter()
    ways: list[Callable[[Any], Any]] = [
        lambda client: asyncio.run(_check(limiter, client)),
        limiter.record_credential_failure,
        limiter.fingerprint,
    ]
    for way in ways:
        with pytest.raises(ConfigurationError, match="client_id"):
            way(client)


async def _check(limiter: RateLimiter, client: str | bytes | int) -> None:
    await limiter.check_rate_limit(client)


async def test_ids_of_different_kinds_and_signs_are_different_clients() -> None:
    limiter = RateLimiter(1, 3600)
    for client in ("1", b"1", 1, -1, 255, -255, 0, "", b"", 1 << 8000, "x" * 1023):
        assert await limiter.check_rate_limit(client)
    assert await refusals(limiter, 1, 1) == 1


@pytest.mark.timeout(240)  # with a module that is not optimized
@pytest.mark.parametrize(
    ("max_requests", "clients", "bytes_each"), [(100, 1_000_000, 56), (1000, 200_000, 76)]
)
def test_a_million_clients_take_the_memory_that_is_told_and_free_no_throttled_one(
    max_requests: int, clients: int, bytes_each: int
) -> None:
    script = f"""
import asyncio, psutil
from genesis_replicator.security import RateLimiter, RateLimitExceededError

async def refused(limiter):
    try:
        await limiter.check_rate_limit("victim")
    except RateLimitExceededError:
        return True
    return False

async def main():
    limiter = RateLimiter({max_requests}, 3600, max_clients={clients})
    while not await refused(limiter):
        pass
    memory = psutil.Process().memory_info
    before = memory().rss
    for number in range({clients} - 2):
        await limiter.check_rate_limit(number)
    taken = memory().rss - before
    assert repr(limiter) == "<RateLimiter of {clients - 1} clients>"
    assert await refused(limiter)
    print(taken)

asyncio.run(main())
"""
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=50
    )
    assert int(told.stdout) <= bytes_each * clients
