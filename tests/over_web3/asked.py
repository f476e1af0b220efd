"""The table of what each method of web3.py that asks a node is asked with: a new one needs a line here.

`ANSWERED` has what comes to a result, `REFUSED` what the node or web3.py refuses, and `NOT_ASKED` says why a
method is in neither.
"""

from __future__ import annotations

from eth_account import Account
from hexbytes import HexBytes
from web3.datastructures import AttributeDict
from web3.types import RPCEndpoint

from over_web3.pairs import Ask
from over_web3.pinger import ACCOUNT, KEY, MIRROR, NOBODY, PINGER
from over_web3.steps import (
    COMPLETE,
    all_entries,
    batched,
    batched_twice,
    batched_with_an_error,
    built_filter,
    entries,
    event_entries,
    in_pool,
    make,
    mirror,
    modified,
    nope,
    pinger,
    processed,
    replaced,
    sent,
    then,
    uninstalled,
)

UNKNOWN = "0x" + "12" * 32
#: Has a class of web3.py's own, and bytes.
ODD_CALL = AttributeDict({"to": PINGER, "data": HexBytes("0x12345678" + "00" * 32)})
CUSTOM = "0x12345678" + "00" * 32
TYPED = {
    "types": {
        "EIP712Domain": [{"name": "name", "type": "string"}],
        "Mail": [{"name": "text", "type": "string"}],
    },
    "primaryType": "Mail",
    "domain": {"name": "post"},
    "message": {"text": "hello"},
}

