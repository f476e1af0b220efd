"""`w3.eth.subscribe` and `w3.subscription_manager` over our provider, beside web3.py's own on a WebSocket."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

pytest.importorskip("web3")
from eth_typing import HexStr
from web3 import AsyncWeb3, WebSocketProvider
from web3.exceptions import Web3ValueError
from web3.providers.persistent.persistent_connection import PersistentConnection
from web3.providers.persistent.subscription_manager import SubscriptionManager
from web3.types import RPCEndpoint
from web3.utils.subscriptions import LogsSubscription, NewHeadsSubscription, PendingTxSubscription

from genesis_replicator import ChainManager, ConfigurationError
from genesis_replicator.testing import FaultServer, Reply, ToxicProxy
from genesis_replicator.web3 import GenesisPersistentProvider
from over_web3.asked import ANSWERED, REFUSED
from over_web3.pairs import Pair
from over_web3.pinger import PINGER, set_up
from over_web3.steps import W3, pinger, sent
from over_web3.test_methods import asks
from servers import anvil

#: What is asked of `AsyncHTTPProvider` is its own, and that it cannot subscribe.
OF_HTTP = {"AsyncEth.subscribe", *(name for name in ANSWERED | REFUSED if name.startswith("AsyncHTTP"))}
#: What anvil, unlike other nodes, tells of a new block beside its header. A manager tells the header.
BODY = {"transactions", "uncles", "withdrawals", "size", "totalDifficulty"}


def header(item: Any) -> Any:
    """An item, without what is no part of the header if it is one."""
    if isinstance(item, Mapping) and "parentHash" in item:
        return {name: value for name, value in item.items() if name not in BODY}
    return item


def web_socket(url: str) -> str:
    return url.replace("http", "ws", 1)


@pytest.fixture(params=[web_socket, str], ids=["on a socket", "over HTTP"])
async def live(twins: tuple[str, str], request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """web3.py on its own WebSocket, and on our provider, which may be on HTTP."""
    for url in twins:
        set_up(url)
    ours = GenesisPersistentProvider.from_url(request.param(twins[1]))
    # An error that came before it noted the request is nobody's to it: it would end, its socket left open.
    stock = WebSocketProvider(web_socket(twins[0]), silence_listener_task_exceptions=True)
    async with AsyncWeb3(stock) as theirs, AsyncWeb3(ours) as mine:
        yield Pair(theirs, mine)


@pytest.mark.parametrize("live", [web_socket], indirect=True, ids=[""])
@pytest.mark.parametrize("name", sorted(ANSWERED.keys() - OF_HTTP))
async def test_calls_answer_the_same(name: str, live: Pair) -> None:
    for ask in ANSWERED[name]:
        await live.answers(ask)


# Of an unknown method anvil says something else on a socket than over HTTP.
@pytest.mark.parametrize("live", [web_socket], indirect=True, ids=[""])
@pytest.mark.parametrize("name", sorted(REFUSED.keys() - OF_HTTP))
async def test_calls_are_refused_in_the_same_words(name: str, live: Pair) -> None:
    for ask in REFUSED[name]:
        await live.refuses(ask)


def test_whatever_web3_does_with_subscriptions_is_done_here() -> None:
    found = {
        name
        for owner in (SubscriptionManager, PersistentConnection)
        for name in dir(owner)
        if not name.startswith("_") and asks(inspect.getattr_static(owner, name))
    }
    of_manager = {"subscribe", "unsubscribe", "unsubscribe_all", "handle_subscriptions"}
    assert found == of_manager | {"make_request", "send", "recv"}


async def told(w3: W3, *subscribed: Any, count: int = 2) -> list[Any]:
    """The first items of a subscription, without its id, which is any."""
    id_ = await w3.eth.subscribe(*subscribed)
    items = []
    for _ in range(count):
        await sent(w3)
    async for message in w3.socket.process_subscriptions():
        assert message["subscription"] == id_
        items.append(header(message["result"]))
        if len(items) == count:
            break
    assert await w3.eth.unsubscribe(id_)
    return items


@pytest.mark.parametrize(
    "subscribed",
    [
        ("newHeads",),
        ("logs", {"address": PINGER}),
        ("newPendingTransactions",),
    ],
    ids=str,
)
async def test_what_is_told_is_the_same(subscribed: Any, live: Pair) -> None:
    await live.answers(lambda w3: told(w3, *subscribed))


@pytest.mark.parametrize("live", [web_socket], indirect=True, ids=[""])
async def test_pending_transactions_are_told_whole_on_a_socket(live: Pair) -> None:
    async def whole(w3: W3) -> Any:
        # Some are mined by the time that anvil looks for what to tell of them.
        subscribed: Any = ("newPendingTransactions", True)
        return [(type(it), it["hash"], it["nonce"], it["input"]) for it in await told(w3, *subscribed)]

    await live.answers(whole)


async def test_handlers_are_called_the_same(live: Pair) -> None:
    async def handled(w3: W3) -> list[Any]:
        seen: list[Any] = []

        async def note(context: Any) -> None:
            seen.append((context.subscription.label, header(context.result)))
            if len(seen) == 3:
                assert await w3.subscription_manager.unsubscribe_all()

        event = pinger(w3).events.Pinged()
        await w3.subscription_manager.subscribe(
            [
                NewHeadsSubscription(label="heads", handler=note),
                LogsSubscription(label="logs", address=event.address, topics=[event.topic], handler=note),
                PendingTxSubscription(label="pending", handler=note),
            ]
        )
        await sent(w3)
        async with asyncio.timeout(10):
            await w3.subscription_manager.handle_subscriptions()
        return sorted(seen, key=lambda pair: pair[0])

    await live.answers(handled)


async def numbers(w3: W3, count: int) -> list[int]:
    """Those of the next heads."""
    found = []
    async with asyncio.timeout(20):
        async for message in w3.socket.process_subscriptions():
            found.append(message["result"]["number"])
            if len(found) == count:
                break
    return found


async def test_subscriptions_survive_what_cuts_their_sockets_and_miss_nothing(twins: tuple[str, str]) -> None:
    set_up(twins[1])
    with ToxicProxy(twins[1]) as way:
        async with AsyncWeb3(GenesisPersistentProvider.from_url(web_socket(way.url))) as w3:
            await w3.eth.subscribe("newHeads")
            told = []
            for _ in range(3):
                anvil.ask(twins[1], "anvil_mine", 2)
                told += await numbers(w3, 2)
                way.down()
                anvil.ask(twins[1], "anvil_mine", 2)
                way.up()
                told += await numbers(w3, 2)
    assert told == list(range(1, 13))


async def test_a_reorganisation_is_told_of_logs_and_of_heads(twins: tuple[str, str]) -> None:
    set_up(twins[1])
    async with AsyncWeb3(GenesisPersistentProvider.from_url(web_socket(twins[1]))) as w3, asyncio.timeout(20):
        logs = await w3.eth.subscribe("logs", {"address": w3.to_checksum_address(PINGER)})
        await w3.eth.subscribe("newHeads")
        await sent(w3)
        told: list[Any] = []
        async for message in w3.socket.process_subscriptions():
            told.append((message["subscription"] == logs, message["result"]))
            if len(told) == 2:
                anvil.ask(twins[1], "anvil_reorg", 1, [])
            if len(told) == 4:
                break
    given, removed = (item for is_log, item in told if is_log)
    before, after = (item for is_log, item in told if not is_log)
    assert (given["removed"], removed["removed"]) == (False, True)
    assert removed["blockHash"] == given["blockHash"] == before["hash"]
    assert after["replaces"] == before["hash"].to_0x_hex()


async def test_a_slow_reader_misses_no_head(twins: tuple[str, str]) -> None:
    set_up(twins[1])
    async with ChainManager() as manager:
        await manager.connect_to_chain("eth", web_socket(twins[1]))
        provider = GenesisPersistentProvider(manager, "eth", subscription_response_queue_size=2)
        async with AsyncWeb3(provider) as w3:
            await w3.eth.subscribe("newHeads")
            anvil.ask(twins[1], "anvil_mine", 50)
            await asyncio.sleep(0.2)
            assert await w3.eth.block_number == 50
            assert await numbers(w3, 50) == list(range(1, 51))


async def test_raw_calls_are_made_sent_and_received(live: Pair) -> None:
    async def raw(w3: W3) -> Any:
        made = await w3.socket.make_request(RPCEndpoint("eth_chainId"), [])
        await w3.socket.send(RPCEndpoint("eth_blockNumber"), [])
        return [made, await w3.socket.recv(), await w3.is_connected()]

    await live.answers(raw)


async def test_a_call_that_is_cancelled_ends_and_holds_up_no_other(node: FaultServer) -> None:
    node.on("eth_gasPrice", Reply(hold=True))
    node.on("eth_blockNumber", Reply(result="0x10"))
    async with AsyncWeb3(GenesisPersistentProvider.from_url(node.url, max_connections=1)) as w3:
        held = [asyncio.ensure_future(w3.eth.gas_price) for _ in range(20)]
        await asyncio.sleep(0.05)
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)
        async with asyncio.timeout(5):
            assert await w3.eth.block_number == 16


async def test_a_subscription_that_a_chain_does_not_have_is_refused(node: FaultServer) -> None:
    async with AsyncWeb3(GenesisPersistentProvider.from_url(node.url)) as w3:
        with pytest.raises(ConfigurationError, match="needs an endpoint that is a socket"):
            await w3.eth.subscribe("syncing")
        with pytest.raises(Web3ValueError, match="not found"):
            await w3.eth.unsubscribe(HexStr("0x7"))


async def test_the_stream_ends_where_the_chain_is_disconnected(twins: tuple[str, str]) -> None:
    set_up(twins[1])
    async with ChainManager() as manager:
        await manager.connect_to_chain("eth", web_socket(twins[1]))
        async with AsyncWeb3(GenesisPersistentProvider(manager, "eth")) as w3:
            assert await w3.is_connected()
            await w3.eth.subscribe("newHeads")
            await manager.disconnect_from_chain("eth")
            async with asyncio.timeout(5):
                assert [message async for message in w3.socket.process_subscriptions()] == []
        assert await manager.get_connected_chains() == []
        assert not await w3.is_connected()
