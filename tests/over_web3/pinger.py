"""Two contracts that every node of these tests has, written in the machine's own code.

`PINGER` logs the number that it is called with, under its caller's address, and returns it. `MIRROR` reverts
with the data of the call, so that any error of a contract can be had.
"""

from __future__ import annotations

from typing import Any

from eth_utils import keccak

from servers import anvil

#: Of the accounts that each anvil has, the first, with the key that anvil shows.
KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
ACCOUNT = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
NOBODY = "0x000000000000000000000000000000000000dEaD"
PINGER = "0x00000000000000000000000000000000000A11cE"
MIRROR = "0x0000000000000000000000000000000000000B0b"

_PINGED = keccak(text="Pinged(address,uint256)").hex()
#: mstore(0, calldataload(4)); log2(0, 32, Pinged, caller()); return(0, 32)
PINGER_CODE = f"6004355f52337f{_PINGED}60205fa260205ff3"
#: calldatacopy(0, 0, calldatasize()); revert(0, calldatasize())
MIRROR_CODE = "365f5f37365ffd"
#: Copies what stands behind it, and returns that as the contract's code.
BYTECODE = f"60{len(PINGER_CODE) // 2:02x}600b5f3960{len(PINGER_CODE) // 2:02x}5ff3{PINGER_CODE}"

NUMBER = {"name": "number", "type": "uint256"}
ABI: list[dict[str, Any]] = [
    {"type": "constructor", "inputs": [], "stateMutability": "nonpayable"},
    {
        "type": "function",
        "name": "ping",
        "inputs": [NUMBER],
        "outputs": [{"name": "", "type": "uint256"}],
        "stateMutability": "nonpayable",
    },
    {
        "type": "event",
        "name": "Pinged",
        "anonymous": False,
        "inputs": [{"name": "who", "type": "address", "indexed": True}, NUMBER | {"indexed": False}],
    },
]
#: Calls of the mirror by these names come back as the errors that are called so.
MIRRORED: list[dict[str, Any]] = [
    {"type": "function", "name": name, "inputs": inputs, "outputs": [], "stateMutability": "view"}
    for name, inputs in (
        ("Error", [{"name": "reason", "type": "string"}]),
        ("Panic", [{"name": "code", "type": "uint256"}]),
        ("TooLittle", [NUMBER]),
    )
]


def set_up(url: str) -> None:
    """Begin the chain of a node anew, with the contracts, and blocks whose times no clock decides."""
    anvil.ask(url, "anvil_reset")
    anvil.ask(url, "anvil_setBlockTimestampInterval", 1)
    anvil.ask(url, "anvil_setCode", PINGER, "0x" + PINGER_CODE)
    anvil.ask(url, "anvil_setCode", MIRROR, "0x" + MIRROR_CODE)
