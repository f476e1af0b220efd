//! When a server wants to be asked again: in its headers, in its words, or in the data of its error.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;
use serde::Deserialize;

/// The longest wait that is believed: a server's typing error must not stop a client for a year.
const LONGEST: Duration = Duration::from_mins(5);

/// The longest of all the waits that a refusal names, so that none of them is broken.
pub(super) fn wait(headers: &HeaderMap, text: &str, data: Option<&[u8]>) -> Option<Duration> {
    let waits = [in_headers(headers), in_words(text), data.and_then(in_data)];
    waits.into_iter().flatten().max().map(|wait| wait.min(LONGEST))
}

/// What the headers of an answer ask for: `Retry-After`, or the reset of a `RateLimit`.
pub(super) fn in_headers(headers: &HeaderMap) -> Option<Duration> {
    let retry = header(headers, RETRY_AFTER.as_str()).and_then(retry_after);
    retry.into_iter().chain(reset(headers)).max().map(|wait| wait.min(LONGEST))
}

/// `Retry-After`: seconds, or the time of day when it is over (RFC 9110, section 10.2.3).
fn retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than a number can hold are a very long time.
        return Some(value.parse().map_or(LONGEST, Duration::from_secs));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    // What is past, or passed on the way, is no wait.
    Some(until.duration_since(SystemTime::now()).unwrap_or_default())
}

/// How long to wait after an answer that used up a window; `None` while something is left of all of them.
pub(super) fn in_answer(headers: &HeaderMap) -> Option<Duration> {
    let used_up = windows(headers).into_iter().filter(|window| window.left == Some(0));
    used_up.filter_map(|window| window.reset).max().map(|wait| wait.min(LONGEST))
}

/// A window of a server's limit: what is left of it, and when it begins anew.
struct Window {
    left: Option<u64>,
    reset: Option<Duration>,
}

/// The `RateLimit` fields of draft-ietf-httpapi-ratelimit-headers: up to draft 06 `RateLimit-Remaining: 0` and
/// `RateLimit-Reset: 30`, in 07 `RateLimit: limit=100, remaining=0, reset=30`, later `RateLimit: "default";r=0;t=30`.
fn windows(headers: &HeaderMap) -> Vec<Window> {
    let window = |left, reset: Option<u64>| Window { left, reset: reset.map(Duration::from_secs) };
    let Some(limits) = header(headers, "ratelimit") else {
        let number = |name| header(headers, name).and_then(|value| value.trim().parse().ok());
        return vec![window(number("ratelimit-remaining"), number("ratelimit-reset"))];
    };
    let (apart, within) = if limits.contains(';') { (',', ';') } else { (';', ',') };
    let read = |item: &str| {
        let find = |names| item.split(within).find_map(|part| parameter(part, names));
        window(find(&["r", "remaining"]), find(&["t", "reset"]))
    };
    limits.split(apart).map(read).collect()
}

/// When a refusal may be tried again: when the window that is used up begins anew, or else the last of them.
fn reset(headers: &HeaderMap) -> Option<Duration> {
    in_answer(headers).or_else(|| windows(headers).into_iter().filter_map(|window| window.reset).max())
}

