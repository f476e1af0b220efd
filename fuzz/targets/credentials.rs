//! The credential parser: what is judged good can be used, and no secret is ever shown.
//!
//! The input is lines: the endpoint, then `key=value` for a credential, `headers:name=value` for a header among them,
//! `+name=value` for a header of the endpoint. A tilde in a value becomes a secret that is watched.

#![no_main]

use genesis_replicator::engine::credentials::{Credentials, Field, Fields, Secret, validate};
use genesis_replicator::engine::target::{Target, TargetOptions};
use libfuzzer_sys::fuzz_target;

const CANARY: &str = "cAnArY9xV2kQ7mR4wZ";
/// What of a mapping is a secret as a whole: a server that repeats it must be overheard.
const SECRETS: [&str; 3] = ["api_key", "bearer_token", "password"];

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    if text.contains(CANARY) {
        return;
    }
    let mut lines = text.split('\n');
    let endpoint = lines.next().unwrap_or_default();
    let Some(given) = Given::read(lines) else { return };
    let finding = validate(&given.fields, Some(endpoint));
    let _ = validate(&given.fields, None).map_err(|finding| assert_hides(&finding));
    let options = TargetOptions { allow_plaintext: true, ..TargetOptions::default() };
    let target = Target::new(endpoint, Some(&given.fields), &options);
    if Credentials::parse(&given.fields).is_ok_and(|credentials| !credentials.is_empty()) {
        assert_eq!(finding.is_ok(), target.is_ok(), "{finding:?} {target:?}");
    }
    let _ = finding.map_err(|finding| assert_hides(&finding));
    for target in [target, Target::new(endpoint, Some(&given.fields), &given.options)] {
        match target {
            Ok(target) => given.assert_keeps_secrets(&target),
            Err(error) => assert_hides(&(&error, error.facts(), error.message())),
        }
    }
});

struct Given {
    fields: Fields,
    options: TargetOptions,
    /// Whether the canary is in nothing but secrets.
    all_secret: bool,
}

impl Given {
    /// `None` for a path, which would lead to the files of this machine.
    fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut given = Self { fields: vec![], options: TargetOptions::default(), all_secret: true };
        let mut headers = vec![];
        for line in lines {
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            let secret = Secret::new(value.replacen('~', CANARY, 1));
            given.all_secret &= SECRETS.contains(&key) || !value.contains('~');
            if matches!(key, "cookie_file" | "jwt_secret") && value.contains('/') {
                return None;
            } else if let Some(name) = key.strip_prefix('+') {
                given.options.headers.push((name.to_owned(), secret));
            } else if let Some(name) = key.strip_prefix("headers:") {
                headers.push((name.to_owned(), secret));
            } else {
                given.fields.push((key.to_owned(), Field::Text(secret)));
            }
        }
        if !headers.is_empty() {
            given.fields.push(("headers".to_owned(), Field::Headers(headers)));
        }
        Some(given)
    }

    fn assert_keeps_secrets(&self, target: &Target) {
        assert_hides(&(target, target.headers(), &self.fields, &self.options));
        assert!(!target.to_string().contains(CANARY));
        if let Err(error) = target.fresh_header() {
            assert_hides(&(&error, error.facts()));
        }
        for value in target.headers().values() {
            assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        }
        if self.all_secret {
            let sent = target.headers().values().filter_map(|value| value.to_str().ok());
            let echo = format!("{} {}", target.path_and_query().expose(), sent.collect::<Vec<_>>().join(" "));
            let clean = target.scrub(&echo);
            assert!(!clean.contains(CANARY), "{clean}");
        }
    }
}

fn assert_hides(shown: &dyn std::fmt::Debug) {
    let shown = format!("{shown:?}");
    assert!(!shown.contains(CANARY), "{shown}");
}
