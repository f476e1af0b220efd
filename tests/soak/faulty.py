"""Calls of which a third meet a fault: the proof run of `tests/faults`, as long as one likes."""

from __future__ import annotations

import asyncio

from faults.proof import prove
from soak.report import Part

#: By how many seconds a call may end late on a machine that does many other things.
LATE = 5.0


def run(count: int) -> Part:
    """So many calls."""
    part = Part(f"{count:,} calls, a third with a fault")
    proof = asyncio.run(prove(count))
    for (fault, outcome), times in sorted(proof.counts.items()):
        part.tell(f"{fault}: {outcome}", f"{times:,}")
    part.tell("seconds", f"{proof.seconds:.0f}")
    part.must(not proof.violations, "violations", f"{len(proof.violations)} {proof.violations[:1]}")
    part.must(proof.latest < LATE, "the latest after its deadline", f"{proof.latest * 1e3:+.0f} ms")
    return part
