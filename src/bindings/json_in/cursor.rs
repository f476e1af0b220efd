//! A place in a JSON text, and the tokens that are read from it.

use std::ops::Range;

/// The text ends or goes on in a way that no JSON text does.
#[derive(Debug)]
pub struct NotJson;

/// What stands between two quotes.
#[derive(Debug, Clone, Copy)]
pub struct RawString<'a> {
    /// As it stands there.
    pub text: &'a [u8],
    /// Whether it has no escapes.
    pub plain: bool,
}

/// A place in a text.
pub struct Cursor<'a> {
    /// All of the text.
    pub text: &'a [u8],
    /// How much of it was read.
    pub at: usize,
}

impl<'a> Cursor<'a> {
    /// The next byte that is not white space. It stays to be read.
    pub fn after_space(&mut self) -> Option<u8> {
        while let Some(&byte) = self.text.get(self.at) {
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Reads the next byte that is not white space.
    pub fn token(&mut self) -> Result<u8, NotJson> {
        let byte = self.after_space().ok_or(NotJson)?;
        self.at += 1;
        Ok(byte)
    }

    /// Reads just this token.
    pub fn expect(&mut self, token: u8) -> Result<(), NotJson> {
        if self.token()? == token { Ok(()) } else { Err(NotJson) }
    }

    /// Reads just these bytes, or none.
    pub fn take(&mut self, bytes: &[u8]) -> bool {
        let found = self.text.get(self.at..).is_some_and(|text| text.starts_with(bytes));
        if found {
            self.at += bytes.len();
        }
        found
    }

    /// Nothing but white space follows.
    pub fn end(&mut self) -> Result<(), NotJson> {
        if self.after_space().is_none() { Ok(()) } else { Err(NotJson) }
    }

    /// A string whose first quote was read.
    pub fn string(&mut self) -> Result<RawString<'a>, NotJson> {
        let start = self.at;
        let mut plain = true;
        loop {
            let rest = self.text.get(self.at..).ok_or(NotJson)?;
            let found = memchr::memchr2(b'"', b'\\', rest).ok_or(NotJson)?;
            let end = self.at + found;
            if rest.get(found) == Some(&b'"') {
                self.at = end + 1;
                return Ok(RawString { text: self.text.get(start..end).unwrap_or_default(), plain });
            }
            plain = false;
            self.at = end + 2;
        }
    }

    /// A whole number of at most 18 digits whose first byte was read, unless it is another one.
    pub fn short_integer(&mut self) -> Option<i64> {
        let rest = self.text.get(self.at.checked_sub(1)?..)?;
        let (negative, digits) = match rest {
            [b'-', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        let mut value = 0;
        let mut length = 0;
        for digit in digits.iter().take_while(|byte| byte.is_ascii_digit()) {
            if length == 18 {
                return None;
            }
            value = value * 10 + i64::from(digit - b'0');
            length += 1;
        }
        if length == 0 || matches!(digits.get(length), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.at += length - usize::from(!negative);
        Some(if negative { -value } else { value })
    }

    /// A number whose first byte was read.
    pub fn number(&mut self) -> Result<&'a str, NotJson> {
        let rest = self.at.checked_sub(1).and_then(|start| self.text.get(start..)).ok_or(NotJson)?;
        let length =
            rest.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
        let digits = rest.get(..length.count()).unwrap_or_default();
        let digits = std::str::from_utf8(digits).map_err(|_| NotJson)?;
        self.at += digits.len().checked_sub(1).ok_or(NotJson)?;
        Ok(digits)
    }

    /// Reads a value without looking into it; where it stands. If it is a container, long containers directly in it are
    /// added to `items`, for whoever skips those next; not on every processor.
    pub fn skip(&mut self, items: &mut Vec<Range<usize>>) -> Result<Range<usize>, NotJson> {
        let first = self.token()?;
        let start = self.at - 1;
        match first {
            b'"' => {
                self.string()?;
            }
            b'{' | b'[' => self.skip_members(items)?,
            _ => {
                let rest = self.text.get(self.at..).unwrap_or_default();
                let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
                self.at += rest.iter().position(ends).unwrap_or(rest.len());
            }
        }
        Ok(start..self.at)
    }

    /// The rest of a container whose first byte was read. It needs no stack, for in a checked text they match.
    #[cfg(target_arch = "x86_64")]
    fn skip_members(&mut self, items: &mut Vec<Range<usize>>) -> Result<(), NotJson> {
        self.at = super::blocks::Passing::end(self.text, self.at, items).ok_or(NotJson)?;
        Ok(())
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn skip_members(&mut self, _: &mut Vec<Range<usize>>) -> Result<(), NotJson> {
        let mut depth = 1_usize;
        while depth > 0 {
            let byte = *self.text.get(self.at).ok_or(NotJson)?;
            self.at += 1;
            match byte {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
        }
        Ok(())
    }
}
