"""A very large answer is decoded in slices, between which the event loop has its turn."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from genesis_replicator import ChainManager, RpcError
from genesis_replicator.testing import FaultServer, Reply
from servers.watched import Watched

#: Many times what one slice can hold, in containers that are put together in parts.
VALUE = {
    "list": [{"number": number, "text": "x" * 20} for number in range(100_000)],
    "dict": {str(number): [number] for number in range(100_000)},
}


@pytest.fixture
def large(node: FaultServer) -> None:
    node.on("large", Reply(raw_result=json.dumps(VALUE)))


@pytest.mark.usefixtures("large")
async def test_the_loop_has_its_turn_while_a_large_answer_is_decoded(chain: ChainManager) -> None:
    watched = Watched(chain.request("eth", "large"))
    assert await watched == VALUE
    assert watched.turns > 1


async def test_the_loop_has_its_turn_while_many_results_become_a_list(chain: ChainManager) -> None:
    watched = Watched(chain.request_many("eth", [("echo", [number]) for number in range(40_000)]))
    assert await watched == [[number] for number in range(40_000)]
    assert watched.turns > 1


@pytest.mark.usefixtures("large")
async def test_large_results_of_a_batch_are_decoded_in_turns(chain: ChainManager) -> None:
    async with chain.get_connection("eth") as connection:
        calls: list[tuple[str, Any]] = [("large", []), ("echo", [1]), ("nonsense", [])]
        watched = Watched(connection.batch(calls, return_exceptions=True))
        value, echo, error = await watched
    assert (value, echo) == (VALUE, [1])
    assert isinstance(error, RpcError)
    assert watched.turns > 1


@pytest.mark.usefixtures("large")
async def test_two_large_answers_are_decoded_side_by_side(chain: ChainManager) -> None:
    assert await asyncio.gather(*(chain.request("eth", "large") for _ in range(3))) == [VALUE] * 3


@pytest.mark.usefixtures("large")
async def test_a_call_may_be_cancelled_between_two_slices(chain: ChainManager) -> None:
    call = chain.request("eth", "large")
    inner = call.__await__()
    while (yielded := inner.send(None)) is not None:
        while not yielded.done():
            await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="being awaited already"):
        await call
    with pytest.raises(asyncio.CancelledError):
        call.throw(asyncio.CancelledError())
    assert await chain.request("eth", "eth_blockNumber") == "0x10"


@pytest.mark.usefixtures("large")
async def test_a_large_lazy_answer_becomes_the_real_thing(chain: ChainManager) -> None:
    lazy = await chain.request("eth", "large", decode="lazy")
    assert lazy.json() == VALUE
    assert lazy["list"][-1]["number"] == 99_999
    assert lazy["dict"]["99999"] == [99_999]
