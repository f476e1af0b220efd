"""The code of docs/web3.md runs, before and after."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("web3")

PAGE = Path(__file__).parent.parent.parent / "docs/web3.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


async def test_the_code_of_the_page_runs(twins: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    from over_web3.pinger import set_up

    for node in twins:
        set_up(node)
    names: dict[str, Any] = {"url": twins[0], "other": twins[1]}
    for block in BLOCKS:
        code = compile(block, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if awaited := eval(code, names):  # noqa: S307 - it is our own
            await awaited
        if "w3" in names:
            await names.pop("w3").provider.disconnect()
    assert len(BLOCKS) == 11
    assert set(capsys.readouterr().out.split()) <= {"0", "0x0"}
