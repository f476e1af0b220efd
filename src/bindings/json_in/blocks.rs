//! A container of a checked text passed over 64 bytes at a time: brackets are counted where no string is.

use std::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
};

const BLOCK: usize = 64;

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
pub struct Passing {
    /// How many containers are open.
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl Passing {
    /// From after the first bracket; the place after the last one.
    #[allow(unsafe_code)]
    pub fn end(text: &[u8], start: usize) -> Option<usize> {
        // SAFETY: every x86-64 processor has SSE2; it is part of the architecture.
        unsafe { Self::find_end(text, start) }
    }

    #[target_feature(enable = "sse2")]
    fn find_end(text: &[u8], start: usize) -> Option<usize> {
        let mut passing = Self { depth: 1, in_string: false, escaped: false };
        let mut at = start;
        loop {
            let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
            match rest.first_chunk().map(|block| passing.block(block)) {
                Some(Found::Nothing) => at += BLOCK,
                Some(Found::End(length)) => return Some(at + length),
                Some(Found::Escapes) | None => {
                    for byte in rest.iter().take(BLOCK) {
                        at += 1;
                        if passing.byte(*byte) {
                            return Some(at);
                        }
                    }
                }
            }
        }
    }

    /// Passes over a block.
    #[target_feature(enable = "sse2")]
    fn block(&mut self, block: &[u8; BLOCK]) -> Found {
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
        if closing.count_ones() < self.depth {
            self.depth = self.depth + opening.count_ones() - closing.count_ones();
            return Found::Nothing;
        }
        let mut brackets = opening | closing;
        while brackets != 0 {
            let place = brackets.trailing_zeros();
            brackets &= brackets - 1;
            if opening >> place & 1 == 1 {
                self.depth += 1;
            } else {
                self.depth -= 1;
            }
            if self.depth == 0 {
                return Found::End(place as usize + 1);
            }
        }
        Found::Nothing
    }

    /// Passes over a byte; whether it is the end.
    fn byte(&mut self, byte: u8) -> bool {
        if self.escaped {
            self.escaped = false;
        } else if self.in_string {
            self.escaped = byte == b'\\';
            self.in_string = byte != b'"';
        } else {
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth -= 1,
                _ => {}
            }
        }
        self.depth == 0
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
            assert_eq!(Passing::end(text.as_bytes(), 1), Some(end), "{text}");
        }
    }

    #[test]
    fn a_text_without_the_end_has_none() {
        for text in ["[", r#"["]"#, r#"["\"]"#, "[[]"] {
            assert_eq!(Passing::end(text.as_bytes(), 1), None, "{text}");
        }
    }
}
