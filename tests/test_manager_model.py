"""A manager with several chains under any sequence of callers, faults, connects and disconnects."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from genesis_replicator import ChainManager, GenesisError, PoolClosedError, UnknownChainError
from genesis_replicator.testing import FaultServer, Reply
from models.callers import EXAMPLES, FAULTS, Caller, CallersMachine

CHAINS = ("a", "b", "c")
CHAIN = st.sampled_from(CHAINS)
WHICH = st.integers(0, 1000)


class ManagerMachine(CallersMachine):
    """One manager, a node for each of three chains, callers who lease and callers who make a call."""

    def __init__(self) -> None:
        """Start the nodes."""
        super().__init__()
        self.nodes = {chain: FaultServer().__enter__() for chain in CHAINS}
        self.connected: set[str] = set()
        #: Who leases a connection of a chain that was disconnected since.
        self.left: set[Caller] = set()
        for node in self.nodes.values():
            node.on("slow", Reply(hold=True))

    @initialize(limit=st.integers(1, 4))
    def make(self, limit: int) -> None:
        self.limit = limit
        self.manager = ChainManager(max_connections=limit)
        self.run(self.manager.start())
        for chain in CHAINS:
            self.connect(chain)

    def metrics(self) -> Any:
        return self.manager.get_pool_metrics()

    def idle(self, chain: str) -> int:
        if chain not in self.connected:
            return 0
        return int(self.run(self.manager.get_pool_metrics(chain))["idle_connections"])

    def has_room(self) -> bool:
        return len(self.callers) < self.limit

    @rule(chain=CHAIN)
    def connect(self, chain: str) -> None:
        if self.has_room():
            assert self.run(self.manager.connect_to_chain(chain, self.nodes[chain].url)) is True
            self.connected.add(chain)

    @rule(chain=CHAIN, turns=st.integers(0, 8))
    def connect_and_cancel_at_some_moment(self, chain: str, turns: int) -> None:
        task = self.loop.create_task(self.manager.connect_to_chain(chain, self.nodes[chain].url))
        self.turn(turns)
        task.cancel()
        if self.run(asyncio.gather(task, return_exceptions=True)) == [True]:
            self.connected.add(chain)

    @rule(chain=CHAIN)
    def disconnect(self, chain: str) -> None:
        if chain not in self.connected:
            with pytest.raises(UnknownChainError):
                self.run(self.manager.disconnect_from_chain(chain))
            return
        # Those in line are refused; those that are served go on.
        before = [caller for caller in self.callers if caller.chain == chain]
        for caller in before:
            if caller.connection is not None:
                self.connection_of(caller)
                self.left.add(caller)
        self.connected.discard(chain)
        self.run(self.manager.disconnect_from_chain(chain))
        for caller in before:
            if caller.leases and caller.connection is None:
                with pytest.raises(PoolClosedError):
                    self.run(caller.task)
                self.callers.remove(caller)

    @rule(chain=CHAIN, count=st.integers(1, 3))
    def get_connections(self, chain: str, count: int) -> None:
        if chain not in self.connected:
            with pytest.raises(UnknownChainError):
                self.run(self.manager.get_connection(chain))
            return
        for _ in range(count):
            self.begin(chain, self.manager.get_connection(chain), leases=True)

    @rule(chain=CHAIN)
    def call_what_is_never_answered(self, chain: str) -> None:
        if chain in self.connected:
            self.begin(chain, self.manager.request(chain, "slow", timeout=1000), leases=False)

    @rule(chain=CHAIN, kind=st.sampled_from(["lease", "request", "many"]), turns=st.integers(0, 8))
    def begin_and_cancel_at_some_moment(self, chain: str, kind: str, turns: int) -> None:
        if chain not in self.connected:
            return
        calls = [("slow", [])] * 3
        awaitable: Any = {
            "lease": lambda: self.manager.get_connection(chain),
            "request": lambda: self.manager.request(chain, "slow"),
            "many": lambda: self.manager.request_many(chain, calls),
        }[kind]()
        caller = self.begin(chain, awaitable, leases=kind == "lease")
        self.turn(turns)
        self.cancel(caller)

    @rule(which=WHICH)
    def cancel_somebody(self, which: int) -> None:
        for caller in self.one_of(self.waiting(), which):
            self.cancel(caller)

    @rule(which=WHICH)
    def release(self, which: int) -> None:
        for caller in self.one_of(self.served(), which):
            self.give_back(caller)

    @rule(which=WHICH)
    def request_on_a_lease(self, which: int) -> None:
        for caller in self.one_of(self.served(), which):
            self.call_right(self.connection_of(caller))

    @rule(chain=CHAIN, count=st.integers(1, 20))
    def requests(self, chain: str, count: int) -> None:
        if chain in self.connected and self.has_room():
            self.number += count
            calls = [("echo", [self.number, place]) for place in range(count)]
            expected = [params for _, params in calls]
            assert self.run(self.manager.request_many(chain, calls)) == expected
            assert self.run(self.manager.request(chain, "echo", [self.number])) == [self.number]

    @rule(chain=CHAIN, fault=st.sampled_from(sorted(FAULTS)))
    def request_to_a_faulty_node(self, chain: str, fault: str) -> None:
        if chain not in self.connected or not self.has_room():
            return
        self.nodes[chain].on("bad", FAULTS[fault])
        with pytest.raises(GenesisError):
            self.run(self.manager.request(chain, "bad"))
        assert self.run(self.manager.request(chain, "echo", [fault])) == [fault]

    @rule(chain=CHAIN)
    def a_node_closes_its_connections(self, chain: str) -> None:
        # The lease of a chain that is gone cannot be opened again.
        for caller in [caller for caller in self.served() if caller in self.left and caller.chain == chain]:
            self.give_back(caller)
        self.tear(chain, self.nodes[chain], lambda: self.idle(chain))

    def teardown(self) -> None:
        """At the end the manager is stopped, with whoever is still there."""
        if self.limit:
            self.run(self.manager.stop(timeout=0.0))
            self.end_all()
            for node in self.nodes.values():
                self.until(lambda node=node: node.open == 0)
        super().teardown()
        for node in self.nodes.values():
            node.__exit__()


class TestManager(ManagerMachine.TestCase):
    settings = EXAMPLES
