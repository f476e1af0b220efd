"""A worker: `python -m workers TASK`, with the task as JSON.

It prints `{"ready": true}` when its client is connected, and answers each `go SECONDS` on its standard input
with the figures of a round, as one line of JSON. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict

from workers.drive import Rounds
from workers.task import Open, Task

#: Which module has which client: a worker imports no other, so that its memory is its own.
CLIENTS = {
    "ours": "ours:open_manager",
    "ours RateLimiter": "ours:open_limiter",
    "aiohttp": "python_clients:open_aiohttp",
    "httpx": "python_clients:open_httpx",
    "niquests": "python_clients:open_niquests",
    "pyreqwest": "rust_clients:open_pyreqwest",
    "primp": "rust_clients:open_primp",
    "httpr": "rust_clients:open_httpr",
    "web3": "web3_clients:open_stock",
    "web3 pooled": "web3_clients:open_pooled",
    "web3 get_block": "web3_clients:open_get_block",
    "ours web3.eth": "web3_eth:open_ours",
    "web3.eth": "web3_eth:open_stock",
    "web3.eth pooled": "web3_eth:open_pooled",
    "web3.eth over nothing": "web3_eth:open_nothing",
    "aiolimiter": "python_parts:open_aiolimiter",
    "LifoQueue": "python_parts:open_pool",
    "LifoQueue, bare": "python_parts:open_bare_pool",
}


def opener(task: Task) -> Open:
    """What opens the client of the task."""
    module, function = CLIENTS[task.client].split(":")
    found: Open = getattr(importlib.import_module(f"workers.{module}"), function)
    return found


def main() -> None:
    """Serve until nobody asks any more."""
    task = Task(**json.loads(sys.argv[1]))
    open_client = opener(task)
    client = AsyncExitStack()
    with asyncio.Runner() as runner:
        ask = runner.run(client.enter_async_context(open_client(task)))
        rounds = Rounds(task, ask)
        print(json.dumps({"ready": True}), flush=True)
        for line in sys.stdin:
            figures = runner.run(rounds.run(float(line.removeprefix("go "))))
            print(json.dumps(asdict(figures)), flush=True)
        runner.run(client.aclose())


if __name__ == "__main__":
    main()
