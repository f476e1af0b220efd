"""The public names: where they are, what they are called, and the tree of exceptions.

This file needs the wheel and pytest and nothing else; it also runs in empty environments.
"""

from __future__ import annotations

import builtins
import copy
import importlib
import inspect
import pickle
from collections.abc import Coroutine

import pytest

import genesis_replicator
from genesis_replicator.foundation_services import exceptions

ROOT = "genesis_replicator"
INTEGRATION = f"{ROOT}.foundation_services.blockchain_integration"

#: Each exception, its bases, and the attributes that it adds.
TREE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "GenesisError": (("Exception",), ("error_code", "details")),
    "ConfigurationError": (("GenesisError", "ValueError"), ()),
    "LimiterTimeoutError": (("GenesisError", "TimeoutError"), ("retry_after", "phase", "elapsed")),
    "SecurityError": (("GenesisError",), ()),
    "InvalidCredentialsError": (("SecurityError", "ValueError"), ()),
    "AuthenticationError": (("SecurityError",), ()),
    "RateLimitExceededError": (("SecurityError",), ("retry_after",)),
    "BlockchainError": (("GenesisError",), ("chain_id",)),
    "ChainConnectionError": (("BlockchainError", "ConnectionError"), ()),
    "UnknownChainError": (("ChainConnectionError", "KeyError"), ()),
    "ConnectTimeoutError": (("ChainConnectionError", "TimeoutError"), ("phase", "elapsed")),
    "TlsError": (("ChainConnectionError", "SecurityError"), ()),
    "ChainMismatchError": (("ChainConnectionError",), ()),
    "NoHealthyEndpointError": (("ChainConnectionError",), ()),
    "PoolTimeoutError": (("ChainConnectionError", "TimeoutError"), ("phase", "elapsed")),
    "TooManyWaitersError": (("ChainConnectionError",), ()),
    "PoolClosedError": (("ChainConnectionError",), ()),
    "ConnectionClosedError": (("ChainConnectionError",), ()),
    "RequestTimeoutError": (("BlockchainError", "TimeoutError"), ("phase", "elapsed")),
    "ProtocolError": (("BlockchainError",), ()),
    "HttpStatusError": (("ProtocolError",), ("status",)),
    "RpcError": (("BlockchainError",), ("code", "data")),
    "ProviderRateLimitError": (("RpcError",), ("retry_after",)),
    "QuotaExhaustedError": (("RpcError",), ()),
    "RangeTooLargeError": (("RpcError",), ("suggested",)),
    "NodeBehindError": (("RpcError",), ()),
    "MethodNotSupportedError": (("RpcError",), ()),
    "ExecutionRevertedError": (("RpcError",), ("reason",)),
}
CLASSES = {"ChainManager", "ConnectionPool", "Connection", "RateLimiter", "MetricsCollector"}
LAZY = {"LazyMapping", "LazySequence"}
PATHS: dict[str, set[str]] = {
    ROOT: CLASSES
    | LAZY
    | set(TREE)
    | {"explain_credentials", "validate_credentials", "SecurityEvent", "__version__"},
    INTEGRATION: {"ChainManager", "ConnectionPool", "Connection", "RateLimiter", "ChainConnectionError"},
    f"{ROOT}.foundation_services.exceptions": set(TREE),
    f"{ROOT}.security": {
        "explain_credentials",
        "validate_credentials",
        "RateLimiter",
        "SecurityEvent",
        "SecurityError",
    }
    | {"RateLimitExceededError"},
    f"{ROOT}.monitoring": {"MetricsCollector"},
}
#: What is for tests has a path of its own, and no other.
TESTING = {
    "FAULTS",
    "Authority",
    "Bandwidth",
    "FaultServer",
    "Latency",
    "LimitData",
    "Reply",
    "ResetPeer",
    "SeenCall",
    "Slicer",
    "SlowClose",
    "Timeout",
    "Toxic",
    "ToxicProxy",
}


@pytest.mark.parametrize("path", PATHS)
def test_each_import_path_has_its_names_and_lists_them(path: str) -> None:
    module = importlib.import_module(path)
    assert set(module.__all__) >= PATHS[path]
    assert all(hasattr(module, name) for name in module.__all__)
    assert len(module.__all__) == len(set(module.__all__))
    assert module.__doc__


