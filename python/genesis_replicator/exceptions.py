"""Everything that this package raises.

::

    GenesisError(Exception)                              error_code, details
    ├─ ConfigurationError(GenesisError, ValueError)
    ├─ LimiterTimeoutError(GenesisError, TimeoutError)   retry_after, phase, elapsed
    ├─ SecurityError(GenesisError)
    │  ├─ InvalidCredentialsError(SecurityError, ValueError)
    │  ├─ AuthenticationError(SecurityError)
    │  └─ RateLimitExceededError(SecurityError)          retry_after
    └─ BlockchainError(GenesisError)                     chain_id
       ├─ ChainConnectionError(BlockchainError, ConnectionError)
       │  ├─ UnknownChainError(ChainConnectionError, KeyError)
       │  ├─ ConnectTimeoutError(ChainConnectionError, TimeoutError)  phase, elapsed
       │  ├─ TlsError(ChainConnectionError, SecurityError)
       │  ├─ ChainMismatchError(ChainConnectionError)
       │  ├─ NoHealthyEndpointError(ChainConnectionError)
       │  ├─ PoolTimeoutError(ChainConnectionError, TimeoutError)     phase, elapsed
       │  ├─ TooManyWaitersError(ChainConnectionError)
       │  ├─ PoolClosedError(ChainConnectionError)
       │  └─ ConnectionClosedError(ChainConnectionError)
       ├─ RequestTimeoutError(BlockchainError, TimeoutError)          phase, elapsed
       ├─ ProtocolError(BlockchainError)
       │  └─ HttpStatusError(ProtocolError)              status
       └─ RpcError(BlockchainError)                      code, data
          ├─ ProviderRateLimitError(RpcError)            retry_after
          ├─ QuotaExhaustedError(RpcError)
          ├─ RangeTooLargeError(RpcError)                suggested
          ├─ NodeBehindError(RpcError)
          ├─ MethodNotSupportedError(RpcError)
          └─ ExecutionRevertedError(RpcError)

Each takes one positional argument, the message; every attribute is a keyword with a default. ``phase`` is the
stage whose time ran out (``queue``, ``limit``, ``connect``, ``send``, ``receive``); ``elapsed`` and
``retry_after`` are seconds. This file imports nothing of the package, so that the native module can import it
at any time.
"""

from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

__all__ = [
    "AuthenticationError",
    "BlockchainError",
    "ChainConnectionError",
    "ChainMismatchError",
    "ConfigurationError",
    "ConnectTimeoutError",
    "ConnectionClosedError",
    "ExecutionRevertedError",
    "GenesisError",
    "HttpStatusError",
    "InvalidCredentialsError",
    "LimiterTimeoutError",
    "MethodNotSupportedError",
    "NoHealthyEndpointError",
    "NodeBehindError",
    "PoolClosedError",
    "PoolTimeoutError",
    "ProtocolError",
    "ProviderRateLimitError",
    "QuotaExhaustedError",
    "RangeTooLargeError",
    "RateLimitExceededError",
    "RequestTimeoutError",
    "RpcError",
    "SecurityError",
    "TlsError",
    "TooManyWaitersError",
    "UnknownChainError",
]


class _Facts(TypedDict, total=False):
    """The keywords that every exception takes."""

    error_code: str | None
    details: Mapping[str, Any] | None


class _ChainFacts(_Facts, total=False):
    """The keywords that every exception about a chain takes."""

    chain_id: str | None


class _RpcFacts(_ChainFacts, total=False):
    """The keywords that every error answer of a node takes."""

    code: int | None
    data: Any


class GenesisError(Exception):
    """The base of everything that this package raises."""

    error_code: str = "genesis"

    def __init__(
        self, message: str = "", *, error_code: str | None = None, details: Mapping[str, Any] | None = None
    ) -> None:
        """Keep the facts in the instance's dictionary, which pickle and copy carry over as it is."""
        super().__init__(message)
        self.error_code = type(self).error_code if error_code is None else error_code
        self.details: dict[str, Any] = dict(details or {})

    def __str__(self) -> str:
        """The message alone: `KeyError` would quote it."""
        return str(self.args[0]) if self.args else ""


class ConfigurationError(GenesisError, ValueError):
    """An argument is not usable; nothing was done."""

    error_code = "configuration"


class LimiterTimeoutError(GenesisError, TimeoutError):
    """A wait for a `RateLimiter` would be longer than its timeout."""

    error_code = "limiter_timeout"

    def __init__(
        self,
        message: str = "",
        *,
        retry_after: float | None = None,
        phase: str | None = None,
        elapsed: float | None = None,
        **facts: Unpack[_Facts],
    ) -> None:
        """Add when it makes sense to try again, the stage and the time spent."""
        super().__init__(message, **facts)
        self.retry_after = retry_after
        self.phase = phase
        self.elapsed = elapsed


class SecurityError(GenesisError):
    """A security rule refused the request."""

    error_code = "security"


class InvalidCredentialsError(SecurityError, ValueError):
    """Credentials that cannot be right."""

    error_code = "invalid_credentials"


class AuthenticationError(SecurityError):
    """The node refused the credentials."""

    error_code = "authentication"


class RateLimitExceededError(SecurityError):
    """A client of a keyed limiter is over its limit."""

    error_code = "rate_limit_exceeded"

    def __init__(
        self, message: str = "", *, retry_after: float | None = None, **facts: Unpack[_Facts]
    ) -> None:
        """Add when the client may try again."""
        super().__init__(message, **facts)
        self.retry_after = retry_after


