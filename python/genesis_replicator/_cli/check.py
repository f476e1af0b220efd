"""`check URL`: who a node is, its head, how fast it answers, and what the credentials allow."""

import os
import statistics
import sys
import time
from contextlib import suppress

from genesis_replicator import (
    AuthenticationError,
    ChainManager,
    ConfigurationError,
    GenesisError,
    InvalidCredentialsError,
    MethodNotSupportedError,
    ProviderRateLimitError,
    QuotaExhaustedError,
    RpcError,
)
from genesis_replicator._cli.families import FAMILIES, Call
from genesis_replicator._cli.output import row, rows

LABEL = "node"
ROUNDS = 5
ANSWERS, FAILED, UNUSABLE = 0, 1, 2


async def check(url: str, api_key_env: str | None, timeout: float) -> int:
    """Print what the node tells; the result is the exit status."""
    if api_key_env is not None and not os.environ.get(api_key_env):
        return _fail(f"the environment variable {api_key_env} is not set", UNUSABLE)
    try:
        async with ChainManager(max_connections=2, request_timeout=timeout) as manager:
            await manager.connect_to_chain(LABEL, url, _credentials(api_key_env), timeout=timeout)
            return await _describe(manager, with_credentials=api_key_env is not None)
    except (ConfigurationError, InvalidCredentialsError) as error:
        return _fail(error, UNUSABLE)
    except GenesisError as error:
        return _fail(error, FAILED)


def _credentials(api_key_env: str | None) -> dict[str, str]:
    # Made where it is handed over, so that no variable of this file ever holds the key.
    return {} if api_key_env is None else {"api_key": os.environ[api_key_env]}


async def _describe(manager: ChainManager, *, with_credentials: bool) -> int:
    async with manager.get_connection(LABEL) as connection:
        row("endpoint", connection.endpoint)
    if with_credentials:
        row("credentials", "accepted" if await manager.verify_credentials(LABEL) else "refused")
    status = await manager.get_chain_status(LABEL)
    family = FAMILIES[status["family"]]
    row("family", family.title)
    row("network", "unknown" if status["network_id"] is None else status["network_id"])
    row("head", "unknown" if status["head_block"] is None else status["head_block"])
    row("latency", await _latency(manager, family.probes[0]))
    print()
    rows([("method", "answer"), *[(probe[0], await _verdict(manager, probe)) for probe in family.probes]])
    return ANSWERS


async def _latency(manager: ChainManager, call: Call) -> str:
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        with suppress(RpcError):  # an error is an answer too
            await manager.request(LABEL, *call)
        times.append((time.perf_counter() - start) * 1000)
    median = statistics.median(times)
    return f"{median:.1f} ms median, {min(times):.1f} to {max(times):.1f} ms over {ROUNDS} calls"


async def _verdict(manager: ChainManager, call: Call) -> str:
    """What one method's answer says about access to it."""
    try:
        await manager.request(LABEL, *call)
    except MethodNotSupportedError:
        return "no, not offered"
    except AuthenticationError:
        return "no, refused to these credentials"
    except (ProviderRateLimitError, QuotaExhaustedError) as error:
        return f"unknown, the provider's limit is reached: {error}"
    except RpcError as error:
        return f"yes, with an error: {error}"
    except GenesisError as error:
        return f"unknown: {error}"
    return "yes"


def _fail(reason: object, status: int) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return status
