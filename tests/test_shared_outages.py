"""A shared limit whose server is away, forgets, or tells another time: the stated policy and bound."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from typing import Any

import pytest

from genesis_replicator import LimiterTimeoutError, RateLimiter
from servers import redis as redis_server
from servers.crowd import most_in_a_window
from servers.redis import RedisServer
from servers.redis_clock import clock_of
from servers.wait import soon, until

#: As in test_limiter: stamps are made a moment after the limiter's own.
COUNTED = 0.9


def party(shared: Any, max_rate: int = 10, time_window: float = 60.0, **options: Any) -> RateLimiter:
    """A new party of the limit."""
    return RateLimiter(max_rate, time_window, shared=shared, name="outage", **options)


async def greedily(limiter: RateLimiter, timeout: float = 0.3) -> int:
    """How many acquisitions succeed before one would wait."""
    taken = 0
    try:
        while taken < 1000:
            await limiter.acquire(timeout=timeout)
            taken += 1
    except LimiterTimeoutError:
        pass
    return taken


async def use(limiter: RateLimiter, stamps: list[float], seconds: float) -> None:
    """Use the limit as fast as it lets."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            await limiter.acquire(timeout=left)
        except LimiterTimeoutError:
            # Refused because room comes too late for the end.
            return
        stamps.append(time.monotonic())
        await asyncio.sleep(0)


class Told:
    """What the log says of one test's server: limiters of earlier tests may not be collected yet."""

    def __init__(self, caplog: pytest.LogCaptureFixture, port: int) -> None:
        caplog.set_level(logging.INFO, "genesis_replicator.limiter")
        self._caplog = caplog
        self._server = f"127.0.0.1:{port}"

    def records(self, words: str = "") -> list[logging.LogRecord]:
        """The records with these words, in order."""
        records = [record for record in self._caplog.records if record.name == "genesis_replicator.limiter"]
        return [record for record in records if self._server in record.message and words in record.message]

    async def until(self, words: str, times: int = 1) -> None:
        """Return when this was told so many times."""
        await until(lambda: len(self.records(words)) == times)


@pytest.fixture
def told(redis: RedisServer, caplog: pytest.LogCaptureFixture) -> Told:
    """What the log says of this test's server."""
    return Told(caplog, redis.port)


async def test_a_killed_server_leaves_a_lone_party_the_whole_limit_once_more(
    redis: RedisServer, told: Told
) -> None:
    limiter = party(redis.url)
    await limiter.acquire(9)
    redis.kill()
    assert await greedily(limiter) == 10
    await told.until("'local_share': 10 of 10")


async def test_parties_that_know_of_each_other_share_the_limit_during_an_outage(
    redis: RedisServer, told: Told
) -> None:
    parties = [party(redis.url, 12, 1.0) for _ in range(3)]
    begin = time.monotonic()
    while time.monotonic() - begin < 6.5:
        await asyncio.gather(*[limiter.acquire() for limiter in parties])
    redis.kill()
    await told.until(" is away ", 3)
    await asyncio.sleep(1.1)
    assert [await greedily(limiter, 0.0) for limiter in parties] == [4, 4, 4]


async def test_a_party_that_has_just_joined_others_has_no_share(redis: RedisServer, told: Told) -> None:
    old, new = party(redis.url), party(redis.url)
    await old.acquire(8)
    await new.acquire(1)
    redis.kill()
    assert await greedily(new) == 0
    assert await greedily(old) == 10
    await told.until(" is away ", 2)


async def test_closed_admits_nobody_and_open_everybody_while_the_server_is_away(redis: RedisServer) -> None:
    closed, opened = party(redis.url, on_outage="closed"), party(redis.url, on_outage="open")
    await closed.acquire(9)
    redis.kill()
    assert await greedily(closed) == 0
    assert await greedily(opened) == 1000


@pytest.mark.parametrize("on_outage", ["local_share", "closed", "open"])
async def test_a_server_that_was_never_there_is_decided_by_the_policy(
    refused_port: int, on_outage: Any
) -> None:
    limiter = party(f"redis://127.0.0.1:{refused_port}", on_outage=on_outage)
    assert await soon(greedily(limiter)) == (1000 if on_outage == "open" else 0)


@pytest.mark.parametrize("how", ["stopped", "paused"])
async def test_a_server_that_does_not_answer_is_told_once_and_used_again_when_it_does(
    redis: RedisServer, told: Told, how: str
) -> None:
    limiter = party(redis.url, 1000, 0.5, on_outage="open")
    await limiter.acquire(1000)
    if how == "stopped":
        redis.signal(signal.SIGSTOP)
    else:
        redis.ask("CLIENT", "PAUSE", 1500)
    waits = []
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        begin = time.monotonic()
        await limiter.acquire()
        waits.append(time.monotonic() - begin)
        await asyncio.sleep(0.002)
    redis.signal(signal.SIGCONT)
    await told.until(" is back")
    await soon(limiter.acquire())
    assert [record.levelname for record in told.records()] == ["WARNING", "INFO"]
    print(f"{how}: the longest wait was {max(waits) * 1e3:.1f} ms, the next {sorted(waits)[-2] * 1e3:.1f} ms")