def test_what_is_for_tests_is_documented_in_a_path_of_its_own() -> None:
    testing = importlib.import_module(f"{ROOT}.testing")
    assert set(testing.__all__) == TESTING
    for name in TESTING - {"FAULTS"}:
        value = getattr(testing, name)
        assert value.__module__ == f"{ROOT}.testing"
        members = [member for key, member in vars(value).items() if not key.startswith("_")]
        assert all(inspect.getdoc(member) for member in (value, *members) if callable(member))
    assert not TESTING & set(vars(genesis_replicator))


def test_a_name_is_the_same_object_under_every_path() -> None:
    for path, names in PATHS.items():
        module = importlib.import_module(path)
        for name in names - ({"RateLimiter"} if path.endswith("security") else set()):
            assert getattr(module, name) is getattr(genesis_replicator, name)


def test_the_two_limiters_differ() -> None:
    security = importlib.import_module(f"{ROOT}.security")
    assert security.RateLimiter is not genesis_replicator.RateLimiter
    assert security.RateLimiter.__name__ == "KeyedRateLimiter"
    assert not hasattr(genesis_replicator, "KeyedRateLimiter")


@pytest.mark.parametrize("name", sorted(PATHS[ROOT] - {"__version__"}))
def test_a_public_name_is_documented_and_at_home_in_the_package(name: str) -> None:
    value = getattr(genesis_replicator, name)
    # A native function is told its module by the interpreter, and that is the native one.
    assert value.__module__ in ({ROOT} if inspect.isclass(value) else {ROOT, f"{ROOT}._native"})
    assert value.__name__ == name
    assert value.__doc__
    if name in CLASSES:
        methods = {key: member for key, member in vars(value).items() if not key.startswith("_")}
        assert methods
        assert [key for key, member in methods.items() if not inspect.getdoc(member)] == []


def test_the_version_is_a_release_number() -> None:
    assert [part.isdigit() for part in genesis_replicator.__version__.split(".")] == [True, True, True]


@pytest.mark.parametrize("name", TREE)
def test_an_exception_has_its_bases_and_attributes(name: str) -> None:
    bases, attributes = TREE[name]
    kind = getattr(exceptions, name)
    expected = tuple(getattr(exceptions, base, None) or getattr(builtins, base) for base in bases)
    assert kind.__bases__ == expected
    assert all(hasattr(kind("text"), attribute) for attribute in attributes)


def test_the_tree_is_complete() -> None:
    assert set(exceptions.__all__) == set(TREE)


def facts_of(name: str) -> dict[str, object]:
    """A value for every attribute that an exception has, its own and those of its bases."""
    bases, attributes = TREE[name]
    values: dict[str, object] = {"details": {"argument": "timeout"}, "error_code": "special"}
    facts = {attribute: values.get(attribute, 7) for attribute in attributes}
    for base in bases:
        facts |= facts_of(base) if base in TREE else {}
    return facts


@pytest.mark.parametrize("name", TREE)
def test_an_exception_reads_as_its_message_and_survives_pickle_and_copy(name: str) -> None:
    facts = facts_of(name)
    error = getattr(exceptions, name)("it's broken", **facts)
    for twin in (error, pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301
        assert type(twin) is type(error)
        assert str(twin) == "it's broken"
        assert twin.args == ("it's broken",)
        assert {fact: getattr(twin, fact) for fact in facts} == facts


@pytest.mark.parametrize("name", TREE)
def test_an_exception_takes_one_positional_argument_and_has_a_code(name: str) -> None:
    kind = getattr(exceptions, name)
    with pytest.raises(TypeError):
        kind("text", 5)
    assert kind("text").error_code
    assert kind("text").details == {}
    codes = [getattr(exceptions, other)("text").error_code for other in TREE]
    assert codes.count(kind("text").error_code) == 1


def test_a_coroutine_of_the_package_is_a_coroutine() -> None:
    coroutine = genesis_replicator.RateLimiter(1).acquire()
    assert isinstance(coroutine, Coroutine)
    coroutine.close()


def test_the_package_is_marked_as_typed() -> None:
    from importlib import resources

    assert resources.files(ROOT).joinpath("py.typed").is_file()
    assert resources.files(ROOT).joinpath("_native.pyi").is_file()
