"""WebSocket and IPC endpoints: a real node, many requests in flight, and what ends a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import WSCloseCode

from genesis_replicator import (
    ChainConnectionError,
    ChainManager,
    ConnectionClosedError,
    ConnectionPool,
    ProtocolError,
    RequestTimeoutError,
    RpcError,
)
from genesis_replicator.testing import ToxicProxy
from servers.anvil import NETWORK_ID, Anvil
from servers.guide import KEY
from servers.socket_node import Socket, SocketNode, result
from servers.wait import soon, until


@pytest.fixture(scope="module")
def real_node(anvil_command: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The endpoints of a real socket_node."""
    path = tmp_path_factory.mktemp("ipc") / "anvil.ipc"
    anvil = Anvil(anvil_command)
    try:
        anvil.start("--ipc", str(path))
        yield {"http": anvil.url, "ws": anvil.url.replace("http", "ws"), "ipc": f"ipc://{path}"}
    finally:
        anvil.stop()


@pytest.fixture(params=["ws", "ipc"])
def endpoint(request: pytest.FixtureRequest, real_node: dict[str, str]) -> str:
    """One of those that are sockets."""
    return real_node[request.param]


async def ask(pool: ConnectionPool, *params: Any, method: str = "echo") -> Any:
    """A call on a connection of the pool."""
    async with pool.acquire() as connection:
        return await soon(connection.request(method, params))


# A real socket_node.


async def test_a_chain_is_reached_by_a_socket(manager: ChainManager, endpoint: str) -> None:
    assert await manager.connect_to_chain("eth", endpoint, network_id=NETWORK_ID)
    assert await manager.request("eth", "eth_chainId") == hex(NETWORK_ID)
    assert await manager.verify_credentials("eth")
    status = await manager.get_chain_status("eth")
    assert status["endpoints"][0]["endpoint"] == endpoint
    with pytest.raises(RpcError):
        await manager.request("eth", "eth_getBlockByNumber", ["nonsense"])


async def test_many_calls_share_one_socket_and_come_in_their_order(
    manager: ChainManager, endpoint: str
) -> None:
    await manager.connect_to_chain("eth", endpoint)
    addresses = [f"0x{number:040x}" for number in range(2_000)]
    calls = [
        ("eth_getStorageAt", [address, hex(number), "latest"]) for number, address in enumerate(addresses)
    ]
    answers = await manager.request_many("eth", calls, concurrency=100)
    assert answers == ["0x" + "0" * 64] * len(calls)
    hashes = await manager.request_many(
        "eth", [("web3_sha3", [f"0x{number:04x}"]) for number in range(1_000)]
    )
    assert len(set(hashes)) == 1_000
    assert hashes[7] == await manager.request("eth", "web3_sha3", ["0x0007"])
    assert (await manager.get_pool_metrics())["connections_opened"] == 1


async def test_a_leased_connection_takes_batches_and_calls_at_the_same_time(endpoint: str) -> None:
    async with ConnectionPool(endpoint, max_connections=1) as pool, pool.acquire() as connection:
        batch = connection.batch([("eth_chainId", []), ("eth_blockNumber", [])])
        calls = [connection.request("eth_chainId") for _ in range(300)]
        (network, head), *networks = await asyncio.gather(batch, *calls)
        assert {network, *networks} == {hex(NETWORK_ID)}
        assert head == "0x0"
        assert connection.endpoint == endpoint


async def test_a_large_answer_comes_whole(endpoint: str) -> None:
    code = "0x" + "5b" * 20_000
    async with ConnectionPool(endpoint) as pool:
        address = "0x" + "ab" * 20
        await ask(pool, address, code, method="anvil_setCode")
        assert await ask(pool, address, "latest", method="eth_getCode") == code


async def test_it_is_one_of_several_endpoints(manager: ChainManager, real_node: dict[str, str]) -> None:
    with ToxicProxy(real_node["ws"]) as proxy:
        assert proxy.url.startswith("ws://")
        await manager.connect_to_chain("eth", [proxy.url, real_node["ipc"], real_node["http"]])
        proxy.down()
        for _ in range(50):
            assert await soon(manager.request("eth", "eth_chainId")) == hex(NETWORK_ID)


async def test_cuts_at_any_moment_lose_no_slot_and_mix_up_no_answers(
    manager: ChainManager, real_node: dict[str, str]
) -> None:
    with ToxicProxy(real_node["ws"]) as proxy:
        await manager.connect_to_chain("eth", proxy.url)

        async def call(number: int) -> str | None:
            try:
                return await soon(manager.request("eth", "web3_sha3", [f"0x{number:04x}"]))
            except ChainConnectionError:
                return None

        hashes = await asyncio.gather(*(call(number) for number in range(50)))
        answered = 0
        for _ in range(20):
            calls = [asyncio.create_task(call(number)) for number in range(50)]
            await asyncio.sleep(0.002)
            proxy.down()
            proxy.up()
            for known, answer in zip(hashes, await asyncio.gather(*calls), strict=True):
                assert answer in (known, None)
                answered += answer is not None
        assert answered > 0
        assert await asyncio.gather(*(call(number) for number in range(50))) == hashes
        assert (await manager.get_pool_metrics())["active_connections"] == 0


