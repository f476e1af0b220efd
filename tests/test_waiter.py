"""What a suspended coroutine yields is a future to its driver, and is completed by a callback of the loop."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from typing import Any

import pytest

from genesis_replicator import ChainManager
from genesis_replicator.testing import FaultServer, Reply
from servers.wait import until

# The tasks of asyncio without its C accelerator.
PyTask: type[asyncio.Task[Any]] = vars(asyncio.tasks)["_PyTask"]


def value_of(coroutine: Any) -> Any:
    """The value of a coroutine that must end now."""
    with pytest.raises(StopIteration) as end:
        coroutine.send(None)
    return end.value.value


def block(seconds: float = 0.02) -> None:
    """Keep the event loop from going on."""
    time.sleep(seconds)


async def test_a_coroutine_can_be_driven_by_hand(chain: ChainManager) -> None:
    coroutine = chain.request("eth", "echo", [1])
    waiter = coroutine.send(None)
    assert asyncio.isfuture(waiter)
    assert waiter._asyncio_future_blocking is True
    assert waiter.get_loop() is waiter._loop is asyncio.get_running_loop()
    assert not waiter.done()
    with pytest.raises(asyncio.InvalidStateError):
        waiter.result()
    await until(waiter.done)
    assert waiter.result() is None
    assert waiter.exception() is None
    assert not waiter.cancelled()
    assert not waiter.cancel()
    assert value_of(coroutine) == [1]


async def test_one_that_is_resumed_too_early_waits_on(chain: ChainManager, node: FaultServer) -> None:
    node.on("slow", Reply(hold=True))
    coroutine = chain.request("eth", "slow")
    waiter = coroutine.send(None)
    waiter._asyncio_future_blocking = False
    assert coroutine.send(None) is waiter
    assert waiter._asyncio_future_blocking is True
    coroutine.close()


async def test_callbacks_run_in_their_context_while_no_task_runs(chain: ChainManager) -> None:
    variable = contextvars.ContextVar("variable", default="none")
    context = contextvars.copy_context()
    context.run(variable.set, "given")
    coroutine = chain.request("eth", "echo", [1])
    waiter = coroutine.send(None)
    seen: list[Any] = []

    def note(of: Any) -> None:
        seen.append((of is waiter, variable.get(), asyncio.current_task()))

    waiter.add_done_callback(note, context=context)
    variable.set("current")
    waiter.add_done_callback(note)
    await until(lambda: len(seen) == 2)
    waiter.add_done_callback(note, context=context)
    await until(lambda: len(seen) == 3)
    assert seen == [(True, "given", None), (True, "current", None), (True, "given", None)]
    assert value_of(coroutine) == [1]


async def test_a_callback_that_was_removed_is_not_called(chain: ChainManager) -> None:
    coroutine = chain.request("eth", "echo", [1])
    waiter = coroutine.send(None)
    seen: list[str] = []

    def removed(_: Any) -> None:
        seen.append("removed")

    waiter.add_done_callback(removed)
    waiter.add_done_callback(lambda _: seen.append("kept"))
    waiter.add_done_callback(removed)
    assert waiter.remove_done_callback(removed) == 2
    await until(waiter.done)
    assert seen == ["kept"]
    assert waiter.remove_done_callback(removed) == 0
    assert value_of(coroutine) == [1]


async def test_what_a_callback_raises_is_for_the_loops_handler(chain: ChainManager) -> None:
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))
    coroutine = chain.request("eth", "echo", [1])
    waiter = coroutine.send(None)
    seen: list[Any] = []
    waiter.add_done_callback(lambda _: 1 / 0)
    waiter.add_done_callback(seen.append)
    await until(waiter.done)
    assert seen == [waiter]
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]
    assert "Exception in callback" in reports[0]["message"]
    assert value_of(coroutine) == [1]


async def test_a_waiter_that_somebody_cancels_is_replaced(chain: ChainManager) -> None:
    coroutine = chain.request("eth", "echo", [1])
    waiter = coroutine.send(None)
    seen: list[Any] = []
    waiter.add_done_callback(seen.append)
    assert waiter.cancel(msg="why")
    assert waiter.cancelled()
    assert seen == []
    with pytest.raises(asyncio.CancelledError, match="why"):
        waiter.result()
    other = coroutine.send(None)
    assert other is not waiter
    await until(other.done)
    assert seen == [waiter]
    assert value_of(coroutine) == [1]


@pytest.mark.parametrize("kind", [asyncio.Task, PyTask], ids=["C", "Python"])
async def test_tasks_of_both_kinds_resume_and_are_cancelled_with_the_message(
    kind: type[asyncio.Task[Any]], chain: ChainManager, node: FaultServer
) -> None:
    node.on("slow", Reply(hold=True))
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")

    async def ask(number: int) -> Any:
        variable.set(number)
        result = await chain.request("eth", "echo", [number])
        return result, variable.get(), asyncio.current_task()

    tasks = [kind(ask(number), loop=asyncio.get_running_loop()) for number in range(20)]
    assert await asyncio.gather(*tasks) == [([number], number, tasks[number]) for number in range(20)]
    stuck = kind(chain.request("eth", "slow"), loop=asyncio.get_running_loop())
    await until(lambda: node.calls("slow"))
    stuck.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await stuck


def test_in_debug_mode_a_slow_task_is_named(node: FaultServer, caplog: pytest.LogCaptureFixture) -> None:
    async def dawdle(manager: ChainManager) -> None:
        await manager.request("eth", "echo", [1])
        block()

    async def main() -> None:
        asyncio.get_running_loop().slow_callback_duration = 0.01
        async with ChainManager() as manager:
            await manager.connect_to_chain("eth", node.url)
            await asyncio.create_task(dawdle(manager))

    with caplog.at_level(logging.WARNING, logger="asyncio"):
        asyncio.run(main(), debug=True)
    slow = [record.getMessage() for record in caplog.records if "took" in record.getMessage()]
    assert any("Task" in message and "dawdle" in message for message in slow)
    assert not any("LoopBridge" in message for message in slow)


def test_a_task_that_ends_the_loop_leaves_the_others_their_results(node: FaultServer) -> None:
    manager = ChainManager()
    loop = asyncio.new_event_loop()

    async def ask(number: int) -> Any:
        result = await manager.request("eth", "echo", [number])
        if number == 0:
            raise SystemExit(7)
        return result

    async def all_at_once() -> None:
        tasks.extend(loop.create_task(ask(number)) for number in range(4))
        await asyncio.sleep(0)
        # All results come while the loop is busy, so that one callback meets them all.
        while node.calls("echo") < 4:
            block()
        block(0.1)
        await asyncio.sleep(30)

    tasks: list[asyncio.Task[Any]] = []
    try:
        loop.run_until_complete(manager.start())
        loop.run_until_complete(manager.connect_to_chain("eth", node.url))
        main = loop.create_task(all_at_once())
        with pytest.raises(SystemExit):
            loop.run_until_complete(main)
        assert isinstance(tasks[0].exception(), SystemExit)
        main.cancel()
        assert loop.run_until_complete(asyncio.wait_for(asyncio.gather(*tasks[1:]), 10)) == [[1], [2], [3]]
        loop.run_until_complete(manager.stop())
    finally:
        loop.close()
