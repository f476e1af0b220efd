"""`demo`: two local nodes, and each thing that the package does for a caller, shown in a few lines."""

import asyncio
import signal
import time
from contextlib import suppress
from typing import Any

from genesis_replicator import (
    ChainManager,
    Connection,
    MetricsCollector,
    RateLimiter,
    RateLimitExceededError,
    RequestTimeoutError,
)
from genesis_replicator._cli.nodes import ethereum_node
from genesis_replicator._cli.output import row, rows
from genesis_replicator._cli.scripted_node import ScriptedNode
from genesis_replicator.security import RateLimiter as ClientLimiter

ETHEREUM, SLOW = "ethereum", "slow"
SLOW_CHAIN_ID = 31338
SLOW_METHOD, SLOW_SECONDS, PATIENCE = "eth_gasPrice", 30.0, 0.25
CALLS = 500
ETHER = 10**18
GAUGES = (
    "max_connections",
    "total_connections",
    "active_connections",
    "idle_connections",
    "waiting_requests",
)


async def demo() -> int:
    """Run every scene; the nodes end with it, also when it is interrupted."""
    this = asyncio.current_task()
    if this is not None:
        # Ctrl-C is asyncio's own business; a polite kill should clean up as well.
        with suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    collector = MetricsCollector()
    async with (
        ethereum_node() as node,
        ScriptedNode(SLOW_CHAIN_ID, delays={SLOW_METHOD: SLOW_SECONDS}) as slow,
    ):
        row(ETHEREUM, node.what)
        row(SLOW, f"a scripted node that answers {SLOW_METHOD} after {SLOW_SECONDS:.0f} s")
        async with ChainManager(max_connections=10, metrics=collector) as manager:
            await _connect(manager, {ETHEREUM: node.url, SLOW: slow.url})
            await _calls(manager)
            await _transaction(manager)
            await _waiting_limiter(manager)
            await _refusing_limiter()
            await _timeout(manager)
            await _metrics(manager, collector)
    print("\nboth nodes have ended")
    return 0


def _scene(title: str) -> None:
    print(f"\n{title}", flush=True)


async def _connect(manager: ChainManager, nodes: dict[str, str]) -> None:
    _scene("Connect to both at once")
    start = time.perf_counter()
    await asyncio.gather(*(manager.connect_to_chain(label, url) for label, url in nodes.items()))
    took = (time.perf_counter() - start) * 1000
    row("connected", f"{', '.join(sorted(await manager.get_connected_chains()))} in {took:.0f} ms")
    for label in nodes:
        row(label, f"chain id {int(await manager.request(label, 'eth_chainId'), 16)}")


async def _calls(manager: ChainManager) -> None:
    _scene(f"{CALLS} calls at once over at most 10 connections")
    start = time.perf_counter()
    await asyncio.gather(*(manager.request(ETHEREUM, "eth_blockNumber") for _ in range(CALLS)))
    took = time.perf_counter() - start
    row("answered", f"{CALLS} in {took * 1000:.0f} ms, {CALLS / took:.0f} a second")


async def _transaction(manager: ChainManager) -> None:
    _scene("A transaction, on one leased connection")
    async with manager.get_connection(ETHEREUM) as connection:
        sender, receiver, *_ = await connection.request("eth_accounts")
        before = int(await connection.request("eth_getBalance", [receiver, "latest"]), 16)
        name = await connection.request(
            "eth_sendTransaction", [{"from": sender, "to": receiver, "value": hex(ETHER), "gas": hex(21_000)}]
        )
        receipt = await _receipt(connection, name)
        after = int(await connection.request("eth_getBalance", [receiver, "latest"]), 16)
        row("connection", connection.id)
    row("mined", f"in block {int(receipt['blockNumber'], 16)}, status {receipt['status']}")
    row("received", f"{(after - before) / ETHER:g} ether")


async def _receipt(connection: Connection, name: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            receipt: dict[str, Any] | None = await connection.request("eth_getTransactionReceipt", [name])
            if receipt is not None:
                return receipt
            await asyncio.sleep(0.02)


async def _waiting_limiter(manager: ChainManager) -> None:
    _scene("A limiter that waits: 5 calls in any half second, 12 callers")
    limiter = RateLimiter(max_rate=5, time_window=0.5)
    start = time.perf_counter()

    async def call() -> float:
        async with limiter:
            admitted = time.perf_counter() - start
            await manager.request(ETHEREUM, "eth_blockNumber")
            return admitted

    moments = sorted(await asyncio.gather(*(call() for _ in range(12))))
    row("admitted at", " ".join(f"{moment:.2f}" for moment in moments) + " s")


async def _refusing_limiter() -> None:
    _scene("A limiter that refuses: 3 requests of each client in a minute")
    limiter = ClientLimiter(max_requests=3, window_seconds=60)
    for attempt in range(1, 5):
        try:
            decision = await limiter.check_rate_limit("client-7")
        except RateLimitExceededError as error:
            row(f"request {attempt}", f"refused, again in {error.retry_after or 0:.0f} s")
        else:
            row(f"request {attempt}", f"allowed, {decision.remaining} left")


async def _timeout(manager: ChainManager) -> None:
    _scene(f"A deadline: {PATIENCE} s for an answer that takes {SLOW_SECONDS:.0f} s")
    start = time.perf_counter()
    try:
        await manager.request(SLOW, SLOW_METHOD, timeout=PATIENCE)
    except RequestTimeoutError as error:
        took = time.perf_counter() - start
        row("raised", f"{type(error).__name__} after {took:.2f} s in phase {error.phase}")
        row("message", error)


async def _metrics(manager: ChainManager, collector: MetricsCollector) -> None:
    _scene("What the metrics say")
    metrics = await manager.get_pool_metrics()
    table: list[tuple[str, object]] = [(name, metrics[name]) for name in GAUGES]
    table.append(("pool_utilization", f"{metrics['pool_utilization']:.0f} %"))
    table.append(("error rate", f"{collector.error_rate:.4f}"))
    quantiles = ((q, collector.quantile(q)) for q in (0.5, 0.99))
    table.extend((f"p{q * 100:g}", f"{s * 1000:.1f} ms") for q, s in quantiles if s is not None)
    rows(table)
