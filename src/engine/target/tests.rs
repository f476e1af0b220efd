//! What a target is made of, what it refuses, and that it shows no secret.

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::engine::credentials::Field;

const CANARY: &str = "cAnArY-9xV2kQ7mR4wZ";
const HEX64: &str = "8c1f5e02d7a94b36c0e85d1f7a3b92648e0d5c7f1b3a69284d7e0f5c1a2b3d4e";
const NODE: &str = "https://node.example.org/rpc";

fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|&(key, value)| (key.to_owned(), Field::Text(Secret::new(value)))).collect()
}

fn extra(name: &str, value: &str) -> TargetOptions {
    TargetOptions { headers: vec![(name.into(), Secret::new(value))], ..TargetOptions::default() }
}

fn target(url: &str, pairs: &[(&str, &str)]) -> Result<Target> {
    Target::new(url, Some(&fields(pairs)), &TargetOptions::default())
}

/// Every form with the canary in it, and the ways in which a URL can hold it.
fn with_canary() -> Vec<Target> {
    let url = |url: &str| Target::new(url, None, &TargetOptions::default()).unwrap();
    let header = Field::Headers(vec![("X-Secret".into(), Secret::new(CANARY))]);
    let options = TargetOptions::default();
    let mut targets = vec![
        Target::new(NODE, Some(&vec![("headers".into(), header)]), &options).unwrap(),
        Target::new(NODE, None, &extra("Authorization", &format!("Bearer {CANARY}"))).unwrap(),
        url(&format!("https://user:{CANARY}@node.example.org/")),
        url(&format!("https://mainnet.infura.io/v3/{CANARY}")),
        url(&format!("https://node.example.org/{CANARY}?a=b")),
        url(&format!("https://node.example.org/?token={CANARY}")),
        target(NODE, &[("bearer_token", CANARY)]).unwrap(),
        target(NODE, &[("username", "user"), ("password", CANARY)]).unwrap(),
        target(NODE, &[("api_key", CANARY)]).unwrap(),
    ];
    for placement in ["path", "query:k", "header:X-K", "basic", "bearer"] {
        targets.push(target(NODE, &[("api_key", CANARY), ("placement", placement)]).unwrap());
    }
    targets
}

#[test]
fn the_parts_are_ready_for_a_request() {
    let target = Target::new("http://[::1]:8545/a?b=c", None, &TargetOptions::default()).unwrap();
    assert_eq!((target.scheme(), target.host(), target.port()), (Scheme::Http, "::1", 8545));
    assert_eq!((target.authority(), target.path_and_query().expose()), ("[::1]:8545", "/a?b=c"));
    assert_eq!(target.url().expose(), "http://[::1]:8545/a?b=c");
    assert_eq!(target.to_string(), "http://[::1]:8545");
    assert!(!target.has_credentials() && target.fresh_header().unwrap().is_none());
    assert_eq!(
        Target::new(NODE, Some(&vec![]), &TargetOptions::default()).unwrap().to_string(),
        "https://node.example.org:443"
    );
}

#[test]
fn no_secret_is_shown_and_all_of_them_are_scrubbed() {
    let encoded = "Basic dXNlcjpjQW5BclktOXhWMmtRN21SNHda";
    for target in with_canary() {
        assert!(target.has_credentials() || target.path_and_query().expose().contains(CANARY), "{target:?}");
        for shown in [format!("{target}"), format!("{target:?}"), format!("{:?}", target.headers())] {
            assert!(!shown.contains(CANARY) && !shown.contains("cAnA"), "{shown}");
        }
        let sent: Vec<_> = target.headers().values().map(|value| value.to_str().unwrap()).collect();
        let echo = format!("refused {CANARY}: {} {}", sent.join(" "), target.path_and_query().expose());
        let clean = target.scrub(&echo);
        assert!(!clean.contains(CANARY) && clean.starts_with("refused ***:"), "{target:?}: {clean}");
    }
    let user = target(NODE, &[("username", "user"), ("password", CANARY)]).unwrap();
    assert_eq!(user.scrub(&format!("{encoded} of user")), "Basic *** of user");
}

