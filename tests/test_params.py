"""Parameters of every kind arrive as the caller meant them, and come back as json.loads reads them."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genesis_replicator import ChainManager, ConfigurationError
from genesis_replicator.testing import FaultServer

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=30,
)


# The node is shared by all examples on purpose: it only echoes.
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=JSON)
async def test_any_json_document_makes_the_round_trip(document: Any, chain: ChainManager) -> None:
    expected = json.loads(json.dumps([document]))
    assert repr(await chain.request("eth", "echo", [document])) == repr(expected)


class Number(enum.IntEnum):
    """An integer by another name."""

    SEVEN = 7


@pytest.mark.parametrize(
    ("params", "arrives"),
    [
        ((), []),
        ([], []),
        ((1, (2, 3)), [1, [2, 3]]),
        ({"to": "0x0", "value": 1}, {"to": "0x0", "value": 1}),
        ([b"\x00\xff", bytearray(b"\x01"), b""], ["0x00ff", "0x01", "0x"]),
        ([2**300, -(2**300)], [2**300, -(2**300)]),
        ([Number.SEVEN, True, None], [7, True, None]),
        ([{5: "a", None: "b", True: "c", 0.5: "d"}], [{"5": "a", "null": "b", "true": "c", "0.5": "d"}]),
        (["é😀\x00\u2028"], ["é😀\x00\u2028"]),
    ],
    ids=repr,
)
async def test_params_arrive_as_json(
    params: Any, arrives: Any, chain: ChainManager, node: FaultServer
) -> None:
    assert await chain.request("eth", "echo", params) == arrives
    assert node.seen[-1].params == arrives


def circular() -> list[Any]:
    """A list that holds itself."""
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "params",
    [
        [object()],
        [{1, 2}],
        [decimal.Decimal(1)],
        [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)],
        [math.nan],
        [math.inf],
        [{(1, 2): 3}],
        circular(),
        "0xdeadbeef",
        7,
    ],
    ids=lambda value: type(value).__name__,
)
async def test_params_that_are_not_json_are_refused_before_anything_is_sent(
    params: Any, chain: ChainManager, node: FaultServer
) -> None:
    with pytest.raises(ConfigurationError, match="params"):
        await chain.request("eth", "echo", params)
    assert node.calls("echo") == 0
