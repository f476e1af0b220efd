//! Keys to money that were pasted in the place of a key to a node. They must not leave the machine.

use ring::digest::{SHA256, digest};

const BASE58: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// Why the value looks like a wallet's secret, if it does.
///
/// `hex_is_secret`: 64 hexadecimal digits are a private key here, and not a form that the field itself has.
pub(super) fn looks_like_wallet(value: &str, hex_is_secret: bool) -> Option<&'static str> {
    if is_seed_phrase(value) {
        Some("looks like the seed phrase of a wallet")
    } else if hex_is_secret && is_hex_key(value) || is_wif(value) || is_extended(value) {
        Some("looks like a private key")
    } else {
        None
    }
}

/// 12, 15, 18, 21 or 24 lower-case words of 3 to 8 letters, the shape of BIP 39.
fn is_seed_phrase(value: &str) -> bool {
    let is_word = |word: &str| (3..=8).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase());
    let count = value.split_whitespace().count();
    matches!(count, 12 | 15 | 18 | 21 | 24) && value.split_whitespace().all(is_word)
}

/// 32 bytes in hexadecimal.
pub(super) fn is_hex_key(value: &str) -> bool {
    let digits = value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")).unwrap_or(value);
    digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The wallet import format: base58 with a checksum, of 32 bytes behind a version, and a flag at most.
fn is_wif(value: &str) -> bool {
    // The checksum is verified, so that no key of a provider is refused by chance.
    if !(51..=52).contains(&value.len()) {
        return false;
    }
    let Some(bytes) = base58(value) else { return false };
    let Some((payload, checksum)) = bytes.split_last_chunk::<4>() else { return false };
    let version_and_size = matches!(payload, [0x80 | 0xef, rest @ ..] if matches!(rest.len(), 32 | 33));
    let hash = digest(&SHA256, digest(&SHA256, payload).as_ref());
    version_and_size && hash.as_ref().starts_with(checksum)
}

/// An extended private key of BIP 32: `xprv`, `yprv`, `zprv`, `tprv`, `uprv`, `vprv`.
fn is_extended(value: &str) -> bool {
    value.len() > 100 && value.get(1..4) == Some("prv") && value.bytes().all(|b| BASE58.contains(&b))
}

/// The bytes that a base58 text stands for; long multiplication, which is enough for 52 characters.
fn base58(value: &str) -> Option<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::with_capacity(value.len());
    for character in value.bytes() {
        let mut carry = BASE58.iter().position(|&c| c == character)?;
        for byte in bytes.iter_mut().rev() {
            carry += usize::from(*byte) * 58;
            *byte = u8::try_from(carry & 0xff).ok()?;
            carry >>= 8;
        }
        while carry > 0 {
            bytes.insert(0, u8::try_from(carry & 0xff).ok()?);
            carry >>= 8;
        }
    }
    let zeros = value.bytes().take_while(|&b| b == b'1').count();
    Some([vec![0; zeros], bytes].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example key of the format's public description, and the same with its last letter changed.
    const WIF: &str = "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ";

    #[test]
    fn a_checked_import_key_is_known_and_a_wrong_checksum_is_not() {
        assert!(is_wif(WIF));
        assert!(!is_wif(&WIF.replace("TJ", "TK")));
        assert!(!is_wif("KxxxQ2wvV7bPzJzq3mJ5h8rT9sYcD4fG6hN1jL2kM3nB4vC5xZ6a"));
    }

    #[test]
    fn a_phrase_is_known_by_its_shape() {
        let phrase = ["legal", "winner", "thank", "year"].repeat(3).join(" ");
        assert!(is_seed_phrase(&phrase));
        assert!(!is_seed_phrase(&format!("{phrase} wave")));
        assert!(!is_seed_phrase(&phrase.replace("legal", "Legal")));
    }

    #[test]
    fn hexadecimal_counts_only_where_it_is_no_form_of_the_field() {
        let key = format!("0x{}", "9f8e7d6c".repeat(8));
        assert!(looks_like_wallet(&key, true).is_some());
        assert!(looks_like_wallet(&key, false).is_none());
        assert!(looks_like_wallet("9aa3d95b3bc440fa88ea12eaa4456161", true).is_none());
    }
}
