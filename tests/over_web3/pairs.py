"""What comes of the same question over web3.py's own provider, and over ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from web3 import AsyncWeb3

Ask = Callable[[AsyncWeb3[Any]], Awaitable[Any]]


async def outcome(ask: Ask, w3: AsyncWeb3[Any]) -> Any:
    """A result, or the class and the text of an error."""
    try:
        return await ask(w3)
    except Exception as error:  # noqa: BLE001
        return type(error), str(error)


@dataclass(frozen=True)
class Pair:
    """The same web3.py twice, each on a node of its own that has seen the same."""

    stock: AsyncWeb3[Any]
    ours: AsyncWeb3[Any]

    async def answers(self, ask: Ask) -> Any:
        """What both answer; an error in one of them is an error."""
        expected, got = await ask(self.stock), await ask(self.ours)
        return the_same(expected, got)

    async def refuses(self, ask: Ask) -> tuple[type[Exception], str]:
        """The class and the words of the error that both raise."""
        expected, got = await outcome(ask, self.stock), await outcome(ask, self.ours)
        assert isinstance(expected, tuple), f"it answers {expected!r}"
        assert isinstance(expected[0], type)
        refusal: tuple[type[Exception], str] = the_same(expected, got)
        return refusal


def the_same(expected: Any, got: Any) -> Any:
    """It, if both are equal down to the classes of their parts."""
    assert got == expected
    assert repr(got) == repr(expected)
    return got
