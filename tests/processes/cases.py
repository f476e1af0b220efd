"""The ways in which a process can end, fork and lose its event loops, each as a script.

A script is run with the URL of a node that never answers `slow`. It must end with status 0 and say nothing.
"""

from __future__ import annotations

import textwrap

PREPARE = """
import asyncio, gc, os, signal, sys, threading, time
from genesis_replicator import ChainManager, RateLimiter

async def prepare(bound=2):
    manager = ChainManager(max_connections=bound)
    await manager.start()
    await manager.connect_to_chain("eth", sys.argv[1])
    return manager

def leave(tasks):
    # That a task is destroyed while it is pending is asyncio's to say, and not what is tested.
    for task in tasks:
        task._log_destroy_pending = False
    return tasks
"""
IN_FLIGHT = {
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
    "a stream that is not read to its end": """
        async def main():
            global stream
            manager = await prepare()
            stream = manager.stream("eth", (("echo", [number]) for number in range(1000)))
            await anext(stream)
        asyncio.run(main())
        """,
    "a loop that is never closed": """
        loop = asyncio.new_event_loop()
        manager = loop.run_until_complete(prepare())
        tasks = leave([loop.create_task(manager.request("eth", "slow")) for _ in range(10)])
        tasks += leave([loop.create_task(manager.request("eth", "echo")) for _ in range(10)])
        loop.run_until_complete(asyncio.sleep(0.01))
        """,
    "os._exit": """
        async def main():
            manager = await prepare()
            tasks = [asyncio.create_task(manager.request("eth", "slow")) for _ in range(10)]
            await asyncio.sleep(0.01)
            os._exit(0)
        asyncio.run(main())
        """,
}
INTERRUPT = """
# What a shell begins in the background ignores SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)
def interrupt_soon():
    def interrupt():
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=interrupt).start()
"""
INTERRUPTED = {
    "SIGINT while all wait": """
        async def main():
            manager = await prepare()
            tasks = [asyncio.create_task(manager.request("eth", "slow")) for _ in range(10)]
            interrupt_soon()
            await asyncio.gather(*tasks)
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            sys.exit(0)
        raise AssertionError("it was not interrupted")
        """,
    "SIGINT among many answers": """
        async def ask(manager):
            while True:
                await manager.request("eth", "echo", [1])
        async def main():
            manager = await prepare()
            async with asyncio.TaskGroup() as group:
                for _ in range(20):
                    group.create_task(ask(manager))
                interrupt_soon()
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            sys.exit(0)
        raise AssertionError("it was not interrupted")
        """,
}
THREADS = {
    "a daemon thread with calls in flight": """
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
    "a daemon thread that calls when exit has begun": """
        import atexit
        begun, started = threading.Event(), threading.Event()
        async def main():
            manager = await prepare()
            stream = manager.stream("eth", [("echo", [1])])
            async with manager.get_connection("eth"):
                started.set()
                while not begun.is_set():
                    await asyncio.sleep(0)
            try:
                async with asyncio.timeout(0.01):
                    await manager.request("eth", "echo")
            except TimeoutError:
                pass
            try:
                async with asyncio.timeout(0.01):
                    await anext(stream)
            except TimeoutError:
                pass
            await manager.stop()
        # Called after the package's own, because that is registered later.
        atexit.register(lambda: (begun.set(), time.sleep(0.1)))
        threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
        assert started.wait(20)
        """,
    "two loops in two threads": """
        manager = asyncio.run(prepare(4))
        async def calls(thread):
            left = asyncio.create_task(manager.request("eth", "slow"))
            found = await asyncio.gather(*(manager.request("eth", "echo", [thread, i]) for i in range(20)))
            assert found == [[thread, i] for i in range(20)], found
        threads = [threading.Thread(target=lambda n=n: asyncio.run(calls(n))) for n in range(2)]
        for thread in threads:
            thread.start()
        """,
}
LOGS = {
    "a log handler that never returns": """
        import logging
        blocked = threading.Event()
        class Blocking(logging.Handler):
            # Not in emit, which holds a lock that Python's own logging waits for at exit.
            def handle(self, record):
                blocked.set()
                threading.Event().wait()
        logging.getLogger("genesis_replicator").addHandler(Blocking())
        logging.getLogger("genesis_replicator").setLevel(logging.DEBUG)
        async def main():
            manager = await prepare()
            task = asyncio.create_task(manager.request("eth", "slow"))
            assert blocked.wait(20)
            assert await manager.request("eth", "echo", [1]) == [1]
        asyncio.run(main())
        """,
}
LOOPS = {
    "a loop closed in flight": """
        loop = asyncio.new_event_loop()
        manager = loop.run_until_complete(prepare())
        tasks = leave([loop.create_task(manager.request("eth", "slow")) for _ in range(10)])
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
        del tasks, loop
        gc.collect()
        assert asyncio.run(manager.request("eth", "echo", [1])) == [1]
        asyncio.run(manager.stop())
        """,
    "a loop that is garbage-collected": """
        import weakref
        # Not one of uvloop, which keeps a loop alive whose reader knows the loop, whoever added that.
        loop = asyncio.SelectorEventLoop()
        manager = loop.run_until_complete(prepare())
        tasks = leave([loop.create_task(manager.request("eth", "slow")) for _ in range(10)])
        loop.run_until_complete(asyncio.sleep(0.01))
        left = weakref.ref(tasks[0])
        del tasks, loop
        gc.collect()
        assert left() is None
        metrics = asyncio.run(manager.get_pool_metrics())
        assert (metrics["active_connections"], metrics["waiting_requests"]) == (0, 0), metrics
        assert asyncio.run(manager.request("eth", "echo", [1])) == [1]
        asyncio.run(manager.stop())
        """,
    "ten loops one after the other": """
        async def main():
            manager = await prepare()
            assert await manager.request("eth", "echo", [1]) == [1]
            await manager.stop()
        for _ in range(10):
            asyncio.run(main())
        """,
}
FORK = """
# Python itself warns of a fork while other threads run; that is what is tested here.
import warnings
warnings.simplefilter("ignore")

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
loop = asyncio.new_event_loop()
old = loop.run_until_complete(prepare())
tasks = leave([loop.create_task(old.request("eth", "slow"))])
loop.run_until_complete(asyncio.sleep(0.01))
"""
FORKED = {
    "os.fork": """
        pid = os.fork()
        if pid == 0:
            child()
            sys.exit(0)
        status = os.waitpid(pid, 0)[1]
        assert os.waitstatus_to_exitcode(status) == 0, status
        """,
    "multiprocessing, fork": """
        import multiprocessing
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join(30)
        assert process.exitcode == 0, process.exitcode
        """,
}
AFTER_FORK = """
assert loop.run_until_complete(call(old)) == [1]
for task in tasks:
    task.cancel()
loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
loop.run_until_complete(old.stop())
"""
STARTED = {
    way: f"""
        import multiprocessing
        from processes.child import ask, ask_and_leave
        ask_and_leave(sys.argv[1])
        context = multiprocessing.get_context("{way}")
        process = context.Process(target=ask_and_leave, args=(sys.argv[1],))
        process.start()
        with context.Pool(2) as pool:
            assert pool.map(ask, [sys.argv[1]] * 4) == [[1]] * 4
        process.join(30)
        assert process.exitcode == 0, process.exitcode
        """
    for way in ("spawn", "forkserver")
}
SUBINTERPRETER = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

async def main():
    manager = await prepare()
    task = asyncio.create_task(manager.request("eth", "slow"))
    await asyncio.sleep(0)
    inner = interpreters.create()
    interpreters.run_string(inner, '''
try:
    import genesis_replicator
except ImportError as error:
    assert "subinterpreter" in str(error), error
else:
    raise AssertionError("it can be imported: say so in the README, and test it")
''')
    interpreters.destroy(inner)
    assert await manager.request("eth", "echo", [1]) == [1]

asyncio.run(main())
"""


def _all() -> dict[str, str]:
    found = {name: body for group in (IN_FLIGHT, THREADS, LOGS, LOOPS) for name, body in group.items()}
    found |= {name: INTERRUPT + textwrap.dedent(body) for name, body in INTERRUPTED.items()}
    found |= {name: FORK + textwrap.dedent(body) + AFTER_FORK for name, body in FORKED.items()}
    found |= {f"multiprocessing, {way}": body for way, body in STARTED.items()}
    found["a subinterpreter"] = SUBINTERPRETER
    return {name: PREPARE + textwrap.dedent(body) for name, body in found.items()}


#: Every script by what it is about.
CASES = _all()
