"""A pool under any sequence of callers, faults and changes keeps its book, its bound and its order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from genesis_replicator import ConnectionPool, GenesisError, PoolClosedError
from genesis_replicator.testing import FaultServer, Reply
from models.callers import EXAMPLES, FAULTS, CallersMachine

WHICH = st.integers(0, 1000)


class PoolMachine(CallersMachine):
    """One pool, one node, and callers who take a connection."""

    def __init__(self) -> None:
        """Start the node."""
        super().__init__()
        self.node = FaultServer().__enter__()
        self.node.on("slow", Reply(hold=True))

    @initialize(limit=st.integers(1, 4))
    def make(self, limit: int) -> None:
        self.limit = limit
        self.pool = ConnectionPool(self.node.url, max_connections=limit)

    def metrics(self) -> Any:
        return self.pool.get_metrics()

    @rule(count=st.integers(1, 3))
    def acquire(self, count: int) -> None:
        for _ in range(count):
            self.begin("one", self.pool.acquire(), leases=True)

    @rule(turns=st.integers(0, 8))
    def acquire_and_cancel_at_some_moment(self, turns: int) -> None:
        caller = self.begin("one", self.pool.acquire(), leases=True)
        self.turn(turns)
        self.cancel(caller)

    @rule(which=WHICH)
    def cancel_whoever_waits(self, which: int) -> None:
        for caller in self.one_of(self.waiting(), which):
            self.cancel(caller)

    @rule(which=WHICH)
    def release(self, which: int) -> None:
        for caller in self.one_of(self.served(), which):
            self.give_back(caller)

    @rule(which=WHICH)
    def request(self, which: int) -> None:
        for caller in self.one_of(self.served(), which):
            self.call_right(self.connection_of(caller))

    @rule(which=WHICH, fault=st.sampled_from(sorted(FAULTS)))
    def request_to_a_faulty_node(self, which: int, fault: str) -> None:
        self.node.on("bad", FAULTS[fault])
        for caller in self.one_of(self.served(), which):
            connection = self.connection_of(caller)
            with pytest.raises(GenesisError):
                self.run(connection.request("bad"))
            self.call_right(connection)

    @rule(which=WHICH, turns=st.integers(0, 8))
    def cancel_a_request(self, which: int, turns: int) -> None:
        for caller in self.one_of(self.served(), which):
            connection = self.connection_of(caller)
            task = self.loop.create_task(connection.request("slow"))
            self.turn(turns)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                self.run(task)
            self.call_right(connection)

    @rule(which=WHICH, turns=st.integers(0, 8))
    def release_during_a_request(self, which: int, turns: int) -> None:
        for caller in self.one_of(self.served(), which):
            task = self.loop.create_task(self.connection_of(caller).request("slow"))
            self.turn(turns)
            self.give_back(caller)
            with pytest.raises(GenesisError):
                self.run(task)

    @rule(limit=st.integers(1, 5))
    def resize(self, limit: int) -> None:
        self.limit = limit
        self.run(self.pool.resize(limit))

    @rule()
    def drain(self) -> None:
        self.run(self.pool.drain())

    @rule()
    def the_node_closes_its_connections(self) -> None:
        self.tear("one", self.node, lambda: self.run(self.metrics())["idle_connections"])

    def teardown(self) -> None:
        """At the end the pool is closed, with whoever is still there."""
        if self.limit:
            self.run(self.pool.close(timeout=0.0))
            self.end_all()
            with pytest.raises(PoolClosedError):
                self.run(self.pool.acquire())
            self.until(lambda: self.node.open == 0)
            self.until(lambda: self.run(self.metrics())["total_connections"] == 0)
        super().teardown()
        self.node.__exit__()


class TestPool(PoolMachine.TestCase):
    settings = EXAMPLES
