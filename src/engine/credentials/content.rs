//! Rules for one value: can this text be the secret that it is given as?
//!
//! Every reason is a fixed sentence, so that no reason can hold a part of the value.

use super::{placeholder, wallet};

/// Why a value cannot be right; reads on after the name of the field.
pub(super) type Verdict = Result<(), &'static str>;

/// The longest value that any field takes.
const LONGEST: usize = 4096;

/// What is asked of the value of one kind of field.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    /// The shortest that is accepted.
    pub shortest: usize,
    /// Whether blanks may stand between other characters.
    pub inner_blanks: bool,
    /// Whether 64 hexadecimal digits are taken for a private key.
    pub hex_is_secret: bool,
    /// Whether it is a secret; a name may be an ordinary word and need not be hard to guess.
    pub secret: bool,
}

pub(super) const API_KEY: Rules =
    Rules { shortest: 8, inner_blanks: false, hex_is_secret: true, secret: true };
pub(super) const BEARER: Rules = API_KEY;
// A node's own passwords often are 64 hexadecimal digits: Bitcoin's cookie is.
pub(super) const PASSWORD: Rules =
    Rules { shortest: 1, inner_blanks: true, hex_is_secret: false, secret: true };
pub(super) const USERNAME: Rules =
    Rules { shortest: 1, inner_blanks: true, hex_is_secret: false, secret: false };
pub(super) const KEY_HEADER: Rules =
    Rules { shortest: 1, inner_blanks: true, hex_is_secret: true, secret: true };
pub(super) const PLAIN_HEADER: Rules =
    Rules { shortest: 0, inner_blanks: true, hex_is_secret: false, secret: false };

/// Judge a value by the rules of its field.
pub(super) fn judge(value: &str, rules: Rules) -> Verdict {
    printable(value)?;
    bounded(value, rules)?;
    if let Some(reason) = wallet::looks_like_wallet(value, rules.hex_is_secret) {
        return Err(reason);
    }
    if placeholder::is_marker(value) || rules.secret && placeholder::is_placeholder(value) {
        return Err("looks like a placeholder");
    }
    if !rules.inner_blanks && value.contains(' ') {
        return Err("holds a blank");
    }
    if rules.secret { varied(value) } else { Ok(()) }
}

/// Printable ASCII, with no blank at either end: what a header can carry and nobody pastes by mistake.
fn printable(value: &str) -> Verdict {
    if value.contains(|c: char| c.is_ascii_control()) {
        Err("holds a control character")
    } else if !value.is_ascii() {
        Err("holds a character that is not ASCII")
    } else if value.starts_with(' ') || value.ends_with(' ') {
        Err("begins or ends with a blank")
    } else {
        Ok(())
    }
}

fn bounded(value: &str, rules: Rules) -> Verdict {
    if value.is_empty() && rules.shortest > 0 {
        Err("is empty")
    } else if value.len() < rules.shortest {
        Err("is shorter than 8 characters")
    } else if value.len() > LONGEST {
        Err("is longer than 4096 characters")
    } else {
        Ok(())
    }
}

/// A secret of some length is neither a short pattern again and again nor made of a handful of characters.
pub(super) fn varied(value: &str) -> Verdict {
    if repeats(value.as_bytes()) {
        Err("repeats the same characters")
    } else if value.len() >= 16 && bits_per_character(value.as_bytes()) < 2.5 {
        Err("has too little variety to be a secret")
    } else {
        Ok(())
    }
}

/// Eight characters or more that only repeat their first one to four.
fn repeats(value: &[u8]) -> bool {
    value.len() >= 8
        && (1..=4).any(|period| value.iter().zip(value.iter().skip(period)).all(|(one, next)| one == next))
}

/// Shannon's entropy of the characters.
fn bits_per_character(value: &[u8]) -> f64 {
    let mut counts = [0_u16; 256];
    for &byte in value {
        counts[usize::from(byte)] += 1;
    }
    let total = f64::from(u16::try_from(value.len()).unwrap_or(u16::MAX));
    counts
        .iter()
        .filter(|&&count| count > 0)
        .map(|&count| f64::from(count) / total)
        .map(|p| -p * p.log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entropy_is_that_of_the_characters() {
        assert!(bits_per_character(b"aaaaaaaaaaaaaaaa").abs() < 1e-9);
        assert!((bits_per_character(b"abcdabcdabcdabcd") - 2.0).abs() < 1e-9);
        assert!((bits_per_character(b"0123456789abcdef") - 4.0).abs() < 1e-9);
    }

    proptest! {
        // Providers hand out hexadecimal ids and UUIDs: no random one may be refused. 128 random bits fall under
        // 2.5 bits a digit so seldom that a run of this test never sees it.
        #[test]
        fn random_hexadecimal_ids_and_uuids_pass(id in any::<u128>()) {
            let id = format!("{id:032x}");
            prop_assert_eq!(judge(&id, API_KEY), Ok(()));
            let uuid = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-");
            prop_assert_eq!(judge(&uuid, API_KEY), Ok(()));
        }

        #[test]
        fn no_value_makes_the_judge_panic(value in any::<String>()) {
            for rules in [API_KEY, PASSWORD, USERNAME, KEY_HEADER, PLAIN_HEADER] {
                let _ = judge(&value, rules);
            }
        }
    }
}
