"""What a process prints, with everything turned on that makes it talk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from canary.forms import SECRET
from genesis_replicator.testing import FaultServer, Reply

SCRIPT = """
import asyncio, faulthandler, logging, os, sys, traceback
from genesis_replicator import ChainManager

mode, url = sys.argv[1:]
logging.basicConfig(level=1, stream=sys.stdout)

async def main():
    async with ChainManager() as manager:
        await manager.connect_to_chain("eth", url + "/v3/${CANARY}", {"bearer_token": "${CANARY}"})
        await manager.request("eth", "echo", [1])
        if mode == "lost":
            asyncio.ensure_future(manager.request("eth", "fail"))
            await asyncio.sleep(0.2)
        elif mode == "locals":
            try:
                await manager.request("eth", "fail")
            except Exception as error:
                report = traceback.TracebackException.from_exception(error, capture_locals=True)
                print("".join(report.format()))
        elif mode == "faulthandler":
            faulthandler.dump_traceback(all_threads=True)
        elif mode == "thread":
            import threading
            worker = threading.Thread(target=lambda: asyncio.run(manager.request("eth", "fail")))
            worker.start()
            worker.join()
        elif mode == "never awaited":
            manager.request("eth", "fail")
            manager.connect_to_chain("more", url, {"api_key": os.environ["CANARY"]})
        elif mode == "uncaught":
            await manager.request("eth", "fail")
        elif mode == "abort":
            # Records cross ten times a second.
            await asyncio.sleep(0.3)
            faulthandler.enable()
            os.abort()

asyncio.run(main())
"""
#: How the process ends, and what it says of it.
MODES = {
    "lost": (0, "never retrieved"),
    "locals": (0, ""),
    "faulthandler": (0, "most recent call first"),
    "thread": (0, "RpcError"),
    "never awaited": (0, "never awaited"),
    "uncaught": (1, "RpcError"),
    "abort": (-6, "Fatal Python error"),
}
TALKATIVE = {"PYTHONASYNCIODEBUG": "1", "PYTHONDEVMODE": "1", "RUST_LOG": "trace", "RUST_BACKTRACE": "full"}


@pytest.fixture
def telling(node: FaultServer) -> FaultServer:
    """A node that says the secret when it fails."""
    node.on("fail", Reply(error={"code": -1, "message": f"bad key {SECRET}", "data": SECRET}))
    return node


@pytest.mark.parametrize("mode", MODES)
def test_no_output_of_a_process_has_it(mode: str, telling: FaultServer, tmp_path: Path) -> None:
    script = tmp_path / "bot.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, **TALKATIVE, "CANARY": SECRET}
    command = [sys.executable, "-X", "tracemalloc=5", str(script), mode, telling.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    status, said = MODES[mode]
    assert (done.returncode, said in done.stdout + done.stderr) == (status, True), done.stderr
    assert any(seen.headers.get("authorization") == f"Bearer {SECRET}" for seen in telling.seen)
    assert "DEBUG:genesis_replicator" in done.stdout
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("ends", ["well", "in a refusal", "in an error"])
def test_no_output_of_the_command_line_has_it(ends: str, telling: FaultServer) -> None:
    if ends != "well":
        status = 401 if ends == "in a refusal" else 500
        for method in ("eth_chainId", "eth_blockNumber", "getblockchaininfo"):
            telling.on(method, Reply(status=status, body=f"no: {SECRET}".encode()))
    environment = {**os.environ, **TALKATIVE, "CANARY": SECRET}
    command = [sys.executable, "-m", "genesis_replicator", "check", f"{telling.url}/v3/{SECRET}"]
    command += ["--api-key-env", "CANARY"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert telling.seen
    assert (done.returncode == 0) == (ends == "well")
    assert SECRET not in done.stdout + done.stderr
