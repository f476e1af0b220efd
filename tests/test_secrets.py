"""A planted secret never shows: not in texts, pickles, logs, metrics or tracebacks."""

from __future__ import annotations

import base64
import contextlib
import copy
import logging
import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import genesis_replicator
from genesis_replicator import ChainManager, ConnectionPool, GenesisError, MetricsCollector
from genesis_replicator.testing import FaultServer, Reply
from servers.wait import soon

CANARY = "cN4ry7Qm2VxT9pLw4ZsRb8Nd"
USER = "canary-user"
FORMS: dict[str, dict[str, Any] | None] = {
    "api_key": {"api_key": CANARY},
    "path": {"api_key": CANARY, "placement": "path"},
    "query": {"api_key": CANARY, "placement": "query:key"},
    "bearer": {"bearer_token": CANARY},
    "basic": {"username": USER, "password": CANARY},
    "headers": {"headers": {"X-Key": CANARY}},
    "userinfo": None,
    "url path": None,
    "url query": None,
}
HIDDEN = [
    CANARY,
    base64.b64encode(f"{USER}:{CANARY}".encode()).decode(),
    base64.b64encode(f":{CANARY}".encode()).decode(),
]
PACKAGE = str(Path(genesis_replicator.__file__).parent)


def endpoint_of(form: str, authority: str) -> str:
    """The endpoint that goes with a form of credentials."""
    urls = {
        "userinfo": f"http://{USER}:{CANARY}@{authority}/",
        "url path": f"http://{authority}/v3/{CANARY}",
        "url query": f"http://{authority}/?apikey={CANARY}",
    }
    return urls.get(form, f"http://{authority}/")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and everything that it drags along."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def texts_of_error(error: BaseException) -> Iterator[str]:
    """Everything that can be read from an error by those who log it, print it or send it elsewhere."""
    for one in causes(error):
        yield from (str(one), repr(one), f"{one}", repr(one.args), repr(vars(one)))
        yield repr(getattr(one, "__notes__", []))
        yield repr(pickle.dumps(one))
        yield repr(vars(copy.deepcopy(one)))
        report = traceback.TracebackException.from_exception(one, capture_locals=True)
        yield repr([frame.locals for frame in report.stack if frame.filename.startswith(PACKAGE)])
        yield "".join(report.format_exception_only())


def texts_of_object(value: Any) -> Iterator[str]:
    """Everything that an object tells about itself."""
    yield from (str(value), repr(value), format(value), repr(getattr(value, "__dict__", {})))
    for name in dir(value):
        if not name.startswith("__"):
            with contextlib.suppress(AttributeError):
                yield repr(getattr(value, name))


FAILURES = [
    Reply(error={"code": -1, "message": f"bad key {CANARY}", "data": {"key": [CANARY]}}),
    Reply(status=401, body=f"no: {CANARY}".encode()),
    Reply(status=502, body=f"<html>{CANARY}</html>".encode()),
    Reply(body=f"{CANARY}".encode()),
    Reply(hang_up=True),
    Reply(hold=True),
]


async def failures(endpoint: str, credentials: Any, node: FaultServer, port: int) -> list[BaseException]:
    """The errors of everything that goes wrong with these credentials."""
    errors: list[BaseException] = []
    async with ConnectionPool(endpoint, credentials) as pool, pool.acquire() as connection:
        await connection.request("echo")
        echo = Reply(error={"code": -1, "message": f"got {node.seen[-1].headers} at {node.seen[-1].path}"})
        for reply in (echo, *FAILURES):
            node.on("ask", reply)
            with pytest.raises((GenesisError, TimeoutError)) as caught:
                await soon(connection.request("ask", timeout=0.5))
            errors.append(caught.value)
    async with ChainManager() as manager:
        with pytest.raises(GenesisError) as refused:
            await soon(
                manager.connect_to_chain("eth", endpoint.replace(str(node.port), str(port)), credentials)
            )
        errors.append(refused.value)
    return errors


@pytest.mark.parametrize("form", FORMS)
async def test_no_error_shows_the_secret(form: str, node: FaultServer, refused_port: int) -> None:
    endpoint = endpoint_of(form, f"127.0.0.1:{node.port}")
    for error in await failures(endpoint, FORMS[form], node, refused_port):
        for text in texts_of_error(error):
            for hidden in HIDDEN:
                assert hidden not in text, type(error)


@pytest.mark.parametrize("form", FORMS)
async def test_no_object_log_or_metric_shows_the_secret(
    form: str, node: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = endpoint_of(form, f"127.0.0.1:{node.port}")
    collector = MetricsCollector()
    texts: list[str] = []
    with caplog.at_level(logging.DEBUG, "genesis_replicator"):
        async with ChainManager(metrics=collector) as manager:
            await manager.connect_to_chain("eth", endpoint, FORMS[form])
            async with manager.get_connection("eth") as connection:
                await connection.request("echo")
                texts += [*texts_of_object(manager), *texts_of_object(connection)]
            texts += [repr(await manager.get_chain_status("eth")), repr(await manager.get_pool_metrics())]
            texts += [repr(collector.snapshot()), collector.prometheus_text(), *texts_of_object(collector)]
        async with ConnectionPool(endpoint, FORMS[form]) as pool:
            texts += texts_of_object(pool)
    assert any(CANARY in repr(seen) or HIDDEN[1] in repr(seen) for seen in node.seen), "the secret was used"
    texts += [record.getMessage() + repr(vars(record)) for record in caplog.records]
    assert caplog.records
    for text in texts:
        for hidden in HIDDEN:
            assert hidden not in text


@pytest.mark.parametrize("argument", ["endpoint", "proxy", "credentials", "headers"])
async def test_a_secret_that_is_no_text_is_in_no_error(argument: str) -> None:
    broken = f"{CANARY}\udc80"
    arguments: dict[str, Any] = {
        "endpoint": {"endpoint": f"http://127.0.0.1:9/{broken}"},
        "proxy": {"proxy": f"http://user:{broken}@127.0.0.1:9"},
        "credentials": {"credentials": {"api_key": broken}},
        "headers": {"headers": {"X-Token": broken}},
    }[argument]
    async with ChainManager() as manager:
        with pytest.raises(ValueError, match=argument) as caught:
            await manager.connect_to_chain(
                **{"chain_id": "eth", "endpoint": "http://127.0.0.1:9", **arguments}
            )
    error: BaseException | None = caught.value
    while error is not None:
        assert CANARY not in f"{error!r} {vars(error)!r} {getattr(error, 'object', '')!r}"
        error = error.__cause__ or error.__context__
