"""JSON-RPC with orjson over whatever can post bytes: the same code and checks for every HTTP client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson

from workers.task import PAUSE, Ask, Task, check

#: Posts a body and returns the status and the body that came back.
Post = Callable[[bytes], Awaitable[tuple[int, bytes | memoryview]]]

#: Calls in a batch.
BATCH = 100
#: Milliseconds that a late answer takes: long enough to have all of them in flight at a time.
DELAY = 2000
TRANSACTIONS = 150
HEADERS = {"content-type": "application/json"}


def over(post: Post, task: Task) -> Ask:
    """The work of the task by this client."""
    works = {"small": small, "block": block, "batch": batch, "delay": delay, "pause": pause}
    return works[task.work](post)


def small(post: Post) -> Ask:
    """A short answer, which shows the number that it was asked with."""

    async def ask(number: int) -> None:
        check(await call(post, number, "eth_blockNumber", [number]) == hex(number))

    return ask


def block(post: Post) -> Ask:
    """A block of 200 KB with its transactions."""

    async def ask(number: int) -> None:
        check_block(await call(post, number, "eth_getBlockByNumber", [hex(number), True]))

    return ask


def delay(post: Post) -> Ask:
    """An answer that comes late."""

    async def ask(number: int) -> None:
        check(await call(post, number, "delay", [DELAY]) == hex(DELAY))

    return ask


def pause(post: Post) -> Ask:
    """An answer that takes a moment."""

    async def ask(number: int) -> None:
        check(await call(post, number, "delay", [PAUSE]) == hex(PAUSE))

    return ask


def batch(post: Post) -> Ask:
    """A batch of short answers."""

    async def ask(number: int) -> None:
        numbers = range(number * BATCH, (number + 1) * BATCH)
        status, body = await post(orjson.dumps([envelope(id_, "eth_blockNumber", [id_]) for id_ in numbers]))
        check(status == 200)
        results = {answer["id"]: answer["result"] for answer in orjson.loads(body)}
        check_batch([results[id_] for id_ in numbers], number)

    return ask


async def call(post: Post, id_: int, method: str, params: list[Any]) -> Any:
    """The result of one call."""
    status, body = await post(orjson.dumps(envelope(id_, method, params)))
    check(status == 200)
    answer = orjson.loads(body)
    check(answer["id"] == id_)
    return answer["result"]


def envelope(id_: int, method: str, params: list[Any]) -> dict[str, Any]:
    """A call as JSON-RPC has it."""
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": params}


def check_block(result: Any) -> None:
    """Three fields of a block."""
    check(result["number"] == "0x1312d00")
    check(len(result["transactions"]) == TRANSACTIONS)
    check(result["transactions"][-1]["type"] == "0x2")


def check_batch(results: Sequence[object], number: int) -> None:
    """All answers of the batch with this number."""
    check(results == [hex(id_) for id_ in range(number * BATCH, (number + 1) * BATCH)])
