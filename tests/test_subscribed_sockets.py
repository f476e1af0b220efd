"""Subscriptions at nodes that are sockets: one for all readers, made anew when it ends or falls silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

import pytest

from genesis_replicator import ChainManager, MethodNotSupportedError, PoolClosedError, RpcError
from servers.readers import counted, take
from servers.socket_node import Socket, SocketNode, result
from servers.wait import until

HEADS = ["newHeads"]


def block(number: int) -> dict[str, str]:
    """The block of this number."""
    return {"number": hex(number), "hash": f"0x{number:064x}", "parentHash": f"0x{number - 1:064x}"}


class Teller(SocketNode):
    """A node with a chain that tells of what it is told to."""

    def __init__(self) -> None:
        """A chain of ten blocks."""
        super().__init__()
        self.head = 10
        #: What is subscribed to, by its id, and where.
        self.followed: dict[str, tuple[Any, Socket]] = {}
        self.refusing: dict[str, Any] | None = None
        self.ids = count(1)
        self.answer = self.listen

    async def listen(self, socket: Socket, call: Any) -> None:
        """Answer as a node."""
        method, params = call["method"], call["params"]
        answer = {**result(call)}
        if method.endswith(("ubscribe", "NewHeads")) and "nsubscribe" not in method:
            if self.refusing is not None:
                del answer["result"]
                await socket.send_json({**answer, "error": self.refusing})
                return
            answer["result"] = hex(next(self.ids))
            self.followed[answer["result"]] = (params, socket)
        elif "nsubscribe" in method:
            answer["result"] = self.followed.pop(params[0], None) is not None
        elif method == "eth_getBlockByNumber":
            number = self.head if params[0] == "latest" else int(params[0], 16)
            answer["result"] = block(number) if number <= self.head else None
        elif method == "eth_blockNumber":
            answer["result"] = hex(self.head)
        await socket.send_json(answer)

    def follows(self, params: Any) -> bool:
        """Whether somebody is subscribed to that."""
        return any(followed == params and not socket.closed for followed, socket in self.followed.values())

    def count(self, method: str) -> int:
        """How often it was called."""
        return sum(call["method"] == method for call in self.calls)

    async def tell(self, item: Any, method: str = "eth_subscription", *, heads: bool = False) -> None:
        """Tell all who follow heads, or something else."""
        for subscription, (followed, socket) in list(self.followed.items()):
            if socket.closed or heads != (followed == HEADS):
                continue
            params = {"subscription": subscription, "result": item}
            await socket.send_json({"jsonrpc": "2.0", "method": method, "params": params})

    async def mine(self) -> None:
        """Make a block and tell of it."""
        self.head += 1
        await self.tell(block(self.head), heads=True)


NewTeller = Callable[[], Any]


@pytest.fixture
async def new_teller() -> AsyncIterator[NewTeller]:
    """Makes as many as a test asks for."""
    async with AsyncExitStack() as stack:
        yield lambda: stack.enter_async_context(Teller())


@pytest.fixture
async def teller(manager: ChainManager, new_teller: NewTeller) -> AsyncIterator[Teller]:
    """A node that is connected as "eth"."""
    teller: Teller = await new_teller()
    await manager.connect_to_chain("eth", teller.url)
    yield teller
    await manager.stop()


async def numbers(heads: AsyncIterator[Any], number: int) -> list[int]:
    """The numbers of the next heads."""
    return [int(head["number"], 16) for head in await take(heads, number)]


async def test_all_readers_share_one_subscription(manager: ChainManager, teller: Teller) -> None:
    async with AsyncExitStack() as stack:
        readers = [
            await stack.enter_async_context(manager.subscribe("eth", kind))
            for kind in ("newHeads", "newHeads", "logs")
        ]
        await until(lambda: teller.followed)
        for _ in range(5):
            await teller.mine()
        assert await numbers(readers[0], 5) == await numbers(readers[1], 5) == [11, 12, 13, 14, 15]
        pushed = [
            await stack.enter_async_context(manager.subscribe("eth", "newPendingTransactions"))
            for _ in range(3)
        ]
        await teller.tell("0xa")
        assert [await take(reader, 1) for reader in pushed] == [["0xa"]] * 3
        assert teller.count("eth_subscribe") == 2
        assert await counted(manager, "subscriptions") == 6
        assert await counted(manager, "gaps_filled") == 0
    # The node is told when nobody reads any more.
    await until(lambda: not teller.followed)
    assert teller.count("eth_unsubscribe") == 2


async def test_heads_that_were_not_told_are_asked_for(manager: ChainManager, teller: Teller) -> None:
    async with manager.subscribe("eth", "newHeads") as heads:
        await until(lambda: teller.followed)
        teller.head += 4
        await teller.mine()
        assert await numbers(heads, 5) == [11, 12, 13, 14, 15]
        assert await counted(manager, "gaps_filled") == 4


async def test_a_subscription_that_ends_is_made_anew_elsewhere(
    manager: ChainManager, new_teller: NewTeller
) -> None:
    tellers: list[Teller] = [await new_teller(), await new_teller()]
    await manager.connect_to_chain("eth", [teller.url for teller in tellers])
    async with (
        manager.subscribe("eth", "newHeads") as heads,
        manager.subscribe("eth", "newPendingTransactions") as pending,
    ):
        await until(lambda: sum(len(teller.followed) for teller in tellers) == 2)
        for turn in range(4):
            first = next(teller for teller in tellers if teller.follows(HEADS))
            other = tellers[1 - tellers.index(first)]
            for teller in tellers:
                teller.head += 2
            await first.close_all()
            assert await numbers(heads, 2) == [11 + 2 * turn, 12 + 2 * turn]
            await until(lambda other=other: other.follows(HEADS))
        assert await counted(manager, "resubscriptions") >= 4
        await until(lambda: any(teller.follows(["newPendingTransactions"]) for teller in tellers))
        for teller in tellers:
            await teller.tell("0xb")
        assert await take(pending, 1) == ["0xb"]
    await manager.stop()


async def test_a_socket_that_falls_silent_is_left(manager: ChainManager, new_teller: NewTeller) -> None:
    tellers: list[Teller] = [await new_teller(), await new_teller()]
    await manager.connect_to_chain("eth", [teller.url for teller in tellers])
    async with manager.subscribe("eth", "newHeads") as heads:
        await until(lambda: any(teller.followed for teller in tellers))
        first = next(teller for teller in tellers if teller.followed)
        other = tellers[1 - tellers.index(first)]
        # It goes on, but says nothing.
        for turn in range(200):
            for teller in tellers:
                teller.head += 1
            assert await numbers(heads, 1) == [11 + turn]
            if other.followed:
                break
        assert other.followed
        await until(lambda: not first.followed)
    await manager.stop()


async def test_a_node_that_does_not_tell_of_heads_is_asked_for_them(
    manager: ChainManager, teller: Teller
) -> None:
    teller.refusing = {"code": -32601, "message": "the method eth_subscribe does not exist"}
    async with manager.subscribe("eth", "newHeads") as heads:
        teller.head += 3
        assert await numbers(heads, 3) == [11, 12, 13]
        with pytest.raises(MethodNotSupportedError):
            await anext(manager.subscribe("eth", "newPendingTransactions"))


@pytest.mark.parametrize("kind", ["newHeads", "newPendingTransactions"])
async def test_a_subscription_that_ends_at_once_is_not_made_again_and_again(
    kind: str, manager: ChainManager, teller: Teller
) -> None:
    async def hang_up(socket: Socket, call: Any) -> None:
        await teller.listen(socket, call)
        if call["method"] == "eth_subscribe":
            await socket.close()

    teller.answer = hang_up
    async with manager.subscribe("eth", kind) as items:
        await asyncio.sleep(1)
        assert 2 <= teller.count("eth_subscribe") <= 12
        teller.answer = teller.listen
        await until(lambda: teller.follows([kind]))
        teller.head += 1
        await teller.tell(block(teller.head), heads=kind == "newHeads")
        assert await take(items, 1) == [block(teller.head)]


async def test_a_refused_subscription_is_told_and_may_be_tried_again(
    manager: ChainManager, teller: Teller
) -> None:
    teller.refusing = {"code": -32602, "message": 'no "nonsense" subscription in eth namespace'}
    reader = manager.subscribe("eth", "nonsense", {"a": 1})
    for _ in range(2):
        with pytest.raises(RpcError, match="nonsense"):
            await anext(reader)
    teller.refusing = None
    waiting = asyncio.ensure_future(reader.__anext__())
    await until(lambda: teller.followed)
    assert [params for params, _ in teller.followed.values()] == [["nonsense", {"a": 1}]]
    await teller.tell({"some": "thing"})
    assert await waiting == {"some": "thing"}
    # It is refused when it has to be made anew. Another has not heard of that, and begins anew after it has.
    other = manager.subscribe("eth", "nonsense", {"a": 1})
    await other.__aenter__()
    teller.refusing = {"code": -32602, "message": "no more nonsense"}
    waiting = asyncio.ensure_future(reader.__anext__())
    await teller.close_all()
    with pytest.raises(RpcError, match="no more nonsense"):
        await asyncio.wait_for(waiting, 10)
    teller.refusing = None
    waiting = asyncio.ensure_future(reader.__anext__())
    await until(lambda: teller.follows(["nonsense", {"a": 1}]))
    with pytest.raises(RpcError, match="no more nonsense"):
        await asyncio.wait_for(anext(other), 10)
    again = asyncio.ensure_future(other.__anext__())
    await asyncio.sleep(0.05)
    await teller.tell(7)
    assert [await waiting, await again] == [7, 7]
    await reader.aclose()
    await other.aclose()


async def test_other_methods_are_subscribed_by_their_names(manager: ChainManager, teller: Teller) -> None:
    slots = manager.subscribe("eth", "slotSubscribe", unsubscribe="slotUnsubscribe")
    async with slots:
        await until(lambda: teller.followed)
        await teller.tell({"slot": 5}, method="slotNotification")
        assert await take(slots, 1) == [{"slot": 5}]
    await until(lambda: not teller.followed)
    calls = [(call["method"], call["params"]) for call in teller.calls if "lot" in call["method"]]
    assert calls == [("slotSubscribe", []), ("slotUnsubscribe", ["0x1"])]


async def test_what_is_pushed_is_let_go_where_it_is_not_read(manager: ChainManager, teller: Teller) -> None:
    async with (
        manager.subscribe("eth", "newPendingTransactions", buffer=5) as slow,
        manager.subscribe("eth", "newPendingTransactions", buffer=1000) as other,
    ):
        for number in range(50):
            await teller.tell(number)
        assert await take(other, 50) == list(range(50))
        await until(lambda: slow.missed == 45)
        assert await take(slow, 5) == [45, 46, 47, 48, 49]
        assert other.missed == 0


async def test_a_beginning_that_is_given_up_leaves_nothing(manager: ChainManager, teller: Teller) -> None:
    answering = asyncio.Event()

    async def slow(socket: Socket, call: Any) -> None:
        if call["method"] == "eth_subscribe":
            await answering.wait()
        await teller.listen(socket, call)

    teller.answer = slow
    one, other = (manager.subscribe("eth", "newPendingTransactions") for _ in range(2))
    first = asyncio.ensure_future(one.__anext__())
    for _ in range(3):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(other.__aenter__(), 0.05)
    second = asyncio.ensure_future(other.__anext__())
    answering.set()
    await until(lambda: teller.followed)
    await teller.tell("0xa")
    assert [await first, await second] == ["0xa", "0xa"]
    await teller.tell("0xb")
    assert [await anext(one), await anext(other)] == ["0xb", "0xb"]
    assert teller.count("eth_subscribe") == 1
    await one.aclose()
    await other.aclose()


async def test_a_reader_of_what_is_pushed_is_told_when_the_chain_is_disconnected(
    manager: ChainManager, teller: Teller
) -> None:
    async with manager.subscribe("eth", "newPendingTransactions") as pending:
        waiting = asyncio.ensure_future(pending.__anext__())
        await asyncio.sleep(0.05)
        await manager.disconnect_from_chain("eth")
        with pytest.raises(PoolClosedError):
            await asyncio.wait_for(waiting, 5)
    await until(lambda: teller.open == 0)
