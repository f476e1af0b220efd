"""Every snippet of the guide runs as it is printed, and does what the guide says."""

from __future__ import annotations

import hashlib
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from genesis_replicator.testing import FaultServer, Reply
from servers import guide

Names = dict[str, Any]
MakeNames = Callable[[str], Awaitable[Names]]


@pytest.fixture
async def prelude() -> AsyncIterator[MakeNames]:
    """Makes the names of the prelude for an endpoint, with the manager started; stops it at the end."""
    made: list[Names] = []

    async def make(endpoint: str) -> Names:
        names: Names = {"__name__": "guide"}
        await guide.run(guide.pointed_at(guide.PRELUDE, endpoint), names)
        await names["manager"].start()
        made.append({"manager": names["manager"], "names": names})
        return names

    yield make
    for entry in made:
        if "connection" in entry["names"]:
            await entry["names"]["connection"].close()
        await entry["manager"].stop()
        await entry["names"]["manager"].stop()


async def connect(names: Names) -> None:
    """Connect the prelude's chain."""
    await names["manager"].connect_to_chain(names["chain_id"], names["endpoint"], names["credentials"])


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the snippet's own logger said."""
    return [record.getMessage() for record in caplog.records if record.name == "guide"]


def test_the_copy_of_the_guide_is_the_guide() -> None:
    digest = hashlib.sha256(guide.TEXT.encode()).hexdigest()
    assert digest == "f781edf3ad35e1cf06264c3661092b941b0e59c4f117db680186b7eaaddc0b10"
    assert len(guide.SNIPPETS) == 11


@pytest.mark.parametrize("source", guide.SNIPPETS, ids=range(1, 12))
async def test_snippet_runs_as_printed(source: str, anvil: str, prelude: MakeNames) -> None:
    names = await prelude(anvil)
    if "perform_" in source or "debug_connection" in source:
        await connect(names)
    source = guide.pointed_at(source, anvil)
    await guide.run(source, names)
    for name in guide.functions(source):
        function = names[name]
        await function(*(names[parameter] for parameter in inspect.signature(function).parameters))


async def test_configuration_and_connection_snippets_give_a_pooled_connection(
    anvil: str, prelude: MakeNames
) -> None:
    names = await prelude(anvil)
    for text in ("# Configure pool size", "# Reuse connection from pool"):
        await guide.run(guide.pointed_at(guide.snippet(text), anvil), names)
    assert await names["manager"].get_connected_chains() == ["eth_mainnet"]
    assert await names["connection"].request("eth_chainId") == hex(31337)


async def test_parallel_snippet_connects_every_chain(anvil: str, prelude: MakeNames) -> None:
    names = await prelude(anvil)
    await guide.run(guide.snippet("process_multiple_chains"), names)
    await names["process_multiple_chains"]()
    assert sorted(await names["manager"].get_connected_chains()) == sorted(names["chains"])


async def test_timeout_snippet_logs_that_the_attempt_timed_out(
    node: FaultServer, prelude: MakeNames, caplog: pytest.LogCaptureFixture
) -> None:
    node.on("eth_chainId", Reply(hold=True))
    names = await prelude(node.url)
    await guide.run(guide.snippet("asyncio.timeout"), names)
    assert messages(caplog) == ["Connection attempt timed out"]
    assert await names["manager"].get_connected_chains() == []


async def test_connection_error_snippet_logs_why_there_is_no_connection(
    anvil: str, prelude: MakeNames, caplog: pytest.LogCaptureFixture
) -> None:
    names = await prelude(anvil)
    await guide.run(guide.snippet("except ChainConnectionError"), names)
    (message,) = messages(caplog)
    assert message.startswith("Connection error: ")
    assert "eth_mainnet" in message


async def test_pool_metrics_snippet_warns_above_80_percent_and_only_then(
    anvil: str, prelude: MakeNames, caplog: pytest.LogCaptureFixture
) -> None:
    from genesis_replicator import ChainManager

    names = await prelude(anvil)
    snippet = guide.snippet("pool_utilization")
    async with ChainManager(max_connections=1) as names["manager"]:
        await connect(names)
        await guide.run(snippet, names)
        assert messages(caplog) == []
        async with names["manager"].get_connection("eth_mainnet"):
            await guide.run(snippet, names)
        assert messages(caplog) == ["High pool utilization"]


async def test_performance_snippet_records_the_duration(anvil: str, prelude: MakeNames) -> None:
    names = await prelude(anvil)
    await connect(names)
    await guide.run(guide.snippet("record_duration"), names)
    assert names["metrics_collector"].quantile(0.5) is None
    await names["track_operation_performance"]()
    assert names["metrics_collector"].quantile(0.5) > 0


@pytest.mark.parametrize("credentials", [{}, {"api_key": "your_key"}, {"api_key": "x" * 32}])
async def test_credential_snippet_refuses_bad_credentials(
    credentials: dict[str, str], anvil: str, prelude: MakeNames
) -> None:
    names = await prelude(anvil)
    await guide.run(guide.snippet("secure_connect"), names)
    with pytest.raises(names["SecurityError"], match="Invalid credentials"):
        await names["secure_connect"]("eth_mainnet", credentials)
    assert await names["manager"].get_connected_chains() == []


async def test_keyed_limit_snippet_refuses_the_request_after_the_hundredth(
    anvil: str, prelude: MakeNames
) -> None:
    names = await prelude(anvil)
    await guide.run(guide.snippet("check_rate_limit"), names)
    for _ in range(99):
        assert await names["rate_limiter"].check_rate_limit("client-1")
    with pytest.raises(names["SecurityError"]):
        await names["rate_limiter"].check_rate_limit("client-1")


async def test_debug_snippet_logs_the_connection_and_gives_it_back(
    anvil: str, prelude: MakeNames, caplog: pytest.LogCaptureFixture
) -> None:
    names = await prelude(anvil)
    await connect(names)
    with caplog.at_level(logging.DEBUG, "guide"):
        await guide.run(guide.snippet("debug_connection"), names)
        await names["debug_connection"]()
    got, closed = messages(caplog)
    assert got.removeprefix("Got connection: ")
    assert closed == "Connection closed"
    assert (await names["manager"].get_pool_metrics())["active_connections"] == 0
    assert logging.getLogger("genesis_replicator").level == logging.DEBUG
