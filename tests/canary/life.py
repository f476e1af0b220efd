"""One life with a secret: connecting, calls, every error, the end. The exits read what it leaves."""

from __future__ import annotations

import asyncio
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from canary.forms import Planted
from canary.trouble import NETWORK, Trouble, answers
from genesis_replicator import ChainManager, ConnectionPool, MetricsCollector, RateLimiter
from genesis_replicator.testing import FaultServer, Reply


class Life:
    """What one life leaves behind."""

    def __init__(self) -> None:
        self.objects: list[Any] = []
        self.errors: list[BaseException] = []
        self.records: list[logging.LogRecord] = []
        #: What the package tells of itself: status, metrics, answers to `verify_credentials`.
        self.told: list[Any] = []
        self.warned: list[str] = []
        #: What the loop's own handler for exceptions was told.
        self.unhandled: list[str] = []

    async def live(self, planted: Planted, node: FaultServer, silent: int, refused: int) -> None:
        """All of it."""
        with _logged(self.records), _warned(self.warned):
            asyncio.get_running_loop().set_exception_handler(
                lambda _, context: self.unhandled.append(repr(context))
            )
            asyncio.get_running_loop().set_debug(True)
            script(node, planted.secret)
            await self._succeed(planted, node)
            self.errors = await Trouble(planted, node, silent, refused).everywhere()
            # The queue of records crosses ten times a second.
            await asyncio.sleep(0.25)

    def end(self) -> None:
        """Nobody awaits these any more."""
        for value in self.objects:
            if asyncio.iscoroutine(value):
                value.close()

    async def _succeed(self, planted: Planted, node: FaultServer) -> None:
        collector = MetricsCollector()
        collector.alert(
            "error_rate", above=-1.0, callback=lambda name, value: self.told.append((name, value))
        )
        manager = ChainManager(metrics=collector)
        self.objects += [collector, manager]
        async with manager:
            connecting = manager.connect_to_chain(
                "eth",
                planted.endpoint(node.port),
                planted.credentials,
                rate_limit=1000,
                cache=True,
                **planted.arguments,
            )
            task = asyncio.ensure_future(connecting)
            self.objects += [connecting, task]
            await task
            for decode in ("json", "raw", "lazy"):
                self.objects.append(await manager.request("eth", "status of node", decode=decode))
            await manager.request_many("eth", [("echo", [n]) for n in range(10)])
            stream = manager.stream("eth", [("echo", [n]) for n in range(3)])
            self.objects += [stream, [item async for item in stream]]
            async with manager.get_connection("eth") as connection:
                await connection.batch([("echo", [1]), ("echo", [2])])
                self.objects.append(connection)
            self.told += [await manager.verify_credentials("eth"), await manager.get_connected_chains()]
            self.told += [await manager.get_chain_status("eth"), await manager.get_pool_metrics()]
            self.told += [
                await manager.get_pool_metrics("eth"),
                collector.snapshot(),
                collector.prometheus_text(),
            ]
            lost = await manager.get_connection("eth")
            del lost
        pool = ConnectionPool(planted.endpoint(node.port), planted.credentials, **planted.arguments)
        self.objects += [pool, pool.acquire(), RateLimiter(5, 1.0)]
        async with pool:
            async with pool.acquire() as connection:
                self.objects += [connection, connection.request("echo", [1])]
            self.told.append(await pool.get_metrics())


def script(node: FaultServer, secret: str) -> None:
    """What the node answers. To `echo of all` it says what it got."""
    node.on("eth_chainId", Reply(result=hex(NETWORK)))
    node.on("status of node", Reply(result={"a": [1, 2, {"b": "c"}]}))
    for method, reply in answers(secret).items():
        node.on(method, reply)

    def say_it(_: Any) -> Reply:
        seen = node.seen[-1]
        return Reply(
            error={"code": -1, "message": f"got {seen.headers} at {seen.path}", "data": dict(seen.headers)}
        )

    node.on("echo of all", say_it)


@contextmanager
def _logged(records: list[logging.LogRecord]) -> Iterator[None]:
    """Everything that anybody logs, at every level."""

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    root, package, keep = logging.getLogger(), logging.getLogger("genesis_replicator"), Keep(1)
    levels = [(logger, logger.level) for logger in (root, package)]
    root.addHandler(keep)
    for logger, _ in levels:
        logger.setLevel(1)
    try:
        yield
    finally:
        root.removeHandler(keep)
        for logger, level in levels:
            logger.setLevel(level)


@contextmanager
def _warned(warned: list[str]) -> Iterator[None]:
    """Everything that is warned of, in the words in which it is printed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    warned += [warnings.formatwarning(one.message, one.category, one.filename, one.lineno) for one in caught]
    warned += [repr(vars(one)) for one in caught]


def formatted(records: list[logging.LogRecord]) -> str:
    """The records as a handler with the usual format writes them."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(pathname)s %(message)s"))
    for record in records:
        handler.handle(record)
    return out.getvalue()
