//! What is kept and what is not, call by call.

use super::*;

const HASH: &str = "\"0x0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF\"";

fn when(family: Family, method: &str, params: &str) -> Option<When> {
    Rule::of(family, method)?.when(params.replace('#', HASH).as_bytes())
}

fn evm(method: &str, params: &str) -> Option<When> {
    when(Family::Evm, method, params)
}

#[test]
fn what_is_named_by_its_hash_never_changes() {
    for (method, params) in [
        ("eth_getBlockByHash", "[#,false]"),
        ("eth_getTransactionByBlockHashAndIndex", r#"[#,"0x0"]"#),
        ("eth_getBlockReceipts", "[#]"),
        ("eth_getBlockReceipts", r#"[{"blockHash":#}]"#),
        ("eth_call", r#"[{},{"blockHash":#}]"#),
        ("eth_getCode", r#"["0xaa",{"blockHash":#,"requireCanonical":false}]"#),
        ("eth_chainId", "[]"),
    ] {
        assert_eq!(evm(method, params), Some(When::Always), "{method}{params}");
    }
}

#[test]
fn what_is_named_by_a_number_is_kept_when_that_is_final() {
    for (method, params) in [
        ("eth_getBlockByNumber", r#"["0x1b4",true]"#),
        ("eth_getBlockReceipts", r#"["0x1b4"]"#),
        ("eth_getBalance", r#"["0xaa","0x1b4"]"#),
        ("eth_call", r#"[{"to":"0xaa"},"0x1b4",{"0xaa":{"balance":"0x1"}}]"#),
        ("eth_getStorageAt", r#"["0xaa","0x0","0x1b4"]"#),
        ("eth_getProof", r#"["0xaa",[],{"blockNumber":"0x1b4"}]"#),
    ] {
        let found = evm(method, params).unwrap();
        assert_eq!(found, When::Final(436), "{method}{params}");
        assert!(found.is_settled(b"{}", 436) && !found.is_settled(b"{}", 435));
        assert!(!found.is_settled(b"null", 436));
    }
}

#[test]
fn what_moves_is_never_kept() {
    for tag in ["latest", "pending", "safe", "finalized", "earliest", "0x", "0xg", "1", ""] {
        for (method, params) in [
            ("eth_getBlockByNumber", r#"["@",true]"#),
            ("eth_getBlockReceipts", r#"["@"]"#),
            ("eth_call", r#"[{},"@"]"#),
            ("eth_getStorageAt", r#"["0xaa","0x0","@"]"#),
            ("eth_getBalance", r#"["0xaa",{"blockNumber":"@"}]"#),
        ] {
            assert_eq!(evm(method, &params.replace('@', tag)), None, "{method} {tag}");
        }
    }
    for (method, params) in [
        ("eth_call", "[{}]"),
        ("eth_call", "[{},null]"),
        ("eth_getBalance", r#"["0xaa"]"#),
        ("eth_getBalance", r#"{"address":"0xaa","block":"0x1"}"#),
        ("eth_getBalance", r#"["0xaa",{"blockHash":#,"requireCanonical":true}]"#),
        ("eth_getBalance", r#"["0xaa",{"blockHash":#,"blockNumber":"0x1"}]"#),
        ("eth_getBalance", r#"["0xaa",{"blockHash":#,"other":1}]"#),
        ("eth_getBlockByHash", r#"["0x12",false]"#),
        ("eth_getBlockByNumber", "[]"),
        ("eth_getBlockByNumber", "[-1,true]"),
        ("eth_blockNumber", "[]"),
        ("eth_gasPrice", "[]"),
        ("eth_estimateGas", r#"[{},"0x1"]"#),
        ("eth_getLogs", r#"[{"fromBlock":"0x1","toBlock":"0x2"}]"#),
        ("eth_sendRawTransaction", r#"["0xaa"]"#),
    ] {
        assert_eq!(evm(method, params), None, "{method}{params}");
    }
    assert_eq!(when(Family::Generic, "eth_chainId", "[]"), None);
}

#[test]
fn a_transaction_is_kept_when_the_block_that_it_names_is_final() {
    let found = evm("eth_getTransactionReceipt", "[#]").unwrap();
    assert_eq!(found, When::FinalAsTold);
    let mined = br#"{"logs":[{"blockNumber":"0x1"}],"blockNumber":"0x10"}"#;
    assert!(found.is_settled(mined, 16));
    assert!(!found.is_settled(mined, 15));
    for pending in [r#"{"blockNumber":null}"#, "{}", "null", r#"{"blockNumber":"latest"}"#] {
        assert!(!found.is_settled(pending.as_bytes(), u64::MAX), "{pending}");
    }
}

#[test]
fn of_bitcoin_only_what_tells_no_confirmations_is_kept() {
    let bitcoin = |method, params| when(Family::Bitcoin, method, params);
    assert_eq!(bitcoin("getblockhash", "[840000]"), Some(When::Final(840_000)));
    assert_eq!(bitcoin("getblock", r#"["00ab",0]"#), Some(When::Always));
    assert_eq!(bitcoin("getblockheader", r#"["00ab",false]"#), Some(When::Always));
    for params in [r#"["00ab"]"#, r#"["00ab",1]"#, r#"["00ab",true]"#, r#"["00ab",2]"#] {
        assert_eq!(bitcoin("getblock", params), None, "{params}");
    }
    assert_eq!(bitcoin("getrawtransaction", r#"["00ab"]"#), None);
}

#[test]
fn of_solana_what_is_final_and_has_its_time_is_kept() {
    let solana = |params| when(Family::Solana, "getBlock", params);
    for params in ["[5]", "[5,{}]", r#"[5,{"commitment":"finalized","encoding":"json"}]"#] {
        assert_eq!(solana(params), Some(When::Timed), "{params}");
    }
    for params in [r#"[5,{"commitment":"confirmed"}]"#, r#"[5,"json"]"#] {
        assert_eq!(solana(params), None, "{params}");
    }
    assert!(When::Timed.is_settled(br#"{"blockTime":1,"x":[]}"#, 0));
    assert!(!When::Timed.is_settled(br#"{"blockTime":null}"#, 0));
}

#[test]
fn of_substrate_what_is_named_by_its_hash_is_kept() {
    let substrate = |method, params| when(Family::Substrate, method, params);
    assert_eq!(substrate("state_getStorage", r#"["0xaa",#]"#), Some(When::Always));
    assert_eq!(substrate("chain_getHeader", "[#]"), Some(When::Always));
    assert_eq!(substrate("chain_getBlockHash", "[0]"), Some(When::Final(0)));
    assert_eq!(substrate("chain_getHeader", "[]"), None);
    assert_eq!(substrate("state_getStorage", r#"["0xaa"]"#), None);
    // Its justifications may come later.
    assert_eq!(substrate("chain_getBlock", "[#]"), None);
}
