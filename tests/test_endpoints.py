"""Several endpoints for one chain: who is asked, and what becomes of a call when an endpoint fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from genesis_replicator import (
    ChainConnectionError,
    ChainManager,
    ChainMismatchError,
    ConfigurationError,
    ExecutionRevertedError,
    HttpStatusError,
    MethodNotSupportedError,
    NoHealthyEndpointError,
    ProviderRateLimitError,
)
from genesis_replicator.testing import FaultServer, Reply, ToxicProxy

NewNode = Callable[[], FaultServer]
UNAVAILABLE = Reply(status=503, body=b"")
RAW = (
    "0xf86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025"
    "a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276"
    "a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"
)
HASH = "0x33469b22e9f636356c4160a87eb19df52b7412e8eac32a4a55ffe88ea8350788"


async def comes_true(check: Callable[[], Awaitable[bool]]) -> None:
    """Return when the answer is yes."""
    async with asyncio.timeout(10):
        while not await check():
            await asyncio.sleep(0.02)


def asked(*nodes: FaultServer, method: str) -> int:
    """How often the nodes were asked, all together."""
    return sum(node.calls(method) for node in nodes)


@pytest.fixture
async def pair(manager: ChainManager, new_node: NewNode) -> tuple[FaultServer, FaultServer]:
    """Two nodes of one chain, connected under "eth"."""
    first, second = new_node(), new_node()
    await manager.connect_to_chain("eth", [first.url, second.url])
    return first, second


async def endpoints(manager: ChainManager) -> list[dict[str, object]]:
    """What the status says of each endpoint."""
    found: list[dict[str, object]] = (await manager.get_chain_status("eth"))["endpoints"]
    return found


async def test_calls_go_on_when_one_of_two_nodes_dies(
    manager: ChainManager, node: FaultServer, toxic_proxy: ToxicProxy
) -> None:
    await manager.connect_to_chain("eth", [toxic_proxy.url, node.url])
    toxic_proxy.down()
    assert {await manager.request("eth", "eth_blockNumber") for _ in range(50)} == {"0x10"}


async def test_a_dead_endpoint_at_connect_is_no_obstacle(
    manager: ChainManager, node: FaultServer, refused_port: int
) -> None:
    await manager.connect_to_chain("eth", [f"http://127.0.0.1:{refused_port}", node.url])
    assert await manager.request("eth", "eth_blockNumber") == "0x10"
    dead, alive = await endpoints(manager)
    assert (dead["circuit"], alive["circuit"]) == ("open", "closed")
    assert (dead["healthy"], alive["healthy"]) == (False, True)


async def test_with_no_endpoint_left_the_error_says_so_and_why(
    manager: ChainManager, fault_server: FaultServer
) -> None:
    first, second = ToxicProxy(fault_server.url), ToxicProxy(fault_server.url)
    with first, second:
        await manager.connect_to_chain("eth", [first.url, second.url], retries=0)
        first.down()
        second.down()

        async def one() -> Exception:
            with pytest.raises(ChainConnectionError) as caught:
                await manager.request("eth", "eth_blockNumber", timeout=2)
            return caught.value

        errors = [await one() for _ in range(12)]
    assert isinstance(errors[-1], NoHealthyEndpointError)
    assert errors[-1].__cause__ is not None


async def test_an_endpoint_that_comes_back_is_used_again(
    manager: ChainManager, new_node: NewNode, fault_server: FaultServer
) -> None:
    other = new_node()
    with ToxicProxy(fault_server.url) as proxy:
        await manager.connect_to_chain("eth", [proxy.url, other.url])
        proxy.down()

        async def opened() -> bool:
            await manager.request("eth", "eth_blockNumber")
            return (await endpoints(manager))[0]["circuit"] != "closed"

        await comes_true(opened)
        proxy.up()

        async def closed() -> bool:
            return (await endpoints(manager))[0]["circuit"] == "closed"

        await comes_true(closed)


async def test_an_endpoint_of_another_network_is_never_asked(
    manager: ChainManager, new_node: NewNode
) -> None:
    good, stranger = new_node(), new_node()
    stranger.on("eth_chainId", Reply("0x5"))
    await manager.connect_to_chain("eth", [good.url, stranger.url])
    for _ in range(20):
        await manager.request("eth", "echo", [1])
    assert stranger.calls("echo") == 0
    assert "network 1" in str((await endpoints(manager))[1]["error"])


async def test_an_endpoint_with_another_first_block_is_never_asked(
    manager: ChainManager, new_node: NewNode
) -> None:
    good, stranger = new_node(), new_node()
    good.on("eth_getBlockByNumber", Reply({"hash": "0xaa"}))
    stranger.on("eth_getBlockByNumber", Reply({"hash": "0xbb"}))
    await manager.connect_to_chain("eth", [good.url, stranger.url])
    for _ in range(20):
        await manager.request("eth", "echo", [1])
    assert stranger.calls("echo") == 0


async def test_strangers_alone_are_a_mismatch(manager: ChainManager, new_node: NewNode) -> None:
    urls = [new_node().url, new_node().url]
    with pytest.raises(ChainMismatchError):
        await manager.connect_to_chain("eth", urls, network_id=5)
    assert await manager.get_connected_chains() == []


async def test_an_answer_that_all_nodes_would_give_is_not_asked_for_twice(
    manager: ChainManager, pair: tuple[FaultServer, FaultServer]
) -> None:
    for node in pair:
        node.on("eth_call", Reply(error={"code": 3, "message": "execution reverted"}))
    with pytest.raises(ExecutionRevertedError):
        await manager.request("eth", "eth_call", [{}])
    assert asked(*pair, method="eth_call") == 1


async def test_a_limited_endpoint_is_left_alone_until_it_allows_to_be_asked(
    manager: ChainManager, pair: tuple[FaultServer, FaultServer]
) -> None:
    first, second = pair
    first.on("echo", Reply(status=429, headers={"retry-after": "60"}, body=b""))
    for _ in range(40):
        assert await manager.request("eth", "echo", [1]) == [1]
    assert (first.calls("echo"), second.calls("echo")) == (1, 40)


async def test_a_method_that_an_endpoint_lacks_is_asked_for_elsewhere(
    manager: ChainManager, pair: tuple[FaultServer, FaultServer]
) -> None:
    first, second = pair
    second.on("trace_block", Reply([]))
    for _ in range(40):
        assert await manager.request("eth", "trace_block", ["0x1"]) == []
    assert (first.calls("trace_block") <= 1, second.calls("trace_block")) == (True, 40)


@pytest.mark.usefixtures("pair")
async def test_a_method_that_all_lack_is_an_error(manager: ChainManager) -> None:
    for _ in range(3):
        with pytest.raises(MethodNotSupportedError):
            await manager.request("eth", "trace_block", ["0x1"])


async def test_a_node_that_lacks_the_block_is_passed_over(
    manager: ChainManager, pair: tuple[FaultServer, FaultServer]
) -> None:
    pair[0].on("eth_getBalance", Reply(error={"code": -32000, "message": "header not found"}))
    pair[1].on("eth_getBalance", Reply("0x5"))
    assert {await manager.request("eth", "eth_getBalance", ["0x0", "latest"]) for _ in range(20)} == {"0x5"}


async def test_a_read_that_hangs_is_answered_by_another(
    manager: ChainManager, pair: tuple[FaultServer, FaultServer]
) -> None:
    pair[0].on("eth_getBalance", Reply("0x5", hold=True))
    pair[1].on("eth_getBalance", Reply("0x5"))
    for _ in range(10):
        assert await manager.request("eth", "eth_getBalance", ["0x0", "latest"], timeout=5) == "0x5"
    metrics = await manager.get_pool_metrics("eth")
    assert metrics["hedges_won"] >= 1


async def test_without_hedging_a_call_is_asked_once(manager: ChainManager, new_node: NewNode) -> None:
    nodes = new_node(), new_node()
    await manager.connect_to_chain("eth", [node.url for node in nodes], hedging=False, retries=0)
    for node in nodes:
        node.on("eth_getBalance", Reply("0x5", delay=0.8))
    assert await manager.request("eth", "eth_getBalance", ["0x0", "latest"]) == "0x5"
    assert asked(*nodes, method="eth_getBalance") == 1


async def test_an_endpoint_that_keeps_hanging_is_left_alone(
    manager: ChainManager, pair: tuple[FaultServer, FaultServer]
) -> None:
    pair[0].on("eth_getBalance", Reply("0x5", hold=True))
    pair[1].on("eth_getBalance", Reply("0x5"))

    async def ask() -> object:
        return await manager.request("eth", "eth_getBalance", ["0x0", "latest"], timeout=10)

    assert await asyncio.gather(*(ask() for _ in range(40))) == ["0x5"] * 40
    assert (await manager.get_pool_metrics("eth"))["breakers_opened"] == 1
    assert (await endpoints(manager))[0]["circuit"] != "closed" or pair[0].calls("eth_chainId") > 1


async def test_the_last_endpoint_that_is_asked_is_not_left_alone_because_it_hangs(
    manager: ChainManager, pair: tuple[FaultServer, FaultServer]
) -> None:
    for node in pair:
        node.on("eth_getBalance", Reply("0x5", hold=True))
    for _ in range(3):
        asks = (manager.request("eth", "eth_getBalance", ["0x0", "latest"], timeout=1.5) for _ in range(20))
        await asyncio.gather(*asks, return_exceptions=True)
    assert [one["circuit"] for one in await endpoints(manager)].count("closed") >= 1
    assert await manager.request("eth", "eth_blockNumber") == "0x10"


async def test_what_changes_something_is_never_made_twice(
    manager: ChainManager, pair: tuple[FaultServer, FaultServer]
) -> None:
    for node in pair:
        node.on("eth_sendTransaction", Reply(hang_up=True))
    with pytest.raises(ChainConnectionError):
        await manager.request("eth", "eth_sendTransaction", [{}])
    assert asked(*pair, method="eth_sendTransaction") == 1


async def test_a_method_that_is_said_to_be_safe_is_made_again(
    manager: ChainManager, node: FaultServer
) -> None:
    await manager.connect_to_chain("eth", node.url, safe_methods=["my_read"])
    node.on("my_read", Reply(hang_up=True), Reply("0x1"))
    assert await manager.request("eth", "my_read") == "0x1"


@pytest.mark.parametrize(
    "error",
    [
        {"code": -32000, "message": "already known"},
        {"code": -32000, "message": "nonce too low"},
    ],
)
async def test_a_transaction_whose_answer_was_lost_is_reported_by_its_hash(
    error: dict[str, object], manager: ChainManager, node: FaultServer
) -> None:
    await manager.connect_to_chain("eth", node.url)
    node.on("eth_sendRawTransaction", Reply(hang_up=True), Reply(error=error))
    node.on("eth_getTransactionByHash", Reply(None), Reply({"hash": HASH}))
    assert await manager.request("eth", "eth_sendRawTransaction", [RAW]) == HASH
    assert node.calls("eth_sendRawTransaction") == 2


async def test_a_transaction_that_was_taken_is_not_handed_in_again(
    manager: ChainManager, node: FaultServer
) -> None:
    await manager.connect_to_chain("eth", node.url, retries=0)
    node.on("eth_sendRawTransaction", Reply(hang_up=True))
    node.on("eth_getTransactionByHash", Reply({"hash": HASH}))
    assert await manager.request("eth", "eth_sendRawTransaction", [RAW]) == HASH
    assert node.calls("eth_sendRawTransaction") == 1


async def test_a_transaction_that_others_sent_before_is_an_error(
    manager: ChainManager, node: FaultServer
) -> None:
    await manager.connect_to_chain("eth", node.url)
    node.on("eth_sendRawTransaction", Reply(error={"code": -32000, "message": "already known"}))
    with pytest.raises(Exception, match="already known"):
        await manager.request("eth", "eth_sendRawTransaction", [RAW])
    assert node.calls("eth_sendRawTransaction") == 1


async def test_a_nonce_that_another_transaction_used_is_an_error(
    manager: ChainManager, node: FaultServer
) -> None:
    await manager.connect_to_chain("eth", node.url)
    low = Reply(error={"code": -32000, "message": "nonce too low"})
    node.on("eth_sendRawTransaction", Reply(hang_up=True), low)
    node.on("eth_getTransactionByHash", Reply(None))
    with pytest.raises(Exception, match="nonce too low"):
        await manager.request("eth", "eth_sendRawTransaction", [RAW])


async def test_a_read_is_made_again_after_trouble_that_passes(
    manager: ChainManager, node: FaultServer
) -> None:
    await manager.connect_to_chain("eth", node.url)
    node.on("eth_gasPrice", UNAVAILABLE, UNAVAILABLE, Reply("0x1"))
    assert await manager.request("eth", "eth_gasPrice") == "0x1"
    assert (await manager.get_pool_metrics("eth"))["retries"] == 2


async def test_without_retries_the_first_failure_is_told(manager: ChainManager, node: FaultServer) -> None:
    await manager.connect_to_chain("eth", node.url, retries=0)
    node.on("eth_gasPrice", UNAVAILABLE, Reply("0x1"))
    with pytest.raises(HttpStatusError):
        await manager.request("eth", "eth_gasPrice")


async def test_a_wait_beyond_the_deadline_is_not_begun(manager: ChainManager, node: FaultServer) -> None:
    await manager.connect_to_chain("eth", node.url)
    node.on("eth_gasPrice", Reply(status=429, headers={"retry-after": "60"}, body=b""))
    for _ in range(3):
        with pytest.raises(ProviderRateLimitError) as caught:
            await manager.request("eth", "eth_gasPrice", timeout=5)
        assert caught.value.retry_after == pytest.approx(60, abs=5)
    assert node.calls("eth_gasPrice") == 1


async def test_retries_do_not_storm_nodes_that_are_all_in_trouble(
    manager: ChainManager, pair: tuple[FaultServer, FaultServer]
) -> None:
    for node in pair:
        node.on("eth_gasPrice", UNAVAILABLE)

    async def caller() -> None:
        for _ in range(100):
            with pytest.raises((HttpStatusError, NoHealthyEndpointError)):
                await manager.request("eth", "eth_gasPrice", timeout=1)

    await asyncio.gather(*(caller() for _ in range(30)))
    assert asked(*pair, method="eth_gasPrice") < 1.2 * 3000


async def test_a_laggard_is_asked_only_when_there_is_no_other(
    manager: ChainManager, new_node: NewNode
) -> None:
    laggard, good = new_node(), new_node()
    laggard.on("eth_blockNumber", Reply("0x10"))
    good.on("eth_blockNumber", Reply("0x100"))
    await manager.connect_to_chain("eth", [laggard.url, good.url])

    async def set_aside() -> bool:
        return bool((await endpoints(manager))[0]["lagging"])

    await comes_true(set_aside)
    for _ in range(20):
        await manager.request("eth", "echo", [1])
    assert (laggard.calls("echo"), good.calls("echo")) == (0, 20)


async def test_endpoints_may_have_options_of_their_own(manager: ChainManager, new_node: NewNode) -> None:
    first, second = new_node(), new_node()
    own = {"url": second.url, "headers": {"x-own": "2"}, "rate_limit": 1000, "weight": 2}
    await manager.connect_to_chain("eth", [first.url, own], headers={"x-own": "1"})
    assert {seen.headers["x-own"] for seen in first.seen} == {"1"}
    assert {seen.headers["x-own"] for seen in second.seen} == {"2"}


async def test_a_lease_comes_from_an_endpoint_that_can_be_reached(
    manager: ChainManager, node: FaultServer, refused_port: int
) -> None:
    await manager.connect_to_chain("eth", [f"http://127.0.0.1:{refused_port}", node.url])
    async with manager.get_connection("eth") as connection:
        assert await connection.request("echo", [1]) == [1]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"endpoint": [{"credentials": {}}]}, "endpoint"),
        ({"endpoint": [{"url": "http://127.0.0.1:9", "wieght": 1}]}, "endpoint"),
        ({"endpoint": [{"url": "http://127.0.0.1:9", "weight": 0}]}, "endpoint"),
        ({"retries": -1}, "retries"),
        ({"max_lag": -1}, "max_lag"),
        ({"safe_methods": "eth_call"}, "safe_methods"),
    ],
)
async def test_options_that_cannot_work_are_refused_by_name(
    arguments: dict[str, object], named: str, manager: ChainManager
) -> None:
    with pytest.raises(ConfigurationError, match=named):
        await manager.connect_to_chain(**{"chain_id": "eth", "endpoint": "http://127.0.0.1:9", **arguments})  # type: ignore[arg-type]
