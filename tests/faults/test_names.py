"""Names that cannot be resolved, and name servers that say nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.balance import comes_to_rest
from genesis_replicator import ChainConnectionError, ChainManager
from genesis_replicator.testing import FaultServer
from servers.wait import soon

#: The address of a name server, which must have the port of name servers.
RESOLVER = "127.0.0.153"


async def test_a_name_that_does_not_exist_is_an_error_that_says_so(manager: ChainManager) -> None:
    # A host that is longer than any name is refused without asking anybody.
    with pytest.raises(ChainConnectionError, match="resolved") as caught:
        await soon(manager.connect_to_chain("eth", f"http://{'a' * 64}.invalid/secret"))
    assert "secret" not in str(caught.value)
    await comes_to_rest(manager)


SLOW = """
    import asyncio, os, sys
    from genesis_replicator import ChainManager, ConnectTimeoutError, PoolTimeoutError

    async def main():
        async with ChainManager() as manager:
            await manager.connect_to_chain("eth", sys.argv[1])
            connect = manager.connect_to_chain
            slow = (connect(f"c{i}", f"http://name{i}.example/", timeout=0.5) for i in range(1000))
            calls = asyncio.gather(*slow, return_exceptions=True)
            await asyncio.sleep(0.2)
            # Whoever has an address is not held up by those who wait for theirs.
            threads = len(os.listdir("/proc/self/task"))
            outcomes = await asyncio.wait_for(calls, 20)
            kinds = {type(outcome) for outcome in outcomes}
            assert kinds <= {ConnectTimeoutError, PoolTimeoutError}, outcomes
            assert any(isinstance(outcome, ConnectTimeoutError) for outcome in outcomes)
            assert threads <= 12, threads
            assert await manager.request("eth", "echo", [1], timeout=5) == [1]
            metrics = await manager.get_pool_metrics()
            assert metrics["waiting_requests"] == metrics["connecting"] == 0, metrics

    asyncio.run(main())
    """


@contextlib.contextmanager
def silent_name_server() -> Iterator[None]:
    """One that takes every question and answers none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        try:
            server.bind((RESOLVER, 53))
        except OSError as error:
            pytest.skip(f"no name server can be put here: {error}")
        yield


def test_name_servers_that_say_nothing_are_bounded_and_pile_up_no_threads(
    node: FaultServer, tmp_path: Path
) -> None:
    unshare, mount = shutil.which("unshare"), shutil.which("mount")
    if unshare is None or mount is None or os.geteuid() != 0:
        pytest.skip("only the superuser can give a process a name server of its own")
    (tmp_path / "resolv.conf").write_text(f"nameserver {RESOLVER}\noptions timeout:30 attempts:1\n")
    script = tmp_path / "slow.py"
    script.write_text(textwrap.dedent(SLOW))
    bind = f"{mount} --bind {tmp_path}/resolv.conf /etc/resolv.conf"
    command = [unshare, "--mount", "sh", "-c", f"{bind} && exec {sys.executable} {script} {node.url}"]
    with silent_name_server():
        outcome = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (outcome.returncode, outcome.stderr) == (0, "")
