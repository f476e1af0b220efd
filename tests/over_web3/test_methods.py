"""Method by method: `AsyncWeb3` over our provider answers and raises as it does over its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

pytest.importorskip("web3")
from web3 import AsyncHTTPProvider, AsyncWeb3

from genesis_replicator.web3 import GenesisProvider

Ask = Callable[[AsyncWeb3[Any]], Awaitable[Any]]
NOBODY = "0x000000000000000000000000000000000000dEaD"
#: Returns 42.
RUNTIME = "602a60005260206000f3"
#: Reverts with Error("nope").
REVERTING = (
    "7f08c379a000000000000000000000000000000000000000000000000000000000600052"
    "6020600452600460245263" + b"nope".hex() + "60e01b60445260646000fd"
)


async def first_block(w3: AsyncWeb3[Any]) -> Any:
    return await w3.eth.get_block(0)


async def first_account(w3: AsyncWeb3[Any]) -> Any:
    return (await w3.eth.accounts)[0]


async def sent(w3: AsyncWeb3[Any]) -> Any:
    """A transaction that is mined."""
    account = await first_account(w3)
    sent = await w3.eth.send_transaction({"from": account, "to": NOBODY, "value": 1})
    return await w3.eth.wait_for_transaction_receipt(sent)


CASES: dict[str, Ask] = {
    "accounts": lambda w3: w3.eth.accounts,
    "block_number": lambda w3: w3.eth.block_number,
    "chain_id": lambda w3: w3.eth.chain_id,
    "gas_price": lambda w3: w3.eth.gas_price,
    "max_priority_fee": lambda w3: w3.eth.max_priority_fee,
    "blob_base_fee": lambda w3: w3.eth.blob_base_fee,
    "syncing": lambda w3: w3.eth.syncing,
    "call": lambda w3: w3.eth.call({"to": NOBODY, "data": "0x"}),
    "estimate_gas": lambda w3: w3.eth.estimate_gas({"to": NOBODY, "value": 1}),
    "fee_history": lambda w3: w3.eth.fee_history(1, "latest", [50]),
    "get_balance": lambda w3: w3.eth.get_balance(NOBODY),
    "get_block by number": lambda w3: w3.eth.get_block(0),
    "get_block with transactions": lambda w3: w3.eth.get_block("latest", full_transactions=True),
    "get_block that is not there": lambda w3: w3.eth.get_block(10**9),
    "get_block_transaction_count": lambda w3: w3.eth.get_block_transaction_count(0),
    "get_block_receipts": lambda w3: w3.eth.get_block_receipts(0),
    "get_code": lambda w3: w3.eth.get_code(NOBODY),
    "get_logs": lambda w3: w3.eth.get_logs({"fromBlock": 0, "toBlock": "latest"}),
    "get_proof": lambda w3: w3.eth.get_proof(NOBODY, [0], "latest"),
    "get_storage_at": lambda w3: w3.eth.get_storage_at(NOBODY, 0),
    "get_transaction that is not there": lambda w3: w3.eth.get_transaction("0x" + "12" * 32),
    "get_transaction_receipt that is not there": lambda w3: w3.eth.get_transaction_receipt("0x" + "12" * 32),
    "get_transaction_count": lambda w3: w3.eth.get_transaction_count(NOBODY),
    "create_access_list": lambda w3: w3.eth.create_access_list({"to": NOBODY}),
    "send_raw_transaction that is broken": lambda w3: w3.eth.send_raw_transaction("0x12"),
    "send from an unknown account": lambda w3: w3.eth.send_transaction({"from": NOBODY, "to": NOBODY}),
    "uninstall_filter": lambda w3: w3.eth.uninstall_filter("0x77"),
    "net version": lambda w3: w3.net.version,
    "net listening": lambda w3: w3.net.listening,
    "net peer_count": lambda w3: w3.net.peer_count,
    "txpool status": lambda w3: w3.geth.txpool.status(),
    "txpool inspect": lambda w3: w3.geth.txpool.inspect(),
    "client_version": lambda w3: w3.client_version,
    "is_connected": lambda w3: w3.is_connected(),
    "an unknown method": lambda w3: w3.manager.coro_request("eth_noSuchMethod", []),
}


async def outcome(ask: Ask, w3: AsyncWeb3[Any]) -> Any:
    """What comes of it: a result, or the class and the text of an error."""
    try:
        return await ask(w3)
    except Exception as error:  # noqa: BLE001
        return type(error), str(error)


@pytest.fixture
async def pair(anvil: str) -> AsyncIterator[tuple[AsyncWeb3[Any], AsyncWeb3[Any]]]:
    """web3.py on its own provider, and on ours."""
    stock, ours = AsyncHTTPProvider(anvil), GenesisProvider.from_url(anvil)
    yield AsyncWeb3(stock), AsyncWeb3(ours)
    await stock.disconnect()
    await ours.disconnect()


@pytest.mark.parametrize("name", CASES)
async def test_a_method_answers_and_raises_the_same(
    name: str, pair: tuple[AsyncWeb3[Any], AsyncWeb3[Any]]
) -> None:
    stock, ours = pair
    expected, got = await outcome(CASES[name], stock), await outcome(CASES[name], ours)
    assert got == expected
    assert type(got) is type(expected)


async def test_transactions_and_receipts_are_the_same(
    pair: tuple[AsyncWeb3[Any], AsyncWeb3[Any]],
) -> None:
    stock, ours = pair
    receipt = await sent(ours)
    sent_hash = receipt["transactionHash"]
    assert await stock.eth.get_transaction_receipt(sent_hash) == receipt
    assert await stock.eth.get_transaction(sent_hash) == await ours.eth.get_transaction(sent_hash)


async def test_a_batch_has_results_and_errors_one_by_one(
    pair: tuple[AsyncWeb3[Any], AsyncWeb3[Any]],
) -> None:
    outcomes = []
    for w3 in pair:
        async with w3.batch_requests() as batch:
            batch.add(w3.eth.get_block(0))
            batch.add(w3.eth.get_balance(NOBODY))
            batch.add(w3.eth.chain_id)
            outcomes.append(await batch.async_execute())
    assert outcomes[0] == outcomes[1]


async def test_contracts_run_the_same(pair: tuple[AsyncWeb3[Any], AsyncWeb3[Any]]) -> None:
    abi = [
        {
            "type": "function",
            "name": "x",
            "inputs": [],
            "outputs": [{"type": "uint256"}],
            "stateMutability": "view",
        }
    ]
    results: list[Any] = []
    for w3 in pair:
        for runtime in (RUNTIME, REVERTING):
            length = len(runtime) // 2
            init = f"60{length:02x}600c60003960{length:02x}6000f3{runtime}"
            account = await first_account(w3)
            made = w3.eth.contract(abi=abi, bytecode=init)
            receipt = await w3.eth.wait_for_transaction_receipt(
                await made.constructor().transact({"from": account})
            )
            contract = w3.eth.contract(address=receipt["contractAddress"], abi=abi)
            results.append(await outcome(lambda _, c=contract: c.functions.x().call(), w3))  # type: ignore[misc]
    assert results[:2] == results[2:]
    assert results[0] == 42
    assert "nope" in results[1][1]


async def test_filters_run_the_same(pair: tuple[AsyncWeb3[Any], AsyncWeb3[Any]]) -> None:
    for w3 in pair:
        blocks = await w3.eth.filter("latest")
        receipt = await sent(w3)
        assert receipt["blockHash"] in await blocks.get_new_entries()
        assert await w3.eth.uninstall_filter(blocks.filter_id)
