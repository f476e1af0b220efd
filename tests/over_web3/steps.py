"""What tests do with web3.py in several steps, the same whichever provider it has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hexbytes import HexBytes
from web3 import AsyncWeb3
from web3.types import RPCEndpoint

from over_web3.pinger import ABI, ACCOUNT, BYTECODE, MIRROR, MIRRORED, NOBODY, PINGER

W3 = AsyncWeb3[Any]
#: The first transfer of the account, with all that web3.py would else fill in.
COMPLETE = {
    "from": ACCOUNT,
    "to": NOBODY,
    "value": 1,
    "gas": 21_000,
    "maxFeePerGas": 10**10,
    "maxPriorityFeePerGas": 1,
    "nonce": 0,
    "chainId": 31337,
}
DEARER = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**9}


def pinger(w3: W3) -> Any:
    """The contract that answers."""
    return w3.eth.contract(address=w3.to_checksum_address(PINGER), abi=ABI, bytecode=BYTECODE)


def mirror(w3: W3) -> Any:
    """The contract that reverts."""
    return w3.eth.contract(address=w3.to_checksum_address(MIRROR), abi=MIRRORED)


async def sent(w3: W3) -> HexBytes:
    """A transaction that is mined, with a log."""
    sent: HexBytes = await pinger(w3).functions.ping(7).transact({"from": ACCOUNT})
    await w3.eth.wait_for_transaction_receipt(sent, poll_latency=0.005)
    return sent


@asynccontextmanager
async def pending(w3: W3, **fees: Any) -> AsyncIterator[HexBytes]:
    """A transaction that is not mined before the end of the block."""
    await make(w3, "evm_setAutomine", [False])
    yield await w3.eth.send_transaction({"from": ACCOUNT, "to": NOBODY, "value": 1, **fees})
    await make(w3, "evm_setAutomine", [True])
    await make(w3, "evm_mine")


async def make(w3: W3, method: str, params: Any = ()) -> Any:
    """Something that web3.py has no name for."""
    return await w3.manager.coro_request(RPCEndpoint(method), params)


async def replaced(w3: W3) -> Any:
    async with pending(w3) as waiting:
        return await w3.eth.replace_transaction(waiting, COMPLETE | DEARER)


async def modified(w3: W3) -> Any:
    async with pending(w3, gasPrice=10**10) as waiting:
        return await w3.eth.modify_transaction(waiting, gasPrice=10**11)


async def in_pool(w3: W3) -> Any:
    async with pending(w3):
        return [await w3.geth.txpool.content(), await w3.geth.txpool.inspect(), await w3.geth.txpool.status()]


async def uninstalled(w3: W3) -> Any:
    return await w3.eth.uninstall_filter((await w3.eth.filter("latest")).filter_id)


async def entries(w3: W3, *params: Any) -> Any:
    """What a filter has seen of a transaction, by the filter and by its id."""
    made = await w3.eth.filter(*params)
    await sent(w3)
    return [type(made), await made.get_new_entries(), await w3.eth.get_filter_changes(made.filter_id)]


async def all_entries(w3: W3, *, by_id: bool = False) -> Any:
    await sent(w3)
    made = await w3.eth.filter({"fromBlock": "latest", "address": PINGER})
    return await (w3.eth.get_filter_logs(made.filter_id) if by_id else made.get_all_entries())


async def event_entries(w3: W3) -> Any:
    made = await pinger(w3).events.Pinged.create_filter(
        from_block="latest", argument_filters={"who": ACCOUNT}
    )
    await sent(w3)
    return [type(made), await made.get_new_entries(), len(await made.get_all_entries())]


async def built_filter(w3: W3) -> Any:
    builder = pinger(w3).events.Pinged.build_filter()
    builder.args.number.match_any(7, 8)
    made = await builder.deploy(w3)
    await sent(w3)
    return [type(made), await made.get_new_entries()]


async def processed(w3: W3) -> Any:
    return pinger(w3).events.Pinged().process_receipt(await w3.eth.get_transaction_receipt(await sent(w3)))


async def batched(w3: W3) -> Any:
    async with w3.batch_requests() as batch:
        batch.add(w3.eth.get_block(0))
        batch.add(pinger(w3).functions.ping(5))
        batch.add_mapping({w3.eth.get_balance: [NOBODY, ACCOUNT], w3.eth.get_transaction_count: [NOBODY]})
        return await batch.async_execute()


async def batched_with_an_error(w3: W3) -> Any:
    async with w3.batch_requests() as batch:
        batch.add(w3.eth.get_block(0))
        batch.add(mirror(w3).functions.Error("nope"))
        return await batch.async_execute()


async def batched_twice(w3: W3) -> Any:
    async with w3.batch_requests() as batch:
        batch.add(w3.eth.get_block(0))
        await batch.async_execute()
        return await batch.async_execute()


async def then(first: Any, ask: Any, *params: Any) -> Any:
    """What comes of asking for what came before."""
    return await ask(await first, *params)


def nope(w3: W3) -> Any:
    return mirror(w3).functions.Error("nope")