async def test_a_server_that_is_always_too_slow_makes_no_storm_in_the_log(
    redis: RedisServer, told: Told
) -> None:
    limiter = party(redis.url, on_outage="open")
    await limiter.acquire()
    for _ in range(8):
        redis.ask("CLIENT", "PAUSE", 300)
        await greedily(limiter)
        await asyncio.sleep(0.25)
    assert 1 <= len(told.records()) <= 6


async def test_a_forgotten_script_is_sent_again_and_nothing_is_told(redis: RedisServer, told: Told) -> None:
    limiter = party(redis.url, 20, 0.5)
    stamps: list[float] = []
    work = asyncio.create_task(use(limiter, stamps, 1.45))
    for _ in range(12):
        redis.ask("SCRIPT", "FLUSH")
        await asyncio.sleep(0.1)
    await work
    assert most_in_a_window(stamps, COUNTED / 2) <= 20
    assert len(stamps) >= 40
    assert told.records() == []


@pytest.mark.parametrize("how", ["flushed", "restarted"])
async def test_closed_waits_a_window_out_when_the_state_is_lost(
    redis: RedisServer, told: Told, how: str
) -> None:
    parties = [party(redis.url, 20, 0.5, on_outage="closed") for _ in range(2)]
    stamps: list[float] = []
    work = [asyncio.create_task(use(limiter, stamps, 2.45)) for limiter in parties]
    await asyncio.sleep(0.7)
    if how == "flushed":
        redis.ask("FLUSHALL")
    else:
        redis.kill()
        redis.start()
    await asyncio.gather(*work)
    stamps.sort()
    assert most_in_a_window(stamps, COUNTED / 2) <= 20
    assert len(stamps) >= 60
    assert told.records(" has lost its state")


@pytest.mark.parametrize("how", ["flushed", "restarted"])
async def test_lost_state_costs_local_share_at_most_twice_the_limit_in_one_window(
    redis: RedisServer, how: str
) -> None:
    parties = [party(redis.url, 20, 0.5) for _ in range(2)]
    stamps: list[float] = []
    work = [asyncio.create_task(use(limiter, stamps, 2.45)) for limiter in parties]
    await asyncio.sleep(0.7)
    lost = time.monotonic()
    if how == "flushed":
        redis.ask("FLUSHALL")
    else:
        redis.kill()
        redis.start()
    await asyncio.gather(*work)
    stamps.sort()
    assert most_in_a_window(stamps, COUNTED / 2) <= 40
    before = [stamp for stamp in stamps if stamp < lost]
    after = [stamp for stamp in stamps if stamp > lost + 0.8]
    assert most_in_a_window(before, COUNTED / 2) <= 20
    assert most_in_a_window(after, COUNTED / 2) <= 20
    assert after


@pytest.mark.parametrize("step", [-7200, -2, 2, 7200])
async def test_a_clock_that_is_set_neither_opens_nor_blocks_the_limit(redis: RedisServer, step: int) -> None:
    async with clock_of(redis) as url:
        parties = [party(url, 20, 0.5) for _ in range(2)]
        stamps: list[float] = []
        work = [asyncio.create_task(use(limiter, stamps, 2.45)) for limiter in parties]
        await asyncio.sleep(0.8)
        redis.ask("SET", "test:ahead", step)
        await asyncio.gather(*work)
    stamps.sort()
    assert most_in_a_window(stamps, COUNTED / 2) <= 20
    assert len(stamps) >= 60


async def test_a_failed_over_cluster_goes_on_within_the_bound(
    redis_command: str, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_server.cluster(redis_command) as nodes:
        told = Told(caplog, nodes[0].port)
        # The first node keeps this name.
        name = next(n for n in map(str, range(100)) if nodes[0].ask("CLUSTER", "KEYSLOT", n) < 5461)
        urls = [node.url for node in nodes]
        parties = [RateLimiter(20, 0.5, shared=urls, name=name) for _ in range(2)]
        stamps: list[float] = []
        work = [asyncio.create_task(use(limiter, stamps, 60.0)) for limiter in parties]
        await asyncio.sleep(0.8)
        nodes[0].kill()
        await until(lambda: len(told.records(" is back")) == 2, 30)
        back = time.monotonic()
        await asyncio.sleep(2.5)
        for task in work:
            task.cancel()
    stamps.sort()
    assert most_in_a_window(stamps, COUNTED / 2) <= 40
    assert len(told.records(" is away ")) == 2
    after = [stamp for stamp in stamps if stamp > back + 0.5]
    assert len(after) >= 60
    assert most_in_a_window(after, COUNTED / 2) <= 20
