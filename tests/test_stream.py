"""`ChainManager.stream`: results as they come, calls read no further than there is room, nothing left."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from genesis_replicator import ChainManager, ConfigurationError, PoolClosedError, RpcError, UnknownChainError
from genesis_replicator.testing import FaultServer, Reply
from servers.wait import soon, until

Call = tuple[str, list[Any]]


class Endless:
    """Echo calls without end, counted as they are read."""

    def __init__(self) -> None:
        """Begin at 0."""
        self.read = 0
        self.ended = False

    def __iter__(self) -> Iterator[Call]:
        """Give one call after the other."""
        for number in itertools.count():
            self.read += 1
            yield "echo", [number]

    async def __aiter__(self) -> AsyncIterator[Call]:
        """Give them after a turn of the loop each."""
        try:
            for call in iter(self.__iter__()):
                await asyncio.sleep(0)
                yield call
        finally:
            self.ended = True


class OnlyAsync:
    """The same without the plain iterator."""

    def __init__(self, calls: Endless) -> None:
        """Give the calls of `calls`."""
        self._calls = calls

    def __aiter__(self) -> AsyncIterator[Call]:
        """Give them after a turn of the loop each."""
        return self._calls.__aiter__()


def echoes(count: int) -> list[Call]:
    return [("echo", [number]) for number in range(count)]


async def in_turns(calls: list[Call]) -> AsyncIterator[Call]:
    for call in calls:
        await asyncio.sleep(0)
        yield call


async def all_of(stream: Any) -> list[tuple[int, Any]]:
    return [pair async for pair in stream]


async def used_connections(chain: ChainManager) -> int:
    return int((await chain.get_pool_metrics())["active_connections"])


@pytest.mark.parametrize("given", [iter, in_turns], ids=["iterable", "async iterable"])
async def test_every_call_gives_its_result_with_its_number(chain: ChainManager, given: Any) -> None:
    results = await soon(all_of(chain.stream("eth", given(echoes(300)), concurrency=7)))
    assert sorted(results) == [(number, [number]) for number in range(300)]
    assert await soon(all_of(chain.stream("eth", given([])))) == []


async def test_a_result_comes_as_soon_as_it_is_there(chain: ChainManager, node: FaultServer) -> None:
    node.on("slow", Reply("slow", hold=True))
    stream = chain.stream("eth", [("slow", []), ("echo", [1]), ("echo", [2])])
    first = [await soon(anext(stream)), await soon(anext(stream))]
    assert sorted(first) == [(1, [1]), (2, [2])]
    node.release()
    assert await soon(all_of(stream)) == [(0, "slow")]


@pytest.mark.parametrize("wrap", [lambda calls: calls, OnlyAsync], ids=["iterable", "async iterable"])
async def test_no_more_is_read_than_there_is_room(chain: ChainManager, node: FaultServer, wrap: Any) -> None:
    calls = Endless()
    stream = chain.stream("eth", wrap(calls), concurrency=5)
    assert calls.read == 0
    for taken in range(1, 20):
        await soon(anext(stream))
        await asyncio.sleep(0.002)
        assert calls.read <= taken + 5
    await stream.aclose()
    assert node.calls("echo") <= 19 + 5


async def test_calls_go_on_while_nobody_waits_for_one(chain: ChainManager, node: FaultServer) -> None:
    stream = chain.stream("eth", Endless(), concurrency=5)
    await soon(anext(stream))
    await until(lambda: node.calls("echo") == 5)


async def test_a_waiting_async_iterable_does_not_hold_back_results(chain: ChainManager) -> None:
    more = asyncio.Event()

    async def calls() -> AsyncIterator[Call]:
        yield "echo", ["first"]
        await more.wait()
        yield "echo", ["second"]

    stream = chain.stream("eth", calls())
    assert await soon(anext(stream)) == (0, ["first"])
    more.set()
    assert await soon(all_of(stream)) == [(1, ["second"])]


@pytest.mark.parametrize("end", ["aclose", "aclosing", "drop"])
@pytest.mark.parametrize("wrap", [lambda calls: calls, OnlyAsync], ids=["iterable", "async iterable"])
async def test_leaving_ends_the_calls_and_frees_what_they_held(
    chain: ChainManager, node: FaultServer, end: str, wrap: Any
) -> None:
    node.on("slow", Reply(hold=True))
    endless = Endless()

    def calls() -> Iterator[Call]:
        yield "echo", [0]
        yield from itertools.repeat(("slow", []), 4)
        yield from endless

    async def async_calls() -> AsyncIterator[Call]:
        for call in itertools.islice(calls(), 5):
            yield call
        async for call in wrap(endless):
            yield call

    stream: Any = chain.stream("eth", calls() if wrap(endless) is endless else async_calls(), concurrency=5)
    assert await soon(anext(stream)) == (0, [0])
    await until(lambda: node.calls("slow") == 4)
    if end == "aclose":
        await stream.aclose()
        await stream.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
    elif end == "aclosing":
        async with contextlib.aclosing(stream):
            pass
    del stream
    assert await used_connections(chain) == 0
    assert await soon(chain.request("eth", "echo", ["after"])) == ["after"]


async def test_closing_ends_an_async_iterable_that_waits(chain: ChainManager) -> None:
    ended = asyncio.Event()

    async def calls() -> AsyncIterator[Call]:
        try:
            yield "echo", [0]
            await asyncio.Event().wait()
        finally:
            ended.set()

    async for pair in chain.stream("eth", calls()):
        assert pair == (0, [0])
        break
    await soon(ended.wait())


async def test_the_first_failure_ends_the_others(chain: ChainManager, node: FaultServer) -> None:
    node.on("slow", Reply(hold=True))
    stream = chain.stream("eth", [("slow", []), ("nonsense", []), ("slow", [])])
    with pytest.raises(RpcError):
        await soon(anext(stream))
    assert await used_connections(chain) == 0
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_failures_are_results_where_that_is_wanted(chain: ChainManager) -> None:
    calls: list[Call] = [("nonsense", []), ("echo", [1])]
    results = dict(await soon(all_of(chain.stream("eth", calls, return_exceptions=True))))
    assert isinstance(results[0], RpcError)
    assert results[1] == [1]


def failing(calls: list[Any]) -> Iterator[Any]:
    yield from calls
    raise LookupError("no more blocks")


async def async_failing(calls: list[Any]) -> AsyncIterator[Any]:
    for call in calls:
        yield call
    raise LookupError("no more blocks")


@pytest.mark.parametrize("given", [failing, async_failing], ids=["iterable", "async iterable"])
async def test_what_the_calls_raise_comes_after_the_results_before_it(
    chain: ChainManager, given: Any
) -> None:
    stream = chain.stream("eth", given(echoes(3)))
    results = [await soon(anext(stream)) for _ in range(3)]
    assert sorted(results) == [(0, [0]), (1, [1]), (2, [2])]
    with pytest.raises(LookupError, match="no more blocks"):
        await soon(anext(stream))
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


@pytest.mark.parametrize("given", [iter, in_turns], ids=["iterable", "async iterable"])
@pytest.mark.parametrize("bad", ["echo", ("echo",), ("echo", {1}), (1, [])], ids=repr)
async def test_a_call_that_is_none_is_an_error_after_the_others(
    chain: ChainManager, given: Any, bad: Any
) -> None:
    stream = chain.stream("eth", given([("echo", [0]), bad, ("echo", [2])]))
    assert await soon(anext(stream)) == (0, [0])
    with pytest.raises((ConfigurationError, TypeError)):
        await soon(anext(stream))


async def test_a_cancelled_wait_loses_no_result(chain: ChainManager, node: FaultServer) -> None:
    node.on("slow", Reply("slow", hold=True))
    stream = chain.stream("eth", [("slow", [])] * 20, concurrency=20)
    waits = [asyncio.create_task(soon(anext(stream))) for _ in range(5)]
    await until(lambda: node.calls("slow") > 0)
    for wait in waits[::2]:
        wait.cancel()
    node.release()
    await asyncio.sleep(0)
    waits[1].cancel()
    outcomes = await asyncio.gather(*waits, return_exceptions=True)
    taken = [outcome for outcome in outcomes if not isinstance(outcome, asyncio.CancelledError)]
    assert sorted([*taken, *await soon(all_of(stream))]) == [(number, "slow") for number in range(20)]


async def test_calls_may_read_the_stream_that_they_feed(chain: ChainManager) -> None:
    outer, inner = asyncio.Event(), asyncio.Event()

    async def calls() -> AsyncIterator[Call]:
        yield "echo", [0]
        yield "echo", [1]
        await outer.wait()
        taken = await soon(anext(stream))
        inner.set()
        yield "echo", [taken]

    stream = chain.stream("eth", calls())
    first, _ = await soon(anext(stream))
    outer.set()
    await soon(inner.wait())
    _, [[second, result]] = await soon(anext(stream))
    assert sorted([first, second]) == [0, 1]
    assert result == [second]


async def test_wrong_arguments_are_refused_at_once(chain: ChainManager) -> None:
    with pytest.raises(ConfigurationError, match="calls"):
        chain.stream("eth", 5)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="concurrency"):
        chain.stream("eth", [], concurrency=0)
    with pytest.raises(ConfigurationError, match="timeout"):
        chain.stream("eth", [], timeout=-1)


async def test_the_label_is_looked_up_when_the_first_result_is_asked_for(chain: ChainManager) -> None:
    with pytest.raises(UnknownChainError):
        await anext(chain.stream("nowhere", echoes(1)))
    await chain.stop()
    with pytest.raises(PoolClosedError):
        await anext(chain.stream("eth", echoes(1)))


async def test_each_call_has_the_timeout_for_itself(chain: ChainManager, node: FaultServer) -> None:
    node.on("slow", Reply(hold=True))
    stream = chain.stream("eth", [("slow", []), ("echo", [1])], timeout=0.1, return_exceptions=True)
    results = dict(await soon(all_of(stream)))
    assert isinstance(results[0], TimeoutError)
    assert results[1] == [1]
