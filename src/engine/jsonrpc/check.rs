//! A JSON text read once to its end, to say whether it is one by RFC 8259. Nothing is made of it.
//!
//! It takes no stack of the thread, however deep the text nests; sonic-rs recurses, so that a deep text would end the
//! process. Strings are most of every answer: `marks` finds their ends 64 bytes at a time. For the block of
//! `benches/engine` `serde_json` takes 1.68 million instructions, this 0.73 million.

#[allow(clippy::inline_always, reason = "the place in the text has to stay in registers")]
mod cursor;
#[allow(clippy::inline_always, reason = "as in `cursor`")]
mod marks;
#[cfg(test)]
mod properties;

use std::ops::Range;

use cursor::Cursor;

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
    cursor: Cursor<'a>,
    /// The containers that are open: whether each is an object.
    open: Vec<bool>,
}

impl<'a> Check<'a> {
    /// Nothing is read yet.
    pub fn new(text: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(text), open: Vec::new() }
    }

    /// Reads an object whose members are told with their keys, as they stand there without quotes.
    pub fn object(&mut self, mut member: impl FnMut(&'a [u8], Range<usize>)) -> Result<(), Wrong> {
        self.members(|key, value| {
            member(key, value);
            true
        })
    }

    /// The same as long as `member` wants more of it.
    pub fn members(&mut self, mut member: impl FnMut(&'a [u8], Range<usize>) -> bool) -> Result<(), Wrong> {
        self.take(b'{')?;
        if self.cursor.take(b'}') {
            return Ok(());
        }
        loop {
            self.cursor.peek();
            let start = self.cursor.at + 1;
            self.cursor.string().ok_or_else(|| self.wrong())?;
            let key = self.cursor.text.get(start..self.cursor.at - 1).unwrap_or_default();
            self.take(b':')?;
            if !member(key, self.value()?) {
                return Ok(());
            }
            if !self.cursor.take(b',') {
                return self.take(b'}');
            }
        }
    }

    /// Reads an array, each of whose items is to be read by `item`.
    pub fn array(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Wrong>) -> Result<(), Wrong> {
        self.take(b'[')?;
        if self.cursor.take(b']') {
            return Ok(());
        }
        loop {
            item(self)?;
            if !self.cursor.take(b',') {
                return self.take(b']');
            }
        }
    }

    /// Reads a value; where it stands.
    pub fn value(&mut self) -> Result<Range<usize>, Wrong> {
        self.cursor.peek();
        let start = self.cursor.at;
        let mut cursor = self.cursor;
        let read = self.walk(&mut cursor);
        self.cursor = cursor;
        read.map(|()| start..cursor.at).ok_or_else(|| self.wrong())
    }

    /// Reads the end: only white space is left, and what was read is UTF-8.
    pub fn end(mut self) -> Result<(), Wrong> {
        self.cursor.peek();
        let Cursor { text, at, ascii, .. } = self.cursor;
        if at < text.len() {
            return Err(Wrong::At(at));
        }
        match str::from_utf8(if ascii { b"" } else { text }) {
            Ok(_) => Ok(()),
            Err(error) => Err(Wrong::At(error.valid_up_to())),
        }
    }

    fn walk(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        loop {
            match cursor.peek() {
                b'"' => cursor.string()?,
                b'{' => {
                    cursor.at += 1;
                    if !cursor.take(b'}') {
                        cursor.key()?;
                        self.open.push(true);
                        continue;
                    }
                }
                b'[' => {
                    cursor.at += 1;
                    if !cursor.take(b']') {
                        self.open.push(false);
                        continue;
                    }
                }
                _ => {
                    let there;
                    (*cursor, there) = cursor.literal();
                    there.then_some(())?;
                }
            }
            // A value has ended, and with it perhaps the containers that it is in.
            loop {
                let Some(&object) = self.open.last() else { return Some(()) };
                match (cursor.peek(), object) {
                    (b',', _) => {
                        cursor.at += 1;
                        if object {
                            cursor.key()?;
                        }
                        break;
                    }
                    (b'}', true) | (b']', false) => {
                        cursor.at += 1;
                        self.open.pop();
                    }
                    _ => return None,
                }
            }
        }
    }

    fn take(&mut self, token: u8) -> Result<(), Wrong> {
        if self.cursor.take(token) { Ok(()) } else { Err(self.wrong()) }
    }

    /// What is wrong where it was read to.
    fn wrong(&self) -> Wrong {
        let Cursor { text, at, .. } = self.cursor;
        if at < text.len() { Wrong::At(at) } else { Wrong::CutOff }
    }
}
