"""Fixtures that pytest finds as soon as the package is installed. Servers are imported when one is used."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from genesis_replicator.testing import FaultServer, ToxicProxy


@pytest.fixture
def fault_server() -> "Iterator[FaultServer]":
    """A `genesis_replicator.testing.FaultServer` that listens for as long as the test runs."""
    from genesis_replicator.testing import FaultServer  # noqa: PLC0415

    with FaultServer() as server:
        yield server


@pytest.fixture
def toxic_proxy(fault_server: "FaultServer") -> "Iterator[ToxicProxy]":
    """A `genesis_replicator.testing.ToxicProxy` in front of `fault_server`."""
    from genesis_replicator.testing import ToxicProxy  # noqa: PLC0415

    with ToxicProxy(fault_server.url) as proxy:
        yield proxy
