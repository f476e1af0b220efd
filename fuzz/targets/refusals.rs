//! What error answers mean, headers and all: waits are bounded, words are fit for a log, secrets are gone.

#![no_main]

use std::time::Duration;

use bytes::Bytes;
use genesis_replicator::engine::classify::{Classifier, status_error, wait_in};
use genesis_replicator::engine::credentials::Secret;
use genesis_replicator::engine::error::Error;
use genesis_replicator::engine::family::Family;
use genesis_replicator::engine::jsonrpc::match_one;
use genesis_replicator::engine::target::{Target, TargetOptions};
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

const ID: u64 = 7;
const CANARY: &str = "cAnArY9xV2kQ7mR4wZ";
const LONGEST_WAIT: Duration = Duration::from_secs(300);
const FAMILIES: [Family; 5] =
    [Family::Evm, Family::Bitcoin, Family::Solana, Family::Substrate, Family::Generic];

// Lines of `name: value` up to an empty one, then the body. A `~` stands for the secret.
fuzz_target!(|data: &[u8]| {
    let (&first, rest) = data.split_first().unwrap_or((&0, &[]));
    let split = rest.windows(2).position(|pair| pair == b"\n\n").unwrap_or(0);
    let headers = headers(&rest[..split]);
    assert!(wait_in(&headers).is_none_or(|wait| wait <= LONGEST_WAIT));
    check(&status_error(100 + u16::from(first) * 2, &headers));

    let body = String::from_utf8_lossy(&rest[split..]).replacen('~', CANARY, 1);
    let Ok(answer) = match_one(&Bytes::from(body), ID) else { return };
    let options = TargetOptions { headers: vec![("x-key".to_owned(), Secret::new(CANARY))], ..Default::default() };
    let target = Target::new("https://node.example.org/", None, &options).expect("it is an endpoint");
    let classifier = Classifier::new(Vec::new());
    classifier.learn(FAMILIES[usize::from(first) % FAMILIES.len()]);
    if let Err(error) = classifier.result_of(answer, &headers, |text| target.scrub(text)) {
        check(&error);
    }
});

fn headers(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n').take(50) {
        let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = (&line[..at], line.get(at + 1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

fn check(error: &Error) {
    assert!(error.facts().retry_after.is_none_or(|wait| wait <= LONGEST_WAIT));
    assert!(error.message().chars().count() < 1200 && !error.message().chars().any(char::is_control));
    let shown = format!("{error} {error:?} {:?}", error.facts());
    assert!(!shown.contains(CANARY), "{shown}");
}
