//! A place in a text that is being checked, and the tokens that are read from there.

use super::marks::Marks;

/// A place in a text. What is told to be `None` or `false` is not there: the place is then that of the wrong byte.
///
/// What is not inlined takes it by value and gives it back, so that it stays in registers.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    pub text: &'a [u8],
    /// How much of it was read.
    pub at: usize,
    marks: Marks,
    /// Whether all strings so far were.
    pub ascii: bool,
}

impl<'a> Cursor<'a> {
    /// The beginning of a text.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, marks: Marks::new(text), ascii: true }
    }

    /// The next byte, 0 at the end of the text: it can stand nowhere.
    #[inline(always)]
    fn byte(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or_default()
    }

    /// The next byte that is not white space. It stays to be read.
    #[inline(always)]
    pub fn peek(&mut self) -> u8 {
        loop {
            let byte = self.byte();
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return byte;
            }
            self.at += 1;
        }
    }

    /// Reads this token, if it is the next.
    #[inline(always)]
    pub fn take(&mut self, token: u8) -> bool {
        if self.peek() != token {
            return false;
        }
        self.at += 1;
        true
    }

    /// A string.
    #[inline(always)]
    pub fn string(&mut self) -> Option<()> {
        if self.peek() != b'"' {
            return None;
        }
        self.at += 1;
        loop {
            self.at = self.marks.next(self.text, self.at);
            match self.byte() {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' | 0x80.. => {
                    let there;
                    (*self, there) = self.special();
                    there.then_some(())?;
                }
                _ => return None,
            }
        }
    }

    /// A key and its colon.
    #[inline(always)]
    pub fn key(&mut self) -> Option<()> {
        self.string()?;
        if self.peek() != b':' {
            return None;
        }
        self.at += 1;
        Some(())
    }

    /// An escape, or bytes that are not ASCII. Surrogates need no partner, as `json.loads` has it.
    #[inline(never)]
    fn special(mut self) -> (Self, bool) {
        let there = if self.byte() >= 0x80 {
            self.ascii = false;
            while self.take_one(|byte| byte >= 0x80) {}
            true
        } else {
            self.escape()
        };
        (self, there)
    }

    fn escape(&mut self) -> bool {
        self.take_one(|byte| byte == b'\\')
            && if self.take_one(|byte| byte == b'u') {
                (0..4).all(|_| self.take_one(|byte| byte.is_ascii_hexdigit()))
            } else {
                self.take_one(|byte| matches!(byte, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't'))
            }
    }

    /// A value that is neither a string nor a container, if it is there.
    #[inline(never)]
    pub fn literal(mut self) -> (Self, bool) {
        let there = match self.byte() {
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        };
        (self, there)
    }

    fn word(&mut self, word: &[u8]) -> bool {
        word.iter().all(|letter| self.take_one(|byte| byte == *letter))
    }

    fn number(&mut self) -> bool {
        self.take_one(|byte| byte == b'-');
        (self.take_one(|byte| byte == b'0') || self.digits())
            && (!self.take_one(|byte| byte == b'.') || self.digits())
            && (!self.take_one(|byte| matches!(byte, b'e' | b'E')) || {
                self.take_one(|byte| matches!(byte, b'+' | b'-'));
                self.digits()
            })
    }

    /// At least one digit.
    fn digits(&mut self) -> bool {
        let start = self.at;
        while self.take_one(|byte| byte.is_ascii_digit()) {}
        self.at > start
    }

    /// Reads the next byte if it is one of these.
    fn take_one(&mut self, these: impl Fn(u8) -> bool) -> bool {
        let found = these(self.byte());
        self.at += usize::from(found);
        found
    }
}
