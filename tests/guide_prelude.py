"""The names that the snippets of the guide use and do not define. Nothing else is added to them."""

import asyncio  # noqa: F401
import logging
import time  # noqa: F401
from typing import Dict  # noqa: F401, UP035

from genesis_replicator import ChainManager, MetricsCollector
from genesis_replicator.foundation_services.exceptions import (
    ChainConnectionError,  # noqa: F401
    SecurityError,  # noqa: F401
)

logger = logging.getLogger("guide")
manager = ChainManager(max_connections=10)
metrics_collector = MetricsCollector()

chain_id = "eth_mainnet"
client_id = "client-1"
endpoint = "https://mainnet.infura.io/v3/YOUR-PROJECT-ID"
credentials = {"api_key": "your_key"}
chains = {"eth_mainnet": endpoint, "polygon": endpoint, "arbitrum": endpoint}


async def perform_operation() -> object:
    """An operation of the user."""
    return await manager.request(chain_id, "eth_chainId")


perform_chain_operation = perform_operation
