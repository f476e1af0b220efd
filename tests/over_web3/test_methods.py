"""Method by method, as found in web3.py: over our provider it answers and raises as over its own."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("web3")
from eth_utils import combomethod
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3._utils.batching import RequestBatcher
from web3._utils.events import AsyncEventFilterBuilder
from web3._utils.filters import AsyncBlockFilter, AsyncLogFilter, AsyncTransactionFilter
from web3.contract.async_contract import AsyncContractConstructor, AsyncContractEvent, AsyncContractFunction
from web3.manager import RequestManager
from web3.method import Method
from web3.module import Module

from genesis_replicator.web3 import GenesisProvider
from over_web3.asked import ANSWERED, NOT_ASKED, REFUSED
from over_web3.pairs import Pair


def modules(of: Any) -> Iterator[type[Module]]:
    """`w3.eth` and the others, with those in them."""
    for attribute in vars(of).values():
        if isinstance(attribute, Module):
            yield type(attribute)
            yield from modules(attribute)


#: Whatever asks a node is a method of one of these.
CLASSES = (
    *modules(AsyncWeb3(AsyncHTTPProvider())),
    AsyncWeb3,
    RequestManager,
    AsyncContractFunction,
    AsyncContractConstructor,
    AsyncContractEvent,
    AsyncEventFilterBuilder,
    AsyncBlockFilter,
    AsyncTransactionFilter,
    AsyncLogFilter,
    RequestBatcher,
    AsyncHTTPProvider,
)


def asks(attribute: Any) -> bool:
    """Whether it is awaited, as a method, a property or one of web3.py's descriptions of a call."""
    if isinstance(attribute, Method):
        return True
    function = {property: "fget", combomethod: "method"}.get(type(attribute))
    return inspect.iscoroutinefunction(getattr(attribute, function) if function else attribute)


def found() -> Iterator[str]:
    """All that this web3.py has."""
    for owner in CLASSES:
        for name in dir(owner):
            if not name.startswith("_") and asks(inspect.getattr_static(owner, name)):
                yield f"{owner.__name__}.{name}"


FOUND = tuple(found())


def test_every_method_of_web3_has_a_line_in_the_table() -> None:
    assert set(FOUND) == ANSWERED.keys() | REFUSED.keys() | NOT_ASKED.keys()


def test_whatever_the_stock_provider_can_be_asked_ours_has() -> None:
    ours = {f"AsyncHTTPProvider.{name}" for name in dir(GenesisProvider)}
    assert {name for name in FOUND if name.startswith("AsyncHTTPProvider.")} - ours == {
        "AsyncHTTPProvider.cache_async_session"
    }


@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name in FOUND for number in range(len(ANSWERED.get(name, ())))]
)
async def test_it_answers_the_same(name: str, number: int, pair: Pair) -> None:
    await pair.answers(ANSWERED[name][number])


@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name in FOUND for number in range(len(REFUSED.get(name, ())))]
)
async def test_it_refuses_in_the_same_words(name: str, number: int, pair: Pair) -> None:
    await pair.refuses(REFUSED[name][number])
