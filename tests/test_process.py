"""The package in a process's life: import, exit with work in flight, and fork."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from genesis_replicator.testing import FaultServer, Reply

RUNS = int(os.environ.get("GENESIS_EXIT_RUNS", "10"))


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a fresh interpreter, as a user does."""
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


def check_clean(outcome: subprocess.CompletedProcess[str]) -> None:
    """A script that ended well says so by its status and says nothing else."""
    assert (outcome.returncode, outcome.stderr) == (0, "")


PREPARE = """
import asyncio, sys, threading
from genesis_replicator import ChainManager, RateLimiter

async def prepare(bound=2):
    manager = ChainManager(max_connections=bound)
    await manager.start()
    await manager.connect_to_chain("eth", sys.argv[1])
    return manager
"""
SHAPES = {
    "a request in flight": """
        async def main():
            manager = await prepare()
            task = asyncio.create_task(manager.request("eth", "slow"))
            await manager.request("eth", "echo")
        asyncio.run(main())
        """,
    "a waiter in the queue": """
        async def main():
            manager = await prepare(1)
            global held
            held = await manager.get_connection("eth")
            tasks = [asyncio.create_task(manager.request("eth", "echo")) for _ in range(50)]
            await asyncio.sleep(0.01)
            await held.close()
        asyncio.run(main())
        """,
    "a limiter that waits": """
        async def main():
            limiter = RateLimiter(1, 60.0)
            await limiter.acquire()
            tasks = [asyncio.create_task(limiter.acquire()) for _ in range(50)]
            await asyncio.sleep(0.01)
        asyncio.run(main())
        """,
    "a loop that is never closed": """
        loop = asyncio.new_event_loop()
        manager = loop.run_until_complete(prepare())
        tasks = [loop.create_task(manager.request("eth", "slow")) for _ in range(10)]
        tasks += [loop.create_task(manager.request("eth", "echo")) for _ in range(10)]
        for task in tasks:
            task._log_destroy_pending = False
        loop.run_until_complete(asyncio.sleep(0.01))
        """,
    "a daemon thread": """
        started = threading.Event()
        async def main():
            manager = await prepare()
            tasks = [asyncio.create_task(manager.request("eth", "slow")) for _ in range(20)]
            await asyncio.sleep(0)
            started.set()
            await asyncio.gather(*tasks)
        threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
        started.wait(20)
        """,
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.timeout(60 + 5 * RUNS)
def test_a_process_that_ends_with_work_in_flight_ends_in_silence(shape: str, node: FaultServer) -> None:
    node.on("slow", Reply(hold=True))
    for _ in range(max(1, RUNS // len(SHAPES))):
        check_clean(run(PREPARE + textwrap.dedent(SHAPES[shape]), node.url))


def test_asyncio_run_works_ten_times_in_one_process(node: FaultServer) -> None:
    script = """
        async def main():
            manager = await prepare()
            assert await manager.request("eth", "echo", [1]) == [1]
            await manager.stop()
        for _ in range(10):
            asyncio.run(main())
        """
    check_clean(run(PREPARE + textwrap.dedent(script), node.url))


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
    check_clean(run(script))


FORK = """
    async def call(manager):
        return await manager.request("eth", "echo", [1])

    async def fresh():
        manager = await prepare()
        answer = await call(manager)
        await manager.stop()
        return answer

    def child():
        for use in (lambda: old.request("eth", "echo"), old.get_pool_metrics, limiter.acquire):
            try:
                asyncio.run(use())
            except RuntimeError as error:
                assert "fork" in str(error), error
            else:
                raise AssertionError("an object of the parent worked in the child")
        assert asyncio.run(fresh()) == [1]

    limiter = RateLimiter(5)
    old = asyncio.run(prepare())
    """
FORKS = {
    "os.fork": """
        import os
        pid = os.fork()
        if pid == 0:
            child()
            sys.exit(0)
        status = os.waitpid(pid, 0)[1]
        assert os.waitstatus_to_exitcode(status) == 0, status
        """,
    "multiprocessing": """
        import multiprocessing
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join(30)
        assert process.exitcode == 0, process.exitcode
        """,
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("way", FORKS)
def test_after_a_fork_old_objects_say_so_and_new_ones_work(way: str, node: FaultServer) -> None:
    script = textwrap.dedent(FORK) + textwrap.dedent(FORKS[way])
    script += "assert asyncio.run(call(old)) == [1]\nasyncio.run(old.stop())\n"
    # Python itself warns of a fork while other threads run; that is what is tested here.
    quiet = 'import warnings\nwarnings.simplefilter("ignore")\n'
    check_clean(run(quiet + PREPARE + script, node.url))
