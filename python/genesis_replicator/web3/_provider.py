"""A provider for `AsyncWeb3` whose requests go through a `ChainManager`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self

from web3._utils.caching import async_handle_request_caching  # type: ignore[attr-defined]
from web3.providers.async_base import AsyncJSONBaseProvider

from genesis_replicator import ChainManager
from genesis_replicator.exceptions import ConfigurationError, RpcError

if TYPE_CHECKING:
    from web3.types import RPCEndpoint, RPCResponse

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
        self._connecting = asyncio.Lock()
        self._is_ready = True

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
        await self.connect()
        try:
            result = await self._result(method, params)
        except RpcError as error:
            return self._response(error=error)
        return self._response(result=result)

    async def make_batch_request(self, requests: list[tuple[RPCEndpoint, Any]]) -> list[RPCResponse]:
        """Several calls in as few requests as the nodes take, each with its own result or error."""
        await self.connect()
        return [self._of_batch(result) for result in await self._results(requests)]

    async def connect(self) -> None:
        """Connect a manager of its own; others are connected by who made them."""
        if self._is_ready:
            return
        async with self._connecting:
            if not self._is_ready and self._owned is not None:
                await self._manager.start()
                await self._manager.connect_to_chain(self._chain, **self._owned)
                self._is_ready = True

    async def disconnect(self) -> None:
        """Stop a manager of its own; the next request starts it anew."""
        if self._owned is not None:
            async with self._connecting:
                self._is_ready = False
                await self._manager.stop()

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

    def _of_batch(self, result: Any) -> RPCResponse:
        if isinstance(result, RpcError):
            return self._response(error=result)
        if isinstance(result, BaseException):
            raise result
        return self._response(result=result)

    def _response(self, *, result: Any = None, error: RpcError | None = None) -> RPCResponse:
        response: RPCResponse = {"jsonrpc": "2.0", "id": next(self.request_counter)}
        if error is None:
            response["result"] = result
        elif error.code is None:
            # The node has not answered in JSON-RPC: web3.py has no form for that.
            raise error
        else:
            response["error"] = {"code": error.code, "message": error.details["message"]}
            if error.data is not None:
                response["error"]["data"] = error.data
        return response
