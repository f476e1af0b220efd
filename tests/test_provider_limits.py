"""Providers that refuse for the rate, each in its own words: nobody asks again before it is allowed."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from genesis_replicator import ChainManager, ConfigurationError, LimiterTimeoutError
from genesis_replicator.testing import FaultServer, Reply

#: How providers say it, and the seconds that they ask for; one second where they do not tell.
REFUSALS: dict[str, tuple[dict[str, Any], float]] = {
    "429 with seconds": ({"status": 429, "headers": {"retry-after": "1"}, "body": b""}, 1.0),
    "503 with seconds": ({"status": 503, "headers": {"retry-after": "1"}, "body": b""}, 1.0),
    "429 without a word": ({"status": 429, "body": b""}, 1.0),
    "429 with a page": ({"status": 429, "body": b"error code: 1015"}, 1.0),
    "ratelimit header": (
        {"status": 429, "headers": {"ratelimit": '"default";r=0;t=1'}, "body": b""},
        1.0,
    ),
    "ratelimit headers of the older draft": (
        {"status": 429, "headers": {"ratelimit-remaining": "0", "ratelimit-reset": "1"}, "body": b""},
        1.0,
    ),
    "Infura": (
        {
            "error": {
                "code": -32005,
                "message": "project ID request rate exceeded",
                "data": {"rate": {"allowed_rps": 1, "backoff_seconds": 1, "current_rps": 1.4}},
            }
        },
        1.0,
    ),
    "Infura, newer": ({"status": 429, "error": {"code": 429, "message": "Too Many Requests"}}, 1.0),
    "Alchemy": (
        {"error": {"code": 429, "message": "Your app has exceeded its compute units per second capacity"}},
        1.0,
    ),
    "QuickNode": (
        {"error": {"code": -32007, "message": "15/second request limit reached - reduce calls per second"}},
        1.0,
    ),
    "QuickNode, credits": ({"error": {"code": -32012, "message": "credits limited to 6000/sec"}}, 1.0),
    "Ankr": ({"error": {"code": -32090, "message": "call rate limit exhausted"}}, 1.0),
    "Chainstack": (
        {
            "error": {
                "code": -32005,
                "message": "You've exceeded the RPS limit available on the current plan, try again in 700ms",
            }
        },
        0.7,
    ),
    "Cloudflare": ({"error": {"code": -32046, "message": "Cannot fulfill request"}}, 1.0),
    "Tenderly": ({"status": 429, "error": {"code": -32005, "message": "rate limit exceeded"}}, 1.0),
}
CALLERS = 30


@pytest.mark.parametrize("name", REFUSALS)
async def test_after_a_refusal_no_caller_asks_before_it_is_allowed(
    name: str, fault_server: FaultServer
) -> None:
    fields, wait = REFUSALS[name]
    asked: list[float] = []

    def answer(params: Any) -> Reply:
        asked.append(time.monotonic())
        return Reply(**fields) if len(asked) == 1 else Reply(params)

    fault_server.on("eth_call", answer)
    # With one connection the other callers are on their way to it when the refusal comes.
    async with ChainManager(max_connections=1) as manager:
        await manager.connect_to_chain("eth", fault_server.url)
        calls = (manager.request("eth", "eth_call", [n]) for n in range(CALLERS))
        assert sorted(json.dumps(found) for found in await asyncio.gather(*calls)) == sorted(
            json.dumps([n]) for n in range(CALLERS)
        )
    # The server's stamp of the refusal is older than the client's by the way of the answer.
    assert asked[1] - asked[0] >= wait


async def test_a_plan_counts_what_its_provider_charges(manager: ChainManager, node: FaultServer) -> None:
    node.on("eth_getLogs", Reply([]))
    await manager.connect_to_chain("eth", node.url, rate_limit="infura/free")
    assert await manager.request("eth", "eth_getLogs", [{}]) == []
    # Twice 255 credits are more than the 500 of a second.
    with pytest.raises(LimiterTimeoutError):
        await manager.request("eth", "eth_getLogs", [{}], timeout=0.1)
    assert await manager.request("eth", "eth_getLogs", [{}]) == []
    assert node.calls("eth_getLogs") == 2


async def test_what_costs_nothing_is_not_limited(manager: ChainManager, node: FaultServer) -> None:
    await manager.connect_to_chain("eth", node.url, rate_limit="alchemy/free")
    calls = [("eth_chainId", [])] * 200
    assert set(await manager.request_many("eth", calls, timeout=5.0)) == {"0x1"}


async def test_an_unknown_plan_is_refused_with_the_names_of_all(
    manager: ChainManager, node: FaultServer
) -> None:
    with pytest.raises(ConfigurationError, match=r"rate_limit.*alchemy/free.*infura/free"):
        await manager.connect_to_chain("eth", node.url, rate_limit="infura/gratis")
    assert node.accepted == 0
