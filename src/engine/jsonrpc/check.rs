//! A JSON text read once to its end, to say whether it is one by RFC 8259. Nothing is made of it.
//!
//! It takes no stack of the thread, however deep the text nests. Strings are most of every answer: `marks` finds their
//! ends 64 bytes at a time. serde_json takes five times as many instructions for the block of `benches/engine`;
//! sonic-rs recurses, so that a deep text ends the process.

mod marks;
#[cfg(test)]
mod properties;

use std::ops::Range;

use marks::Marks;

/// Why a text is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It ends too early.
    CutOff,
    /// The byte at this place cannot stand there.
    At(usize),
}

/// A text, and how far it was read.
pub struct Check<'a> {
    text: &'a [u8],
    at: usize,
    marks: Marks<'a>,
    /// The containers that are open: whether each is an object.
    open: Vec<bool>,
    ascii: bool,
}

impl<'a> Check<'a> {
    /// Nothing is read yet.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, marks: Marks::new(text), open: Vec::new(), ascii: true }
    }

    /// Reads an object whose members are told with their keys, as they stand there without quotes.
    pub fn object(&mut self, mut member: impl FnMut(&'a [u8], Range<usize>)) -> Result<(), Wrong> {
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.expect(b'"')?;
            let key = self.at;
            self.string()?;
            let key = self.text.get(key..self.at - 1).unwrap_or_default();
            self.expect(b':')?;
            member(key, self.value()?);
            if self.is_last(b'}')? {
                return Ok(());
            }
        }
    }

    /// Reads an array, each of whose items is to be read by `item`.
    pub fn array(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Wrong>) -> Result<(), Wrong> {
        self.expect(b'[')?;
        if self.peek()? == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            item(self)?;
            if self.is_last(b']')? {
                return Ok(());
            }
        }
    }

    /// Reads the end: only white space is left, and what was read is UTF-8.
    pub fn end(mut self) -> Result<(), Wrong> {
        match self.peek() {
            Ok(_) => Err(Wrong::At(self.at)),
            Err(_) if self.ascii => Ok(()),
            Err(_) => str::from_utf8(self.text).map(|_| ()).map_err(|error| Wrong::At(error.valid_up_to())),
        }
    }

    /// Reads a value; where it stands.
    pub fn value(&mut self) -> Result<Range<usize>, Wrong> {
        self.peek()?;
        let start = self.at;
        loop {
            let begun = match self.token()? {
                b'"' => self.string().map(|()| false),
                b'{' => self.open_object(),
                b'[' => self.open_array(),
                b't' => self.word(b"rue"),
                b'f' => self.word(b"alse"),
                b'n' => self.word(b"ull"),
                first => self.number(first),
            };
            if !begun? && self.close()? {
                return Ok(start..self.at);
            }
        }
    }

    /// Reads from the end of a value to where the next one begins; whether it was the outermost.
    fn close(&mut self) -> Result<bool, Wrong> {
        while let Some(&object) = self.open.last() {
            match (self.token()?, object) {
                (b',', true) => {
                    self.expect(b'"')?;
                    self.key()?;
                    return Ok(false);
                }
                (b',', false) => return Ok(false),
                (b'}', true) | (b']', false) => {
                    self.open.pop();
                }
                _ => return self.wrong(),
            }
        }
        Ok(true)
    }

    /// Whether an object has members, of which the first key is then read.
    fn open_object(&mut self) -> Result<bool, Wrong> {
        match self.token()? {
            b'}' => Ok(false),
            b'"' => {
                self.open.push(true);
                self.key()?;
                Ok(true)
            }
            _ => self.wrong(),
        }
    }

    /// Whether an array has items.
    fn open_array(&mut self) -> Result<bool, Wrong> {
        if self.peek()? == b']' {
            self.at += 1;
            return Ok(false);
        }
        self.open.push(false);
        Ok(true)
    }

    /// Whether this closing bracket follows; else a comma has to.
    fn is_last(&mut self, bracket: u8) -> Result<bool, Wrong> {
        match self.token()? {
            b',' => Ok(false),
            byte if byte == bracket => Ok(true),
            _ => self.wrong(),
        }
    }

    /// A key whose first quote was read, and its colon.
    fn key(&mut self) -> Result<(), Wrong> {
        self.string()?;
        self.expect(b':')
    }

    /// A string whose first quote was read.
    fn string(&mut self) -> Result<(), Wrong> {
        loop {
            self.at = self.marks.next(self.at);
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(0x80..) => {
                    self.ascii = false;
                    self.at += 1;
                }
                Some(_) => return Err(Wrong::At(self.at)),
                None => return Err(Wrong::CutOff),
            }
        }
    }

    /// An escape. Surrogates need no partner, as `json.loads` has it.
    fn escape(&mut self) -> Result<(), Wrong> {
        self.at += 1;
        match self.byte()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => {
                (0..4).try_for_each(|_| if self.byte()?.is_ascii_hexdigit() { Ok(()) } else { self.wrong() })
            }
            _ => self.wrong(),
        }
    }

    /// A number whose first byte was read. Like the words, it is no container.
    #[inline(never)]
    fn number(&mut self, first: u8) -> Result<bool, Wrong> {
        match if first == b'-' { self.byte()? } else { first } {
            b'0' => {}
            b'1'..=b'9' => self.more_digits(),
            _ => return self.wrong(),
        }
        if self.take(|byte| byte == b'.') {
            self.digits()?;
        }
        if self.take(|byte| matches!(byte, b'e' | b'E')) {
            self.take(|byte| matches!(byte, b'+' | b'-'));
            self.digits()?;
        }
        Ok(false)
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), Wrong> {
        if !self.byte()?.is_ascii_digit() {
            return self.wrong();
        }
        self.more_digits();
        Ok(())
    }

    fn more_digits(&mut self) {
        while self.take(|byte| byte.is_ascii_digit()) {}
    }

    /// The rest of `true`, `false` or `null`.
    fn word(&mut self, rest: &[u8]) -> Result<bool, Wrong> {
        for byte in rest {
            if self.byte()? != *byte {
                return self.wrong();
            }
        }
        Ok(false)
    }

    /// The next byte that is not white space. It stays to be read.
    fn peek(&mut self) -> Result<u8, Wrong> {
        while let Some(&byte) = self.text.get(self.at) {
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Ok(byte);
            }
            self.at += 1;
        }
        Err(Wrong::CutOff)
    }

    /// Reads the next byte that is not white space.
    fn token(&mut self) -> Result<u8, Wrong> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    /// Reads just this token.
    fn expect(&mut self, token: u8) -> Result<(), Wrong> {
        if self.token()? == token { Ok(()) } else { self.wrong() }
    }

    /// Reads the next byte.
    fn byte(&mut self) -> Result<u8, Wrong> {
        let byte = *self.text.get(self.at).ok_or(Wrong::CutOff)?;
        self.at += 1;
        Ok(byte)
    }

    /// Reads the next byte if it is one of these.
    fn take(&mut self, these: impl Fn(u8) -> bool) -> bool {
        let found = self.text.get(self.at).is_some_and(|byte| these(*byte));
        self.at += usize::from(found);
        found
    }

    /// The byte that was read last is wrong.
    fn wrong<T>(&self) -> Result<T, Wrong> {
        Err(Wrong::At(self.at - 1))
    }
}