class BlockchainError(GenesisError):
    """Something between this process and a node went wrong."""

    error_code = "blockchain"

    def __init__(self, message: str = "", *, chain_id: str | None = None, **facts: Unpack[_Facts]) -> None:
        """Add the user's label of the chain."""
        super().__init__(message, **facts)
        self.chain_id = chain_id


class ChainConnectionError(BlockchainError, ConnectionError):
    """No connection to the node could be made."""

    error_code = "chain_connection"


class UnknownChainError(ChainConnectionError, KeyError):
    """The label is not connected."""

    error_code = "unknown_chain"


class ConnectTimeoutError(ChainConnectionError, TimeoutError):
    """Connecting took longer than its deadline."""

    error_code = "connect_timeout"

    def __init__(
        self,
        message: str = "",
        *,
        phase: str | None = None,
        elapsed: float | None = None,
        **facts: Unpack[_ChainFacts],
    ) -> None:
        """Add the stage and the time spent."""
        super().__init__(message, **facts)
        self.phase = phase
        self.elapsed = elapsed


class TlsError(ChainConnectionError, SecurityError):
    """The TLS handshake failed."""

    error_code = "tls"


class ChainMismatchError(ChainConnectionError):
    """The node belongs to another network than the one asked for, or first seen under this label."""

    error_code = "chain_mismatch"


class NoHealthyEndpointError(ChainConnectionError):
    """No endpoint of the chain is healthy."""

    error_code = "no_healthy_endpoint"


class PoolTimeoutError(ChainConnectionError, TimeoutError):
    """No connection came free in time."""

    error_code = "pool_timeout"

    def __init__(
        self,
        message: str = "",
        *,
        phase: str | None = None,
        elapsed: float | None = None,
        **facts: Unpack[_ChainFacts],
    ) -> None:
        """Add the stage and the time spent."""
        super().__init__(message, **facts)
        self.phase = phase
        self.elapsed = elapsed


class TooManyWaitersError(ChainConnectionError):
    """As many callers wait as are allowed to."""

    error_code = "too_many_waiters"


class PoolClosedError(ChainConnectionError):
    """The pool, or its manager, is closed."""

    error_code = "pool_closed"


class ConnectionClosedError(ChainConnectionError):
    """The connection was closed, by its user or by its peer."""

    error_code = "connection_closed"


class RequestTimeoutError(BlockchainError, TimeoutError):
    """The call took longer than its deadline."""

    error_code = "request_timeout"

    def __init__(
        self,
        message: str = "",
        *,
        phase: str | None = None,
        elapsed: float | None = None,
        **facts: Unpack[_ChainFacts],
    ) -> None:
        """Add the stage and the time spent."""
        super().__init__(message, **facts)
        self.phase = phase
        self.elapsed = elapsed


class ProtocolError(BlockchainError):
    """The answer is not a valid one: a wrong id, cut short, not JSON, too large."""

    error_code = "protocol"


class HttpStatusError(ProtocolError):
    """The server answered with an HTTP status that carries no JSON-RPC answer."""

    error_code = "http_status"

    def __init__(self, message: str = "", *, status: int | None = None, **facts: Unpack[_ChainFacts]) -> None:
        """Add the HTTP status."""
        super().__init__(message, **facts)
        self.status = status


class RpcError(BlockchainError):
    """The node answered with an error."""

    error_code = "rpc"

    def __init__(
        self, message: str = "", *, code: int | None = None, data: Any = None, **facts: Unpack[_ChainFacts]
    ) -> None:
        """Add the JSON-RPC error's code and data."""
        super().__init__(message, **facts)
        self.code = code
        self.data = data


class ProviderRateLimitError(RpcError):
    """The provider asks to slow down."""

    error_code = "provider_rate_limit"

    def __init__(
        self, message: str = "", *, retry_after: float | None = None, **facts: Unpack[_RpcFacts]
    ) -> None:
        """Add when the provider wants to be asked again."""
        super().__init__(message, **facts)
        self.retry_after = retry_after


class QuotaExhaustedError(RpcError):
    """The provider's plan is used up."""

    error_code = "quota_exhausted"


class RangeTooLargeError(RpcError):
    """The query covers more than the provider allows."""

    error_code = "range_too_large"

    def __init__(
        self, message: str = "", *, suggested: tuple[int, int] | int | None = None, **facts: Unpack[_RpcFacts]
    ) -> None:
        """Add what the provider suggests, where it does: the first and last block, or a number of blocks."""
        super().__init__(message, **facts)
        self.suggested = suggested


class NodeBehindError(RpcError):
    """The node does not have the block or state yet, or any more."""

    error_code = "node_behind"


class MethodNotSupportedError(RpcError):
    """The node does not know the method."""

    error_code = "method_not_supported"


class ExecutionRevertedError(RpcError):
    """The contract reverted."""

    error_code = "execution_reverted"

    def __init__(self, message: str = "", *, reason: str | None = None, **facts: Unpack[_RpcFacts]) -> None:
        """Add why, where the error's data tells: the words of `require`, or the name of a panic."""
        super().__init__(message, **facts)
        self.reason = reason


# Tracebacks show the short path, and pickles name the one that stays true if this file ever moves.
for _name in __all__:
    globals()[_name].__module__ = "genesis_replicator"
del _name
