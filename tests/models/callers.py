"""Callers of a pool or a manager, and the book of a model: who must have a connection, and who must wait."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant

from genesis_replicator import Connection, ConnectionClosedError, GenesisError
from genesis_replicator.testing import FaultServer, Reply

T = TypeVar("T")

#: How many programs are made up for each machine: a few seconds' worth, or as many as one has time for.
EXAMPLES = settings(
    max_examples=int(os.environ.get("GENESIS_MODEL_EXAMPLES", "50")),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

#: What a node may do to one call, and leave the pool whole.
FAULTS = {
    "hang up": Reply(hang_up=True),
    "truncate": Reply(truncate=True),
    "wrong id": Reply(answer_id=-1),
    "not JSON": Reply(body=b"<html>"),
    "status": Reply(status=500, body=b""),
    "error": Reply(error={"code": -32000, "message": "no"}),
}


class Caller:
    """Somebody who asks for a connection: in line, or served and not yet gone."""

    def __init__(self, chain: str, task: asyncio.Task[Any], *, leases: bool) -> None:
        """Note who asked for what."""
        self.chain = chain
        self.task = task
        #: Whether it takes a connection into its hands; else it makes a call that nobody answers.
        self.leases = leases
        self.connection: Connection | None = None
        #: Whether the node may have closed the socket a moment ago.
        self.torn = False


class CallersMachine(RuleBasedStateMachine):
    """An event loop of its own, and the book. A subclass says what there is to call."""

    def __init__(self) -> None:
        """Begin with nobody."""
        super().__init__()
        self.loop = asyncio.new_event_loop()
        #: Ends the nodes.
        self.stack = contextlib.ExitStack()
        self.limit = 0
        #: The most that it ever was.
        self.highest = 0
        #: In the order in which they came.
        self.callers: list[Caller] = []
        self.number = 0

    def node(self) -> FaultServer:
        """Another node, which never answers `slow`."""
        node = self.stack.enter_context(FaultServer())
        node.on("slow", Reply(hold=True))
        return node

    def metrics(self) -> Coroutine[Any, Any, dict[str, Any]]:
        """What the pool or the manager says of itself."""
        raise NotImplementedError

    def run(self, awaitable: Awaitable[T]) -> T:
        """The result of something that must not hang."""

        async def bounded() -> T:
            async with asyncio.timeout(20):
                return await awaitable

        return self.loop.run_until_complete(bounded())

    def turn(self, count: int = 1) -> None:
        """Let the loop go round so often."""

        async def rounds() -> None:
            for _ in range(count):
                await asyncio.sleep(0)

        self.loop.run_until_complete(rounds())

    def until(self, condition: Callable[[], bool]) -> None:
        """Let the loop go on until the condition holds. How fast it does decides nothing."""
        give_up = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < give_up, f"{self.run(self.metrics())}, expected {self.expected()}"
            self.run(asyncio.sleep(0.001))

    def begin(self, chain: str, awaitable: Coroutine[Any, Any, Any], *, leases: bool) -> Caller:
        """Another caller asks."""
        caller = Caller(chain, self.loop.create_task(awaitable), leases=leases)
        self.callers.append(caller)
        return caller

    def cancel(self, caller: Caller) -> None:
        """The caller goes away at this moment, served or not."""
        self.callers.remove(caller)
        caller.task.cancel()
        (outcome,) = self.run(asyncio.gather(caller.task, return_exceptions=True))
        if isinstance(outcome, Connection):
            self.run(outcome.close())
        else:
            assert isinstance(outcome, asyncio.CancelledError), outcome

    def give_back(self, caller: Caller) -> None:
        """The caller is done with its connection."""
        assert caller.connection is not None
        self.callers.remove(caller)
        self.run(caller.connection.close())

    def served(self) -> list[Caller]:
        """Those that have a connection in their hands."""
        return [caller for caller in self.callers if caller.connection is not None]

    def waiting(self) -> list[Caller]:
        """Those that have none: they stand in line, or make a call."""
        return [caller for caller in self.callers if caller.connection is None]

    def one_of(self, callers: list[Caller], which: int) -> list[Caller]:
        """One of them, if there is any."""
        return callers[which % len(callers) :][:1] if callers else []

    def expected(self) -> tuple[int, int]:
        """How many must be served now, and how many must wait."""
        served = max(len(self.served()), min(self.limit, len(self.callers)))
        return served, len(self.callers) - served

    def look(self) -> bool:
        """Note who was served in the meantime; whether all is as it must become."""
        for caller in tuple(self.callers):
            if not caller.task.done() or caller.connection is not None:
                continue
            if caller.leases:
                caller.connection = caller.task.result()
            else:
                # A call that nobody answers ends when the node closes its connection.
                assert isinstance(caller.task.exception(), GenesisError)
                self.callers.remove(caller)
        metrics = self.run(self.metrics())
        self.check(metrics)
        active = metrics["active_connections"]
        # A connection is in use when it is granted; its caller hears of it a moment later.
        all_heard = active == len(self.served()) + metrics["in_flight_requests"]
        # What was being opened when the bound shrank is closed as soon as it is open.
        is_bounded = metrics["total_connections"] <= max(self.limit, len(self.served()))
        return all_heard and is_bounded and (active, metrics["waiting_requests"]) == self.expected()

    def check(self, metrics: dict[str, Any]) -> None:
        """What holds at every moment."""
        parts = [metrics[part] for part in ("active_connections", "idle_connections", "connecting")]
        assert min(parts) >= 0
        assert sum(parts) == metrics["total_connections"]
        self.highest = max(self.highest, self.limit)
        assert metrics["total_connections"] <= self.highest
        assert metrics["in_flight_requests"] <= metrics["active_connections"]

    @invariant()
    def everybody_is_served_or_waits_in_order(self) -> None:
        """As many as may be have a connection, and in each chain they are those who came first."""
        self.until(self.look)
        for chain in {caller.chain for caller in self.callers}:
            own = [
                caller.connection is not None
                for caller in self.callers
                if caller.chain == chain and caller.leases
            ]
            assert own == sorted(own, reverse=True), own
        ids = [caller.connection.id for caller in self.served() if caller.connection is not None]
        assert len(set(ids)) == len(ids)

    def tear(self, chain: str, node: FaultServer, idle: Callable[[], int]) -> None:
        """The node closes every connection that it has now. Whoever lies idle is seen to be closed."""
        accepted = node.accepted
        for caller in self.callers:
            caller.torn |= caller.chain == chain
        node.close_connections()
        self.until(lambda: max(node.open, idle()) <= node.accepted - accepted)

    def connection_of(self, caller: Caller) -> Connection:
        """The connection of somebody who is served, with a socket that nobody has closed."""
        assert caller.connection is not None
        if caller.torn:
            caller.torn = False
            # A call that was under way when the news came is lost; no other is.
            with contextlib.suppress(ConnectionClosedError):
                self.run(caller.connection.request("echo", []))
        return caller.connection

    def call_right(self, connection: Connection) -> None:
        """A call on the connection gives its own answer."""
        self.number += 1
        assert self.run(connection.request("echo", [self.number])) == [self.number]

    def end_all(self) -> None:
        """Everything was closed: who has a connection can use it no more, and everybody else is told."""
        for caller in self.served():
            assert caller.connection is not None
            with pytest.raises(ConnectionClosedError):
                self.run(caller.connection.request("echo"))
            self.give_back(caller)
        for caller in self.waiting():
            self.callers.remove(caller)
            (outcome,) = self.run(asyncio.gather(caller.task, return_exceptions=True))
            assert isinstance(outcome, GenesisError), outcome

    def teardown(self) -> None:
        """Nobody is left behind."""
        for caller in tuple(self.callers):
            self.cancel(caller)
        self.loop.close()
        self.stack.close()
