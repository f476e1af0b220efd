"""What strangers on the way can do to a request and its answer: names, proxies, redirects, bombs."""

from __future__ import annotations

import gzip
import os
import resource
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from genesis_replicator import (
    ChainConnectionError,
    ChainManager,
    ConnectionPool,
    GenesisError,
    HttpStatusError,
    ProtocolError,
)
from genesis_replicator.testing import FaultServer, Reply
from servers.guide import KEY
from servers.wait import soon

REBOUND = """
    import asyncio, pathlib, sys
    from genesis_replicator import ChainConnectionError, ChainManager, SecurityError

    hosts, port = pathlib.Path("/etc/hosts"), sys.argv[1]

    async def main():
        async with ChainManager() as manager:
            hosts.write_text("127.0.0.1 node.example.test\\n")
            url = f"http://node.example.test:{port}"
            await manager.connect_to_chain("eth", url, address_policy="private")
            assert await manager.request("eth", "echo", [1]) == [1]
            await manager.request("eth", "leave")
            for address in ["169.254.169.254", "192.0.2.1", "::ffff:8.8.8.8"]:
                hosts.write_text(f"{address} node.example.test\\n")
                try:
                    await manager.request("eth", "echo", [2], timeout=2)
                except SecurityError as error:
                    assert "address_policy" in str(error)
                else:
                    raise AssertionError(f"{address} was dialled")
            hosts.write_text("127.0.0.1 node.example.test\\n")
            # Until the next attempt to connect everybody shares the failure of the last.
            await asyncio.sleep(1)
            assert await manager.request("eth", "echo", [3]) == [3]
            # A name that stands for this machine may not lead elsewhere.
            hosts.write_text("192.0.2.1 localhost\\n")
            try:
                url, key = f"http://localhost:{port}", {"api_key": sys.argv[2]}
                await manager.connect_to_chain("local", url, key, timeout=2)
            except ChainConnectionError as error:
                assert isinstance(error.__cause__, SecurityError)
            else:
                raise AssertionError("credentials went away")

    asyncio.run(main())
    """


def test_a_name_that_leads_elsewhere_later_is_judged_again(node: FaultServer, tmp_path: Path) -> None:
    unshare, mount = shutil.which("unshare"), shutil.which("mount")
    if unshare is None or mount is None or os.geteuid() != 0:
        pytest.skip("only the superuser can give a process a file of hosts of its own")
    node.on("leave", Reply(result=True, close_after=True))
    (tmp_path / "hosts").write_text("")
    script = tmp_path / "rebound.py"
    script.write_text(textwrap.dedent(REBOUND))
    bind = f"{mount} --bind {tmp_path}/hosts /etc/hosts"
    command = [unshare, "--mount", "sh", "-c", f"{bind} && exec {sys.executable} {script} {node.port} {KEY}"]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (outcome.returncode, outcome.stderr) == (0, "")


PROXIED = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"]


@pytest.mark.parametrize("env", ["ignored", "trusted"])
async def test_proxies_of_the_environment_count_only_when_asked_for(
    env: str, new_node: Any, monkeypatch: pytest.MonkeyPatch, manager: ChainManager
) -> None:
    node, proxy = new_node(), new_node()
    for name in PROXIED:
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    await manager.connect_to_chain("eth", node.url, trust_env=env == "trusted")
    assert (len(node.seen) == 0, len(proxy.seen) > 0) == (env == "trusted",) * 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("way", ["direct", "proxied"])
