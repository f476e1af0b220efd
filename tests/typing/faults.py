"""A user's test, never run: `mypy --strict` must accept it and know every type in it."""

from typing import assert_type

from genesis_replicator.testing import FAULTS, Authority, FaultServer, Latency, Reply, SeenCall, ToxicProxy


def use(server: FaultServer, proxy: ToxicProxy) -> None:
    """Use what the fixtures give."""
    server.on("eth_gasPrice", Reply(status=503, body=b""), lambda params: params, FAULTS["stall"])
    assert_type(server.seen, list[SeenCall])
    assert_type(server.calls("eth_gasPrice"), int)
    latency = proxy.add(Latency(0.2, jitter=0.1), upstream=True)
    latency.seconds = 1.0
    assert_type(latency, Latency)
    proxy.remove(latency)
    assert_type(proxy.url, str)


def make() -> None:
    """Make them without pytest."""
    with FaultServer(tls=Authority().context(expired=True), http2=True) as server:
        assert_type(server, FaultServer)
        assert_type(server.ca, bytes | None)
