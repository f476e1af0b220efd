"""A provider for `AsyncWeb3` whose requests go through a `ChainManager`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

from web3._utils.caching import async_handle_request_caching  # type: ignore[attr-defined]
from web3.providers.async_base import AsyncJSONBaseProvider

from genesis_replicator import ChainManager
from genesis_replicator.exceptions import ConfigurationError, RpcError

if TYPE_CHECKING:
    from web3.types import RPCEndpoint, RPCId, RPCResponse

#: What `from_url` calls its only chain.
CHAIN = "web3"


class GenesisProvider(AsyncJSONBaseProvider):
    """Asks the nodes of one chain of a manager.

    What a node answers with an error comes back as web3.py expects it, in the response; what never reached a
    node, or came back broken, is raised as the package's own exceptions.
    """

    def __init__(
        self, manager: ChainManager, chain_id: str, *, timeout: float | None = None, **options: Any
    ) -> None:
        """Take a manager that is, or will be, connected to a chain.

        Args:
            manager: The manager. It stays yours: `disconnect` leaves it as it is.
            chain_id: The label under which the chain is connected.
            timeout: Seconds for a request; None is the manager's own.
            **options: What web3.py's own providers take, such as `cache_allowed_requests`.
        """
        super().__init__(**options)
        self._manager, self._chain, self._timeout = manager, chain_id, timeout
        self._owned: dict[str, Any] | None = None
        self._is_ready = True
        #: How often it was disconnected.
        self._ends = 0

    @classmethod
    def from_url(
        cls,
        endpoint: Any,
        credentials: Any = None,
        *,
        max_connections: int = 10,
        timeout: float | None = None,
        **connect: Any,
    ) -> Self:
        """Make one with a manager of its own, which connects with the first request.

        Args:
            endpoint: A URL or several, as `ChainManager.connect_to_chain` takes them.
            credentials: Credentials for them.
            max_connections: The most connections to all of them.
            timeout: Seconds for a request.
            **connect: More arguments of `ChainManager.connect_to_chain`, such as `rate_limit` or `cache`.
        """
        provider = cls(ChainManager(max_connections), CHAIN, timeout=timeout)
        provider._owned = {"endpoint": endpoint, "credentials": credentials, **connect}
        provider._is_ready = False
        return provider

    @async_handle_request_caching
    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """One call."""
        return await self._answer(next(self.request_counter), method, params)

    async def make_batch_request(self, requests: list[tuple[RPCEndpoint, Any]]) -> list[RPCResponse]:
        """Several calls in as few requests as the nodes take, each with its own result or error."""
        return await self._answers([next(self.request_counter) for _ in requests], requests)

    async def connect(self) -> None:
        """Connect a manager of its own; others are connected by who made them."""
        if self._is_ready or self._owned is None:
            return
        ends = self._ends
        # Whoever does so at the same time shares the attempt, on whatever event loop he is.
        await self._manager.start()
        await self._manager.connect_to_chain(self._chain, **self._owned)
        self._is_ready = ends == self._ends

    async def disconnect(self) -> None:
        """Stop a manager of its own; the next request starts it anew."""
        if self._owned is not None:
            self._ends += 1
            self._is_ready = False
            await self._manager.stop()

    async def _answer(self, id_: RPCId, method: RPCEndpoint, params: Any) -> RPCResponse:
        """What a node says to a call, in web3.py's form."""
        await GenesisProvider.connect(self)
        try:
            result = await self._result(method, params)
        except RpcError as error:
            return _failed(id_, error)
        return _answered(id_, result)

    async def _answers(self, ids: list[RPCId], calls: list[tuple[RPCEndpoint, Any]]) -> list[RPCResponse]:
        await GenesisProvider.connect(self)
        results = await self._results(calls)
        return [_of_batch(id_, result) for id_, result in zip(ids, results, strict=True)]

    async def _result(self, method: RPCEndpoint, params: Any) -> Any:
        ask = self._manager.request
        try:
            return await ask(self._chain, method, params, timeout=self._timeout)
        except ConfigurationError:
            return await ask(self._chain, method, self._plain(params), timeout=self._timeout)

    async def _results(self, calls: list[tuple[RPCEndpoint, Any]]) -> list[Any]:
        ask = self._manager.batch
        try:
            return await ask(self._chain, calls, timeout=self._timeout, return_exceptions=True)
        except ConfigurationError:
            plain = [(method, self._plain(params)) for method, params in calls]
            return await ask(self._chain, plain, timeout=self._timeout, return_exceptions=True)

    def _plain(self, params: Any) -> Any:
        """What is not plain JSON, written as web3.py's own providers do, or refused in their words."""
        return json.loads(self.encode_rpc_dict({"params": params}))["params"]


def _of_batch(id_: RPCId, result: Any) -> RPCResponse:
    if isinstance(result, RpcError):
        return _failed(id_, result)
    if isinstance(result, BaseException):
        raise result
    return _answered(id_, result)


def _answered(id_: RPCId, result: Any) -> RPCResponse:
    return {"jsonrpc": "2.0", "id": id_, "result": result}


def _failed(id_: RPCId, error: RpcError) -> RPCResponse:
    if error.code is None:
        # The node has not answered in JSON-RPC: web3.py has no form for that.
        raise error
    response: RPCResponse = {"jsonrpc": "2.0", "id": id_}
    response["error"] = {"code": error.code, "message": error.details["message"]}
    if error.data is not None:
        response["error"]["data"] = error.data
    return response
