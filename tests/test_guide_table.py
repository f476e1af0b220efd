"""The table in docs/guide.md answers every advice of the guide, and names tests that exist."""

from __future__ import annotations

import ast
import re

import pytest

from servers import guide

ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (guide.ROOT / "docs/guide.md").read_text().splitlines()
    if line.startswith("|")
][2:]


def test_every_advice_of_the_guide_has_its_row_in_order() -> None:
    assert len(guide.advice()) == 23
    assert [row[0] for row in ROWS] == guide.advice()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_row_says_what_is_done_and_names_tests_that_exist(row: list[str]) -> None:
    assert len(row) == 3
    assert len(row[1]) > 20
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row[2])
    assert named
    for file, test in named:
        tree = ast.parse((guide.ROOT / "tests" / file).read_text())
        assert test in {getattr(node, "name", None) for node in tree.body}, f"{file} has no {test}"
