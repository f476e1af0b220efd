"""The table in docs/security.md names tests that exist, and what came of removing each defence."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs/security.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("|")
][2:]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_a_row_names_tests_that_exist_and_what_removing_the_guard_showed(row: list[str]) -> None:
    _, tests, removed = row
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", tests)
    assert named
    assert removed
    for file, test in named:
        nodes = ast.parse((TESTS / file).read_text()).body
        assert test in {getattr(node, "name", "") for node in nodes}, f"{file} has no {test}"


def test_every_test_of_the_canary_and_of_the_wire_is_in_the_table() -> None:
    files = [*TESTS.glob("canary/test_*.py"), TESTS / "test_wire_guards.py"]
    named = set(re.findall(r"::(\w+)`", PAGE))
    #: These judge the suite itself.
    own = {"test_every_error_of_the_package_was_met", "test_there_are_sixty_exits_and_more"}
    for file in files:
        names = {getattr(node, "name", "") for node in ast.parse(file.read_text()).body}
        tests = {name for name in names if name.startswith("test_") and "would_be_seen" not in name}
        assert tests - own <= named, file.name
