"""What is measured: which work, how much of it at a time, and by whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from workers.task import Task

PEERS = ("aiohttp", "httpx", "niquests", "pyreqwest", "primp", "httpr")
WEB3 = ("web3", "web3 pooled")
Variants = Mapping[str, Mapping[str, str | int]]

TASKS: Variants = {
    f"ours, tasks: {count:,}": {"client": "ours", "in_flight": count} for count in (1, 100, 1_000, 10_000)
}
DECODED: Variants = {f"ours, {how}": {"client": "ours", "work": how} for how in ("lazy", "raw")}
MANY: Variants = {"ours, request_many": {"client": "ours", "work": "many", "in_flight": 1}}


@dataclass(frozen=True)
class Scenario:
    """One kind of work that several clients do in turn."""

    name: str
    work: str
    in_flight: int
    clients: tuple[str, ...]
    #: Which of the node's addresses is asked.
    address: str = "http"
    #: The size of the pools, where it is not the number of requests in flight.
    connections: int = 0
    drive: str = "rate"
    #: Clients that go by another name here, because they do something else than the others.
    variants: Variants = field(default_factory=dict)

    @property
    def title(self) -> str:
        """How reports call it."""
        return f"{self.name}, {self.in_flight:,} in flight"

    def only(self, clients: tuple[str, ...]) -> Scenario:
        """The same work, by some of the clients."""
        return replace(self, clients=clients)

    def task(self, client: str, addresses: Mapping[str, str], ca: str) -> Task:
        """What a client has to do."""
        task = Task(
            client=client,
            url=addresses[self.address],
            ca=ca,
            work=self.work,
            in_flight=self.in_flight,
            connections=self.connections or self.in_flight,
            drive=self.drive,
            h2=self.address == "https",
        )
        return replace(task, **self.variants.get(client, {}))  # type: ignore[arg-type]


#: In the order of the report.
SCENARIOS = (
    *(Scenario("small", "small", count, ("limit", "ours", *PEERS, *WEB3)) for count in (1, 16, 64, 256)),
    Scenario("TLS, HTTP/1.1", "small", 64, ("limit", "ours", *PEERS), "https1"),
    Scenario("TLS, HTTP/2", "small", 64, ("limit", "ours", *PEERS), "https"),
    Scenario("request_many", "small", 64, ("limit", "ours", *MANY), variants=MANY),
    Scenario("batch of 100", "batch", 16, ("limit", "ours", *PEERS)),
    Scenario(
        "block of 200 KB",
        "block",
        16,
        ("limit", "ours", *DECODED, *PEERS, *WEB3, "web3 get_block"),
        variants=DECODED,
    ),
    Scenario("RateLimiter", "limiter", 1, ("ours RateLimiter", "aiolimiter")),
    Scenario("get_connection", "lease", 1, ("ours", "LifoQueue", "LifoQueue, bare")),
    # httpx does not get so many to the node within a minute.
    Scenario(
        "memory", "delay", 1_000, ("ours", *(peer for peer in PEERS if peer != "httpx")), drive="memory"
    ),
    Scenario("cancellations", "delay", 1_000, ("ours", "aiohttp"), drive="cancel"),
    Scenario("busy loop", "small", 30, ("ours", "aiohttp"), drive="busy"),
    Scenario("tasks on 100 connections", "small", 100, tuple(TASKS), connections=100, variants=TASKS),
)
