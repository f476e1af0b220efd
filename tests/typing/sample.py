"""A user's program, never run: `mypy --strict` must accept it and know every type in it."""

import asyncio
from typing import Any, assert_type

from genesis_replicator import (
    ChainManager,
    Connection,
    ConnectionPool,
    GenesisError,
    MetricsCollector,
    PoolTimeoutError,
    RateLimitDecision,
    RateLimiter,
    RpcError,
    SecurityEvent,
    validate_credentials,
)
from genesis_replicator.foundation_services.blockchain_integration import ChainManager as SameManager
from genesis_replicator.foundation_services.exceptions import ChainConnectionError, UnknownChainError
from genesis_replicator.security import RateLimiter as ClientLimiter


async def manage(manager: ChainManager) -> None:
    """Use every method of a manager."""
    same: SameManager = manager
    assert_type(await same.connect_to_chain("eth", "https://example.com", {"api_key": "k"}), bool)
    assert_type(await manager.connect_to_chain("b", ["https://a.example"], rate_limit=RateLimiter(5)), bool)
    assert_type(await manager.get_connected_chains(), list[str])
    assert_type(await manager.get_chain_status("eth"), dict[str, Any])
    assert_type(await manager.request("eth", "eth_call", [{"to": "0x0"}, "latest"], timeout=5), Any)
    assert_type(await manager.request("eth", "eth_blockNumber", decode="raw"), bytes)
    assert_type(await manager.request("eth", "eth_blockNumber", decode="lazy"), Any)
    assert_type(await manager.request_many("eth", [("eth_chainId", [])], concurrency=8), list[Any])
    assert_type(await manager.batch("eth", [("eth_chainId", [])], timeout=5), list[Any])
    async for pair in manager.stream("eth", [("eth_chainId", [])], timeout=5):
        assert_type(pair, tuple[int, Any])
    async with manager.subscribe("eth", "logs", {"address": "0x0"}) as logs:
        assert_type(logs.missed, int)
        async for log in logs:
            assert_type(log, Any)
    assert_type(await manager.verify_credentials("eth"), bool)
    assert_type(await manager.get_pool_metrics(), dict[str, Any])
    assert_type(await manager.disconnect_from_chain("eth"), None)


async def lease(manager: ChainManager, pool: ConnectionPool) -> None:
    """Take connections in every way that asyncio knows."""
    async with manager.get_connection("eth") as entered:
        assert_type(entered, Connection)
        assert_type(await entered.batch([("eth_chainId", ())]), list[Any])
    async with await pool.acquire(timeout=1.0) as connection:
        assert_type(connection.id, str)
    assert_type(await asyncio.create_task(pool.acquire()), Connection)
    assert_type(await asyncio.wait_for(manager.get_connection("eth"), 5), Connection)
    assert_type(await asyncio.shield(manager.get_connection("eth")), Connection)
    first, second = await asyncio.gather(pool.acquire(), manager.verify_credentials("eth"))
    assert_type(first, Connection)
    assert_type(second, bool)
    async with asyncio.TaskGroup() as group:
        assert_type(group.create_task(first.request("eth_chainId")), asyncio.Task[Any])
    assert_type(await first.close(), None)
    await pool.resize(5)
    await pool.drain()
    assert_type(await pool.get_metrics(), dict[str, Any])


async def limit() -> None:
    """Wait for one's own limit, and refuse a client."""
    limiter = RateLimiter(max_rate=100, time_window=60)
    async with limiter:
        assert_type(limiter.try_acquire(2), bool)
    assert_type(limiter.has_capacity(), bool)
    assert_type(limiter.reserve(5), float)
    assert_type(RateLimiter([(25, 1), (3_000_000, 86_400.0)]).windows, list[tuple[int, float]])
    clients = ClientLimiter(max_requests=100, window_seconds=60, on_event=hear, metrics=MetricsCollector())
    decision = await clients.check_rate_limit("client")
    clients.record_credential_failure(b"client")
    assert_type(clients.fingerprint(7), str)
    assert_type(decision, RateLimitDecision)
    assert_type(decision.reset_after, float)
    assert_type(await validate_credentials({"api_key": "k"}), bool)


def hear(event: SecurityEvent) -> None:
    """Look at a suspicious client."""
    assert_type(event.client, str | None)
    assert_type(event.when, float)


async def main() -> None:
    """Put it together, with the errors that a user handles."""
    collector = MetricsCollector()
    assert_type(collector.alert("error_rate", above=0.1, callback=print), int)
    try:
        async with ChainManager(max_connections=10, metrics=collector) as manager:
            await manage(manager)
            async with ConnectionPool("https://example.com", max_waiting=100) as pool:
                await lease(manager, pool)
        await limit()
    except UnknownChainError as error:
        assert_type(error.chain_id, str | None)
    except PoolTimeoutError as error:
        assert_type(error.phase, str | None)
    except RpcError as error:
        assert_type(error.code, int | None)
    except (ChainConnectionError, GenesisError) as error:
        assert_type(error.error_code, str)
    assert_type(collector.quantile(0.5), float | None)


if __name__ == "__main__":
    asyncio.run(main())