async def test_a_redirect_is_never_followed(status: int, way: str, new_node: Any) -> None:
    node, proxy, elsewhere = new_node(), new_node(), new_node()
    away = Reply(status=status, headers={"location": elsewhere.url}, body=b"")
    for server in (node, proxy):
        server.on("ask", away)
    through = {"proxy": f"http://127.0.0.1:{proxy.port}"} if way == "proxied" else {}
    # It is the proxy's to see the key here.
    pool = ConnectionPool(node.url, {"api_key": KEY}, allow_plaintext=True, **through)
    async with pool, pool.acquire() as connection:
        with pytest.raises(HttpStatusError, match="redirects"):
            await soon(connection.request("ask"))
    assert elsewhere.seen == []
    assert len((proxy if way == "proxied" else node).seen) == 1


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("way", ["direct", "proxied"])
async def test_nothing_is_decompressed_so_that_no_bomb_goes_off(coding: str, way: str, new_node: Any) -> None:
    node, proxy = new_node(), new_node()
    bomb = gzip.compress(b'{"jsonrpc":"2.0","id":1,"result":"' + b"0" * (64 << 20) + b'"}')
    for server in (node, proxy):
        server.on("ask", Reply(headers={"content-encoding": coding}, body=bomb))
    through = {"proxy": f"http://127.0.0.1:{proxy.port}"} if way == "proxied" else {}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with ConnectionPool(node.url, **through) as pool, pool.acquire() as connection:
        with pytest.raises(ProtocolError):
            await soon(connection.request("ask"))
    assert "accept-encoding" not in (proxy if way == "proxied" else node).seen[-1].headers
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10


async def test_an_answer_that_announces_too_much_is_not_waited_for(node: FaultServer) -> None:
    node.on("ask", Reply(wire=b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n[", endless=b""))
    async with ConnectionPool(node.url) as pool, pool.acquire() as connection:
        with pytest.raises(ProtocolError, match="max_response_bytes"):
            await soon(connection.request("ask"))


@pytest.mark.parametrize("evil", ["a\r\nX-More: 1", "a\nb", "a\0b", "a\x7fb", "é", "a\r"])
@pytest.mark.parametrize("place", ["header", "name", "key", "user", "bearer", "path", "query"])
async def test_nothing_given_can_begin_a_header_of_its_own(
    evil: str, place: str, node: FaultServer, manager: ChainManager
) -> None:
    given: dict[str, Any] = {
        "header": {"headers": {"X-Key": evil}},
        "name": {"headers": {evil: "1"}},
        "key": {"credentials": {"api_key": f"{KEY}{evil}"}},
        "user": {"credentials": {"username": evil, "password": KEY}},
        "bearer": {"credentials": {"bearer_token": f"{KEY}{evil}"}},
        "path": {"endpoint": f"{node.url}/{evil}"},
        "query": {"endpoint": f"{node.url}/?a={evil}"},
    }[place]
    arguments = {"endpoint": node.url, **given}
    try:
        await manager.connect_to_chain("eth", **arguments)
    except (GenesisError, ValueError):
        assert node.seen == []
    else:
        # What has a form of its own in a URL, or in base64, goes in that form.
        assert place in {"path", "query", "user"}
        assert "x-more" not in node.seen[-1].headers
        assert node.seen[-1].path.isascii()


async def test_what_a_node_says_of_itself_cannot_break_a_line(
    node: FaultServer, manager: ChainManager, caplog: pytest.LogCaptureFixture
) -> None:
    evil = "main\r\nCRITICAL all is lost\x1b[2J\u202e\u200b" + "x" * 10_000
    node.on("eth_chainId", Reply(error={"code": -32601, "message": evil}))
    node.on("getblockchaininfo", Reply(result={"chain": evil}))
    with pytest.raises(ChainConnectionError) as caught:
        await manager.connect_to_chain("eth", node.url, network_id="other")
    node.on("ask", Reply(error={"code": -1, "message": evil}))
    async with ConnectionPool(node.url) as pool, pool.acquire() as connection:
        with pytest.raises(GenesisError) as asked:
            await connection.request("ask")
    for text in [str(caught.value), str(asked.value), *(record.getMessage() for record in caplog.records)]:
        assert not set(text) & set("\r\n\x1b\u202e\u200b")
        assert len(text) < 1200
