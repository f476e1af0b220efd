"""Every error of the package, met with the secret in use; the node says it wherever it says anything."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from canary.forms import SECRET, Planted
from genesis_replicator import ChainManager, ConnectionPool, GenesisError, RateLimiter, security
from genesis_replicator.testing import Authority, FaultServer, Reply

NETWORK = 7


def answers(secret: str) -> dict[str, Reply]:
    """Methods of the node, each named for what it answers."""
    return {
        "rpc": Reply(error={"code": -1, "message": f"bad key {secret}", "data": {"key": [secret]}}),
        "rate": Reply(status=429, headers={"retry-after": "0"}, body=f"slow down, {secret}".encode()),
        "quota": Reply(error={"code": -32005, "message": f"daily request count exceeded for {secret}"}),
        "range": Reply(error={"code": -32602, "message": f"block range too large, {secret}: [0x1, 0x2]"}),
        "behind": Reply(error={"code": -32000, "message": f"header not found for {secret}"}),
        "unsupported": Reply(error={"code": -32601, "message": f"the method {secret} does not exist"}),
        "reverted": Reply(
            error={
                "code": 3,
                "message": f"execution reverted: {secret}",
                "data": "0x" + secret.encode().hex(),
            }
        ),
        "escaped": Reply(error={"code": -1, "message": "".join(f"\\u{ord(c):04x}" for c in secret)}),
        "status": Reply(status=502, body=f"<html>{secret}</html>".encode()),
        "refused": Reply(status=401, body=f"no: {secret}".encode()),
        "protocol": Reply(body=f"this is no JSON: {secret}".encode()),
        "wrong id": Reply(answer_id=secret),
        "closed": Reply(hang_up=True),
        "late": Reply(hold=True),
    }


class Trouble:
    """Meets the errors, and keeps them."""

    def __init__(self, planted: Planted, node: FaultServer, silent: int, refused: int) -> None:
        self.planted, self.node, self.silent, self.refused = planted, node, silent, refused
        self.errors: list[BaseException] = []

    async def met(self, ask: Callable[[], Awaitable[Any]]) -> None:
        """Keep the error that this ends with."""
        try:
            await asyncio.wait_for(ask(), 20)
        except (GenesisError, ExceptionGroup) as error:
            self.errors.append(error)
        else:
            raise AssertionError("it should have failed")

    async def everywhere(self) -> list[BaseException]:
        """All errors that there are."""
        await self.in_answers()
        await self.in_a_pool()
        await self.in_a_manager()
        await self.with_arguments()
        return self.errors

    async def in_answers(self) -> None:
        """What the node answers, through a connection and through a chain."""
        planted = self.planted
        async with ConnectionPool(
            planted.endpoint(self.node.port), planted.credentials, **planted.arguments
        ) as pool:
            for method in ("echo of all", *answers(planted.secret)):
                connection = await pool.acquire()
                await self.met(lambda m=method, c=connection: c.request(m, timeout=0.3))  # type: ignore[misc]
                await connection.close()
            await self.met(connection_of(pool, lambda connection: connection.request("rpc")))

    async def in_a_pool(self) -> None:
        """No place, no room to wait, no pool."""
        planted = self.planted
        pool = ConnectionPool(
            planted.endpoint(self.node.port),
            planted.credentials,
            max_connections=1,
            max_waiting=1,
            **planted.arguments,
        )
        async with pool, pool.acquire():
            await self.met(lambda: pool.acquire(timeout=0.01))
            waiting = asyncio.ensure_future(pool.acquire(timeout=1))
            await asyncio.sleep(0)
            await self.met(pool.acquire)
            waiting.cancel()
        await self.met(pool.acquire)

    async def in_a_manager(self) -> None:
        """Nodes that are away, silent, strangers, or no TLS at all."""
        planted, port = self.planted, self.node.port
        connect = {"credentials": planted.credentials, **planted.arguments}
        async with ChainManager() as manager:
            await self.met(lambda: manager.connect_to_chain("a", planted.endpoint(self.refused), **connect))
            with FaultServer(tls=Authority().context("127.0.0.1")) as stranger:
                endpoint = planted.endpoint(stranger.port, "https")
                await self.met(lambda: manager.connect_to_chain("a", endpoint, **connect))
            silent = planted.endpoint(self.silent, "https")
            await self.met(lambda: manager.connect_to_chain("a", silent, timeout=0.1, **connect))
            await self.met(
                lambda: manager.connect_to_chain(
                    "a", planted.endpoint(port), network_id=NETWORK + 1, **connect
                )
            )
            # A node that calls its network by the secret.
            self.node.on("eth_chainId", Reply(error={"code": -32601, "message": "no"}))
            self.node.on("getblockchaininfo", Reply(result={"chain": planted.secret}))
            await self.met(
                lambda: manager.connect_to_chain("a", planted.endpoint(port), network_id=1, **connect)
            )
            self.node.on("eth_chainId", Reply(result=hex(NETWORK)))
            limit = RateLimiter(1, 60)
            await manager.connect_to_chain("b", planted.endpoint(port), rate_limit=limit, **connect)
            await self.met(lambda: manager.request("b", "echo", timeout=0.01))
            await self.met(lambda: manager.connect_to_chain("b", planted.endpoint(self.refused), **connect))
            await self.met(lambda: manager.request(SECRET[:4], "echo"))
            again = "&" if "?" in planted.path else "?"
            both = [planted.endpoint(port), f"{planted.endpoint(port)}{again}also=1"]
            await manager.connect_to_chain("c", both, retries=0, **connect)
            for method in ("status", "refused", "rpc"):
                await self.met(lambda m=method: manager.request("c", m, timeout=2))  # type: ignore[misc]

            async def group() -> None:
                async with asyncio.TaskGroup() as group:
                    group.create_task(manager.request("c", "rpc", [SECRET]))

            await self.met(group)
            # Both go away, and others are back in their places.
            self.node.on("eth_chainId", Reply(result=hex(NETWORK + 1)))
            for _ in range(5):
                await self.met(lambda: manager.request("c", "closed", timeout=2))
            self.node.on("eth_chainId", Reply(result=hex(NETWORK)))

    async def with_arguments(self) -> None:
        """What is refused before anything is sent, with the secret in it."""
        bad: list[dict[str, Any]] = [
            {"endpoint": f"ftp://127.0.0.1/{SECRET}"},
            {"endpoint": f"http://[{SECRET}/"},
            {"endpoint": f"http://127.0.0.1:{SECRET}/"},
            {"credentials": {"api_key": f"{SECRET}\n"}},
            {"credentials": {"api_key": f"{SECRET}\udc80"}},
            {"credentials": {"api_key": f"${{{SECRET}}}"}},
            {"credentials": {SECRET: SECRET}},
            {"credentials": {"api_key": SECRET, "placement": f"nowhere:{SECRET}"}},
            {"credentials": {"cookie_file": f"/nowhere/{SECRET}"}},
            {"credentials": {"jwt_secret": SECRET}},
            {"credentials": {"bearer_token": f"{SECRET}.{SECRET}.x"}},
            {"headers": {f"X {SECRET}": "1"}},
            {"headers": {"X-Key": f"{SECRET}\r\nX-More: 1"}},
            {"proxy": f"ftp://user:{SECRET}@127.0.0.1:9"},
            {"ca": SECRET.encode()},
            {"client_cert": SECRET.encode()},
            {"endpoint": "http://192.0.2.1/", "credentials": {"api_key": SECRET}},
        ]
        async with ChainManager() as manager:
            for arguments in bad:
                given = {"endpoint": "http://127.0.0.1:9", "timeout": 0.2, **arguments}
                await self.met(lambda g=given: manager.connect_to_chain("d", **g))  # type: ignore[misc]
        for shared in (f"redis://:{SECRET}@127.0.0.1:{self.refused}/x", f"ftp://:{SECRET}@127.0.0.1"):
            await self.met(
                lambda s=shared: limited(RateLimiter(1, 60, shared=s, name="canary", on_outage="closed"))
            )  # type: ignore[misc]
        keyed = security.RateLimiter(1, 60)
        await keyed.check_rate_limit(SECRET)
        await self.met(lambda: keyed.check_rate_limit(SECRET))


async def limited(limiter: RateLimiter) -> None:
    """Ask a limiter for what it cannot give in time."""
    await limiter.acquire(timeout=0.1)


def connection_of(pool: ConnectionPool, ask: Callable[[Any], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    """What is asked of a connection while it is held."""

    async def asking() -> Any:
        async with pool.acquire() as connection:
            return await ask(connection)

    return asking


def silent_port() -> socket.socket:
    """A server that lets everybody in and says nothing."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(64)
    return server
