"""RateLimiter: the bound is exact, the order is fair, and nothing is lost when a waiter goes."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from genesis_replicator import ConfigurationError, LimiterTimeoutError, RateLimiter
from servers.wait import soon

#: The window in which these tests count. The limiter stamps a caller when it resumes, the test a moment
#: later; between them a busy machine may pause. A limiter that lets a burst through misses this bound by far.
COUNTED = 0.9


def most_in_a_window(stamps: list[float], seconds: float) -> int:
    """The most stamps that any window of this length holds."""
    stamps = sorted(stamps)
    most = first = 0
    for last, stamp in enumerate(stamps):
        while stamp - stamps[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


async def test_whoever_finds_room_goes_on_without_letting_anybody_else_run() -> None:
    limiter = RateLimiter(100, 60.0)
    others: list[str] = []
    asyncio.get_running_loop().call_soon(others.append, "ran")
    async with limiter:
        await limiter.acquire()
    assert others == []
    assert limiter.has_capacity(98)
    assert not limiter.has_capacity(99)


async def test_the_ends_of_a_block_can_be_awaited_in_every_way_and_by_any_loop() -> None:
    limiter = RateLimiter(10, 60.0)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(limiter)
    end = limiter.__aexit__(None, None, None)
    assert inspect.isawaitable(end)
    assert [await end, await end, await asyncio.wait_for(end, 5)] == [None] * 3
    assert await asyncio.gather(limiter.__aenter__(), end) == [None, None]

    async def enter_and_leave() -> None:
        async with limiter:
            pass

    await asyncio.to_thread(asyncio.run, enter_and_leave())
    assert limiter.has_capacity(7)
    assert not limiter.has_capacity(8)


async def test_a_block_never_overtakes_who_waits_for_more_room() -> None:
    limiter = RateLimiter(2, 0.2)
    order: list[str] = []
    assert limiter.try_acquire()

    async def both() -> None:
        await limiter.acquire(2)
        order.append("both")

    waiting = asyncio.create_task(both())
    await asyncio.sleep(0)
    async with limiter:
        order.append("one")
    await waiting
    assert order == ["both", "one"]


async def test_a_thousand_waiters_keep_the_limit_in_every_window_and_their_order() -> None:
    limiter = RateLimiter(100, 1.0)
    stamps: list[float] = []
    order: list[int] = []

    async def wait(number: int) -> None:
        async with limiter:
            stamps.append(time.monotonic())
            order.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(1000):
            group.create_task(wait(number))
    assert most_in_a_window(stamps, COUNTED) <= 100
    assert order == list(range(1000))


async def test_the_limit_holds_across_the_border_of_two_windows() -> None:
    limiter = RateLimiter(20, 1.0)
    stamps = []
    for number in range(60):
        if number == 10:
            await asyncio.sleep(0.8)
        await limiter.acquire()
        stamps.append(time.monotonic())
    assert most_in_a_window(stamps, COUNTED) <= 20


async def test_threads_and_loops_share_one_limit() -> None:
    limiter = RateLimiter(50, 1.0)

    async def work() -> list[float]:
        stamps = []
        for _ in range(30):
            await limiter.acquire()
            stamps.append(time.monotonic())
        return stamps

    with ThreadPoolExecutor(4) as threads:
        stamps = [stamp for part in threads.map(lambda _: asyncio.run(work()), range(4)) for stamp in part]
    assert len(stamps) == 120
    assert most_in_a_window(stamps, COUNTED) <= 50


async def test_try_acquire_and_has_capacity_count_weights() -> None:
    limiter = RateLimiter(10, 60.0)
    assert limiter.has_capacity(10)
    assert limiter.try_acquire(7)
    assert limiter.has_capacity(3)
    assert not limiter.has_capacity(4)
    assert not limiter.try_acquire(4)
    assert limiter.try_acquire(3)
    assert not limiter.try_acquire()


async def test_a_light_request_does_not_overtake_a_heavy_one() -> None:
    limiter = RateLimiter(10, 60.0)
    await limiter.acquire(5)
    heavy = asyncio.create_task(limiter.acquire(6))
    await asyncio.sleep(0)
    light = asyncio.create_task(limiter.acquire(1))
    await asyncio.sleep(0)
    assert not limiter.try_acquire(1)
    assert not light.done()
    heavy.cancel()
    await asyncio.gather(heavy, return_exceptions=True)
    await soon(light)
    assert heavy.cancelled()
    assert limiter.has_capacity(4)
    assert not limiter.has_capacity(5)


async def test_a_wait_over_its_timeout_is_refused_at_once() -> None:
    limiter = RateLimiter(1, 60.0)
    await limiter.acquire()
    with pytest.raises(LimiterTimeoutError) as caught:
        await soon(limiter.acquire(timeout=30))
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.phase == "limit"
    assert caught.value.retry_after is not None
    assert 40 < caught.value.retry_after <= 60


async def test_the_queue_ahead_counts_for_the_timeout() -> None:
    limiter = RateLimiter(1, 10.0)
    await limiter.acquire()
    ahead = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0)
    with pytest.raises(LimiterTimeoutError):
        await soon(limiter.acquire(timeout=15))
    ahead.cancel()
    await asyncio.gather(ahead, return_exceptions=True)


async def test_a_timeout_of_zero_admits_when_there_is_room() -> None:
    limiter = RateLimiter(1, 60.0)
    await limiter.acquire(timeout=0)
    with pytest.raises(LimiterTimeoutError):
        await limiter.acquire(timeout=0)


async def test_with_burst_the_bucket_is_exactly_that_deep() -> None:
    limiter = RateLimiter(10, 600.0, burst=3)
    assert [limiter.try_acquire() for _ in range(4)] == [True, True, True, False]


async def test_several_windows_hold_at_the_same_time() -> None:
    limiter = RateLimiter([(3, 60), (5, 600.0)])
    assert [limiter.try_acquire() for _ in range(4)] == [True, True, True, False]
    assert 50 < limiter.reserve(1) <= 60
    assert 500 < limiter.reserve(3) <= 600
    assert limiter.windows == [(3, 60.0), (5, 600.0)]
    assert (limiter.max_rate, limiter.time_window) == (3, 60.0)
    assert repr(limiter) == "<RateLimiter 3 per 60 s and 5 per 600 s>"
    with pytest.raises(LimiterTimeoutError, match="3 per 60s and 5 per 600s"):
        await limiter.acquire(timeout=40)
    with pytest.raises(ConfigurationError, match="amount"):
        limiter.try_acquire(4)


async def test_to_ask_when_room_comes_books_nothing_and_counts_the_queue() -> None:
    limiter = RateLimiter(2, 60.0)
    assert [limiter.reserve(), limiter.reserve(2)] == [0.0, 0.0]
    assert limiter.try_acquire(2)
    assert 50 < limiter.reserve() <= 60
    ahead = [asyncio.create_task(limiter.acquire(2)) for _ in range(2)]
    await asyncio.sleep(0)
    assert 170 < limiter.reserve() <= 180
    with pytest.raises(LimiterTimeoutError) as caught:
        await limiter.acquire(timeout=170)
    assert caught.value.retry_after == pytest.approx(limiter.reserve(), abs=1)
    for waiting in ahead:
        waiting.cancel()
    await asyncio.gather(*ahead, return_exceptions=True)
    assert 50 < limiter.reserve() <= 60
    with pytest.raises(ConfigurationError, match="amount"):
        limiter.reserve(3)


async def test_an_exception_inside_the_block_comes_out() -> None:
    with pytest.raises(ZeroDivisionError):
        async with RateLimiter(1, 60.0):
            raise ZeroDivisionError


async def test_its_settings_can_be_read_and_the_window_is_a_minute_by_default() -> None:
    limiter = RateLimiter(max_rate=5)
    assert (limiter.max_rate, limiter.time_window) == (5, 60.0)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"max_rate": 0}, "max_rate"),
        ({"max_rate": -1}, "max_rate"),
        ({"max_rate": 1, "time_window": 0}, "time_window"),
        ({"max_rate": 1, "time_window": -1.0}, "time_window"),
        ({"max_rate": 1, "time_window": math.nan}, "time_window"),
        ({"max_rate": 1, "time_window": math.inf}, "time_window"),
        ({"max_rate": 1, "burst": 0}, "burst"),
        ({"max_rate": 1, "burst": -5}, "burst"),
        ({"max_rate": []}, "max_rate"),
        ({"max_rate": [(1, 1)] * 17}, "max_rate"),
        ({"max_rate": [5]}, "max_rate"),
        ({"max_rate": "25"}, "max_rate"),
        ({"max_rate": [(0, 1)]}, "max_rate"),
        ({"max_rate": [(1, math.inf)]}, "time_window"),
        ({"max_rate": [(1, 1)], "time_window": 60.0}, "time_window"),
        ({"max_rate": [(1, 1)], "burst": 1}, "burst"),
    ],
    ids=repr,
)
def test_bad_settings_are_refused_by_name(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        RateLimiter(**arguments)


@pytest.mark.parametrize("amount", [0, -1, 11])
async def test_an_amount_that_can_never_pass_is_refused(amount: int) -> None:
    limiter = RateLimiter(10, 60.0)
    with pytest.raises(ConfigurationError, match="amount"):
        await limiter.acquire(amount)
    with pytest.raises(ConfigurationError, match="amount"):
        limiter.try_acquire(amount)


@pytest.mark.parametrize("timeout", [-1, math.nan])
async def test_a_timeout_that_is_no_duration_is_refused(timeout: float) -> None:
    with pytest.raises(ConfigurationError, match="timeout"):
        await RateLimiter(10, 60.0).acquire(timeout=timeout)


async def test_the_rate_limit_of_a_chain_is_kept_by_its_calls(manager: Any, node: Any) -> None:
    await manager.connect_to_chain("eth", node.url, rate_limit=RateLimiter(20, 60.0))
    calls = [manager.request("eth", "echo", timeout=2.0) for _ in range(30)]
    outcomes = await soon(asyncio.gather(*calls, return_exceptions=True))
    refused = [outcome for outcome in outcomes if isinstance(outcome, LimiterTimeoutError)]
    assert len(refused) >= 10
    assert node.calls("echo") == 30 - len(refused)


async def test_leases_and_batches_are_within_the_rate_limit_of_their_chain(manager: Any, node: Any) -> None:
    await manager.connect_to_chain("eth", node.url, rate_limit=RateLimiter(10, 60.0))  # one: who are you?
    async with manager.get_connection("eth") as connection:
        assert await connection.request("echo", [1]) == [1]
        assert len(await connection.batch([("echo", [number]) for number in range(8)])) == 8
        with pytest.raises(LimiterTimeoutError):
            await soon(connection.request("echo", timeout=2.0))
    assert node.calls("echo") == 9


async def test_what_waits_for_a_connection_does_not_use_the_limit_up_meanwhile(
    manager: Any, node: Any
) -> None:
    limiter = RateLimiter(5, 60.0)
    await manager.connect_to_chain("eth", node.url, rate_limit=limiter)
    held = [await manager.get_connection("eth") for _ in range(10)]
    waiting = asyncio.create_task(manager.request("eth", "echo"))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert limiter.try_acquire(4), "only the identity was counted"
    for connection in held:
        await connection.close()
