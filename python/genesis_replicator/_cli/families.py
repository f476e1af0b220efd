"""What `check` asks a node of each family, to tell what its credentials allow."""

from dataclasses import dataclass
from typing import Any

Call = tuple[str, list[Any]]

_NO_TRANSACTION = "0x" + "00" * 32


@dataclass(frozen=True)
class Family:
    """One family. Every probe only reads, and its answer is small; the first is the one that is timed."""

    title: str
    probes: tuple[Call, ...]


#: By the names that `get_chain_status` gives.
FAMILIES = {
    "evm": Family(
        "Ethereum (EVM)",
        (
            ("eth_chainId", []),
            ("eth_blockNumber", []),
            ("eth_getLogs", [{"fromBlock": "latest", "toBlock": "latest"}]),
            ("debug_traceTransaction", [_NO_TRANSACTION]),
            ("trace_transaction", [_NO_TRANSACTION]),
            ("txpool_status", []),
        ),
    ),
    "solana": Family(
        "Solana",
        (
            ("getSlot", []),
            ("getHealth", []),
            ("getLatestBlockhash", []),
            ("getRecentPrioritizationFees", []),
        ),
    ),
    "bitcoin": Family(
        "Bitcoin",
        (("getblockcount", []), ("getmempoolinfo", []), ("getnetworkinfo", []), ("listwallets", [])),
    ),
    "substrate": Family(
        "Substrate",
        (
            ("system_chain", []),
            ("system_health", []),
            ("state_getRuntimeVersion", []),
            ("author_pendingExtrinsics", []),
        ),
    ),
    "generic": Family("none that is known here: plain JSON-RPC", (("rpc.discover", []),)),
}