ANSWERED: dict[str, tuple[Ask, ...]] = {
    "AsyncEth.accounts": (lambda w3: w3.eth.accounts,),
    "AsyncEth.blob_base_fee": (lambda w3: w3.eth.blob_base_fee,),
    "AsyncEth.block_number": (lambda w3: w3.eth.block_number,),
    "AsyncEth.call": (
        lambda w3: w3.eth.call({"to": PINGER, "data": CUSTOM}),
        lambda w3: w3.eth.call(
            {"to": NOBODY, "value": 1, "from": ACCOUNT}, "latest", {NOBODY: {"balance": 1}}
        ),
    ),
    "AsyncEth.chain_id": (lambda w3: w3.eth.chain_id,),
    "AsyncEth.create_access_list": (lambda w3: w3.eth.create_access_list({"to": PINGER, "data": CUSTOM}),),
    "AsyncEth.estimate_gas": (lambda w3: w3.eth.estimate_gas({"to": NOBODY, "value": 1, "from": ACCOUNT}),),
    "AsyncEth.fee_history": (lambda w3: w3.eth.fee_history(2, "latest", [25, 75]),),
    "AsyncEth.filter": (
        lambda w3: entries(w3, "latest"),
        lambda w3: entries(w3, "pending"),
        lambda w3: entries(w3, {"address": PINGER}),
    ),
    "AsyncEth.gas_price": (lambda w3: w3.eth.gas_price,),
    "AsyncEth.get_balance": (
        lambda w3: w3.eth.get_balance(ACCOUNT),
        lambda w3: w3.eth.get_balance(ACCOUNT, 0),
    ),
    "AsyncEth.get_block": (
        lambda w3: w3.eth.get_block(0),
        lambda w3: w3.eth.get_block("latest", full_transactions=True),
        lambda w3: w3.eth.get_block("finalized"),
    ),
    "AsyncEth.get_block_number": (lambda w3: w3.eth.get_block_number(),),
    "AsyncEth.get_block_receipts": (lambda w3: w3.eth.get_block_receipts("latest"),),
    "AsyncEth.get_block_transaction_count": (lambda w3: w3.eth.get_block_transaction_count("latest"),),
    "AsyncEth.get_code": (lambda w3: w3.eth.get_code(PINGER), lambda w3: w3.eth.get_code(NOBODY)),
    "AsyncEth.get_filter_changes": (lambda w3: entries(w3, "latest"),),
    "AsyncEth.get_filter_logs": (lambda w3: all_entries(w3, by_id=True),),
    "AsyncEth.get_logs": (lambda w3: w3.eth.get_logs({"fromBlock": 0, "address": PINGER}),),
    "AsyncEth.get_raw_transaction": (lambda w3: then(sent(w3), w3.eth.get_raw_transaction),),
    "AsyncEth.get_raw_transaction_by_block": (
        lambda w3: then(sent(w3), lambda _: w3.eth.get_raw_transaction_by_block("latest", 0)),
    ),
    "AsyncEth.get_storage_at": (lambda w3: w3.eth.get_storage_at(PINGER, 0),),
    "AsyncEth.get_transaction": (lambda w3: then(sent(w3), w3.eth.get_transaction),),
    "AsyncEth.get_transaction_by_block": (
        lambda w3: then(sent(w3), lambda _: w3.eth.get_transaction_by_block("latest", 0)),
    ),
    "AsyncEth.get_transaction_count": (lambda w3: w3.eth.get_transaction_count(ACCOUNT, "pending"),),
    "AsyncEth.get_transaction_receipt": (lambda w3: then(sent(w3), w3.eth.get_transaction_receipt),),
    "AsyncEth.max_priority_fee": (lambda w3: w3.eth.max_priority_fee,),
    "AsyncEth.modify_transaction": (modified,),
    "AsyncEth.replace_transaction": (replaced,),
    "AsyncEth.send_raw_transaction": (
        lambda w3: then(
            w3.eth.send_raw_transaction(Account.sign_transaction(COMPLETE, KEY).raw_transaction),
            w3.eth.wait_for_transaction_receipt,
        ),
    ),
    "AsyncEth.send_transaction": (
        lambda w3: then(
            w3.eth.send_transaction({"from": ACCOUNT, "to": NOBODY, "value": 1}),
            w3.eth.wait_for_transaction_receipt,
        ),
    ),
    "AsyncEth.sign": (lambda w3: w3.eth.sign(ACCOUNT, text="hello"),),
    "AsyncEth.simulate_v1": (
        lambda w3: w3.eth.simulate_v1(
            {"blockStateCalls": [{"calls": [{"from": ACCOUNT, "to": PINGER, "data": CUSTOM}]}]}, "latest"
        ),
    ),
    "AsyncEth.syncing": (lambda w3: w3.eth.syncing,),
    "AsyncEth.uninstall_filter": (uninstalled, lambda w3: w3.eth.uninstall_filter("0x77")),
    "AsyncEth.wait_for_transaction_receipt": (
        lambda w3: then(sent(w3), w3.eth.wait_for_transaction_receipt),
    ),
    "AsyncNet.listening": (lambda w3: w3.net.listening,),
    "AsyncNet.version": (lambda w3: w3.net.version,),
    "AsyncGethTxPool.content": (in_pool, lambda w3: w3.geth.txpool.content()),
    "AsyncGethTxPool.inspect": (in_pool, lambda w3: w3.geth.txpool.inspect()),
    "AsyncGethTxPool.status": (in_pool, lambda w3: w3.geth.txpool.status()),
    "AsyncGethDebug.trace_transaction": (
        lambda w3: then(sent(w3), w3.geth.debug.trace_transaction, {"tracer": "callTracer"}),
    ),
    "AsyncWeb3.client_version": (lambda w3: w3.client_version,),
    "AsyncWeb3.is_connected": (
        lambda w3: w3.is_connected(),
        lambda w3: w3.is_connected(show_traceback=True),
    ),
    "RequestManager.coro_request": (lambda w3: make(w3, "eth_getBlockByNumber", ["latest", False]),),
    "AsyncContractFunction.build_transaction": (
        lambda w3: pinger(w3).functions.ping(7).build_transaction({"from": ACCOUNT}),
    ),
    "AsyncContractFunction.call": (
        lambda w3: pinger(w3).functions.ping(7).call(),
        lambda w3: pinger(w3).caller.ping(7),
    ),
    "AsyncContractFunction.estimate_gas": (
        lambda w3: pinger(w3).functions.ping(7).estimate_gas({"from": ACCOUNT}),
    ),
    "AsyncContractFunction.transact": (sent,),
    "AsyncContractConstructor.build_transaction": (
        lambda w3: pinger(w3).constructor().build_transaction({"from": ACCOUNT}),
    ),
    "AsyncContractConstructor.estimate_gas": (
        lambda w3: pinger(w3).constructor().estimate_gas({"from": ACCOUNT}),
    ),
    "AsyncContractConstructor.transact": (
        lambda w3: then(
            pinger(w3).constructor().transact({"from": ACCOUNT}), w3.eth.wait_for_transaction_receipt
        ),
    ),
    "AsyncContractEvent.create_filter": (event_entries,),
    "AsyncContractEvent.get_logs": (
        lambda w3: pinger(w3).events.Pinged.get_logs(from_block=0, argument_filters={"number": 7}),
        processed,
    ),
    "AsyncEventFilterBuilder.deploy": (built_filter,),
    "AsyncBlockFilter.get_new_entries": (lambda w3: entries(w3, "latest"),),
    "AsyncTransactionFilter.get_new_entries": (lambda w3: entries(w3, "pending"),),
    "AsyncLogFilter.get_new_entries": (lambda w3: entries(w3, {"address": PINGER}),),
    "AsyncLogFilter.get_all_entries": (all_entries,),
    "RequestBatcher.async_execute": (batched,),
    "AsyncHTTPProvider.is_connected": (lambda w3: w3.provider.is_connected(),),
    "AsyncHTTPProvider.make_batch_request": (
        lambda w3: w3.provider.make_batch_request([("eth_getBlockByNumber", [0, False]), ("eth_noSuch", [])]),
        lambda w3: w3.provider.make_batch_request([("eth_call", (ODD_CALL, "latest")), ("eth_chainId", ())]),
    ),
    "AsyncHTTPProvider.make_request": (
        lambda w3: w3.provider.make_request(RPCEndpoint("eth_getBlockByNumber"), ("latest", True)),
        lambda w3: w3.provider.make_request(RPCEndpoint("eth_noSuch"), []),
        lambda w3: w3.provider.make_request(RPCEndpoint("eth_call"), [{"to": MIRROR}, "latest"]),
        lambda w3: w3.provider.make_request(RPCEndpoint("web3_sha3"), [b"bytes"]),
        lambda w3: w3.provider.make_request(RPCEndpoint("web3_sha3"), [HexBytes("0x1234")]),
        lambda w3: w3.provider.make_request(RPCEndpoint("eth_call"), [ODD_CALL, "latest"]),
    ),
}