# Many requests on one socket.


async def test_answers_in_any_order_reach_who_waits_for_them(
    manager: ChainManager, socket_node: SocketNode
) -> None:
    held: list[Any] = []

    async def answer(socket: Socket, call: Any) -> None:
        if call["method"] != "echo":
            await socket.send_json(result(call))
            return
        held.append(call)
        if len(held) == 50:
            for one in reversed(held):
                await socket.send_json({"id": one["id"] + 10_000, "result": "of nobody"})
                await socket.send_json(result(one))
                await socket.send_json(result(one))

    await manager.connect_to_chain("eth", socket_node.url)
    socket_node.answer = answer
    calls = [manager.request("eth", "echo", [number]) for number in range(50)]
    assert await soon(asyncio.gather(*calls)) == [[number] for number in range(50)]
    assert len(socket_node.handshakes) == 1


async def test_one_of_many_that_is_cancelled_leaves_the_others_alone(
    manager: ChainManager, socket_node: SocketNode
) -> None:
    go_on = asyncio.Event()

    async def answer(socket: Socket, call: Any) -> None:
        async def later() -> None:
            await go_on.wait()
            await socket.send_json(result(call))

        tasks.append(asyncio.create_task(later()))

    tasks: list[asyncio.Task[None]] = []
    await manager.connect_to_chain("eth", socket_node.url)
    socket_node.answer = answer
    calls = [asyncio.create_task(_call(manager, number)) for number in range(20)]
    await until(lambda: len(tasks) == 20)
    for call in calls[::2]:
        call.cancel()
    with pytest.raises(RequestTimeoutError) as caught:
        await manager.request("eth", "echo", timeout=0.05)
    assert caught.value.phase == "receive"
    go_on.set()
    assert await soon(asyncio.gather(*calls[1::2])) == [[number] for number in range(1, 20, 2)]
    assert await soon(manager.request("eth", "echo", [99])) == [99]
    assert len(socket_node.handshakes) == 1


async def _call(manager: ChainManager, number: int) -> Any:
    return await manager.request("eth", "echo", [number])


async def test_a_batch_is_found_by_its_ids_in_any_order(socket_node: SocketNode) -> None:
    async def answer(socket: Socket, calls: Any) -> None:
        await socket.send_json([result(call) for call in reversed(calls)])

    socket_node.answer = answer
    async with ConnectionPool(socket_node.url) as pool, pool.acquire() as connection:
        calls = [("echo", [number]) for number in range(30)]
        assert await soon(connection.batch(calls)) == [[number] for number in range(30)]


async def test_a_call_that_the_node_could_not_read_fails_if_it_is_the_only_one(
    socket_node: SocketNode,
) -> None:
    async def answer(socket: Socket, _call: Any) -> None:
        await socket.send_json({"id": None, "error": {"code": -32700, "message": "parse error"}})

    socket_node.answer = answer
    async with ConnectionPool(socket_node.url) as pool:
        with pytest.raises(RpcError, match="parse error"):
            await ask(pool)


# What ends a socket.


async def test_an_answer_that_is_too_large_is_an_error_and_the_next_call_has_another_socket(
    socket_node: SocketNode,
) -> None:
    async with ConnectionPool(socket_node.url, max_connections=1, max_response_bytes=1_000) as pool:
        with pytest.raises(ProtocolError, match="max_response_bytes"):
            await ask(pool, "x" * 1_000)
        assert await ask(pool, "x") == ["x"]
    assert len(socket_node.handshakes) == 2


async def test_why_a_node_closes_is_told_without_secrets(socket_node: SocketNode) -> None:
    async def answer(socket: Socket, _call: Any) -> None:
        await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=f"over your rate {KEY}".encode())

    socket_node.answer = answer
    async with ConnectionPool(f"{socket_node.url}/v2", {"bearer_token": KEY}) as pool:
        with pytest.raises(ConnectionClosedError) as caught:
            await ask(pool)
    assert "code 1008, against its policy, as too many requests are: over your rate ***" in str(caught.value)


async def test_a_socket_is_closed_as_it_should_be(socket_node: SocketNode) -> None:
    async with ConnectionPool(socket_node.url) as pool:
        assert await ask(pool, 1) == [1]
    await until(lambda: socket_node.codes == [WSCloseCode.OK])


async def test_a_socket_that_lies_idle_is_closed(socket_node: SocketNode) -> None:
    async with ConnectionPool(socket_node.url, idle_timeout=0.05) as pool:
        assert await ask(pool, 1) == [1]
        await until(lambda: socket_node.codes == [WSCloseCode.OK])
        assert (await pool.get_metrics())["total_connections"] == 0


async def test_a_connection_in_use_that_the_node_closes_is_opened_anew_under_its_name(
    socket_node: SocketNode,
) -> None:
    async with ConnectionPool(socket_node.url) as pool, pool.acquire() as connection:
        name = connection.id
        assert await soon(connection.request("echo", [1])) == [1]
        await socket_node.close_all()
        assert await soon(connection.request("echo", [2])) == [2]
        assert connection.id == name
    assert len(socket_node.handshakes) == 2
