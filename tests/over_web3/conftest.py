"""Two equal nodes, and web3.py on each: over its own provider, and over ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from servers.anvil import Anvil

if TYPE_CHECKING:
    from over_web3.pairs import Pair

#: No fees, because what a block costs is remembered when a chain begins anew.
OPTIONS = ("--timestamp", "1700000000", "--block-base-fee-per-gas", "0")


@pytest.fixture(scope="session")
def twins(anvil_command: str) -> Iterator[tuple[str, str]]:
    """The URLs of two nodes that answer the same as long as the same is asked of them."""
    with ExitStack() as stack:
        nodes = Anvil(anvil_command), Anvil(anvil_command)
        for node in nodes:
            stack.callback(node.stop)
            node.start(*OPTIONS)
        yield nodes[0].url, nodes[1].url


@pytest.fixture
async def pair(twins: tuple[str, str]) -> AsyncIterator[Pair]:
    """web3.py on its own provider, and on ours."""
    from web3 import AsyncHTTPProvider, AsyncWeb3

    from genesis_replicator.web3 import GenesisProvider
    from over_web3.pairs import Pair
    from over_web3.pinger import set_up

    for url in twins:
        set_up(url)
    stock, ours = AsyncHTTPProvider(twins[0]), GenesisProvider.from_url(twins[1])
    yield Pair(AsyncWeb3(stock), AsyncWeb3(ours))
    await stock.disconnect()
    await ours.disconnect()
