"""Celery workers keep to one limit together: the broker's Redis keeps it, too.

    pip install "celery[redis]" genesis-replicator
    redis-server --port 6379 &
    python examples/celery_limit.py

starts a worker with four processes, gives it tasks, and shows when they were admitted. In your own project
start the worker with `celery --app tasks worker`.
"""

from __future__ import annotations

import asyncio
import functools
import os
import subprocess
import sys
import time
from pathlib import Path

from celery import Celery

from genesis_replicator import RateLimiter

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
RATE = 20

app = Celery("celery_limit", broker=URL, backend=URL)


@functools.cache
def limiter() -> RateLimiter:
    """The party of the limit in each process, made at its first use: after Celery has forked."""
    return RateLimiter(RATE, 1.0, shared=URL, name="celery")


async def ask_node(number: int) -> str:
    """Where a request to a node would be."""
    async with limiter():
        return f"{time.time()} {number}"


@app.task(name="celery_limit.ask")  # type: ignore[misc,unused-ignore]
def ask(number: int) -> str:
    """A task: each has an event loop of its own, and all of them one limiter."""
    return asyncio.run(ask_node(number))


def main() -> None:
    """Start a worker, give it tasks for four seconds, and count."""
    command = [sys.executable, "-m", "celery", "--app", "celery_limit", "worker", "--concurrency", "4"]
    worker = subprocess.Popen([*command, "--loglevel", "WARNING"], cwd=Path(__file__).parent)
    try:
        asked = [ask.delay(number) for number in range(RATE * 4)]
        stamps = sorted(float(answer.get(timeout=60).split()[0]) for answer in asked)
    finally:
        worker.terminate()
        worker.wait()
    begin = stamps[0]
    for second in range(int(stamps[-1] - begin) + 1):
        count = sum(second <= stamp - begin < second + 1 for stamp in stamps)
        print(f"second {second}: {count} admissions, the limit is {RATE}")


if __name__ == "__main__":
    main()
