"""The package in a process's life: import, exit with work in flight, signals, forks, lost event loops."""

from __future__ import annotations

import os

import pytest

from genesis_replicator.testing import FaultServer, Reply
from processes.cases import CASES
from processes.run import run, run_often

RUNS = 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("case", CASES)
def test_a_process_ends_with_status_0_and_in_silence(case: str, node: FaultServer) -> None:
    node.on("slow", Reply(hold=True))
    ends = list(run_often(RUNS, CASES[case], node.url))
    assert [end for end in ends if not end.clean] == []


def test_import_and_constructors_start_no_thread_and_need_no_loop() -> None:
    script = """
        import os
        import genesis_replicator as g
        import genesis_replicator.security as s
        import genesis_replicator.monitoring as m
        made = [g.ChainManager(), g.ConnectionPool("http://127.0.0.1:9"), g.RateLimiter(1), s.RateLimiter()]
        made.append(m.MetricsCollector())
        threads = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1
        assert threads == 1, threads
        """
    end = run(script)
    assert end.clean, end