#[test]
fn no_error_repeats_a_secret() {
    let bad = format!("{CANARY}\n");
    let url = format!("https://u:{CANARY}@node.example.org/{CANARY}");
    let keys =
        ["api_key", "bearer_token", "username", "password", "cookie_file", "jwt_secret", "placement", CANARY];
    let mut errors: Vec<_> = keys.iter().filter_map(|key| target(NODE, &[(key, &bad)]).err()).collect();
    errors.extend(target(&url, &[("bearer_token", CANARY)]).err());
    errors.extend(target(&format!("{url} "), &[]).err());
    errors.extend(target(&format!("http://node.example.org/{CANARY}"), &[("api_key", CANARY)]).err());
    errors.extend(Target::new(NODE, None, &extra("X-Token", &bad)).err());
    errors.extend(Target::new(NODE, None, &extra(&bad, CANARY)).err());
    assert_eq!(errors.len(), 13);
    for error in errors {
        assert!(!format!("{error} {error:?} {:?}", error.facts()).contains(CANARY), "{error:?}");
    }
    assert!(!format!("{:?} {:?}", fields(&[("api_key", CANARY)]), extra("x", CANARY)).contains(CANARY));
}

#[test]
fn credentials_travel_unencrypted_to_this_machine_only() {
    let open = TargetOptions { allow_plaintext: true, ..TargetOptions::default() };
    let key = fields(&[("api_key", CANARY)]);
    for host in ["127.0.0.1", "127.0.0.2:8545", "[::1]:8545", "localhost"] {
        assert!(
            Target::new(&format!("http://{host}/"), Some(&key), &TargetOptions::default()).is_ok(),
            "{host}"
        );
    }
    for host in ["10.0.0.1", "example.com", "[fe80::1]", "localhost.example.com"] {
        let url = format!("http://{host}/rpc");
        let error = Target::new(&url, Some(&key), &TargetOptions::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::Security, "{host}");
        assert!(error.message().contains(host.trim_matches(['[', ']'])) && !error.message().contains("rpc"));
        assert!(Target::new(&url, Some(&key), &open).is_ok());
        assert!(Target::new(&url, None, &TargetOptions::default()).is_ok());
        assert!(Target::new(&url, None, &extra("User-Agent", "indexer/2")).is_ok());
        assert_eq!(Target::new(&url, None, &extra("X-Key", CANARY)).unwrap_err().kind(), Kind::Security);
        assert!(target(&format!("https://{host}/rpc"), &[("api_key", CANARY)]).is_ok());
    }
    for url in [
        "http://u:k7Qm2xV9@10.0.0.1/",
        "http://10.0.0.1/?apikey=k7Qm2xV9",
        "http://x.quiknode.pro/cAnArY9xV2kQ7mR4/",
    ] {
        assert_eq!(target(url, &[]).unwrap_err().kind(), Kind::Security, "{url}");
    }
}

#[test]
fn userinfo_becomes_basic_credentials() {
    let target = target("https://us%40er:p%3Aw@node.example.org/", &[]).unwrap();
    assert_eq!(target.headers()["authorization"], "Basic dXNAZXI6cDp3");
    assert_eq!(target.url().expose(), "https://node.example.org/");
}

#[test]
fn the_connection_s_own_headers_cannot_be_set() {
    for name in ["Host", "Content-Length", "Transfer-Encoding", "CONNECTION", "a b", "X\n"] {
        let error = Target::new(NODE, None, &extra(name, "v")).unwrap_err();
        assert_eq!((error.kind(), error.facts().argument), (Kind::Configuration, Some("headers")), "{name}");
    }
    let error = Target::new(NODE, None, &extra("X-Token", "<TOKEN>")).unwrap_err();
    assert_eq!((error.kind(), error.facts().argument), (Kind::InvalidCredentials, Some("headers")));
    let target = Target::new(NODE, None, &extra("Content-Type", "text/plain")).unwrap();
    assert_eq!(target.headers()["content-type"], "text/plain");
    assert_eq!(target.scrub("not text/plain"), "not text/plain");
}

