//! A container of a checked text passed over 64 bytes at a time: brackets are counted where no string is.

use std::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
};

use std::ops::Range;

const BLOCK: usize = 64;

/// A container that is worth being remembered by those who do not want to pass over it again.
const LONG: usize = 512;

/// What a block holds.
enum Found {
    /// Neither of the others.
    Nothing,
    /// The end of the container, after so many bytes.
    End(usize),
    /// Escapes: it has to be read byte by byte.
    Escapes,
}

/// How a place in a container stands to its end.
pub struct Passing<'a> {
    /// How many containers are open.
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// Where the item begins that is passed over, if it is a container.
    item: usize,
    /// The long ones among the items.
    items: &'a mut Vec<Range<usize>>,
}

impl<'a> Passing<'a> {
    /// From after the first bracket; the place after the last one. Items that are long containers are added to `items`.
    #[allow(unsafe_code)]
    pub fn end(text: &[u8], start: usize, items: &'a mut Vec<Range<usize>>) -> Option<usize> {
        // SAFETY: every x86-64 processor has SSE2; it is part of the architecture.
        unsafe { Self::find_end(text, start, items) }
    }

    #[target_feature(enable = "sse2")]
    fn find_end(text: &[u8], start: usize, items: &'a mut Vec<Range<usize>>) -> Option<usize> {
        let mut passing = Self { depth: 1, in_string: false, escaped: false, item: start, items };
        let mut at = start;
        loop {
            let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
            match rest.first_chunk().map(|block| passing.block(at, block)) {
                Some(Found::Nothing) => at += BLOCK,
                Some(Found::End(length)) => return Some(at + length),
                Some(Found::Escapes) | None => {
                    for byte in rest.iter().take(BLOCK) {
                        passing.byte(at, *byte);
                        at += 1;
                        if passing.depth == 0 {
                            return Some(at);
                        }
                    }
                }
            }
        }
    }

    /// Passes over a block.
    #[target_feature(enable = "sse2")]
    fn block(&mut self, start: usize, block: &[u8; BLOCK]) -> Found {
        let Marks { quotes, escapes, opening, closing } = Marks::of(block);
        if escapes != 0 || self.escaped {
            return Found::Escapes;
        }
        // Each bit is the parity of the quotes up to it: whether a string goes on there.
        let mut strings = quotes;
        for shift in [1, 2, 4, 8, 16, 32] {
            strings ^= strings << shift;
        }
        if self.in_string {
            strings = !strings;
        }
        self.in_string = strings >> 63 == 1;
        let (opening, closing) = (opening & !strings, closing & !strings);
        // Nothing is to be seen where items neither begin nor end.
        if closing.count_ones() + 1 < self.depth {
            self.depth = self.depth + opening.count_ones() - closing.count_ones();
            return Found::Nothing;
        }
        let mut brackets = opening | closing;
        while brackets != 0 {
            let place = brackets.trailing_zeros() as usize;
            brackets &= brackets - 1;
            if opening >> place & 1 == 1 {
                self.open(start + place);
            } else {
                self.close(start + place);
            }
            if self.depth == 0 {
                return Found::End(place + 1);
            }
        }
        Found::Nothing
    }

    /// Passes over a byte.
    fn byte(&mut self, at: usize, byte: u8) {
        if self.escaped {
            self.escaped = false;
        } else if self.in_string {
            self.escaped = byte == b'\\';
            self.in_string = byte != b'"';
        } else {
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.open(at),
                b'}' | b']' => self.close(at),
                _ => {}
            }
        }
    }

    #[inline]
    fn open(&mut self, at: usize) {
        if self.depth == 1 {
            self.item = at;
        }
        self.depth += 1;
    }

    #[inline]
    fn close(&mut self, at: usize) {
        self.depth -= 1;
        if self.depth == 1 && at - self.item >= LONG {
            self.items.push(self.item..at + 1);
        }
    }
}

/// Where in a block certain bytes stand, one bit for each byte.
#[derive(Default)]
struct Marks {
    quotes: u64,
    escapes: u64,
    opening: u64,
    closing: u64,
}

impl Marks {
    #[target_feature(enable = "sse2")]
    fn of(block: &[u8; BLOCK]) -> Self {
        let mut marks = Self::default();
        let (parts, _) = block.as_chunks::<16>();
        for (place, part) in parts.iter().enumerate() {
            let part = vector(part);
            let find = |byte: u8| _mm_cmpeq_epi8(part, _mm_set1_epi8(byte.cast_signed()));
            // With this bit set `[` is `{` and `]` is `}`.
            let folded = _mm_or_si128(part, _mm_set1_epi8(0x20));
            let fold = |byte: u8| _mm_cmpeq_epi8(folded, _mm_set1_epi8(byte.cast_signed()));
            let bits = |found: __m128i| u64::from(_mm_movemask_epi8(found).cast_unsigned()) << (16 * place);
            marks.quotes |= bits(find(b'"'));
            marks.escapes |= bits(find(b'\\'));
            marks.opening |= bits(fold(b'{'));
            marks.closing |= bits(fold(b'}'));
        }
        marks
    }
}

#[target_feature(enable = "sse2")]
fn vector(bytes: &[u8; 16]) -> __m128i {
    let bits = u128::from_le_bytes(*bytes).cast_signed();
    #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
    _mm_set_epi64x((bits >> 64) as i64, bits as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_quotes_in_strings_do_not_count_wherever_blocks_begin() {
        let inner =
            r#"{"a]}":"\"}\\","b":[[],{},"]",{"c":"[["}],"long":""#.to_owned() + &"x}".repeat(90) + "\"}";
        for indent in 0..130 {
            let text = format!("[{}{inner} ]}}]", " ".repeat(indent));
            let end = 1 + indent + inner.len() + 2;
            assert_eq!(Passing::end(text.as_bytes(), 1, &mut Vec::new()), Some(end), "{text}");
        }
    }

    #[test]
    fn long_items_are_remembered_wherever_they_stand_and_what_is_in_them_is_not() {
        let long = format!(r#"{{"in":[["{}"]],"e":"\""}}"#, "]".repeat(LONG));
        for indent in 0..130 {
            let before = format!("[{}1,[],\"{{\",", " ".repeat(indent));
            let text = format!(r#"{before}{long},[2],{{"a":{long}}} ,"x"]"#);
            let mut items = Vec::new();
            assert_eq!(Passing::end(text.as_bytes(), 1, &mut items), Some(text.len()));
            let second = before.len() + long.len() + 5;
            assert_eq!(items, [before.len()..before.len() + long.len(), second..second + long.len() + 6]);
        }
    }

    #[test]
    fn a_text_without_the_end_has_none() {
        for text in ["[", r#"["]"#, r#"["\"]"#, "[[]"] {
            assert_eq!(Passing::end(text.as_bytes(), 1, &mut Vec::new()), None, "{text}");
        }
    }
}
