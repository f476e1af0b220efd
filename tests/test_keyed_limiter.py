"""The keyed limiter of genesis_replicator.security refuses each client on its own."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from genesis_replicator.foundation_services.exceptions import ConfigurationError, RateLimitExceededError
from genesis_replicator.security import RateLimiter, SecurityError


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
    for number in range(500):
        try:
            await limiter.check_rate_limit(f"flood-{number}")
        except RateLimitExceededError:
            continue
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
