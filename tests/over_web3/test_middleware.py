"""What stands between `w3.eth` and a provider does the same over ours: middleware, strategies, the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("web3")
from eth_account import Account
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.exceptions import ProviderConnectionError
from web3.middleware import (
    ExtraDataToPOAMiddleware,
    FormattingMiddlewareBuilder,
    LocalFilterMiddleware,
    PythonicMiddleware,
    SignAndSendRawMiddlewareBuilder,
    StalecheckMiddlewareBuilder,
    Web3Middleware,
)

from genesis_replicator import ChainManager
from genesis_replicator.testing import FaultServer, Reply
from genesis_replicator.web3 import GenesisProvider
from over_web3.pairs import Pair, outcome
from over_web3.pinger import ACCOUNT, KEY, NOBODY, PINGER
from over_web3.steps import COMPLETE, W3, make, sent

#: An account that no anvil has, so that a middleware must sign for it.
SIGNER = Account.from_key("0x" + "01" * 32)


async def signed_on_the_way(w3: W3) -> Any:
    w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(SIGNER), layer=0)
    await make(w3, "anvil_setBalance", [SIGNER.address, hex(10**18)])
    sent = await w3.eth.send_transaction({"from": SIGNER.address, "to": NOBODY, "value": 1})
    return await w3.eth.wait_for_transaction_receipt(sent, poll_latency=0.005)


async def without(w3: W3, name: str) -> Any:
    w3.middleware_onion.remove(name)
    block = await w3.eth.get_block("latest")
    return [
        type(block),
        block,
        await outcome(lambda w3: w3.eth.send_transaction(COMPLETE | {"chainId": 1}), w3),
    ]


async def dear(w3: W3) -> Any:
    w3.eth.set_gas_price_strategy(lambda _w3, _params: 10**11)
    return await w3.eth.get_transaction(await sent(w3))


async def filters_of_its_own(w3: W3) -> Any:
    w3.middleware_onion.add(LocalFilterMiddleware)
    logs = await w3.eth.filter({"address": PINGER, "fromBlock": "latest"})
    await sent(w3)
    return [logs.filter_id, await logs.get_new_entries()]


async def stale(w3: W3) -> Any:
    w3.middleware_onion.add(StalecheckMiddlewareBuilder.build(60))
    error = await outcome(lambda w3: w3.eth.gas_price, w3)
    return error[0]


async def formatted(w3: W3) -> Any:
    builder = FormattingMiddlewareBuilder.build(
        request_formatters={"eth_getBalance": lambda params: (NOBODY, *params[1:])},
        result_formatters={"eth_getBalance": lambda result: [result]},
    )
    w3.middleware_onion.inject(builder, layer=0)
    return await w3.manager.coro_request("eth_getBalance", [ACCOUNT, "latest"])  # type: ignore[arg-type]


async def proof_of_authority(w3: W3) -> Any:
    w3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
    return await w3.eth.get_block("latest")


async def pythonic(w3: W3) -> Any:
    w3.middleware_onion.add(PythonicMiddleware)
    return [await w3.eth.get_block("latest"), await w3.eth.get_logs({"fromBlock": 0})]


class Noting(Web3Middleware):
    """Notes what passes, single or in a batch."""

    noted: list[Any]

    async def async_request_processor(self, method: Any, params: Any) -> Any:
        self.noted.append((method, params))
        return method, params

    async def async_response_processor(self, method: Any, response: Any) -> Any:
        self.noted.append((method, response))
        return response


async def noted(w3: W3) -> Any:
    noting = type("Noting", (Noting,), {"noted": []})
    w3.middleware_onion.add(noting)
    await w3.eth.get_balance(ACCOUNT)
    async with w3.batch_requests() as batch:
        batch.add(w3.eth.get_block(0))
        batch.add(w3.eth.get_code(PINGER))
        await batch.async_execute()
    return noting.noted


@pytest.mark.parametrize(
    "ask",
    [
        signed_on_the_way,
        lambda w3: without(w3, "attrdict"),
        lambda w3: without(w3, "validation"),
        dear,
        filters_of_its_own,
        stale,
        formatted,
        proof_of_authority,
        pythonic,
        noted,
    ],
)
async def test_middleware_does_the_same(ask: Callable[[W3], Any], pair: Pair) -> None:
    await pair.answers(ask)


async def test_an_account_that_middleware_was_given_is_asked_to_sign_by_either(pair: Pair) -> None:
    async def by_default(w3: W3) -> Any:
        w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(KEY), layer=0)
        w3.eth.default_account = ACCOUNT
        return await sent(w3)

    await pair.answers(by_default)


@pytest.mark.parametrize("cached", [True, False])
async def test_answers_that_may_be_kept_are_asked_for_once(*, cached: bool, new_node: Any) -> None:
    asked = []
    for stock in (True, False):
        node: FaultServer = new_node()
        node.on("net_version", Reply(result="1"))
        node.on("eth_getBlockByNumber", Reply(result=None))
        async with ChainManager() as manager:
            await manager.connect_to_chain("eth", node.url)
            provider = (
                AsyncHTTPProvider(node.url, cache_allowed_requests=cached)
                if stock
                else GenesisProvider(manager, "eth", cache_allowed_requests=cached)
            )
            before = node.calls("net_version")
            w3 = AsyncWeb3(provider)
            assert [await w3.net.version for _ in range(3)] == ["1"] * 3
            for _ in range(2):
                await w3.provider.make_request("eth_getBlockByNumber", ["0x1", False])
            asked.append((node.calls("net_version") - before, node.calls("eth_getBlockByNumber")))
            await provider.disconnect()
    assert asked[0] == asked[1] == ((1, 2) if cached else (3, 2))


async def test_is_connected_tells_why_not(new_node: Any, refused_port: int) -> None:
    node: FaultServer = new_node()
    node.on("web3_clientVersion", Reply(error={"code": -32000, "message": "not today"}))
    told = []
    for url in (f"http://127.0.0.1:{refused_port}", node.url):
        for provider in (AsyncHTTPProvider(url), GenesisProvider.from_url(url)):
            w3 = AsyncWeb3(provider)
            assert not await w3.is_connected()
            with pytest.raises(ProviderConnectionError) as caught:
                await w3.is_connected(show_traceback=True)
            told.append(str(caught.value).partition("error:")[0])
            await provider.disconnect()
    assert told[0] == told[1] == "Problem connecting to provider with "
    assert told[2] == told[3]
    assert "not today" in told[2]
