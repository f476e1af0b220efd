"""Credentials that a callable makes: when it is asked, by whom, and what becomes of its failures."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest

from genesis_replicator import (
    AuthenticationError,
    ChainConnectionError,
    ChainManager,
    ConnectionPool,
    ConnectTimeoutError,
    InvalidCredentialsError,
    RequestTimeoutError,
    SecurityError,
)
from genesis_replicator.testing import FaultServer, Reply
from servers.guide import KEY
from servers.wait import soon, until

KEYS = [f"{KEY}-{number}" for number in range(1, 9)]


class Vault:
    """Hands out keys, one after the other, and lets the node know the newest."""

    def __init__(self, node: FaultServer, methods: tuple[str, ...] = ("eth_chainId", "ask")) -> None:
        self.calls = 0
        self.good: set[str] = set(KEYS)
        self.threads: set[int] = set()
        self.loops: list[asyncio.AbstractEventLoop] = []
        self.refusal = Reply(status=401, body=b"no")
        for method in methods:
            node.on(method, lambda _params, method=method: self._answer(node, method))

    def _answer(self, node: FaultServer, method: str) -> Any:
        key = node.seen[-1].headers.get("x-api-key")
        if key not in self.good:
            return self.refusal
        return "0x1" if method == "eth_chainId" else key

    def make(self) -> dict[str, str]:
        """The next key."""
        self.calls += 1
        self.threads.add(threading.get_ident())
        self.loops.append(asyncio.get_running_loop())
        return {"api_key": KEYS[self.calls - 1]}

    async def make_slowly(self) -> dict[str, str]:
        """The next key, from far away."""
        made = self.make()
        await asyncio.sleep(0.02)
        return made

    def expire(self) -> None:
        """From now on only keys that were not made yet are good."""
        self.good = set(KEYS[self.calls :])


@pytest.fixture
def vault(node: FaultServer) -> Vault:
    """The keys that the node knows."""
    return Vault(node)


@pytest.mark.parametrize("make", [Vault.make, Vault.make_slowly], ids=["sync", "async"])
async def test_it_is_asked_once_and_again_when_the_node_refuses(
    make: Any, vault: Vault, node: FaultServer, manager: ChainManager
) -> None:
    await soon(manager.connect_to_chain("eth", node.url, partial(make, vault)))
    assert [await manager.request("eth", "ask") for _ in range(3)] == [KEYS[0]] * 3
    assert vault.calls == 1
    vault.expire()
    assert await soon(manager.request("eth", "ask")) == KEYS[1]
    assert await manager.request("eth", "ask") == KEYS[1]
    assert vault.calls == 2


async def test_it_runs_on_the_callers_loop_and_in_no_other_thread(vault: Vault, node: FaultServer) -> None:
    here = asyncio.get_running_loop()
    async with ConnectionPool(node.url, vault.make_slowly) as pool:
        async with pool.acquire() as connection:
            assert await soon(connection.request("ask")) == KEYS[0]
        vault.expire()

        async def elsewhere() -> tuple[Any, asyncio.AbstractEventLoop]:
            async with pool.acquire() as connection:
                return await soon(connection.request("ask")), asyncio.get_running_loop()

        asked, there = await asyncio.to_thread(asyncio.run, elsewhere())
        assert asked == KEYS[1]
    assert vault.loops == [here, there]
    assert len(vault.threads) == 2


async def test_many_callers_share_one_call_of_it(
    vault: Vault, node: FaultServer, manager: ChainManager
) -> None:
    await manager.connect_to_chain("eth", node.url, vault.make_slowly)
    for generation in (1, 2, 3):
        vault.expire()
        asked = await soon(asyncio.gather(*(manager.request("eth", "ask") for _ in range(200))))
        assert asked == [KEYS[generation]] * 200
        assert vault.calls == generation + 1


@pytest.mark.parametrize("method", ["ask", "eth_sendRawTransaction"])
async def test_a_refused_call_is_made_again_once_whatever_it_does(
    method: str, node: FaultServer, manager: ChainManager
) -> None:
    vault = Vault(node, ("eth_chainId", method))
    await manager.connect_to_chain("eth", node.url, vault.make)
    vault.good = set()
    with pytest.raises(AuthenticationError):
        await soon(manager.request("eth", method))
    assert (node.calls(method), vault.calls) == (2, 2)
    assert await soon(manager.verify_credentials("eth")) is False


@pytest.mark.parametrize("use", ["pool", "many", "stream", "batch"])
async def test_every_way_to_ask_renews(
    use: str, vault: Vault, node: FaultServer, manager: ChainManager
) -> None:
    await manager.connect_to_chain("eth", node.url, vault.make)
    vault.expire()
    if use == "pool":
        async with manager.get_connection("eth") as connection:
            assert await soon(connection.request("ask")) == KEYS[1]
    elif use == "many":
        assert await soon(manager.request_many("eth", [("ask", ())] * 5)) == [KEYS[1]] * 5
    elif use == "stream":
        results = [result async for _, result in manager.stream("eth", [("ask", ())] * 5)]
        assert results == [KEYS[1]] * 5
    else:
        async with manager.get_connection("eth") as connection:
            vault.refusal = Reply(error={"code": -32600, "message": "Must be authenticated!"})
            assert await soon(connection.batch([("ask", ()), ("ask", ())])) == [KEYS[1]] * 2
    assert vault.calls == 2


async def test_it_may_be_used_before_any_loop_has_run(vault: Vault, node: FaultServer) -> None:
    def connect() -> bool:
        manager = ChainManager()

        async def connect() -> bool:
            async with manager:
                return await made

        made = manager.connect_to_chain("eth", node.url, vault.make)
        return asyncio.run(connect())

    assert await asyncio.to_thread(connect)


def failing(error: BaseException) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


def failing_later(error: BaseException) -> Callable[[], Awaitable[Any]]:
    async def fail() -> Any:
        await asyncio.sleep(0)
        raise error

    return fail


@pytest.mark.parametrize("make", [failing, failing_later])
async def test_what_it_raises_is_chained(make: Any, node: FaultServer, manager: ChainManager) -> None:
    raised = LookupError("the vault is sealed")
    async with ConnectionPool(node.url, make(raised)) as pool, pool.acquire() as connection:
        with pytest.raises(SecurityError) as caught:
            await soon(connection.request("ask"))
    assert caught.value.__cause__ is raised
    assert "sealed" not in str(caught.value)
    with pytest.raises(ChainConnectionError) as refused:
        await soon(manager.connect_to_chain("eth", node.url, make(raised)))
    cause = refused.value.__cause__
    assert isinstance(cause, SecurityError)
    assert cause.__cause__ is raised
    assert node.seen == []


@pytest.mark.parametrize(
    ("made", "cause"),
    [
        ({"api_key": "your_key"}, None),
        ({"api_key": "${HOME}"}, None),
        ({}, None),
        ({"api_kei": KEY}, None),
        ({"api_key": 5}, None),
        (None, TypeError),
        (KEY, TypeError),
    ],
    ids=repr,
)
async def test_what_it_returns_is_checked(made: Any, cause: type | None, node: FaultServer) -> None:
    async with ConnectionPool(node.url, lambda: made) as pool, pool.acquire() as connection:
        with pytest.raises((SecurityError, ValueError)) as caught:
            await soon(connection.request("ask"))
    assert KEY not in str(caught.value)
    assert type(caught.value.__cause__) is (cause or type(None))
    assert node.seen == []


async def test_one_that_hangs_ends_with_the_deadline_and_is_cancelled(
    node: FaultServer, manager: ChainManager
) -> None:
    ended: list[str] = []

    async def hang() -> dict[str, str]:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("cancelled")
        return {}

    async with ConnectionPool(node.url, hang) as pool, pool.acquire() as connection:
        with pytest.raises(RequestTimeoutError) as caught:
            await soon(connection.request("ask", timeout=0.1))
        assert caught.value.phase == "credentials"
        await until(lambda: len(ended) == 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await connection.request("ask")
        await until(lambda: len(ended) == 2)
    with pytest.raises(ConnectTimeoutError) as late:
        await soon(manager.connect_to_chain("eth", node.url, hang, timeout=0.1))
    assert late.value.phase == "credentials"
    await until(lambda: len(ended) == 3)


async def test_the_first_caller_may_leave_and_the_others_get_their_answer(
    node: FaultServer, vault: Vault
) -> None:
    release = asyncio.Event()

    async def make() -> dict[str, str]:
        made = vault.make()
        await release.wait()
        return made

    async with ConnectionPool(node.url, make, max_connections=4) as pool:

        async def ask() -> Any:
            async with pool.acquire() as connection:
                return await connection.request("ask")

        tasks = [asyncio.create_task(ask()) for _ in range(3)]
        await until(lambda: vault.calls == 1)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        release.set()
        assert await soon(asyncio.gather(*tasks[1:])) == [KEYS[0]] * 2
    assert vault.calls == 1


async def test_a_loop_that_is_closed_meanwhile_leaves_the_question_to_the_next(
    node: FaultServer, vault: Vault
) -> None:
    async with ConnectionPool(node.url, vault.make_slowly, max_connections=2) as pool:

        async def leave() -> None:
            async with pool.acquire() as connection:
                asking = asyncio.create_task(connection.request("ask"))
                await until(lambda: vault.calls == 1)
                asking.cancel()

        await asyncio.to_thread(asyncio.run, leave())
        async with pool.acquire() as connection:
            assert await soon(connection.request("ask")) == KEYS[1]


async def test_no_context_of_the_caller_leaks_into_it(node: FaultServer) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="none")
    seen: list[str] = []

    def make() -> dict[str, str]:
        seen.append(variable.get())
        return {"api_key": KEY}

    variable.set("the caller's")
    async with ConnectionPool(node.url, make) as pool, pool.acquire() as connection:
        await soon(connection.request("echo"))
    assert seen == ["none"]


async def test_the_same_callable_is_the_same_argument(
    vault: Vault, node: FaultServer, manager: ChainManager
) -> None:
    make = vault.make
    assert await manager.connect_to_chain("eth", node.url, make)
    assert await manager.connect_to_chain("eth", node.url, make)
    with pytest.raises(ChainConnectionError, match="other arguments"):
        await manager.connect_to_chain("eth", node.url, lambda: {"api_key": KEY})
    assert vault.calls == 1


async def test_what_it_makes_goes_over_no_plain_http_to_another_host(manager: ChainManager) -> None:
    with pytest.raises(SecurityError, match="unencrypted"):
        await manager.connect_to_chain("eth", "http://192.0.2.1:8545", lambda: {"api_key": KEY})


async def test_it_serves_every_form(node: FaultServer) -> None:
    made: list[dict[str, Any]] = [
        {"bearer_token": KEY},
        {"api_key": KEY, "placement": "path"},
        {"headers": {"X-Mine": KEY}},
        {"jwt_secret": "7c3fa1" * 10 + "9b2d"},
    ]
    for form in made:
        async with (
            ConnectionPool(node.url + "/rpc", lambda form=form: form) as pool,
            pool.acquire() as connection,
        ):
            await soon(connection.request("echo"))
    headers = [call.headers for call in node.seen]
    assert headers[0]["authorization"] == f"Bearer {KEY}"
    assert node.seen[1].path == f"/rpc/{KEY}"
    assert headers[2]["x-mine"] == KEY
    assert headers[3]["authorization"].startswith("Bearer ey")


async def test_an_invalid_one_that_follows_a_good_one_is_told(
    vault: Vault, node: FaultServer, manager: ChainManager
) -> None:
    answers = iter([{"api_key": KEYS[0]}, {"api_key": "changeme"}, {"api_key": KEYS[1]}])
    await manager.connect_to_chain("eth", node.url, lambda: next(answers))
    vault.good = {KEYS[1]}
    with pytest.raises(InvalidCredentialsError, match="placeholder"):
        await soon(manager.request("eth", "ask"))
    assert await soon(manager.request("eth", "ask")) == KEYS[1]
