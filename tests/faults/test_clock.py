"""Clocks that step: nothing that waits looks at the time of day."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[2] / "src/engine"
#: An event tells when it came; nothing waits for that time.
TELLING = {"limiter/keyed/event.rs"}
#: Whatever waits or measures. What others date is read elsewhere: tokens, and waits that a server names.
WAITING = ("chain", "deadline.rs", "limiter", "manager", "metrics", "pool", "transport")


@pytest.mark.parametrize("part", WAITING)
def test_what_waits_does_not_look_at_the_clock_that_may_step(part: str) -> None:
    path = ENGINE / part
    sources = [path] if path.is_file() else sorted(path.rglob("*.rs"))
    assert sources
    users = [source for source in sources if re.search(r"SystemTime|UNIX_EPOCH", source.read_text())]
    assert {source.relative_to(ENGINE).as_posix() for source in users} <= TELLING
