"""Processes that are interrupted, killed or forked, as their node sees them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from genesis_replicator.testing import FaultServer, Reply
from servers.wait import SOON, until


def wait_until(condition: Callable[[], object]) -> None:
    asyncio.run(until(condition))


CALLER = """
    import asyncio, signal, sys
    from genesis_replicator import ChainManager

    # What a shell begins in the background ignores SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    async def main():
        async with ChainManager() as manager:
            await manager.connect_to_chain("eth", sys.argv[1])
            await asyncio.gather(*(manager.request("eth", "held") for _ in range(5)))

    asyncio.run(main())
    """


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_is_ended_with_calls_in_flight_leaves_nothing_at_the_node(
    number: signal.Signals, node: FaultServer
) -> None:
    node.on("held", Reply(hold=True))
    command = [sys.executable, "-c", textwrap.dedent(CALLER), node.url]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: node.in_flight == 5)
        process.send_signal(number)
        _, errors = process.communicate(timeout=SOON)
    assert process.returncode == -number
    assert [line for line in errors.splitlines() if "genesis" in line or "panic" in line] == []
    assert errors.strip().endswith("KeyboardInterrupt") or number != signal.SIGINT
    wait_until(lambda: node.open == 0)


FORK = """
    import asyncio, os, sys, warnings
    from genesis_replicator import ChainManager
    warnings.simplefilter("ignore", DeprecationWarning)

    async def connect():
        manager = ChainManager()
        await manager.start()
        await manager.connect_to_chain("eth", sys.argv[1], ca=sys.argv[2])
        return manager

    manager = asyncio.run(connect())
    for _ in range(3):
        if (child := os.fork()) == 0:
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert asyncio.run(manager.request("eth", "echo", [1])) == [1]
    asyncio.run(manager.stop())
    """


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
def test_a_child_that_ends_closes_no_connection_of_its_parent(*, http2: bool, tmp_path: Path) -> None:
    with FaultServer(tls=True, http2=http2) as server:
        ca = tmp_path / "ca.pem"
        ca.write_bytes(server.ca or b"")
        command = [sys.executable, "-c", textwrap.dedent(FORK), server.url, str(ca)]
        outcome = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
        assert (outcome.returncode, outcome.stderr) == (0, "")
        assert server.accepted == 1


LOOPS = """
    import asyncio, sys
    from genesis_replicator import ChainManager
    unraisable = []
    sys.unraisablehook = unraisable.append
    manager = ChainManager(max_connections=4)

    async def begin():
        await manager.start()
        await manager.connect_to_chain("eth", sys.argv[1])

    async def leave():
        tasks = [asyncio.create_task(manager.request("eth", "echo", [i])) for i in range(3)]
        await asyncio.sleep(0)

    asyncio.run(begin())
    for _ in range(2000):
        asyncio.run(leave())
    assert asyncio.run(manager.request("eth", "echo", [1])) == [1]
    metrics = asyncio.run(manager.get_pool_metrics())
    assert metrics["active_connections"] == metrics["waiting_requests"] == 0, metrics
    asyncio.run(manager.stop())
    assert not unraisable, unraisable
    """


def test_thousands_of_loops_that_end_with_calls_in_flight_say_nothing(node: FaultServer) -> None:
    command = [sys.executable, "-c", textwrap.dedent(LOOPS), node.url]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=55, check=False)
    assert (outcome.returncode, outcome.stderr) == (0, "")
