"""The table in docs/faults.md names tests that exist, and every test of this folder is in it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (TESTS.parent / "docs/faults.md").read_text().splitlines()
    if line.startswith("|")
][2:]


def named(row: list[str]) -> set[tuple[str, str]]:
    """The tests of a row, each with its file."""
    return set(re.findall(r"`([\w/]+\.(?:py|rs))::(\w+)`", row[2]))


def names_in(path: Path) -> set[str]:
    """The names of a file's tests, in Python or in Rust."""
    if path.suffix == ".rs":
        return set(re.findall(r"#\[tokio::test[^\]]*\]\s*async fn (\w+)\(", path.read_text()))
    names = (getattr(node, "name", "") for node in ast.parse(path.read_text()).body)
    return {name for name in names if name.startswith("test_")}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_says_what_happens_and_names_tests_that_exist(row: list[str]) -> None:
    assert len(row) == 3
    assert len(row[1]) > 20
    assert named(row)
    for file, test in named(row):
        assert test in names_in(TESTS / file), f"{file} has no {test}"


def test_every_test_of_a_fault_has_its_row() -> None:
    files = set(Path(__file__).parent.glob("test_*.py")) - {Path(__file__)}
    here = {(f"faults/{file.name}", test) for file in files for test in names_in(file)}
    assert here <= {pair for row in ROWS for pair in named(row)}
