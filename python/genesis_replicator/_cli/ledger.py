"""The few facts of a chain that the scripted node answers with: accounts, balances, blocks, receipts."""

import hashlib
from collections.abc import Callable
from typing import Any

GAS = 21_000
GAS_PRICE = 10**9
RICH = 10_000 * 10**18


class RpcRefusal(Exception):  # noqa: N818, an answer that says no, not a fault of this program
    """An error answer: its JSON-RPC code and message."""

    def __init__(self, code: int, message: str) -> None:
        """Keep the code beside the message."""
        super().__init__(message)
        self.code = code


class Ledger:
    """A chain that only moves when a transaction comes: one block for each."""

    def __init__(self, chain_id: int) -> None:
        """Start with two rich accounts and no block but the first."""
        self._chain_id = chain_id
        self._accounts = ["0x" + _digest("account", index)[:40] for index in range(2)]
        self._balances = dict.fromkeys(self._accounts, RICH)
        self._receipts: dict[str, dict[str, Any]] = {}
        self._methods: dict[str, Callable[[list[Any]], Any]] = {
            "eth_chainId": lambda _: hex(self._chain_id),
            "eth_blockNumber": lambda _: hex(self._height),
            "eth_accounts": lambda _: self._accounts,
            "eth_gasPrice": lambda _: hex(GAS_PRICE),
            "eth_getBalance": lambda params: hex(self._balances.get(str(params[0]).lower(), 0)),
            "eth_getBlockByNumber": lambda params: self._block(params[0]),
            "eth_sendTransaction": lambda params: self._send(params[0]),
            "eth_getTransactionReceipt": lambda params: self._receipts.get(params[0]),
        }

    def call(self, method: str, params: list[Any]) -> Any:
        """The result of one call; `RpcRefusal` where a node would answer with an error."""
        handler = self._methods.get(method)
        if handler is None:
            raise RpcRefusal(-32601, f"the method {method} does not exist")
        try:
            return handler(params)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise RpcRefusal(-32602, "invalid params") from error

    @property
    def _height(self) -> int:
        return len(self._receipts)

    def _block(self, tag: str) -> dict[str, Any] | None:
        named = {"earliest": 0, "finalized": self._height, "latest": self._height, "pending": self._height}
        number = named[tag] if tag in named else int(tag, 16)
        if number > self._height:
            return None
        return {
            "number": hex(number),
            "hash": self._block_hash(number),
            "parentHash": self._block_hash(number - 1) if number else "0x" + "00" * 32,
            "transactions": [
                name for name, found in self._receipts.items() if found["blockNumber"] == hex(number)
            ],
        }

    def _block_hash(self, number: int) -> str:
        return "0x" + _digest("block", self._chain_id, number)

    def _send(self, transaction: dict[str, Any]) -> str:
        sender, receiver = transaction["from"].lower(), transaction["to"].lower()
        value = int(transaction.get("value", "0x0"), 16)
        cost = value + GAS * GAS_PRICE
        if self._balances.get(sender, 0) < cost:
            raise RpcRefusal(-32003, "insufficient funds for gas and value")
        self._balances[sender] -= cost
        self._balances[receiver] = self._balances.get(receiver, 0) + value
        number = self._height + 1
        name = "0x" + _digest("transaction", self._chain_id, number)
        self._receipts[name] = {
            "transactionHash": name,
            "blockNumber": hex(number),
            "blockHash": self._block_hash(number),
            "from": sender,
            "to": receiver,
            "gasUsed": hex(GAS),
            "effectiveGasPrice": hex(GAS_PRICE),
            "status": "0x1",
        }
        return name


def _digest(*parts: object) -> str:
    return hashlib.sha256(":".join(map(str, parts)).encode()).hexdigest()
