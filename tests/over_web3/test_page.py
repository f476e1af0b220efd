"""The code of docs/web3.md runs, before and after."""

from __future__ import annotations

import ast
import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("web3")

from servers.anvil import ask

PAGE = Path(__file__).parent.parent.parent / "docs/web3.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


async def mine(url: str, done: asyncio.Event) -> None:
    """New blocks, for those who wait for one."""
    while not done.is_set():
        await asyncio.to_thread(ask, url, "anvil_mine")
        await asyncio.sleep(0.05)


async def run(block: str, names: dict[str, Any]) -> None:
    code = compile(block, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if awaited := eval(code, names):  # noqa: S307 - it is our own
        await awaited
    if "w3" in names:
        await names.pop("w3").provider.disconnect()


async def test_the_code_of_the_page_runs(anvil: str, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"url": anvil, "other": anvil, "socket_url": anvil.replace("http", "ws", 1)}
    done = asyncio.Event()
    async with asyncio.TaskGroup() as mining:
        mining.create_task(mine(anvil, done))
        for block in BLOCKS:
            await run(block, names)
        done.set()
    assert len(BLOCKS) == 13
    assert len([int(number, 0) for number in capsys.readouterr().out.split()]) == 12
