"""The README's example runs as it stands, and its names and commands are there."""

import pkgutil
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


async def test_the_example_runs_against_a_real_node(
    anvil: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(example)
    await runpy.run_path(str(script))["main"](anvil)
    assert re.fullmatch(r"50 answers from chain 31337 over \d+ connections\n", capsys.readouterr().out)


def test_the_names_of_the_table_are_in_the_package() -> None:
    names = re.findall(r"^\| `([\w.]+)`", README, re.MULTILINE)
    assert len(names) >= 7
    for name in names:
        assert callable(pkgutil.resolve_name(f"genesis_replicator.{name}"))


def test_the_commands_are_targets_of_the_makefile() -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    commands = re.findall(r"\bmake ([\w-]+)", README)
    assert {"demo", "test", "wheel"} <= set(commands) <= set(targets)


def test_the_linked_files_are_there() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target
