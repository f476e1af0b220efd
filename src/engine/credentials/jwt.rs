//! JSON Web Tokens: those that are given, looked at without a claim about their signature, and those that the
//! engine API of Ethereum's execution clients asks for, signed here.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::Secret;
use super::content::{Verdict, varied};
use super::wallet::is_hex_key;

/// How far two clocks may be apart.
const LEEWAY_SECONDS: f64 = 60.0;

/// Whether a bearer token that is a JWT can be accepted now. One that is no JWT passes: it is opaque.
pub(super) fn judge_token(token: &str, now: SystemTime) -> Verdict {
    let parts: Vec<&str> = token.split('.').collect();
    let header = parts.first().and_then(|part| json_object(part));
    let [_, claims, signature] = parts[..] else {
        // Five parts with a header are an encrypted token, whose claims nobody but the server reads.
        let broken = token.starts_with("eyJ") && token.contains('.') && parts.len() != 5;
        return if broken { Err("is not a JWT of three parts") } else { Ok(()) };
    };
    let Some(header) = header else {
        return if token.starts_with("eyJ") { Err("is a JWT whose header is not JSON") } else { Ok(()) };
    };
    match header.get("alg").and_then(Value::as_str) {
        None => return Err("is a JWT that names no algorithm"),
        Some(alg) if alg.eq_ignore_ascii_case("none") => return Err("is a JWT without a signature"),
        Some(_) if signature.is_empty() => return Err("is a JWT without a signature"),
        Some(_) => {}
    }
    if URL_SAFE_NO_PAD.decode(signature).is_err() {
        return Err("is a JWT whose signature is not base64url");
    }
    let claims = json_object(claims).ok_or("is a JWT whose claims are not JSON")?;
    judge_times(&claims, now)
}

fn judge_times(claims: &Map<String, Value>, now: SystemTime) -> Verdict {
    let now = now.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    for name in ["exp", "nbf"] {
        let Some(claim) = claims.get(name) else { continue };
        let Some(time) = claim.as_f64() else { return Err("is a JWT whose times are not numbers") };
        if name == "exp" && time + LEEWAY_SECONDS < now {
            return Err("is a JWT that has expired");
        }
        if name == "nbf" && time - LEEWAY_SECONDS > now {
            return Err("is a JWT that is not valid yet");
        }
    }
    Ok(())
}

fn json_object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// The secret that an execution client shares with its consensus client: 32 bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EngineKey(Secret);

impl EngineKey {
    /// From 64 hexadecimal digits, with or without `0x`.
    pub(super) fn from_hex(text: &str) -> Result<Self, &'static str> {
        if !is_hex_key(text) {
            return Err("is not 32 bytes in hexadecimal");
        }
        let digits = Zeroizing::new(text[text.len() - 64..].to_ascii_lowercase());
        varied(&digits)?;
        Ok(Self(digits.into()))
    }

    /// Whether a text is meant as the secret itself, right or wrong, and not as the path of a file.
    pub(super) fn is_meant_by(text: &str) -> bool {
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        digits.unwrap_or(text).bytes().all(|b| b.is_ascii_hexdigit())
    }

    /// The secret as people write it, without `0x` and in lower case.
    pub(super) fn digits(&self) -> &str {
        self.0.expose()
    }

    /// A token that says it was made at `now`, and nothing else: the servers ask for no more.
    pub(super) fn token(&self, now: SystemTime) -> Secret {
        let issued = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"iat":{issued}}}"#));
        let signed = format!("{}.{claims}", Self::header());
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.bytes()), signed.as_bytes());
        Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref())))
    }

    /// The first part of every token made here.
    pub(super) fn header() -> String {
        URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#)
    }

    fn bytes(&self) -> Zeroizing<Vec<u8>> {
        let nibble = |byte: &u8| if byte.is_ascii_digit() { byte - b'0' } else { byte - b'a' + 10 };
        let digits = self.0.expose().as_bytes();
        Zeroizing::new(digits.chunks_exact(2).map(|pair| nibble(&pair[0]) << 4 | nibble(&pair[1])).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HEX: &str = "0x8C1f5e02d7a94b36c0e85d1f7a3b92648e0d5c7f1b3a69284d7e0f5c1a2b3d4e";

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn token(header: &str, claims: &str) -> String {
        [header, claims, "signature"].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
    }

    #[test]
    fn the_token_carries_the_time_and_a_signature_that_verifies() {
        let key = EngineKey::from_hex(HEX).unwrap();
        let token = key.token(at(1_700_000_000));
        let (signed, tag) = token.expose().rsplit_once('.').unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(header).unwrap(), br#"{"alg":"HS256","typ":"JWT"}"#);
        assert_eq!(URL_SAFE_NO_PAD.decode(claims).unwrap(), br#"{"iat":1700000000}"#);
        let bytes: Vec<u8> =
            (2..HEX.len()).step_by(2).map(|at| u8::from_str_radix(&HEX[at..at + 2], 16).unwrap()).collect();
        let verifier = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        hmac::verify(&verifier, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(tag).unwrap()).unwrap();
        assert_ne!(token, key.token(at(1_700_000_001)));
    }

    #[test]
    fn a_key_is_32_bytes_of_some_variety() {
        assert_eq!(EngineKey::from_hex(HEX), EngineKey::from_hex(&HEX[2..].to_lowercase()));
        assert!(EngineKey::from_hex(&HEX[..60]).is_err());
        assert!(EngineKey::from_hex(&"0".repeat(64)).is_err());
    }

    #[test]
    fn a_given_jwt_is_judged_by_algorithm_and_time() {
        let hs = r#"{"alg":"HS256"}"#;
        let judge = |header: &str, claims: &str| judge_token(&token(header, claims), at(1000));
        assert_eq!(judge(hs, "{}"), Ok(()));
        assert_eq!(judge(hs, r#"{"exp":941}"#), Ok(()));
        assert_eq!(judge(hs, r#"{"exp":939}"#), Err("is a JWT that has expired"));
        assert_eq!(judge(hs, r#"{"nbf":1060}"#), Ok(()));
        assert_eq!(judge(hs, r#"{"nbf":1061}"#), Err("is a JWT that is not valid yet"));
        assert_eq!(judge(hs, r#"{"exp":"soon"}"#), Err("is a JWT whose times are not numbers"));
        assert_eq!(judge(hs, "[]"), Err("is a JWT whose claims are not JSON"));
        assert_eq!(judge(r#"{"alg":"None"}"#, "{}"), Err("is a JWT without a signature"));
        assert_eq!(judge(r#"{"typ":"JWT"}"#, "{}"), Err("is a JWT that names no algorithm"));
    }

    #[test]
    fn a_broken_jwt_is_told_from_an_opaque_token() {
        let whole = token(r#"{"alg":"HS256"}"#, "{}");
        let unsigned = &whole[..=whole.rfind('.').unwrap()];
        assert_eq!(judge_token(unsigned, at(0)), Err("is a JWT without a signature"));
        assert_eq!(judge_token("eyJhbGciOi.x", at(0)), Err("is not a JWT of three parts"));
        assert_eq!(judge_token("eyJ!.e30.AAAA", at(0)), Err("is a JWT whose header is not JSON"));
        assert_eq!(judge_token("v2.local.9f8e7d6c5b4a", at(0)), Ok(()));
        assert_eq!(judge_token("9f8e7d6c5b4a", at(0)), Ok(()));
    }
}
