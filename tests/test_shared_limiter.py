"""A limit that is kept in Redis: one limit for all, in few round trips, with the line of a local one."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from genesis_replicator import ConfigurationError, LimiterTimeoutError, RateLimiter
from servers.crowd import most_in_a_window, run
from servers.redis import RedisServer
from servers.wait import soon, until

#: As in test_limiter: stamps are made a moment after the limiter's own.
COUNTED = 0.9
#: `make soak` sets 30.
SECONDS = int(os.environ.get("GENESIS_SHARED_SECONDS", "4"))


def limiter(
    redis: RedisServer, max_rate: int = 100, time_window: float = 60.0, **options: Any
) -> RateLimiter:
    """A new party of the limit."""
    return RateLimiter(max_rate, time_window, shared=redis.url, **{"name": "limit", **options})


async def greedily(party: RateLimiter, amount: int = 1) -> int:
    """How many acquisitions succeed before one would wait."""
    taken = 0
    try:
        while True:
            await party.acquire(amount, timeout=0.2)
            taken += 1
    except LimiterTimeoutError:
        return taken


async def test_limiters_of_one_name_are_one_limit_and_those_of_another_are_not(redis: RedisServer) -> None:
    one, same, other = limiter(redis), limiter(redis), limiter(redis, name="other")
    assert await greedily(one, 4) == 25
    assert await greedily(same) == 0
    assert await greedily(other) == 100


async def test_eight_processes_never_exceed_the_limit_use_nearly_all_of_it_and_ask_seldom(
    redis: RedisServer,
) -> None:
    rate = 1000
    stamps = run(8, SECONDS - 0.05, shared=redis.url, max_rate=rate, time_window=1.0)
    assert most_in_a_window(stamps, COUNTED) <= rate
    assert len(stamps) <= rate * SECONDS
    assert len(stamps) > 0.9 * rate * SECONDS
    assert redis.calls() * 10 <= len(stamps)
    print(f"{len(stamps)} of {rate * SECONDS}, {redis.calls()} round trips")


async def test_a_permit_that_is_used_late_in_its_lease_counts_from_then_on(redis: RedisServer) -> None:
    one, other = limiter(redis, 2, 1.0), limiter(redis, 2, 1.0)
    await one.acquire(2)
    since = time.monotonic()
    await other.acquire(2)
    assert time.monotonic() - since >= COUNTED


async def test_the_line_is_first_come_first_served_and_a_heavy_head_is_not_overtaken(
    redis: RedisServer,
) -> None:
    party = limiter(redis, 3, 1.0)
    await party.acquire(2)
    order: list[str] = []

    async def take(name: str, amount: int) -> None:
        await party.acquire(amount)
        order.append(name)

    heavy = asyncio.create_task(take("heavy", 3))
    await asyncio.sleep(0)
    light = [asyncio.create_task(take(f"light {n}", 1)) for n in range(3)]
    await asyncio.wait_for(asyncio.gather(heavy, *light), 20)
    assert order == ["heavy", "light 0", "light 1", "light 2"]


async def test_a_cancelled_waiter_leaves_its_place_to_the_next(redis: RedisServer) -> None:
    party = limiter(redis, 2, 1.0)
    await party.acquire(1)
    heavy = asyncio.create_task(party.acquire(2))
    await asyncio.sleep(0.1)
    light = asyncio.create_task(party.acquire(1))
    await asyncio.sleep(0)
    heavy.cancel()
    await soon(light)
    with pytest.raises(asyncio.CancelledError):
        await heavy


async def test_permits_that_one_party_does_not_use_serve_the_others(redis: RedisServer) -> None:
    one, other = limiter(redis), limiter(redis)
    assert not one.try_acquire(60)
    await until(lambda: one.has_capacity(60))
    assert await greedily(other) <= 40
    # The unused lease ends after two seconds, what is in it goes back, and the other asks with its next beat.
    await asyncio.wait_for(other.acquire(3), 20)


async def test_a_wait_that_is_too_long_is_refused_with_the_time_after_which_it_is_worth_trying(
    redis: RedisServer,
) -> None:
    party = limiter(redis, 5, 60.0)
    await party.acquire(5)
    with pytest.raises(LimiterTimeoutError):
        await party.acquire(timeout=0.3)
    asked = redis.calls()
    with pytest.raises(LimiterTimeoutError) as refused:
        await soon(party.acquire(timeout=10))
    assert 10 < (refused.value.retry_after or 0) < 61
    for _ in range(100):
        assert not party.try_acquire()
    # Refused once is refused: nobody asks again before it is worth it.
    assert redis.calls() - asked <= 2


async def test_a_waiter_behind_one_that_waits_for_ever_leaves_at_its_own_deadline(refused_port: int) -> None:
    party = RateLimiter(2, shared=f"redis://127.0.0.1:{refused_port}", name="closed", on_outage="closed")
    for_ever = asyncio.create_task(party.acquire())
    await asyncio.sleep(0.2)
    with pytest.raises(LimiterTimeoutError):
        await soon(party.acquire(timeout=0.3))
    assert not for_ever.done()
    for_ever.cancel()


async def test_what_is_not_at_hand_is_fetched_for_the_next_try(redis: RedisServer) -> None:
    party = limiter(redis)
    assert not party.try_acquire(3)
    await until(lambda: party.try_acquire(3))
    party = limiter(redis, name="capacity")
    assert not party.has_capacity(100)
    await until(lambda: party.has_capacity(100))


async def test_a_burst_is_shared_and_drips_back(redis: RedisServer) -> None:
    one, other = limiter(redis, 20, 1.0, burst=10), limiter(redis, 20, 1.0, burst=10)
    since = time.monotonic()
    for _ in range(15):
        await one.acquire()
        await other.acquire()
    # Ten at once and the other twenty at twenty a second.
    assert time.monotonic() - since >= COUNTED


async def test_loops_in_several_threads_share_one_party(redis: RedisServer) -> None:
    party = limiter(redis, 200)
    taken: list[int] = []

    def work() -> None:
        taken.append(asyncio.run(greedily(party)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert sum(taken) == 200


async def test_a_party_that_is_gone_asks_no_more(redis: RedisServer) -> None:
    party = limiter(redis)
    await party.acquire()
    assert redis.clients() == 1
    del party
    await until(lambda: redis.clients() == 0)


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("name", {"name": None}),
        ("name", {"name": ""}),
        ("name", {"name": "a{b}"}),
        ("on_outage", {"on_outage": "panic"}),
        ("time_window", {"time_window": 0.05}),
        ("burst", {"burst": 0}),
        ("burst", {"burst": 10**9, "time_window": 86_400.0}),
        ("shared", {"shared": "http://s3cretpassword@127.0.0.1/"}),
        ("shared", {"shared": "rediss://:s3cretpassword@127.0.0.1/#insecure"}),
        ("shared", {"shared": "redis://:s3cretpassword@127.0.0.1/x"}),
        ("shared", {"shared": "redis://user:12?s3cretpassword@127.0.0.1"}),
        ("shared", {"shared": "redis://user:12/3?s3cretpassword@127.0.0.1"}),
        ("shared", {"shared": []}),
        ("shared", {"shared": ["redis://:s3cretpassword@127.0.0.1:1", "what:s3cretpassword"]}),
    ],
)
def test_a_bad_argument_is_named_and_no_password_is_shown(argument: str, options: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"time_window": 60.0, "shared": "redis://127.0.0.1", "name": "n", **options}
    with pytest.raises(ConfigurationError) as refused:
        RateLimiter(10, **arguments)
    assert str(refused.value).startswith(f"{argument}: ")
    assert "s3cret" not in str(refused.value)


def test_several_windows_cannot_be_shared() -> None:
    with pytest.raises(ConfigurationError, match=r"^shared: "):
        RateLimiter([(1, 1.0), (2, 2.0)], shared="redis://127.0.0.1", name="n")  # type: ignore[call-overload]


def test_servers_that_are_no_urls_are_refused_by_type() -> None:
    with pytest.raises(TypeError, match="shared"):
        RateLimiter(10, shared=7, name="n")  # type: ignore[arg-type]


def test_making_a_shared_limiter_connects_to_nothing_and_shows_no_password() -> None:
    party = RateLimiter(10, 1.0, shared="redis://user:s3cretpassword@127.0.0.1:1", name="n")
    assert "s3cret" not in repr(party)
    assert "shared" in repr(party)


async def test_who_gives_the_right_password_is_let_in(
    redis_command: str, caplog: pytest.LogCaptureFixture
) -> None:
    with RedisServer(redis_command, "--requirepass", "s3cretpassword") as server:
        url = f"redis://:s3cretpassword@127.0.0.1:{server.port}"
        await soon(RateLimiter(10, shared=url, name="n").acquire())
        wrong = RateLimiter(10, shared=url.replace("s3cret", "other-s3cret"), name="n", on_outage="open")
        await soon(wrong.acquire())
        await until(lambda: "refuses the credentials" in caplog.text)
    assert "s3cret" not in caplog.text


def test_the_example_keeps_the_limit_over_its_processes(redis: RedisServer) -> None:
    example = Path(__file__).parent.parent / "examples" / "shared_limit.py"
    said = subprocess.run(
        [sys.executable, str(example), redis.url], stdout=subprocess.PIPE, text=True, check=True
    )
    most = re.search(r"at most (\d+) in a second; the limit is (\d+)", said.stdout)
    assert most is not None
    assert 0 < int(most[1]) <= int(most[2])
