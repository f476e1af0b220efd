"""The limit for each client, counted in Redis by many processes together."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from genesis_replicator import ConfigurationError, RateLimitExceededError
from genesis_replicator.security import RateLimiter
from servers.redis import RedisServer
from servers.redis_clock import clock_of
from servers.wait import soon, until


def party(shared: str, max_requests: int = 5, window: float = 60.0, **options: Any) -> RateLimiter:
    """A new party of the limit."""
    return RateLimiter(max_requests, window, shared=shared, name="clients", **options)


async def passes(limiter: RateLimiter, client: str | bytes | int = "ann", tries: int = 20) -> int:
    """How many of some requests are let through."""
    passed = 0
    for _ in range(tries):
        try:
            await limiter.check_rate_limit(client)
        except RateLimitExceededError:
            continue
        passed += 1
    return passed


@pytest.fixture
def told(redis: RedisServer, caplog: pytest.LogCaptureFixture) -> Any:
    """The messages about this test's server that hold some words."""
    caplog.set_level(logging.INFO, "genesis_replicator.limiter")
    server = f"127.0.0.1:{redis.port}"

    def messages(words: str) -> list[str]:
        texts = [record.message for record in caplog.records if record.name == "genesis_replicator.limiter"]
        return [text for text in texts if server in text and words in text]

    return messages


async def test_a_client_has_one_limit_with_all_parties_and_its_own_with_each_id(redis: RedisServer) -> None:
    one, other = party(redis.url), party(redis.url)
    decision = await soon(one.check_rate_limit("ann"))
    assert (bool(decision), decision.limit, decision.remaining) == (True, 5, 4)
    assert 60 <= decision.reset_after <= 64
    assert (await soon(other.check_rate_limit("ann"))).remaining == 3
    assert await passes(one) + await passes(other) == 3
    assert [await passes(other, client) for client in (b"ann", "bob", 1, "1")] == [5, 5, 5, 5]


async def test_parties_at_once_never_let_too_many_through(redis: RedisServer) -> None:
    parties = [party(redis.url, 50) for _ in range(8)]
    assert sum(await asyncio.gather(*[passes(limiter, tries=50) for limiter in parties])) == 50


async def test_a_refused_client_may_pass_after_the_time_told_and_costs_no_round_trip_before(
    redis: RedisServer,
) -> None:
    limiter = party(redis.url, 3, 0.8)
    assert await passes(limiter) == 3
    with pytest.raises(RateLimitExceededError) as refused:
        await limiter.check_rate_limit("ann")
    asked = redis.calls()
    assert await passes(limiter, tries=200) == 0
    assert redis.calls() - asked <= 1
    assert 0.5 < (refused.value.retry_after or 0) <= 0.86
    await asyncio.sleep((refused.value.retry_after or 0) + 0.02)
    assert await passes(limiter) >= 1


async def test_no_window_holds_more_than_the_limit(redis: RedisServer) -> None:
    limiter, stamps = party(redis.url, 10, 0.5), []
    end = time.monotonic() + 2
    while time.monotonic() < end:
        if await passes(limiter, tries=1):
            stamps.append(time.monotonic())
        await asyncio.sleep(0.003)
    assert len(stamps) >= 30
    assert all(late - early >= 0.45 for early, late in zip(stamps, stamps[10:], strict=False))


async def test_the_server_never_learns_who_a_client_is(redis: RedisServer) -> None:
    await soon(party(redis.url).check_rate_limit("ann@example.org"))
    keys = redis.ask("KEYS", "*")
    assert len(keys) == 2
    assert not any("ann" in key for key in keys)


async def test_counts_of_idle_clients_expire(redis: RedisServer) -> None:
    limiter = party(redis.url, 5, 0.1)
    for client in range(20):
        await limiter.check_rate_limit(client)
    assert redis.ask("DBSIZE") > 10
    await until(lambda: redis.ask("DBSIZE") == 1)


@pytest.mark.parametrize(("on_outage", "passed"), [("local_share", 5), ("closed", 0), ("open", 20)])
async def test_the_policy_decides_while_the_server_is_away(
    redis: RedisServer, told: Any, on_outage: Any, passed: int
) -> None:
    limiter = party(redis.url, on_outage=on_outage)
    assert await passes(limiter, "bob") == 5
    redis.kill()
    assert await soon(passes(limiter)) == passed
    await until(lambda: len(told(" is away ")) == 1)
    redis.start()
    await until(lambda: told(" is back"))
    assert len(told("")) == (3 if told(" has lost its state") else 2)
    assert await passes(limiter, "carl") == (0 if on_outage == "closed" else 5)


@pytest.mark.parametrize("on_outage", ["local_share", "closed", "open"])
async def test_a_server_that_was_never_there_is_decided_by_the_policy(
    refused_port: int, on_outage: Any
) -> None:
    limiter = party(f"redis://127.0.0.1:{refused_port}", on_outage=on_outage)
    assert await soon(passes(limiter)) == (20 if on_outage == "open" else 0)


async def test_a_slow_server_is_told_once_and_holds_nobody_up(redis: RedisServer, told: Any) -> None:
    limiter = party(redis.url, on_outage="open")
    assert await passes(limiter) == 5
    redis.ask("CLIENT", "PAUSE", 1500)
    assert await soon(passes(limiter, "bob", 500)) == 500
    await until(lambda: told(" is back"))
    assert len(told("")) == 2


async def test_outages_in_a_row_give_a_client_one_share(redis: RedisServer, told: Any) -> None:
    limiter = party(redis.url)
    assert await passes(limiter) == 5
    for outage, passed in [(1, 5), (2, 0)]:
        redis.ask("CLIENT", "PAUSE", 500)
        assert await soon(passes(limiter, "bob")) == passed
        await until(lambda outage=outage: len(told(" is back")) == outage)
    assert len(told(" is away ")) == 2


async def test_lost_state_closes_a_closed_limit_for_a_window(redis: RedisServer, told: Any) -> None:
    limiter = party(redis.url, 5, 0.8, on_outage="closed")
    assert await passes(limiter) == 5
    redis.ask("FLUSHALL")
    since = time.monotonic()
    while await passes(limiter, "bob", 1) == 0:
        await asyncio.sleep(0.01)
    assert time.monotonic() - since >= 0.75
    assert len(told(" has lost its state")) == 1


@pytest.mark.parametrize("step", [-3600, 3600])
async def test_a_clock_that_is_set_frees_nobody(redis: RedisServer, step: int) -> None:
    async with clock_of(redis) as url:
        limiter = party(url, 5, 1.0)
        assert await passes(limiter) == 5
        redis.ask("SET", "test:ahead", step)
        await limiter.check_rate_limit("bob")
        since = time.monotonic()
        while await passes(limiter, tries=1) == 0:
            await asyncio.sleep(0.01)
        assert 0.5 < time.monotonic() - since < 5


def test_a_shared_limit_needs_a_name_and_shows_no_password() -> None:
    with pytest.raises(ConfigurationError, match=r"^name: "):
        RateLimiter(shared="redis://127.0.0.1")
    assert "s3cret" not in repr(RateLimiter(shared="redis://:s3cretpassword@127.0.0.1", name="n"))
