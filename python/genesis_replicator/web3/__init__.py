"""web3.py over this package's pools, limits and failover: one changed line.

::

    w3 = AsyncWeb3(GenesisProvider(manager, "eth_mainnet"))

It needs web3.py 7 or later: ``pip install genesis-replicator[web3]``.
"""

from importlib.util import find_spec

if find_spec("web3") is None:
    _NEEDED = "genesis_replicator.web3 needs web3.py: pip install genesis-replicator[web3]"
    raise ModuleNotFoundError(_NEEDED, name="web3")

from genesis_replicator.web3._persistent import GenesisPersistentProvider
from genesis_replicator.web3._provider import GenesisProvider

__all__ = ["GenesisPersistentProvider", "GenesisProvider"]
