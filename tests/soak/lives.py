"""Many runs of every way in which a process can end."""

from __future__ import annotations

from genesis_replicator.testing import FaultServer, Reply
from processes.cases import CASES
from processes.run import run_often
from soak.report import Part


def run(runs: int) -> Part:
    """So many runs of each."""
    part = Part(f"{runs} processes of each kind")
    with FaultServer() as node:
        node.on("slow", Reply(hold=True))
        for case, script in CASES.items():
            ends = list(run_often(runs, script, node.url))
            bad = [end for end in ends if not end.clean]
            slowest = f"slowest {max(end.seconds for end in ends):.1f} s"
            wrong = f", {len(bad)} bad: {bad[0].status} {bad[0].errors[:200]!r}" if bad else ""
            part.must(not bad, case, slowest + wrong)
    return part
