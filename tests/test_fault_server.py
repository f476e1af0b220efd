"""The fault server as its users have it: what it says and what it counts."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from typing import Any

import pytest

from genesis_replicator import ChainManager, ConnectionPool, HttpStatusError, ProtocolError
from genesis_replicator.testing import Authority, FaultServer, Reply, ToxicProxy
from servers.wait import soon, until

SECURE: dict[str, Any] = {"tls": True, "http2": True}


async def test_scripts_are_used_one_call_each_and_the_last_one_stays(
    manager: ChainManager, fault_server: FaultServer
) -> None:
    await manager.connect_to_chain("eth", fault_server.url)
    fault_server.on("ask", Reply(status=503, body=b""), sum, Reply("last"))
    with pytest.raises(HttpStatusError):
        await manager.request("eth", "ask", [1, 2])
    assert [await manager.request("eth", "ask", [1, 2]) for _ in range(3)] == [3, "last", "last"]
    assert fault_server.calls("ask") == 4
    assert [call.params for call in fault_server.seen if call.method == "ask"] == [[1, 2]] * 4


async def test_a_function_may_choose_the_reply_and_use_the_server(
    manager: ChainManager, fault_server: FaultServer
) -> None:
    await manager.connect_to_chain("eth", fault_server.url)

    def choose(params: list[int]) -> Reply:
        fault_server.release()
        return Reply(answer_id=-1) if params[0] % 2 else Reply(params[0], hold=True)

    fault_server.on("ask", choose)
    assert await soon(manager.request("eth", "ask", [2])) == 2
    with pytest.raises(ProtocolError):
        await soon(manager.request("eth", "ask", [1]))


@pytest.mark.parametrize("options", [{}, {"tls": True}, SECURE], ids=["plain", "TLS", "HTTP/2"])
async def test_it_counts_connections_and_calls(options: dict[str, Any]) -> None:
    with FaultServer(**options) as server:
        server.on("slow", Reply("done", hold=True))
        async with ChainManager(max_connections=4) as manager:
            await manager.connect_to_chain("eth", server.url, ca=server.ca)
            calls = [asyncio.ensure_future(manager.request("eth", "slow")) for _ in range(8)]
            shared = bool(options.get("http2"))
            await until(lambda: server.in_flight == (8 if shared else 4))
            assert server.open == server.peak == server.accepted == (1 if shared else 4)
            assert server.peak_in_flight == (8 if shared else 1)
            server.release()
            assert await soon(asyncio.gather(*calls)) == ["done"] * 8
            await until(lambda: server.in_flight == 0)
            assert server.calls("slow") == 8
        await until(lambda: server.open == 0)


@pytest.mark.parametrize("options", [{}, SECURE], ids=["plain", "HTTP/2"])
@pytest.mark.parametrize("fields", [{}, {"chunked": True}, {"rate": 2e7}], ids=str)
async def test_an_answer_arrives_whole_however_it_is_sent(
    fields: dict[str, Any], options: dict[str, Any]
) -> None:
    # Longer than the room that a client gives to one answer on HTTP/2.
    large = "é" * 500_000
    with FaultServer(**options) as server:
        server.on("ask", Reply(large, **fields))
        async with ConnectionPool(server.url, ca=server.ca) as pool, pool.acquire() as connection:
            assert await soon(connection.request("ask")) == large


async def test_a_rate_bounds_the_bytes_of_a_second(manager: ChainManager, fault_server: FaultServer) -> None:
    await manager.connect_to_chain("eth", fault_server.url)
    fault_server.on("ask", Reply("x" * 1_000, rate=5_000))
    begin = time.monotonic()
    await manager.request("eth", "ask")
    assert time.monotonic() - begin >= 0.15


async def test_it_says_goodbye_on_http2_and_is_used_again(manager: ChainManager) -> None:
    with FaultServer(**SECURE) as server:
        await manager.connect_to_chain("eth", server.url, ca=server.ca)
        server.close_connections()
        assert await soon(manager.request("eth", "echo", [1])) == [1]
        assert server.accepted == 2


def test_it_is_used_in_one_with_block() -> None:
    server = FaultServer()
    with pytest.raises(RuntimeError, match="with"):
        server.close_connections()
    with server:
        server.close_connections()
    with pytest.raises(RuntimeError, match="already"):
        server.__enter__()
    with pytest.raises(RuntimeError, match="does not run"):
        server.release()


def test_http2_without_tls_is_refused() -> None:
    with pytest.raises(ValueError, match="http2"):
        FaultServer(http2=True)


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for missing in ("trustme", "h2.config", "genesis_replicator.testing._http2"):
        monkeypatch.setitem(sys.modules, missing, None)
    for make in (Authority, lambda: FaultServer(tls=True), lambda: FaultServer(**SECURE)):
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'genesis-replicator\[testing\]'"):
            make()


def test_the_fixtures_belong_together(fault_server: FaultServer, toxic_proxy: ToxicProxy) -> None:
    assert toxic_proxy.url != fault_server.url
    assert (fault_server.accepted, toxic_proxy.accepted) == (0, 0)


def test_the_plugin_imports_no_server_before_one_is_used() -> None:
    script = """
        import sys
        import genesis_replicator._pytest_plugin
        heavy = {"genesis_replicator.testing", "h2", "trustme", "cryptography"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        """
    command = [sys.executable, "-c", "\n".join(line.strip() for line in script.splitlines())]
    subprocess.run(command, check=True, timeout=50)
