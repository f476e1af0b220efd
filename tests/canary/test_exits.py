"""The secret is in use in every form and comes out nowhere; each exit shows what there is to see."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from canary import exits
from canary.forms import FORMS, SECRET, VARIABLE, hidden
from canary.life import Life
from canary.trouble import silent_port
from genesis_replicator import GenesisError, exceptions
from genesis_replicator.testing import FaultServer
from servers.anvil import free_port

EXITS = {**exits.OBJECTS, **exits.ERRORS, **exits.RECORDS, **exits.TOLD}
#: Bases: what is raised is one of their kind.
BASES = {"GenesisError", "SecurityError", "BlockchainError"}


@pytest.fixture(scope="module", params=FORMS)
def life(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """What one form of the secret leaves behind."""
    life, folder = Life(), tmp_path_factory.mktemp("canary")
    with pytest.MonkeyPatch.context() as patch, FaultServer() as node, silent_port() as silent:
        patch.setenv(VARIABLE, SECRET)
        planted = FORMS[request.param](folder)
        asyncio.run(life.live(planted, node, silent.getsockname()[1], free_port()))
        sent = [f"{seen.path} {seen.headers}" for seen in node.seen]
        assert any(secret in one for one in sent for secret in (*hidden(), "Bearer ey")), "it was not in use"
    yield life
    life.end()


def leaks(text: object) -> list[str]:
    """What of the secret stands in a text, or in the repr of what is none."""
    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    text = text if isinstance(text, str) else repr(text)
    return [secret for secret in hidden() if secret in text]


@pytest.mark.parametrize("name", exits.OBJECTS)
def test_no_object_lets_it_out(name: str, life: Life) -> None:
    for value in life.objects:
        assert not leaks(exits.OBJECTS[name](value)), type(value)


@pytest.mark.parametrize("name", exits.ERRORS)
def test_no_error_lets_it_out(name: str, life: Life) -> None:
    for error in life.errors:
        for one in exits.causes(error):
            assert not leaks(exits.ERRORS[name](one)), type(one)


@pytest.mark.parametrize("name", exits.RECORDS)
def test_no_record_of_any_logger_at_any_level_lets_it_out(name: str, life: Life) -> None:
    assert {record.levelno for record in life.records if record.name.startswith("genesis")} >= {10, 20, 30}
    for record in life.records:
        assert not leaks(exits.RECORDS[name](record)), record.name


@pytest.mark.parametrize("name", exits.TOLD)
def test_nothing_that_is_told_lets_it_out(name: str, life: Life) -> None:
    for told in [*life.told, *life.unhandled]:
        assert not leaks(exits.TOLD[name](told))


def test_no_warning_lets_it_out(life: Life) -> None:
    assert any("ResourceWarning" in warned for warned in life.warned)
    assert not [warned for warned in life.warned if leaks(warned)]


def test_every_error_of_the_package_was_met(life: Life) -> None:
    met = {type(one).__name__ for error in life.errors for one in exits.causes(error)}
    assert set(exceptions.__all__) - BASES <= met


def test_there_are_sixty_exits_and_more() -> None:
    assert len(EXITS) >= 60


class DecoyError(GenesisError):
    """Has the secret wherever something can be put."""

    def __init__(self, message: str = SECRET) -> None:
        super().__init__(message)
        self.secret = self.details = self.data = SECRET  # type: ignore[assignment]
        self.add_note(SECRET)
        self.__cause__ = ValueError(SECRET)
        self.__context__ = ValueError(SECRET)

    def __repr__(self) -> str:
        return SECRET

    def __bytes__(self) -> bytes:
        return SECRET.encode()

    def __hash__(self) -> int:
        raise ValueError(SECRET)


def decoy_record() -> logging.LogRecord:
    """A record that says it."""
    return logging.LogRecord("app", 20, __file__, 1, "%s", (SECRET,), None)


#: Shown by no object whose class keeps it for itself: its frame, its class, what cannot be marshalled.
NOT_BY_THE_DECOY = {"class", "help", "marshal", "stack", "error locals", "weak reference"}


@pytest.mark.parametrize("name", [name for name in EXITS if name not in NOT_BY_THE_DECOY])
def test_each_exit_shows_what_there_is_to_see(name: str) -> None:
    value: Any = DecoyError()
    if name in exits.RECORDS:
        value = decoy_record()
    elif name in exits.TOLD:
        value = {"key": SECRET}
    assert leaks(EXITS[name](value))


def test_locals_of_the_package_s_own_frames_would_be_seen() -> None:
    namespace: dict[str, Any] = {}
    exec(
        compile("def fail():\n    key = KEY\n    raise ValueError\n", f"{exits.PACKAGE}/x.py", "exec"),
        namespace,
    )
    namespace["KEY"] = SECRET
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        namespace["fail"]()
    assert leaks(exits.locals_of(caught.value))


def test_a_class_a_stack_and_a_weak_reference_would_be_seen() -> None:
    async def frame() -> None:
        key = SECRET
        await asyncio.sleep(0, key)

    shown = type("Shown", (type,), {"__repr__": lambda _: SECRET, "__doc__": SECRET})
    coroutine = frame()
    coroutine.send(None)
    assert leaks(exits.OBJECTS["stack"](coroutine))
    assert leaks(exits.OBJECTS["class"](type("Open", (), {"key": SECRET})()))
    assert leaks(exits.OBJECTS["help"](type("Open", (), {"__doc__": SECRET})()))
    assert leaks(exits.OBJECTS["marshal"](SECRET))
    assert shown
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        coroutine.close()
