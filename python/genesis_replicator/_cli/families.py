"""The families of chains that `check` knows: how a node is recognised, and what it is asked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Call = tuple[str, list[Any]]

_NO_TRANSACTION = "0x" + "00" * 32


@dataclass(frozen=True)
class Family:
    """One family. Every probe only reads, and its answer is small."""

    name: str
    identity: Call
    network: Callable[[Any], str]
    head: Call
    height: Callable[[Any], int]
    probes: tuple[Call, ...]


def _number(answer: Any) -> int:
    return int(answer, 16) if isinstance(answer, str) else int(answer)


FAMILIES = (
    Family(
        name="Ethereum (EVM)",
        identity=("eth_chainId", []),
        network=lambda answer: str(_number(answer)),
        head=("eth_blockNumber", []),
        height=_number,
        probes=(
            ("eth_chainId", []),
            ("eth_blockNumber", []),
            ("eth_getLogs", [{"fromBlock": "latest", "toBlock": "latest"}]),
            ("debug_traceTransaction", [_NO_TRANSACTION]),
            ("trace_transaction", [_NO_TRANSACTION]),
            ("txpool_status", []),
        ),
    ),
    Family(
        name="Solana",
        identity=("getGenesisHash", []),
        network=str,
        head=("getSlot", []),
        height=_number,
        probes=(
            ("getHealth", []),
            ("getSlot", []),
            ("getLatestBlockhash", []),
            ("getRecentPrioritizationFees", []),
        ),
    ),
    Family(
        name="Bitcoin",
        identity=("getblockchaininfo", []),
        network=lambda answer: str(answer["chain"]),
        head=("getblockcount", []),
        height=_number,
        probes=(("getblockcount", []), ("getmempoolinfo", []), ("getnetworkinfo", []), ("listwallets", [])),
    ),
    Family(
        name="Substrate",
        identity=("chain_getBlockHash", [0]),
        network=str,
        head=("chain_getHeader", []),
        height=lambda answer: _number(answer["number"]),
        probes=(
            ("system_chain", []),
            ("system_health", []),
            ("state_getRuntimeVersion", []),
            ("author_pendingExtrinsics", []),
        ),
    ),
)