REFUSED: dict[str, tuple[Ask, ...]] = {
    "AsyncEth.call": (
        lambda w3: w3.eth.call({"to": MIRROR}),
        lambda w3: w3.eth.call({"to": MIRROR, "data": CUSTOM}),
        lambda w3: w3.eth.call({"to": "0x12"}),
        lambda w3: w3.eth.call({"to": PINGER, "data": CUSTOM}, 10**9),
    ),
    "AsyncEth.estimate_gas": (
        lambda w3: w3.eth.estimate_gas({"to": MIRROR, "data": CUSTOM}),
        lambda w3: w3.eth.estimate_gas({"to": MIRROR}),
    ),
    "AsyncEth.get_balance": (lambda w3: w3.eth.get_balance(PINGER.lower()),),
    "AsyncEth.get_block": (
        lambda w3: w3.eth.get_block(10**9),
        lambda w3: w3.eth.get_block(UNKNOWN),
        lambda w3: w3.eth.get_block("soon"),
    ),
    "AsyncEth.get_block_transaction_count": (lambda w3: w3.eth.get_block_transaction_count(10**9),),
    "AsyncEth.get_filter_changes": (lambda w3: w3.eth.get_filter_changes("0x77"),),
    "AsyncEth.get_filter_logs": (lambda w3: w3.eth.get_filter_logs("0x77"),),
    "AsyncEth.get_logs": (lambda w3: w3.eth.get_logs({"fromBlock": 9, "toBlock": 1}),),
    "AsyncEth.get_raw_transaction": (lambda w3: w3.eth.get_raw_transaction(UNKNOWN),),
    "AsyncEth.get_raw_transaction_by_block": (lambda w3: w3.eth.get_raw_transaction_by_block(0, 9),),
    "AsyncEth.get_transaction": (lambda w3: w3.eth.get_transaction(UNKNOWN),),
    "AsyncEth.get_transaction_by_block": (lambda w3: w3.eth.get_transaction_by_block(0, 9),),
    "AsyncEth.get_transaction_receipt": (lambda w3: w3.eth.get_transaction_receipt(UNKNOWN),),
    "AsyncEth.replace_transaction": (lambda w3: w3.eth.replace_transaction(UNKNOWN, COMPLETE),),
    "AsyncEth.send_raw_transaction": (lambda w3: w3.eth.send_raw_transaction("0x12"),),
    "AsyncEth.send_transaction": (
        lambda w3: w3.eth.send_transaction({"from": NOBODY, "to": NOBODY}),
        lambda w3: w3.eth.send_transaction(COMPLETE | {"chainId": 1}),
    ),
    "AsyncEth.sign": (lambda w3: w3.eth.sign(NOBODY, text="hello"),),
    "AsyncEth.sign_transaction": (lambda w3: w3.eth.sign_transaction(COMPLETE),),
    "AsyncEth.sign_typed_data": (lambda w3: w3.eth.sign_typed_data(ACCOUNT, TYPED),),
    "AsyncEth.subscribe": (lambda w3: w3.eth.subscribe("newHeads"),),
    "AsyncEth.unsubscribe": (lambda w3: w3.eth.unsubscribe("0x1"),),
    "AsyncEth.wait_for_transaction_receipt": (
        lambda w3: w3.eth.wait_for_transaction_receipt(UNKNOWN, timeout=0.1),
    ),
    "AsyncGethAdmin.add_peer": (lambda w3: w3.geth.admin.add_peer("enode://1@127.0.0.1:1"),),
    "AsyncGethAdmin.datadir": (lambda w3: w3.geth.admin.datadir(),),
    "AsyncGethAdmin.node_info": (lambda w3: w3.geth.admin.node_info(),),
    "AsyncGethAdmin.peers": (lambda w3: w3.geth.admin.peers(),),
    "AsyncGethAdmin.start_http": (lambda w3: w3.geth.admin.start_http(),),
    "AsyncGethAdmin.start_ws": (lambda w3: w3.geth.admin.start_ws(),),
    "AsyncGethAdmin.stop_http": (lambda w3: w3.geth.admin.stop_http(),),
    "AsyncGethAdmin.stop_ws": (lambda w3: w3.geth.admin.stop_ws(),),
    "AsyncGethDebug.trace_transaction": (lambda w3: w3.geth.debug.trace_transaction(UNKNOWN),),
    "AsyncNet.peer_count": (lambda w3: w3.net.peer_count,),
    "RequestManager.coro_request": (lambda w3: make(w3, "eth_noSuch"),),
    "AsyncContractFunction.build_transaction": (lambda w3: nope(w3).build_transaction({"from": ACCOUNT}),),
    "AsyncContractFunction.call": (
        lambda w3: nope(w3).call(),
        lambda w3: mirror(w3).functions.Panic(0x11).call(),
        lambda w3: mirror(w3).functions.TooLittle(5).call(),
    ),
    "AsyncContractFunction.estimate_gas": (lambda w3: nope(w3).estimate_gas({"from": ACCOUNT}),),
    "AsyncContractFunction.transact": (lambda w3: nope(w3).transact({"from": ACCOUNT}),),
    "AsyncBlockFilter.get_all_entries": (
        lambda w3: then(w3.eth.filter("latest"), lambda it: it.get_all_entries()),
    ),
    "AsyncTransactionFilter.get_all_entries": (
        lambda w3: then(w3.eth.filter("pending"), lambda it: it.get_all_entries()),
    ),
    "RequestBatcher.async_execute": (batched_with_an_error, batched_twice),
    "AsyncHTTPProvider.make_request": (
        lambda w3: w3.provider.make_request(RPCEndpoint("web3_sha3"), [object()]),
        lambda w3: w3.provider.make_request(RPCEndpoint("eth_call"), ({"to": object()}, "latest")),
    ),
    "AsyncHTTPProvider.make_batch_request": (
        lambda w3: w3.provider.make_batch_request([("web3_sha3", [object()])]),
    ),
}

_SOCKET = "it needs a socket that stays open"
NOT_ASKED = {
    "RequestManager.recv": _SOCKET,
    "RequestManager.recv_for_request": _SOCKET,
    "RequestManager.send": _SOCKET,
    "RequestManager.socket_request": _SOCKET,
    "AsyncHTTPProvider.batch_request_func": "web3.py calls it for each batch",
    "AsyncHTTPProvider.cache_async_session": "a session of aiohttp",
    "AsyncHTTPProvider.connect": "the stock one has none",
    "AsyncHTTPProvider.disconnect": "each test ends with it",
    "AsyncHTTPProvider.request_func": "web3.py calls it for each request",
}
