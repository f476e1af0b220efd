"""Random JSON texts, good and damaged: what `json.loads` makes of them is the measure."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from genesis_replicator import ChainManager, ProtocolError
from genesis_replicator.testing import FaultServer, Reply

SEEDS = ['{"a":[1,2.5,"x\\n"],"b":null}', '[true,-12.5e+3,"\\u00e9"]', '{"n":{"n":[{},[]]}}']
RANGES = [(0, 0x80), (0x80, 0xD800), (0xD800, 0xE000), (0xE000, 0x110000)]


def number(source: random.Random) -> str:
    return repr(source.uniform(-1, 1) * 10 ** source.randint(-320, 308))


def text(source: random.Random) -> str:
    """A string of any code points, lone surrogates among them."""
    points = (source.randrange(*source.choice(RANGES)) for _ in range(source.randrange(30)))
    return json.dumps("".join(map(chr, points)))


def damaged(source: random.Random) -> str:
    """A document with one or two characters replaced, which may well be valid still."""
    letters = list(source.choice(SEEDS))
    for _ in range(source.randint(1, 2)):
        letters[source.randrange(len(letters))] = source.choice('{}[]",:0123e.-+\\u "atrue')
    return "".join(letters)


def refuse(constant: str) -> None:
    """`NaN` and its kin are not in RFC 8259."""
    raise ValueError(constant)


def expected(document: str) -> str | None:
    """The value as text, which tells -0.0 from 0.0 and 1 from 1.0; None where there is none."""
    try:
        return repr(json.loads(f'{{"result":{document}}}', parse_constant=refuse)["result"])
    except ValueError:
        return None


async def got(chain: ChainManager) -> str | None:
    try:
        value: Any = await chain.request("eth", "ask")
    except ProtocolError:
        return None
    return repr(value)


@pytest.mark.parametrize("make", [number, text, damaged], ids=lambda make: make.__name__)
async def test_a_result_is_what_json_loads_makes_of_it_or_an_error(
    make: Any, chain: ChainManager, node: FaultServer
) -> None:
    source = random.Random(20)  # noqa: S311
    for _ in range(300):
        document = make(source)
        node.on("ask", Reply(raw_result=document))
        assert await got(chain) == expected(document), document
