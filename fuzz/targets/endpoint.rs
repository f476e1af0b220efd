//! The endpoint parser: what is taken leads where it says, and what is refused is not repeated.

#![no_main]

use genesis_replicator::engine::error::Kind;
use genesis_replicator::engine::target::{Target, TargetOptions};
use libfuzzer_sys::fuzz_target;
use url::Url;

/// A host is in lower case, so this never belongs to one, which may be shown.
const CANARY: &str = "cAnArY9xV2kQ7mR4wZ";

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    check(text);
    check(&format!("{text}{CANARY}"));
    check(&text.replacen('~', CANARY, 1));
});

fn check(text: &str) {
    match new(text) {
        Ok(target) => {
            let shown = format!("{target} {target:?} {:?}", target.headers());
            assert!(!shown.contains(CANARY), "{shown}");
            assert_leads_there(&target);
        }
        Err(error) => {
            let is_known =
                matches!(error.kind(), Kind::Configuration | Kind::InvalidCredentials | Kind::Security);
            assert!(is_known, "{error:?}");
            let shown = format!("{error} {error:?} {:?}", error.facts());
            assert!(!shown.contains(CANARY), "{shown}");
        }
    }
}

fn new(text: &str) -> genesis_replicator::engine::error::Result<Target> {
    Target::new(text, None, &TargetOptions { allow_plaintext: true, ..TargetOptions::default() })
}

/// A second reading of what goes on the wire finds the same host, port and path.
fn assert_leads_there(target: &Target) {
    let whole = target.url();
    let url = Url::parse(whole.expose()).expect("it is a URL");
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
    assert_eq!(url.scheme(), target.scheme().name());
    // A Unix socket has neither.
    assert_eq!(url.host_str().unwrap_or_default().trim_matches(['[', ']']), target.host());
    assert_eq!(url.port_or_known_default().unwrap_or_default(), target.port());
    let line: http::uri::PathAndQuery = target.path_and_query().expose().parse().expect("a request line");
    assert!(line.as_str().starts_with('/') && line.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
    let again = new(whole.expose()).expect("what was taken once is taken again");
    assert_eq!(again.to_string(), target.to_string());
    assert_eq!(again.path_and_query().expose(), target.path_and_query().expose());
}
