"""Lazy and raw answers: the real thing is what `json.loads` makes of the same text."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from collections.abc import Callable, Hashable, Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesis_replicator import ChainManager, ConfigurationError, LazyMapping, LazySequence, ProtocolError
from genesis_replicator.testing import FaultServer, Reply

OBJECT = '{"a": 1, "b\\u00e9": [1, 2, {"c": null}], "": {}, "z": "x\\ny", "\\ud800": -0.5, "a": 2}'
ARRAY = '[1, "two", [3, [4]], {"five": 5}, null, true, 1]'

#: Asks for a text, decoded as told.
Ask = Callable[..., Any]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=40,
)


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """One node and one manager for all texts of this file."""
    manager = ChainManager()
    with FaultServer() as node, asyncio.Runner() as runner:

        async def request(decode: str) -> Any:
            return await manager.request("eth", "ask", decode=decode)

        def asked(text: str, decode: str = "lazy") -> Any:
            node.on("ask", Reply(raw_result=text))
            return runner.run(request(decode))

        async def connect() -> None:
            await manager.start()
            await manager.connect_to_chain("eth", node.url)

        async def stop() -> None:
            await manager.stop()

        runner.run(connect())
        yield asked
        runner.run(stop())


def touched(value: Any) -> Any:
    """A real copy, made by touching every part of a lazy thing."""
    if isinstance(value, Mapping):
        return {key: touched(value[key]) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [touched(item) for item in value]
    return value


def pickled(value: Any) -> Any:
    """What another process would get."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301


@settings(max_examples=300, deadline=None)
@given(value=values, ascii_only=st.booleans(), indent=st.sampled_from([None, 1]))
def test_every_json_text_is_the_same_lazy_and_real(
    ask: Ask, value: Any, ascii_only: Any, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).replace("Infinity", "1e999")
    real = json.loads(text)
    lazy = ask(text)
    assert repr(touched(lazy)) == repr(real)
    assert lazy == real
    assert real == lazy
    assert (lazy != real) is False
    assert repr(pickled(lazy)) == repr(real)


@pytest.mark.parametrize("text", ["null", "true", "12", "-0.5", '"0x1"', '"\\ud800"'])
def test_what_is_no_container_is_given_as_it_is(ask: Ask, text: str) -> None:
    assert repr(ask(text)) == repr(json.loads(text))


def test_a_lazy_object_does_what_a_dict_does(ask: Ask) -> None:
    lazy, real = ask(OBJECT), json.loads(OBJECT)
    assert isinstance(lazy, LazyMapping)
    assert isinstance(lazy, Mapping)
    assert not isinstance(lazy, MutableMapping)
    assert len(lazy) == len(real)
    assert list(lazy) == list(real)
    assert list(reversed(lazy)) == list(reversed(real))
    assert list(lazy.keys()) == list(real.keys())
    assert list(lazy.values()) == list(real.values())
    assert list(lazy.items()) == list(real.items())
    assert lazy.keys() & {"a", "q"} == {"a"}
    assert "a" in lazy
    assert "\ud800" in lazy
    assert "q" not in lazy
    assert 1 not in lazy
    assert lazy.get("q") is None
    assert lazy.get("q", 7) == 7
    assert lazy.get("a", 7) == 2
    assert {**lazy} == real
    assert dict(lazy) == real
    match lazy:
        case {"a": found}:
            assert found == 2
        case _:
            pytest.fail("a mapping pattern does not match")


def test_what_a_lazy_object_has_not_is_a_key_error(ask: Ask) -> None:
    lazy = ask(OBJECT)
    for key in ("q", 1, ("a",)):
        with pytest.raises(KeyError) as error:
            lazy[key]
        assert error.value.args == (key,)
    with pytest.raises(TypeError, match="unhashable"):
        lazy[[]]


def test_a_lazy_array_does_what_a_list_does(ask: Ask) -> None:
    lazy, real = ask(ARRAY), json.loads(ARRAY)
    assert isinstance(lazy, LazySequence)
    assert isinstance(lazy, Sequence)
    assert len(lazy) == len(real)
    assert list(lazy) == real
    assert list(reversed(lazy)) == real[::-1]
    for place in range(-7, 7):
        assert lazy[place] == real[place]
    for part in (slice(None), slice(1, 3), slice(None, None, -2), slice(-3, 99), slice(5, 1)):
        assert lazy[part] == real[part]
        assert type(lazy[part]) is list
    assert lazy.index(1) == 0
    assert lazy.index(1, 1) == real.index(1, 1)
    assert lazy.index(1, 6, 7) == 6
    assert lazy.index([3, [4]]) == 2
    assert lazy.count(1) == real.count(1)
    assert {"five": 5} in lazy
    assert "three" not in lazy
    first, *rest = lazy
    assert [first, *rest] == real


