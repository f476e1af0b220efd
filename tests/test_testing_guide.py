"""The bot of docs/testing.md and its tests run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from genesis_replicator import testing

TEXT = (Path(__file__).parent.parent / "docs/testing.md").read_text()


def test_the_bot_passes_its_tests_in_a_project_of_its_own(tmp_path: Path) -> None:
    bot, tests = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "bot.py").write_text(bot)
    (tmp_path / "test_bot.py").write_text(tests)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    # Not every project has pytest-asyncio, which wants settings of its own.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    outcome = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=55, check=False)
    assert outcome.returncode == 0, outcome.stdout
    assert "7 passed" in outcome.stdout


def test_the_names_of_the_page_are_in_the_package() -> None:
    names = set(re.findall(r"`(?:\w+\.)?([A-Z]\w+)\b", TEXT))
    assert {"FaultServer", "ToxicProxy", "Reply", "FAULTS", "Authority", "Latency", "Timeout"} <= names
    assert names <= set(testing.__all__)


def test_every_toxic_and_every_field_of_a_reply_that_is_named_is_there() -> None:
    fields = re.findall(r"`(\w+)`", TEXT[TEXT.index("changes one\nthing") : TEXT.index("with `wire`")])
    assert len(fields) > 10
    assert set(fields) <= set(testing.Reply.__dataclass_fields__)
