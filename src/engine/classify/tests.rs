//! The bodies that nodes and providers send, and what each of them means.

use serde_json::Value;

use super::*;
use crate::engine::jsonrpc::match_one;

/// The error that `body`, the error object of an answer, stands for at a node of `family`.
fn error_of(family: Family, rules: Vec<ErrorRule>, body: &str) -> Error {
    let classifier = Classifier::new(rules);
    classifier.learn(family);
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"error":{body}}}"#);
    let answer = match_one(&Bytes::from(text), 1).unwrap();
    classifier.result_of(answer, &HeaderMap::new(), str::to_owned).unwrap_err()
}

fn assert_classes(family: Family, bodies: &[(&str, Class)]) {
    for (body, class) in bodies {
        let error = error_of(family, Vec::new(), body);
        assert_eq!(error.facts().class, Some(*class), "{family:?}: {body}");
        assert_eq!(error.kind(), class.kind(), "{family:?}: {body}");
    }
}

#[test]
fn nodes_that_take_fewer_calls_at_a_time_are_understood() {
    use Class::RangeTooLarge;
    assert_classes(
        Family::Evm,
        &[
            (r#"{"code":-32600,"message":"batch too large"}"#, RangeTooLarge),
            (
                r#"{"code":-32000,"message":"batch limit 100 exceeded (can increase by --rpc.batch.limit). Requested batch of size: 401"}"#,
                RangeTooLarge,
            ),
            (
                r#"{"code":-32010,"message":"The batch request was too large","data":"Exceeded max limit of 20"}"#,
                RangeTooLarge,
            ),
            (
                r#"{"code":-32602,"message":"Number of requests in batch exceeds --rpc-max-batch-size."}"#,
                RangeTooLarge,
            ),
            (
                r#"{"code":31,"message":"Batch of more than 3 requests are not allowed on free plan"}"#,
                RangeTooLarge,
            ),
            (r#"{"code":-32014,"message":"over batch size limit"}"#, RangeTooLarge),
        ],
    );
}

#[test]
fn ethereum_nodes_are_understood() {
    use Class::*;
    assert_classes(
        Family::Evm,
        &[
            // Nodes.
            (r#"{"code":3,"message":"execution reverted: rate limit exceeded","data":"0x"}"#, Reverted),
            (r#"{"code":-32000,"message":"execution reverted"}"#, Reverted),
            (r#"{"code":-32015,"message":"VM execution error.","data":"Reverted 0x"}"#, Reverted),
            (r#"{"code":-32603,"message":"Error: VM Exception while processing transaction"}"#, Reverted),
            (r#"{"code":-32000,"message":"nonce too low: next nonce 5, tx nonce 4"}"#, NonceTooLow),
            (r#"{"code":-32000,"message":"already known"}"#, AlreadyKnown),
            (r#"{"code":-32010,"message":"AlreadyKnown"}"#, AlreadyKnown),
            (r#"{"code":-32003,"message":"transaction already imported"}"#, AlreadyKnown),
            (r#"{"code":-32000,"message":"replacement transaction underpriced"}"#, Rejected),
            (r#"{"code":-32000,"message":"insufficient funds for gas * price + value"}"#, Rejected),
            (r#"{"code":-32000,"message":"intrinsic gas too low"}"#, Rejected),
            (r#"{"code":-32000,"message":"header not found"}"#, NodeBehind),
            (r#"{"code":-32000,"message":"block 36077340 not found"}"#, NodeBehind),
            (r#"{"code":-32000,"message":"block  not found"}"#, Unknown),
            (r#"{"code":-32000,"message":"block 36077340: receipts not found"}"#, Unknown),
            (r#"{"code":-32000,"message":"block 7, transaction 36077340 not found"}"#, Unknown),
            (
                r#"{"code":-32000,"message":"missing trie node 0xab (path ) state 0xcd is not available"}"#,
                NodeBehind,
            ),
            (
                r#"{"code":-32601,"message":"the method debug_x does not exist/is not available"}"#,
                MethodNotSupported,
            ),
            (r#"{"code":-32601,"message":"the method trace_block does not exist"}"#, MethodNotSupported),
            (
                r#"{"code":-32600,"message":"trace_block is not available on the Free tier - upgrade to Pay As You Go, or Enterprise for access."}"#,
                MethodNotSupported,
            ),
            (r#"{"code":-32602,"message":"invalid argument 0: hex string has length 2"}"#, Invalid),
            (r#"{"code":-32603,"message":"Internal error"}"#, Transient),
            (r#"{"code":-32002,"message":"request timed out"}"#, Transient),
            (r#"{"code":-39999,"message":"something new"}"#, Unknown),
            (r#"{"message":"something new"}"#, Unknown),
        ],
    );
}

#[test]
fn providers_of_ethereum_nodes_are_understood() {
    use Class::*;
    assert_classes(
        Family::Evm,
        &[
            // Providers that ask to slow down.
            (r#"{"code":-32005,"message":"project ID request rate exceeded"}"#, RateLimited),
            (r#"{"code":429,"message":"Too Many Requests","data":{"details":"throughput"}}"#, RateLimited),
            (
                r#"{"code":429,"message":"Your app has exceeded its compute units per second capacity. If you have retries enabled, you can safely ignore this message."}"#,
                RateLimited,
            ),
            (
                r#"{"code":-32007,"message":"15/second request limit reached - reduce calls per second or upgrade your account at quicknode.com"}"#,
                RateLimited,
            ),
            (r#"{"code":-32012,"message":"credits limited to 6000/sec"}"#, RateLimited),
            (r#"{"code":-32090,"message":"call rate limit exhausted"}"#, RateLimited),
            (
                r#"{"code":-32005,"message":"You've exceeded the RPS limit available on the current plan."}"#,
                RateLimited,
            ),
            (r#"{"code":-32005,"message":"rate limit exceeded"}"#, RateLimited),
            (r#"{"code":-32046,"message":"Cannot fulfill request"}"#, RateLimited),
            (r#"{"code":-32016,"message":"over rate limit"}"#, RateLimited),
            (r#"{"code":-32011,"message":"request limit reached"}"#, RateLimited),
            (r#"{"code":-32017,"message":"sender is over rate limit"}"#, SenderLimited),
            // Plans that are used up.
            (
                r#"{"code":-32000,"message":"Monthly capacity limit exceeded. Visit https://dashboard/billing to upgrade"}"#,
                QuotaExhausted,
            ),
            (
                r#"{"code":-32004,"message":"You've reached the quota limit for your current plan"}"#,
                QuotaExhausted,
            ),
            (
                r#"{"code":-32005,"message":"daily request count exceeded, request rate limited"}"#,
                QuotaExhausted,
            ),
            (r#"{"code":402,"message":"Payment Required"}"#, QuotaExhausted),
            (r#"{"code":42903,"message":"not enough CUPs"}"#, QuotaExhausted),
            // Credentials.
            (r#"{"code":-32600,"message":"Must be authenticated!"}"#, Authentication),
            (
                r#"{"code":-32000,"message":"Unauthorized: You must authenticate your request with an API key"}"#,
                Authentication,
            ),
            (r#"{"code":-32001,"message":"token is invalid"}"#, Authentication),
            (r#"{"code":-32052,"message":"API key is not allowed"}"#, Authentication),
            (r#"{"code":0,"message":"apikey is on another chain"}"#, Authentication),
            // Queries that are too large.
            (r#"{"code":-32005,"message":"query returned more than 10000 results"}"#, RangeTooLarge),
            (
                r#"{"code":-32600,"message":"Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range."}"#,
                RangeTooLarge,
            ),
            (r#"{"code":-32614,"message":"eth_getLogs is limited to a 10,000 range"}"#, RangeTooLarge),
            (r#"{"code":-32000,"message":"block range is too wide"}"#, RangeTooLarge),
            (r#"{"code":-32602,"message":"exceed maximum block range: 5000"}"#, RangeTooLarge),
            (
                r#"{"code":-32005,"message":"This query contains 6000 filters. The current limit is 5000."}"#,
                RangeTooLarge,
            ),
            (r#"{"code":-32008,"message":"Response is too big"}"#, RangeTooLarge),
            // Methods that are not there.
            (
                r#"{"code":-32613,"message":"method is not included in your current plan"}"#,
                MethodNotSupported,
            ),
            (r#"{"code":-32004,"message":"this request method is not supported"}"#, MethodNotSupported),
            (r#"{"code":-32001,"message":"rpc method is not whitelisted"}"#, MethodNotSupported),
            // Proxies in trouble.
            (r#"{"code":-32011,"message":"no backends available for method"}"#, Transient),
            (r#"{"code":-32015,"message":"gateway timeout"}"#, Transient),
        ],
    );
}

#[test]
fn a_code_means_what_it_means_in_its_family() {
    use Class::*;
    let cases = [
        (r#"{"code":-32005,"message":"?"}"#, RateLimited, NodeBehind),
        (r#"{"code":-32002,"message":"?"}"#, Transient, Rejected),
        (r#"{"code":-32004,"message":"?"}"#, MethodNotSupported, NodeBehind),
        (r#"{"code":-32014,"message":"?"}"#, RangeTooLarge, NodeBehind),
        (r#"{"code":-32016,"message":"?"}"#, RateLimited, NodeBehind),
    ];
    for (body, evm, solana) in cases {
        assert_classes(Family::Evm, &[(body, evm)]);
        assert_classes(Family::Solana, &[(body, solana)]);
    }
}

#[test]
fn bitcoin_nodes_are_understood() {
    use Class::*;
    assert_classes(
        Family::Bitcoin,
        &[
            (r#"{"code":-28,"message":"Loading block index…"}"#, Transient),
            (r#"{"code":-27,"message":"Transaction outputs already in utxo set"}"#, AlreadyKnown),
            (r#"{"code":-26,"message":"txn-already-in-mempool"}"#, AlreadyKnown),
            (r#"{"code":-26,"message":"min relay fee not met, 0 < 110"}"#, Rejected),
            (r#"{"code":-25,"message":"bad-txns-inputs-missingorspent"}"#, Rejected),
            (r#"{"code":-8,"message":"Block height out of range"}"#, NodeBehind),
            (r#"{"code":-8,"message":"verbosity must be a number"}"#, Invalid),
            (r#"{"code":-5,"message":"Block not found"}"#, NodeBehind),
            (r#"{"code":-5,"message":"No such mempool transaction"}"#, Unknown),
            (r#"{"code":-32601,"message":"Method not found"}"#, MethodNotSupported),
        ],
    );
}

#[test]
fn substrate_nodes_are_understood_with_and_without_a_code() {
    use Class::*;
    assert_classes(
        Family::Substrate,
        &[
            (
                r#"{"code":1010,"message":"Invalid Transaction","data":"Transaction is outdated"}"#,
                NonceTooLow,
            ),
            (
                r#"{"code":1010,"message":"Invalid Transaction","data":"Transaction has a bad signature"}"#,
                Rejected,
            ),
            (r#"{"code":1013,"message":"Transaction Already Imported"}"#, AlreadyKnown),
            (r#"{"code":1014,"message":"Priority is too low: (1 vs 2)"}"#, Rejected),
            (r#"{"code":4003,"message":"Client error: UnknownBlock: State already discarded"}"#, NodeBehind),
            (r#"{"message":"Method not found: x_y"}"#, MethodNotSupported),
        ],
    );
}

#[test]
fn the_users_rules_come_first() {
    let rules = vec![
        ErrorRule::new("transient", vec![3], &["Try Later".to_owned()]).unwrap(),
        ErrorRule::new("rate_limited", vec![-39_999], &[]).unwrap(),
    ];
    let class = |body| error_of(Family::Evm, rules.clone(), body).facts().class.unwrap();
    assert_eq!(class(r#"{"code":3,"message":"reverted, try later"}"#), Class::Transient);
    assert_eq!(class(r#"{"code":3,"message":"reverted"}"#), Class::Reverted);
    assert_eq!(class(r#"{"code":-39999,"message":"?"}"#), Class::RateLimited);
}

#[test]
fn a_rule_that_cannot_be_meant_is_refused() {
    for (means, codes, fragments) in
        [("slow", vec![1], vec![]), ("transient", vec![], vec![]), ("transient", vec![], vec![String::new()])]
    {
        let error = ErrorRule::new(means, codes, &fragments).unwrap_err();
        assert_eq!((error.kind(), error.facts().argument), (Kind::Configuration, Some("error_rules")));
    }
}

#[test]
fn an_error_carries_what_its_answer_tells() {
    let limited = r#"{"code":-32005,"message":"You've exceeded the RPS limit. Try again in 4ms"}"#;
    let error = error_of(Family::Evm, Vec::new(), limited);
    assert_eq!(error.facts().retry_after, Some(Duration::from_millis(4)));

    let range = r#"{"code":-32005,"message":"query returned more than 10000 results. Try with this block range [0x1, 0xa]."}"#;
    let error = error_of(Family::Evm, Vec::new(), range);
    assert_eq!(error.facts().suggested, Some(Suggestion::Blocks(1, 10)));

    let panic = format!("0x4e487b71{:064x}", 0x12);
    let body = format!(r#"{{"code":3,"message":"execution reverted","data":"{panic}"}}"#);
    let error = error_of(Family::Evm, Vec::new(), &body);
    assert_eq!(error.facts().reason.as_deref(), Some("panic 0x12: division by zero"));
    let message = "the node answered with error 3: execution reverted (panic 0x12: division by zero)";
    assert_eq!(error.message(), message);
    assert_eq!(error.facts().data.as_deref(), Some(Value::from(panic).to_string().as_bytes()));
}

#[test]
fn a_status_without_an_answer_has_a_class_too() {
    for (status, kind, class) in [
        (401, Kind::Authentication, Class::Authentication),
        (402, Kind::QuotaExhausted, Class::QuotaExhausted),
        (403, Kind::Authentication, Class::Authentication),
        (413, Kind::HttpStatus, Class::RangeTooLarge),
        (429, Kind::ProviderRateLimit, Class::RateLimited),
        (503, Kind::HttpStatus, Class::Transient),
        (522, Kind::HttpStatus, Class::Transient),
        (404, Kind::HttpStatus, Class::Unknown),
        (302, Kind::HttpStatus, Class::Unknown),
    ] {
        let error = status_error(status, &HeaderMap::new());
        assert_eq!((error.kind(), error.facts().class), (kind, Some(class)), "{status}");
    }
}

#[test]
fn every_class_has_a_name_of_its_own() {
    let names: std::collections::HashSet<_> = Class::ALL.iter().map(|class| class.name()).collect();
    assert_eq!(names.len(), Class::ALL.len());
}