#[test]
fn the_cookie_is_read_anew_for_each_request() {
    let path = std::env::temp_dir().join(format!("genesis-cookie-{}", std::process::id()));
    let target = target("http://127.0.0.1:8332", &[("cookie_file", path.to_str().unwrap())]).unwrap();
    let header = || target.fresh_header().map(|header| header.unwrap().1.to_str().unwrap().to_owned());
    assert_eq!(header().unwrap_err().kind(), Kind::InvalidCredentials);
    std::fs::write(&path, "__cookie__:first-9f8e\n").unwrap();
    let first = header().unwrap();
    std::fs::write(&path, "__cookie__:second-7d6c").unwrap();
    let second = header().unwrap();
    std::fs::write(&path, "no pair").unwrap();
    let broken = header().unwrap_err();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(first, "Basic X19jb29raWVfXzpmaXJzdC05Zjhl");
    assert_eq!(second, "Basic X19jb29raWVfXzpzZWNvbmQtN2Q2Yw==");
    assert!(broken.message().contains("does not hold user:password"));
    assert_eq!(target.scrub(&format!("{first} {second} second-7d6c")), "Basic *** Basic *** ***");
    assert!(target.has_credentials());
}

#[test]
fn the_engine_token_is_of_the_time_of_the_request() {
    let target = target("http://127.0.0.1:8551", &[("jwt_secret", HEX64)]).unwrap();
    let at = |seconds| {
        let (name, value) =
            target.0.access.fresh_header_at(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap().unwrap();
        assert!(name == "authorization" && value.is_sensitive());
        value.to_str().unwrap().to_owned()
    };
    assert_eq!(at(1), at(1));
    assert_ne!(at(1), at(2));
    assert_eq!(target.scrub(&format!("stale: {}, drift", at(1))), "stale: Bearer ***, drift");
    assert!(target.fresh_header().unwrap().is_some());
}

#[test]
fn the_same_arguments_make_equal_targets() {
    let other = with_canary();
    for (at, target) in with_canary().iter().enumerate() {
        assert!(target == &other[at]);
    }
    for (url, pairs) in [
        ("https://node.example.org/other", vec![("api_key", CANARY)]),
        ("https://other.example.org/rpc", vec![("api_key", CANARY)]),
        ("https://node.example.org:444/rpc", vec![("api_key", CANARY)]),
        ("http://localhost/rpc", vec![("api_key", CANARY)]),
        (NODE, vec![("api_key", "cAnArY-9xV2kQ7mR4wY")]),
        (NODE, vec![("bearer_token", CANARY)]),
        (NODE, vec![("jwt_secret", HEX64)]),
        (NODE, vec![]),
    ] {
        let different = target(url, &pairs).unwrap();
        assert!(target(NODE, &[("api_key", CANARY)]).unwrap() != different, "{different:?}");
    }
    let renewed = |key: &str, value: &str| target(NODE, &[(key, value)]).unwrap();
    let other_key = HEX64.replace("8c", "9c");
    assert!(renewed("jwt_secret", HEX64) == renewed("jwt_secret", &format!("0x{HEX64}")));
    assert!(renewed("jwt_secret", HEX64) != renewed("jwt_secret", &other_key));
    assert!(renewed("cookie_file", "/a/.cookie") == renewed("cookie_file", "/a/.cookie"));
    assert!(renewed("cookie_file", "/a/.cookie") != renewed("cookie_file", "/b/.cookie"));
}

proptest! {
    #[test]
    fn whatever_the_arguments_are_nothing_panics_and_no_value_is_repeated(
        url in "(https?://)?[ -~é]{0,30}",
        key in "[!-~é]{6,40}",
        placement in "path|basic|bearer|query:k|header:x",
    ) {
        let made = target(&url, &[("api_key", &key), ("placement", &placement)]);
        if let Err(error) = made {
            prop_assert!(!error.message().contains(&key));
        }
        if let Ok(target) = target(NODE, &[("api_key", &key), ("placement", &placement)]) {
            let echo = format!("of {key}.");
            prop_assert!(!target.scrub(&echo).contains(&key));
            prop_assert!(http::Uri::try_from(target.url().expose()).is_ok());
        }
    }
}