fn parameter(part: &str, names: &[&str]) -> Option<u64> {
    let (name, value) = part.split_once('=')?;
    names.contains(&name.trim()).then(|| value.trim().parse().ok()).flatten()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// "try again in 4ms", "retry after 1.5 seconds", "retry in 2 minutes".
fn in_words(text: &str) -> Option<Duration> {
    const CUES: [&str; 4] = ["try again in ", "retry after ", "retry in ", "retry-after: "];
    let behind = CUES.iter().find_map(|cue| text.split_once(cue).map(|(_, behind)| behind))?;
    let digits = behind.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(behind.len());
    let number: f64 = behind[..digits].trim_end_matches('.').parse().ok()?;
    let unit: String = behind[digits..].trim_start().chars().take_while(char::is_ascii_alphabetic).collect();
    let scale = match unit.as_str() {
        "ms" | "millisecond" | "milliseconds" => 0.001,
        "" | "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * scale).ok()
}

/// Infura's `{"backoff_seconds": 30}`, which may lie in a `rate`.
fn in_data(data: &[u8]) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Data {
        backoff_seconds: Option<f64>,
        rate: Option<Box<Data>>,
    }
    let data: Data = serde_json::from_slice(data).ok()?;
    let seconds = data.backoff_seconds.or(data.rate.and_then(|rate| rate.backoff_seconds))?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        fields.iter().map(field).collect()
    }

    fn seconds(wait: Option<Duration>) -> Option<f64> {
        wait.map(|wait| wait.as_secs_f64())
    }

    #[test]
    fn retry_after_in_seconds_is_capped_and_nonsense_is_ignored() {
        let wait = |value| seconds(in_headers(&headers(&[("retry-after", value)])));
        assert_eq!(wait("7"), Some(7.0));
        assert_eq!(wait("0"), Some(0.0));
        assert_eq!(wait("1000000000"), Some(300.0));
        assert_eq!(wait("99999999999999999999999"), Some(300.0));
        for nonsense in ["-5", "soon", "", "1.5", "0x10", "Wed, 99 Oct 2026 07:28:00 GMT"] {
            assert_eq!(wait(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn retry_after_as_a_date_is_the_time_until_then() {
        let at = |time| headers(&[("retry-after", &httpdate::fmt_http_date(time))]);
        let now = SystemTime::now();
        let soon = in_headers(&at(now + Duration::from_mins(1))).unwrap();
        assert!(Duration::from_secs(55) < soon && soon <= Duration::from_mins(1), "{soon:?}");
        assert_eq!(in_headers(&at(now - Duration::from_hours(1))), Some(Duration::ZERO));
        assert_eq!(in_headers(&at(now + Duration::from_hours(100))), Some(LONGEST));
    }

    #[test]
    fn ratelimit_fields_of_every_draft_are_read() {
        for fields in [
            &[("ratelimit-limit", "100"), ("ratelimit-remaining", "0"), ("ratelimit-reset", "30")][..],
            &[("ratelimit", "limit=100, remaining=0, reset=30")],
            &[("ratelimit", r#""default";r=0;t=30"#), ("ratelimit-policy", r#""default";q=100;w=60"#)],
            &[("ratelimit", r#""burst";r=5;t=2, "daily";r=0;t=30"#)],
            &[("ratelimit", r#""burst";r=5;t=2, "daily";r=5;t=30"#)],
        ] {
            assert_eq!(seconds(in_headers(&headers(fields))), Some(30.0), "{fields:?}");
        }
        let burst = headers(&[("ratelimit", r#""burst";r=0;t=2, "daily";r=5;t=30"#)]);
        assert_eq!(seconds(in_headers(&burst)), Some(2.0));
        assert_eq!(in_headers(&headers(&[("ratelimit", r#""default";r=10"#)])), None);
    }

    #[test]
    fn words_and_data_name_waits_too() {
        let none = HeaderMap::new();
        for (text, expected) in [
            ("you've exceeded the rps limit. try again in 4ms", Some(0.004)),
            ("too many requests, retry after 1.5 seconds.", Some(1.5)),
            ("retry in 2 minutes", Some(120.0)),
            ("try again in 3", Some(3.0)),
            ("try again in a while", None),
            ("try again in 5 fortnights", None),
            ("slow down", None),
        ] {
            assert_eq!(seconds(wait(&none, text, None)), expected, "{text}");
        }
        for data in [r#"{"backoff_seconds":30,"see":"x"}"#, r#"{"rate":{"backoff_seconds":30.0}}"#] {
            assert_eq!(seconds(wait(&none, "", Some(data.as_bytes()))), Some(30.0));
        }
        assert_eq!(wait(&none, "", Some(br#"{"backoff_seconds":-1}"#)), None);
    }

    #[test]
    fn the_longest_of_several_waits_counts() {
        let fields = headers(&[("retry-after", "1"), ("ratelimit", r#""a";r=0;t=9"#)]);
        assert_eq!(seconds(wait(&fields, "try again in 4s", None)), Some(9.0));
    }
}
