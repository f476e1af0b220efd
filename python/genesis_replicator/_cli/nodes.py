"""The demo's Ethereum node: a local anvil where there is one, else the scripted one."""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from genesis_replicator._cli.scripted_node import ScriptedNode

CHAIN_ID = 31337
START_SECONDS = 15.0
STOP_SECONDS = 5.0
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Node:
    """A node that runs: where it listens, and a sentence that says what it is."""

    url: str
    what: str


@asynccontextmanager
async def ethereum_node() -> AsyncIterator[Node]:
    """Run a node; whatever was started has ended when the block is left."""
    async with AsyncExitStack() as started:
        path = find_anvil()
        if path is None:
            reason = "no anvil was found; npm has one, @foundry-rs/anvil"
        elif (node := await started.enter_async_context(_anvil(path))) is not None:
            yield node
            return
        else:
            reason = f"{path} does not start here"
        scripted = await started.enter_async_context(ScriptedNode(CHAIN_ID))
        yield Node(scripted.url, f"a scripted node ({reason})")


def find_anvil() -> Path | None:
    """`$GENESIS_ANVIL`, or the one on the path."""
    found = os.environ.get("GENESIS_ANVIL") or shutil.which("anvil")
    return Path(found) if found else None


@asynccontextmanager
async def _anvil(path: Path) -> AsyncIterator[Node | None]:
    """Run the program at `path`; `None` if it does not come to listen."""
    port = _free_port()
    try:
        process = await asyncio.create_subprocess_exec(
            path,
            *("--host", "127.0.0.1", "--port", str(port), "--chain-id", str(CHAIN_ID), "--silent"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            # Ctrl-C reaches this process only, which then ends the node in its own time.
            start_new_session=True,
        )
    except OSError:
        yield None
        return
    try:
        listens = await _listens(process, port)
        what = f"anvil on port {port}, process {process.pid}"
        yield Node(f"http://127.0.0.1:{port}", what) if listens else None
    finally:
        await _end(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _listens(process: asyncio.subprocess.Process, port: int) -> bool:
    """Whether the process opens its port before it ends or the time is up."""
    deadline = asyncio.get_running_loop().time() + START_SECONDS
    while process.returncode is None and asyncio.get_running_loop().time() < deadline:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(POLL_SECONDS)
        else:
            writer.close()
            return True
    return False


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
