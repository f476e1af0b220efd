"""A provider for `AsyncWeb3` that subscribes, too: what web3.py calls a persistent connection."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from web3._utils.batching import BATCH_REQUEST_ID
from web3._utils.caching import generate_cache_key  # type: ignore[attr-defined]
from web3.exceptions import PersistentConnectionClosedOK
from web3.providers.persistent import PersistentConnectionProvider

from genesis_replicator.exceptions import PoolClosedError
from genesis_replicator.web3._provider import GenesisProvider

if TYPE_CHECKING:
    from web3.types import RPCEndpoint, RPCId, RPCRequest, RPCResponse

    from genesis_replicator import ChainManager
    from genesis_replicator._native import Subscription

    #: To a call, or one by one to a batch.
    _Answer: TypeAlias = RPCResponse | list[RPCResponse]

#: JSON-RPC's code for what went wrong without the node's saying so.
INTERNAL = -32603


class GenesisPersistentProvider(PersistentConnectionProvider, GenesisProvider):
    """As `GenesisProvider`, and `w3.eth.subscribe` and `w3.subscription_manager` work with it.

    web3.py believes that it writes to a socket and reads from it. What it writes is made as a call of the
    manager, and what it reads are the items of the manager's subscriptions, which survive reconnections.
    """

    def __init__(
        self, manager: ChainManager, chain_id: str, *, timeout: float | None = None, **options: Any
    ) -> None:
        """Take a manager that is, or will be, connected to a chain.

        Args:
            manager: The manager. It stays yours: `disconnect` leaves it as it is.
            chain_id: The label under which the chain is connected.
            timeout: Seconds for a request; None is the manager's own.
            **options: What web3.py's own persistent providers take.
        """
        super().__init__(manager=manager, chain_id=chain_id, timeout=timeout, **options)
        self.endpoint_uri = chain_id
        self._calls: dict[RPCId, asyncio.Task[_Answer]] = {}
        self._feeds: dict[str, asyncio.Task[None]] = {}
        self._subscription_ids = count(1)
        #: One at a time: whoever reads slowly is waited for by the subscriptions.
        self._told: asyncio.Queue[RPCResponse | Exception] = asyncio.Queue(1)

    async def is_connected(self, show_traceback: bool = False) -> bool:  # noqa: FBT001, FBT002 - web3.py's own
        """Whether it was connected, and a node answers."""
        return self._message_listener_task is not None and await super().is_connected(show_traceback)

    async def disconnect(self) -> None:
        """Stop a manager of its own, and what reads subscriptions."""
        listener = self._message_listener_task
        if listener and listener.done() and not listener.cancelled() and listener.exception():
            # Who reads was told. It would be raised once more, before anything is closed.
            self._message_listener_task = None
        await super().disconnect()

    async def socket_send(self, request_data: bytes) -> None:
        """Begin a call, or a batch of them."""
        written = json.loads(request_data)
        id_ = BATCH_REQUEST_ID if isinstance(written, list) else written["id"]
        self._calls[id_] = asyncio.create_task(self._make(id_, written))

    async def socket_recv(self) -> RPCResponse:
        """The next item of a subscription."""
        told = await self._told.get()
        if isinstance(told, PoolClosedError):
            raise PersistentConnectionClosedOK(user_message=str(told))
        if isinstance(told, Exception):
            raise told
        return told

    async def _make(self, id_: RPCId, written: Any) -> _Answer:
        answer: _Answer
        try:
            if isinstance(written, list):
                calls = [(call["method"], call["params"]) for call in written]
                answer = await self._answers([call["id"] for call in written], calls)
            else:
                answer = await self._answer(id_, written["method"], written["params"])
        except Exception as error:
            if id_ not in self._calls:
                raise
            # `w3.socket.recv` knows no other form of it.
            answer = {"jsonrpc": "2.0", "id": id_, "error": {"code": INTERNAL, "message": str(error)}}
        if self._calls.pop(id_, None):
            # Nobody waits for this answer in particular: `w3.socket.recv` will look for it there.
            await self._request_processor.cache_raw_response(answer)
        return answer

    async def _get_response_for_request_id(
        self, request_id: Any, timeout: float | None = None
    ) -> RPCResponse:
        """web3.py's own looks again and again. Here it is awaited, and its call ends with whoever waits."""
        try:
            async with asyncio.timeout(timeout):
                return cast("RPCResponse", await self._calls.pop(request_id))
        except BaseException:
            self._forget(request_id)
            raise

    async def recv_for_batch_request(self, request_dicts: list[RPCRequest]) -> list[RPCResponse]:
        try:
            return await super().recv_for_batch_request(request_dicts)
        except BaseException:
            self._forget(*(request["id"] for request in request_dicts))
            raise

    def _forget(self, *ids: RPCId) -> None:
        """No response comes for which web3.py would look them up; its book would drop subscriptions."""
        for id_ in ids:
            self._request_processor.pop_cached_request_information(generate_cache_key(id_))

    async def _result(self, method: RPCEndpoint, params: Any) -> Any:
        if method == "eth_subscribe":
            return await self._subscribe(*params)
        if method == "eth_unsubscribe":
            return self._unsubscribe(*params)
        return await super()._result(method, params)

    async def _subscribe(self, kind: str, *params: Any) -> str:
        # web3.py says for pending transactions that they are not wanted whole; that needs no socket.
        given = params[0] if kind == "logs" and params else [given for given in params if given]
        subscription = self._manager.subscribe(self._chain, kind, given)
        await subscription.__aenter__()
        id_ = hex(next(self._subscription_ids))
        self._feeds[id_] = asyncio.create_task(self._feed(id_, subscription))
        return id_

    def _unsubscribe(self, id_: str) -> bool:
        feed = self._feeds.pop(id_, None)
        return feed is not None and feed.cancel()

    async def _feed(self, id_: str, subscription: Subscription) -> None:
        async with aclosing(subscription):
            try:
                async for item in subscription:
                    params: Any = {"subscription": id_, "result": item}
                    await self._told.put({"jsonrpc": "2.0", "method": "eth_subscription", "params": params})
            except Exception as error:  # noqa: BLE001 - whoever reads is told
                await self._told.put(error)

    async def _provider_specific_connect(self) -> None:
        await GenesisProvider.connect(self)

    async def _provider_specific_disconnect(self) -> None:
        for task in (*self._feeds.values(), *self._calls.values()):
            task.cancel()
        self._feeds.clear()
        self._calls.clear()
        self._told = asyncio.Queue(1)
        await GenesisProvider.disconnect(self)

    async def _provider_specific_socket_reader(self) -> RPCResponse:
        return await self.socket_recv()