def test_what_a_lazy_array_has_not_is_an_index_error_and_a_wrong_index_a_type_error(ask: Ask) -> None:
    lazy = ask(ARRAY)
    for place in (7, -8, 10**30, -(10**30)):
        with pytest.raises(IndexError):
            lazy[place]
    with pytest.raises(TypeError):
        lazy["a"]
    with pytest.raises(ValueError, match=r".*"):
        lazy.index("three")


def test_containers_in_lazy_ones_are_lazy_and_keep_the_answer(ask: Ask) -> None:
    inner = ask(ARRAY)[3]
    assert isinstance(inner, LazyMapping)
    assert inner == {"five": 5}
    assert isinstance(ask(OBJECT)["b\xe9"], LazySequence)
    assert ask(OBJECT)["b\xe9"][2]["c"] is None


def test_equality_holds_both_ways_with_what_equals_the_real_thing_and_nothing_else(ask: Ask) -> None:
    one, other = ask('{"a": [1, {"b": 2}]}'), ask('{ "a":[1.0,{"b":2}] }')
    real = {"a": [1, {"b": 2}]}
    assert one == other == real == one
    assert one == MappingProxyType(real)
    assert {"x": one} == {"x": real}
    assert one["a"] == real["a"] == one["a"]
    for different in ({"a": [1]}, [], None, "a", ask("[]"), ask("{}")):
        assert one != different
        assert different != one
    assert ask("[1]") != (1,)
    assert ask("[]") != ask("{}")


def test_lazy_containers_are_no_keys_and_cannot_be_changed(ask: Ask) -> None:
    for text in (OBJECT, ARRAY):
        lazy = ask(text)
        assert not isinstance(lazy, Hashable)
        with pytest.raises(TypeError, match="unhashable"):
            hash(lazy)
        with pytest.raises(TypeError):
            lazy[0] = 1
        with pytest.raises(AttributeError):
            lazy.extra = 1


def test_json_copy_and_pickle_give_the_real_thing(ask: Ask) -> None:
    for text in (OBJECT, ARRAY):
        lazy, real = ask(text), json.loads(text)
        for again in (lazy.json(), copy.copy(lazy), copy.deepcopy(lazy), pickled(lazy)):
            assert type(again) is type(real)
            assert repr(again) == repr(real)


def test_a_lazy_repr_is_short_and_shows_nothing(ask: Ask) -> None:
    assert repr(ask('{"key": "' + "x" * 91 + '"}')) == "<LazyMapping of 102 bytes>"
    assert repr(ask("[1,2]")) == "<LazySequence of 5 bytes>"


def test_threads_touch_one_lazy_answer_at_the_same_time(ask: Ask) -> None:
    real = [{"n": n, "inner": [n, {"deep": str(n)}]} for n in range(20_000)]
    lazy = ask(json.dumps(real))
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda n: lazy[n]["inner"][1]["deep"], range(0, 20_000, 7)))
    assert found == [str(n) for n in range(0, 20_000, 7)]


def test_a_lazy_answer_shows_2100_levels_and_no_more(ask: Ask) -> None:
    lazy = ask("[" * 2_101 + "]" * 2_101)
    with pytest.raises(ProtocolError, match="too deeply"):
        lazy.json()
    for _ in range(2_099):
        lazy = lazy[0]
    with pytest.raises(ProtocolError, match="too deeply"):
        lazy[0]


def test_raw_gives_the_text_of_the_result(ask: Ask) -> None:
    for text in (OBJECT, ARRAY, "null", '"0x1"', "1e2"):
        assert ask(text, "raw") == text.encode()


async def test_a_wrong_decode_is_told_when_it_is_awaited(chain: ChainManager) -> None:
    call = chain.request("eth", "eth_blockNumber", decode="yaml")  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match=r"decode: must be 'json', 'raw' or 'lazy'") as error:
        await call
    assert error.value.details["argument"] == "decode"


async def test_a_connection_decodes_as_its_manager_does(chain: ChainManager, node: FaultServer) -> None:
    node.on("ask", Reply(raw_result=ARRAY))
    async with chain.get_connection("eth") as connection:
        assert await connection.request("ask", decode="raw") == ARRAY.encode()
        assert isinstance(await connection.request("ask", decode="lazy"), LazySequence)
        assert await connection.request("ask") == json.loads(ARRAY)
        with pytest.raises(ConfigurationError):
            await connection.request("ask", decode="")  # type: ignore[call-overload]
