//! Where a message ends that nothing marks the end of: JSON values stand one after the other, with white space between
//! them or without.

/// Finds the ends of messages in what comes piece by piece. Whether they are JSON is for others to say.
#[derive(Debug, Default)]
pub(super) struct Framer {
    /// How many containers are open.
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    /// How much of the text was looked at.
    seen: usize,
}

/// What comes next cannot be the beginning of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoMessage;

impl Framer {
    /// How long the first message in `text` is, with the white space before it; `None` when its end is not there yet.
    /// The next time `text` begins behind that message, or is the same with more at its end.
    ///
    /// # Errors
    /// When something stands there that is neither an object nor an array.
    pub(super) fn end(&mut self, text: &[u8]) -> Result<Option<usize>, NoMessage> {
        for (at, &byte) in text.iter().enumerate().skip(self.seen) {
            if self.step(byte)? {
                *self = Self::default();
                return Ok(Some(at + 1));
            }
        }
        self.seen = text.len();
        Ok(None)
    }

    /// Whether a message ends with this byte.
    fn step(&mut self, byte: u8) -> Result<bool, NoMessage> {
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' if self.in_string => self.is_escaped = true,
            b'"' if self.depth > 0 => self.in_string = !self.in_string,
            _ if self.in_string => {}
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' if self.depth > 0 => {
                self.depth -= 1;
                return Ok(self.depth == 0);
            }
            _ if self.depth > 0 || byte.is_ascii_whitespace() => {}
            _ => return Err(NoMessage),
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages in pieces of text that come one after the other.
    fn messages(pieces: &[&[u8]]) -> Result<Vec<String>, NoMessage> {
        let (mut framer, mut text, mut found) = (Framer::default(), Vec::new(), Vec::new());
        for piece in pieces {
            text.extend_from_slice(piece);
            while let Some(end) = framer.end(&text)? {
                let rest = text.split_off(end);
                found.push(String::from_utf8(std::mem::replace(&mut text, rest)).unwrap().trim().to_owned());
            }
        }
        Ok(found)
    }

    const MESSAGES: [&str; 5] = [
        r#"{"a":"}\"{[\\"}"#,
        r#"[{"id":1,"result":"\\\""},{"id":2}]"#,
        "{}",
        r#"{"ü":["]",{}],"b":"\u007d"}"#,
        "[]",
    ];

    #[test]
    fn messages_are_found_wherever_the_text_is_split() {
        for between in ["", "\n", " \r\n\t"] {
            let text = MESSAGES.join(between) + between;
            for split in 0..=text.len() {
                let (one, other) = text.as_bytes().split_at(split);
                assert_eq!(messages(&[one, other]).unwrap(), MESSAGES, "{split}");
            }
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(messages(&bytes).unwrap(), MESSAGES);
        }
    }

    #[test]
    fn the_text_is_looked_at_once() {
        let mut framer = Framer::default();
        assert_eq!(framer.end(br#"{"a":"#), Ok(None));
        // What was seen before is not looked at again.
        assert_eq!(framer.end(b"]]]]]1}"), Ok(Some(7)));
    }

    #[test]
    fn what_is_no_message_is_told() {
        for text in ["7", "}", "]", "\"text\"", "null", "{}x", "{} ,"] {
            assert_eq!(messages(&[text.as_bytes()]), Err(NoMessage), "{text}");
        }
    }
}
