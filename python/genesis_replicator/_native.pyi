# The native module, typed by hand. `make check` compares it with the real one (stubtest) and with a user's
# program (mypy --strict).

import collections.abc
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    Sequence,
    ValuesView,
)
from os import PathLike
from types import TracebackType
from typing import Any, ClassVar, Generic, Literal, Self, SupportsIndex, TypeAlias, TypeVar, final, overload

__all__ = [
    "ChainManager",
    "Connection",
    "ConnectionPool",
    "Coroutine",
    "KeyedRateLimiter",
    "LazyMapping",
    "LazySequence",
    "LogStream",
    "MetricsCollector",
    "RateLimitDecision",
    "RateLimiter",
    "SecurityEvent",
    "Stream",
    "Subscription",
    "__version__",
    "explain_credentials",
    "validate_credentials",
]

_T_co = TypeVar("_T_co", covariant=True)
_Path: TypeAlias = str | PathLike[str]
_Fields: TypeAlias = Mapping[str, object]
_Credentials: TypeAlias = _Fields | Callable[[], _Fields | Awaitable[_Fields]]
_Params: TypeAlias = list[Any] | tuple[Any, ...] | dict[str, Any]
_Call: TypeAlias = tuple[str, _Params]

__version__: str

# Every awaitable of the package, but for the ends of an `async with` where there may be nothing to wait for.
# Those that lead to a `Connection` are context managers too: the end of the block gives the connection back.
@final
class Coroutine(collections.abc.Coroutine[Any, Any, _T_co], Generic[_T_co]):
    @property
    def __name__(self) -> str: ...
    @property
    def __qualname__(self) -> str: ...
    def __await__(self) -> collections.abc.Generator[Any, Any, _T_co]: ...
    def send(self, value: Any, /) -> Any: ...
    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
        /,
    ) -> Any: ...
    def close(self) -> None: ...
    def __aenter__(self: Coroutine[Connection]) -> Coroutine[Connection]: ...
    def __aexit__(
        self: Coroutine[Connection],
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> Awaitable[None]: ...

@final
class Connection:
    @property
    def id(self) -> str: ...
    @property
    def chain_id(self) -> str | None: ...
    @property
    def endpoint(self) -> str: ...
    @overload
    def request(
        self,
        method: str,
        params: _Params = (),
        *,
        timeout: float | None = None,
        decode: Literal["json", "lazy"] = "json",
    ) -> Coroutine[Any]: ...
    @overload
    def request(
        self, method: str, params: _Params = (), *, timeout: float | None = None, decode: Literal["raw"]
    ) -> Coroutine[bytes]: ...
    def batch(
        self, calls: Iterable[_Call], *, timeout: float | None = None, return_exceptions: bool = False
    ) -> Coroutine[list[Any]]: ...
    def close(self) -> Coroutine[None]: ...
    def __aenter__(self) -> Coroutine[Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> Awaitable[None]: ...

# What `decode="lazy"` gives. They are registered with `collections.abc`.
@final
class LazyMapping(Mapping[str, Any]):
    def json(self) -> dict[str, Any]: ...
    def get(self, key: object, default: Any = None, /) -> Any: ...
    def keys(self) -> KeysView[str]: ...
    def items(self) -> ItemsView[str, Any]: ...
    def values(self) -> ValuesView[Any]: ...
    def __getitem__(self, key: str, /) -> Any: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[str]: ...
    def __reversed__(self) -> Iterator[str]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class LazySequence(Sequence[Any]):
    def json(self) -> list[Any]: ...
    def index(self, value: Any, start: int = 0, stop: int | None = None, /) -> int: ...
    def count(self, value: Any, /) -> int: ...
    @overload
    def __getitem__(self, key: SupportsIndex, /) -> Any: ...
    @overload
    def __getitem__(self, key: slice, /) -> list[Any]: ...
    def __contains__(self, value: object, /) -> bool: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __reversed__(self) -> Iterator[Any]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __reduce__(self) -> tuple[type[list[Any]], tuple[list[Any]]]: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class ChainManager:
    def __new__(
        cls,
        max_connections: int = 10,
        *,
        acquire_timeout: float = 30.0,
        request_timeout: float = 30.0,
        metrics: MetricsCollector | None = None,
    ) -> Self: ...
    def start(self) -> Coroutine[None]: ...
    def stop(self, timeout: float = 5.0) -> Coroutine[None]: ...
    def connect_to_chain(
        self,
        chain_id: str,
        endpoint: str | Mapping[str, object] | Sequence[str | Mapping[str, object]],
        credentials: _Credentials | None = None,
        *,
        timeout: float | None = None,
        network_id: int | str | None = None,
        rate_limit: float | RateLimiter | str | None = None,
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
        trust_env: bool = False,
        ca: _Path | bytes | None = None,
        client_cert: _Path | bytes | tuple[_Path | bytes, _Path | bytes] | None = None,
        allow_plaintext: bool = False,
        address_policy: str | Sequence[str] | None = None,
        max_response_bytes: int = 67108864,
        error_rules: Iterable[Mapping[str, object]] | None = None,
        retries: int = 2,
        hedging: bool = True,
        max_lag: int | None = None,
        safe_methods: Iterable[str] | None = None,
        cache: bool | int | None = None,
        batch_window: float | None = None,
        batch_size: int = 100,
    ) -> Coroutine[bool]: ...
    def disconnect_from_chain(self, chain_id: str) -> Coroutine[None]: ...
    def get_connected_chains(self) -> Coroutine[list[str]]: ...
    def get_chain_status(self, chain_id: str) -> Coroutine[dict[str, Any]]: ...
    def get_connection(self, chain_id: str, *, timeout: float | None = None) -> Coroutine[Connection]: ...
    @overload
    def request(
        self,
        chain_id: str,
        method: str,
        params: _Params = (),
        *,
        timeout: float | None = None,
        decode: Literal["json", "lazy"] = "json",
    ) -> Coroutine[Any]: ...
    @overload
    def request(
        self,
        chain_id: str,
        method: str,
        params: _Params = (),
        *,
        timeout: float | None = None,
        decode: Literal["raw"],
    ) -> Coroutine[bytes]: ...
    def request_many(
        self,
        chain_id: str,
        calls: Iterable[_Call],
        *,
        concurrency: int | None = None,
        timeout: float | None = None,
        return_exceptions: bool = False,
    ) -> Coroutine[list[Any]]: ...
    def batch(
        self,
        chain_id: str,
        calls: Iterable[_Call],
        *,
        timeout: float | None = None,
        return_exceptions: bool = False,
    ) -> Coroutine[list[Any]]: ...
    def stream(
        self,
        chain_id: str,
        calls: Iterable[_Call] | AsyncIterable[_Call],
        *,
        concurrency: int | None = None,
        timeout: float | None = None,
        return_exceptions: bool = False,
    ) -> Stream: ...
    def stream_logs(
        self,
        chain_id: str,
        filter_params: Mapping[str, Any],
        *,
        concurrency: int | None = None,
        timeout: float | None = None,
    ) -> LogStream: ...
    def subscribe(
        self,
        chain_id: str,
        kind: str,
        params: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        unsubscribe: str | None = None,
        buffer: int = 1024,
    ) -> Subscription: ...
    def get_logs(
        self,
        chain_id: str,
        filter_params: Mapping[str, Any],
        *,
        on_progress: Callable[[int, int], object] | None = None,
        concurrency: int | None = None,
        timeout: float | None = None,
    ) -> collections.abc.Coroutine[Any, Any, list[Any]]: ...
    def verify_credentials(self, chain_id: str) -> Coroutine[bool]: ...
    def get_pool_metrics(self, chain_id: str | None = None) -> Coroutine[dict[str, Any]]: ...
    def __aenter__(self) -> Coroutine[Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> Coroutine[None]: ...

# What `ChainManager.stream_logs` gives.
@final
class LogStream(AsyncIterator[tuple[range, list[Any]]]):
    @property
    def blocks(self) -> range | None: ...
    def __anext__(self) -> Coroutine[tuple[range, list[Any]]]: ...
    def aclose(self) -> Coroutine[None]: ...

# What `ChainManager.subscribe` gives.
@final
class Subscription(AsyncIterator[Any]):
    @property
    def missed(self) -> int: ...
    def __anext__(self) -> Coroutine[Any]: ...
    def aclose(self) -> Coroutine[None]: ...
    def __aenter__(self) -> Coroutine[Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> Coroutine[None]: ...

# What `ChainManager.stream` gives.
@final
class Stream(AsyncIterator[tuple[int, Any]]):
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Coroutine[tuple[int, Any]]: ...
    def aclose(self) -> Coroutine[None]: ...

@final
class ConnectionPool:
    def __new__(
        cls,
        endpoint: str,
        credentials: _Credentials | None = None,
        *,
        max_connections: int = 10,
        min_connections: int = 0,
        acquire_timeout: float = 30.0,
        max_waiting: int | None = None,
        max_lifetime: float = 3600.0,
        idle_timeout: float = 15.0,
        leak_threshold: float = 60.0,
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
        trust_env: bool = False,
        ca: _Path | bytes | None = None,
        client_cert: _Path | bytes | tuple[_Path | bytes, _Path | bytes] | None = None,
        allow_plaintext: bool = False,
        address_policy: str | Sequence[str] | None = None,
        max_response_bytes: int = 67108864,
        error_rules: Iterable[Mapping[str, object]] | None = None,
    ) -> Self: ...
    def acquire(self, timeout: float | None = None) -> Coroutine[Connection]: ...
    def resize(self, max_connections: int) -> Coroutine[None]: ...
    def drain(self) -> Coroutine[None]: ...
    def close(self, timeout: float = 5.0) -> Coroutine[None]: ...
    def get_metrics(self) -> Coroutine[dict[str, Any]]: ...
    def __aenter__(self) -> Coroutine[Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> Coroutine[None]: ...

@final
class RateLimiter:
    @overload
    def __new__(
        cls,
        max_rate: int,
        time_window: float = 60.0,
        *,
        burst: int | None = None,
        shared: str | Iterable[str] | None = None,
        name: str | None = None,
        on_outage: Literal["local_share", "closed", "open"] = "local_share",
    ) -> Self: ...
    @overload
    def __new__(cls, max_rate: Sequence[tuple[int, float]]) -> Self: ...
    @property
    def max_rate(self) -> int: ...
    @property
    def time_window(self) -> float: ...
    @property
    def windows(self) -> list[tuple[int, float]]: ...
    def acquire(self, amount: int = 1, timeout: float | None = None) -> Coroutine[None]: ...
    def try_acquire(self, amount: int = 1) -> bool: ...
    def has_capacity(self, amount: int = 1) -> bool: ...
    def reserve(self, amount: int = 1) -> float: ...
    def __aenter__(self) -> Awaitable[None]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> Awaitable[None]: ...

# Always true: a refused client gets an exception.
@final
class RateLimitDecision:
    @property
    def limit(self) -> int: ...
    @property
    def remaining(self) -> int: ...
    @property
    def reset_after(self) -> float: ...
    def __bool__(self) -> bool: ...

# `genesis_replicator.security.RateLimiter`.
@final
class KeyedRateLimiter:
    def __new__(
        cls,
        max_requests: int = 100,
        window_seconds: float = 60.0,
        *,
        max_clients: int = 1000000,
        on_event: Callable[[SecurityEvent], object] | None = None,
        metrics: MetricsCollector | None = None,
        shared: str | Iterable[str] | None = None,
        name: str | None = None,
        on_outage: Literal["local_share", "closed", "open"] = "local_share",
    ) -> Self: ...
    def check_rate_limit(self, client_id: str | bytes | int) -> Coroutine[RateLimitDecision]: ...
    def record_credential_failure(self, client_id: str | bytes | int) -> None: ...
    def fingerprint(self, client_id: str | bytes | int) -> str: ...

@final
class SecurityEvent:
    @property
    def kind(self) -> Literal["hammering", "new_clients", "credential_failures"]: ...
    @property
    def client(self) -> str | None: ...
    @property
    def count(self) -> int: ...
    @property
    def when(self) -> float: ...

def validate_credentials(
    credentials: Mapping[str, object], *, endpoint: str | None = None
) -> Coroutine[bool]: ...
def explain_credentials(
    credentials: Mapping[str, object], *, endpoint: str | None = None
) -> Coroutine[list[str]]: ...

@final
class MetricsCollector:
    def __new__(cls) -> Self: ...
    def record_duration(self, seconds: float, operation: str | None = None) -> None: ...
    def record_error(self, error: BaseException | str, operation: str | None = None) -> None: ...
    @property
    def error_rate(self) -> float: ...
    def quantile(self, q: float, operation: str | None = None) -> float | None: ...
    def alert(self, name: str, *, above: float, callback: Callable[[str, float], object]) -> int: ...
    def remove_alert(self, alert_id: int) -> None: ...
    def snapshot(self) -> dict[str, Any]: ...
    def prometheus_text(self) -> str: ...
