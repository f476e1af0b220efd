"""The proof run in small; `make soak` makes a hundred thousand calls."""

from __future__ import annotations

import pytest

from faults.proof import HEALTHY, OUTCOMES, prove

CALLS = 5_000
#: By how many seconds a call may end late on a machine that does many other things.
LATE = 5.0


@pytest.mark.timeout(120)
async def test_every_answer_is_right_every_call_ends_in_time_and_no_slot_is_lost() -> None:
    proof = await prove(CALLS)
    assert proof.violations == []
    assert proof.latest < LATE
    assert proof.counts.total() == CALLS
    assert proof.counts[HEALTHY, "an answer"] > CALLS / 2
    assert {fault for fault, outcome in proof.counts if outcome != "an answer"} == set(OUTCOMES)
