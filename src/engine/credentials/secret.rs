//! A piece of text that is never shown: wiped when dropped, compared in constant time, printed as `Secret(***)`.

use std::fmt;

use ring::hmac;
use zeroize::Zeroizing;

/// A secret. Only what sends it to the node may look inside.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<Zeroizing<String>> for Secret {
    fn from(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        same_bytes(self.expose().as_bytes(), other.expose().as_bytes())
    }
}

impl Eq for Secret {}

/// Whether two byte strings are equal, in a time that does not tell where they differ.
///
/// The bytes are compared through their MACs: ring compares tags in constant time, and tags have one length.
pub(crate) fn same_bytes(one: &[u8], other: &[u8]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"genesis-replicator: equality");
    let tag = hmac::sign(&key, one);
    hmac::verify(&key, other, tag.as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_text() {
        assert_eq!(format!("{:?}", Secret::new("9f8e7d6c")), "Secret(***)");
        assert_eq!(format!("{:?}", Some(vec![Secret::new("9f8e7d6c")])), "Some([Secret(***)])");
    }

    #[test]
    fn equality_is_that_of_the_text() {
        assert_eq!(Secret::new("9f8e7d6c"), Secret::new("9f8e7d6c"));
        assert_ne!(Secret::new("9f8e7d6c"), Secret::new("9f8e7d6d"));
        assert_ne!(Secret::new("9f8e7d6c"), Secret::new("9f8e7d6"));
        assert_ne!(Secret::new(""), Secret::new("9"));
        assert_eq!(Secret::new("9f8e7d6c").clone().expose(), "9f8e7d6c");
    }
}
