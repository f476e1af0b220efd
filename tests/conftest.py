"""Fixtures: the servers, a started manager, and a logger that every test finds as it was."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from genesis_replicator.testing import FaultServer
from servers import anvil as anvil_server
from servers import devnet
from servers import redis as redis_server
from servers.devnet import Devnet
from servers.redis import RedisServer
from servers.socket_node import SocketNode

if TYPE_CHECKING:
    from genesis_replicator import ChainManager


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--uvloop", action="store_true", help="every event loop is one of uvloop")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--uvloop"):
        import uvloop

        # Not by pytest-asyncio's hook: tests that call asyncio.run are meant too, and the servers' threads.
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


@pytest.fixture(scope="session")
def anvil_command() -> str:
    """What starts a real node."""
    command = anvil_server.find()
    if command is None:
        if os.environ.get("GENESIS_REQUIRE_ANVIL") == "1":
            pytest.fail("GENESIS_REQUIRE_ANVIL=1, but there is no anvil; run npm ci in tests/node")
        pytest.skip("there is no anvil; run npm ci in tests/node")
    return command


@pytest.fixture(scope="session")
def anvil(anvil_command: str) -> Iterator[str]:
    """The URL of a real node."""
    with anvil_server.running(anvil_command) as anvil:
        yield anvil.url


@pytest.fixture(scope="session")
def redis_command() -> str:
    """What starts a redis-server."""
    command = redis_server.find()
    if command is None:
        if os.environ.get("GENESIS_REQUIRE_REDIS") == "1":
            pytest.fail(
                "GENESIS_REQUIRE_REDIS=1, but there is no redis-server; run apt-get install redis-server"
            )
        pytest.skip("there is no redis-server; run apt-get install redis-server")
    return command


@pytest.fixture
def redis(redis_command: str) -> Iterator[RedisServer]:
    """A server of this test's own."""
    with RedisServer(redis_command) as server:
        yield server


@pytest.fixture
def new_node() -> Iterator[Callable[[], FaultServer]]:
    """Makes as many scripted nodes as a test asks for."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(FaultServer())


@pytest.fixture
def node(new_node: Callable[[], FaultServer]) -> FaultServer:
    """One scripted node."""
    return new_node()


@pytest.fixture
async def socket_node() -> AsyncIterator[SocketNode]:
    """A node that is reached by a WebSocket."""
    async with SocketNode() as node:
        yield node


@pytest.fixture
def refused_port() -> int:
    """A port that refuses connections."""
    return anvil_server.free_port()


@pytest.fixture
async def manager() -> AsyncIterator[ChainManager]:
    """A started manager with the default bound of ten connections."""
    from genesis_replicator import ChainManager

    async with ChainManager() as manager:
        yield manager


@pytest.fixture
async def chain(manager: ChainManager, node: FaultServer) -> ChainManager:
    """The manager, connected to the scripted node as "eth"."""
    await manager.connect_to_chain("eth", node.url)
    return manager


@pytest.fixture
def net(anvil_command: str) -> Iterator[Devnet]:
    """A chain of this test's own, with three blocks."""
    with devnet.running(anvil_command) as net:
        net.mine(3)
        yield net


@pytest.fixture(params=["http", "ws"])
def url(request: pytest.FixtureRequest, net: Devnet) -> str:
    """Where it is, with and without sockets."""
    return net.url.replace("http", request.param)


@pytest.fixture
async def eth(manager: ChainManager, url: str) -> AsyncIterator[ChainManager]:
    """The manager, connected to it as "eth"."""
    await manager.connect_to_chain("eth", url)
    yield manager
    await manager.stop()


@pytest.fixture(autouse=True)
def _package_logger() -> Iterator[None]:
    logger = logging.getLogger("genesis_replicator")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers
