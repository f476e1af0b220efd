"""Three anvils of one network, each behind a way that can be spoiled, with a hand that mines for them."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from servers.anvil import NETWORK_ID, Anvil, find
from servers.anvil import ask as rpc

NODES = 3
#: A beginning that all have in common, as the first block of a network has.
COMMON = ("--no-mining", "--timestamp", "1700000000")
STRANGE_ID = 5
#: Blocks that all nodes get at a time, and the seconds in between.
BLOCKS = 5
EVERY = 0.5
GAS_PRICE = 3_000_000_000


class Fleet:
    """The nodes, what is wrong with each of them, and how high their chain is."""

    def __init__(self, process: subprocess.Popen[str], nodes: list[Anvil]) -> None:
        """`process` has the ways."""
        self._process = process
        #: One question at a time: several threads ask.
        self._asking = threading.Lock()
        self.nodes = nodes
        self.height = 0
        self.idle: set[int] = set()
        self.urls = [f"http://127.0.0.1:{self.tell('open', node.port)}" for node in nodes]

    def tell(self, command: str, number: int) -> int:
        """Give the ways a command."""
        assert self._process.stdin
        assert self._process.stdout
        with self._asking:
            self._process.stdin.write(f"{command} {number}\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())

    def spoil(self, number: int, fault: str) -> None:
        """Begin with a fault."""
        node = self.nodes[number]
        if fault != "limited":
            self.idle.add(number)
        match fault:
            case "killed":
                self.tell("down", number)
                node.kill()
            case "stopped":
                node.send(signal.SIGSTOP)
            case "stranger":
                self.tell("down", number)
                node.kill()
                node.start(*COMMON, "--chain-id", str(STRANGE_ID))
                self.tell("up", number)
            case "limited":
                self.tell("limit", number)

    def mend(self, number: int, fault: str) -> None:
        """End it. Who was away catches up before anybody reaches it."""
        node = self.nodes[number]
        match fault:
            case "killed":
                self._restart(node)
                self.tell("up", number)
            case "stopped":
                node.send(signal.SIGCONT)
                self._catch_up(node)
            case "lagging":
                self._catch_up(node)
            case "stranger":
                self.tell("down", number)
                node.kill()
                self._restart(node)
                self.tell("up", number)
            case "limited":
                self.tell("allow", number)
        self.idle.discard(number)

    def _restart(self, node: Anvil) -> None:
        node.start(*COMMON)
        self._catch_up(node)

    def _catch_up(self, node: Anvil) -> None:
        behind = self.height - int(rpc(node.url, "eth_blockNumber"), 16)
        if behind > 0:
            rpc(node.url, "anvil_mine", hex(behind))

    async def mine(self) -> None:
        """Let the chain grow, until cancelled, at every node that can."""
        while True:
            await asyncio.sleep(EVERY)
            self.height += BLOCKS
            for number, node in enumerate(self.nodes):
                if number not in self.idle:
                    await asyncio.to_thread(self._catch_up, node)

    def signed(self, count: int) -> list[str]:
        """So many transactions, signed, in turns by the accounts that every anvil has."""
        url = self.nodes[0].url
        accounts = rpc(url, "eth_accounts")
        return [
            rpc(
                url,
                "eth_signTransaction",
                {
                    "from": accounts[number % len(accounts)],
                    "to": accounts[0],
                    "value": "0x1",
                    "nonce": hex(number // len(accounts)),
                    "gas": hex(21_000),
                    "gasPrice": hex(GAS_PRICE),
                    "chainId": hex(NETWORK_ID),
                },
            )
            for number in range(count)
        ]


@contextmanager
def running(count: int = NODES) -> Iterator[Fleet]:
    """So many nodes, as long as the block runs."""
    command = find()
    assert command, "anvil is not installed"
    ways = [sys.executable, "-m", "soak.ways"]
    with ExitStack() as stack:
        nodes = [Anvil(command) for _ in range(count)]
        for node in nodes:
            stack.callback(node.stop)
            node.start(*COMMON)
        process = stack.enter_context(
            subprocess.Popen(ways, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        assert process.stdin
        stack.callback(process.stdin.close)
        yield Fleet(process, nodes)
