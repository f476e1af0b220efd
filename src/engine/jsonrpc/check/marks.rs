//! The bytes of a text that end a string or need a look at, found a block at a time.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_cmplt_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
};

const BLOCK: usize = 64;

/// The marked bytes of a text: quotes, backslashes, control characters, and all that is not ASCII.
#[derive(Clone, Copy)]
pub struct Marks {
    /// Where the block begins that was looked at last,
    start: usize,
    /// and its marks, one bit for each byte.
    bits: u64,
}

impl Marks {
    /// Those of this text.
    pub fn new(text: &[u8]) -> Self {
        Self { start: 0, bits: block(text, 0) }
    }

    /// The first marked byte that does not stand before `at`. There is one after the end of the text.
    #[inline(always)]
    pub fn next(&mut self, text: &[u8], at: usize) -> usize {
        let mut at = at;
        loop {
            if at & !(BLOCK - 1) != self.start {
                self.start = at & !(BLOCK - 1);
                self.bits = block(text, self.start);
            }
            let rest = self.bits >> (at % BLOCK);
            if rest != 0 {
                return at + rest.trailing_zeros() as usize;
            }
            at = self.start + BLOCK;
        }
    }
}

/// The marks of the block that begins there. After the end of the text every byte is marked.
#[inline(always)]
fn block(text: &[u8], start: usize) -> u64 {
    let rest = text.get(start..).unwrap_or_default();
    if let Some(block) = rest.first_chunk() {
        return bits(block);
    }
    last_block(rest)
}

#[cold]
fn last_block(rest: &[u8]) -> u64 {
    let mut block = [0; BLOCK];
    if let Some(part) = block.get_mut(..rest.len()) {
        part.copy_from_slice(rest);
    }
    bits(&block)
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[allow(unsafe_code)]
fn bits(block: &[u8; BLOCK]) -> u64 {
    // SAFETY: every x86-64 processor has SSE2; it is part of the architecture.
    unsafe { bits_with_sse2(block) }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn bits_with_sse2(block: &[u8; BLOCK]) -> u64 {
    let (parts, _) = block.as_chunks::<16>();
    let mut marks = 0;
    for (place, part) in parts.iter().enumerate() {
        let part = vector(part);
        let quote = _mm_cmpeq_epi8(part, _mm_set1_epi8(b'"'.cast_signed()));
        let escape = _mm_cmpeq_epi8(part, _mm_set1_epi8(b'\\'.cast_signed()));
        // The bytes are compared as signed ones: what is not ASCII is less than zero.
        let other = _mm_cmplt_epi8(part, _mm_set1_epi8(b' '.cast_signed()));
        let found = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, escape), other));
        marks |= u64::from(found.cast_unsigned()) << (16 * place);
    }
    marks
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn vector(bytes: &[u8; 16]) -> __m128i {
    let bits = u128::from_le_bytes(*bytes).cast_signed();
    #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
    _mm_set_epi64x((bits >> 64) as i64, bits as i64)
}

#[cfg(not(target_arch = "x86_64"))]
fn bits(block: &[u8; BLOCK]) -> u64 {
    let marked = |byte: u8| matches!(byte, b'"' | b'\\' | ..b' ' | 0x80..);
    block.iter().rev().fold(0, |marks, byte| marks << 1 | u64::from(marked(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_that_may_not_simply_stand_in_a_string_is_marked_wherever_it_is() {
        for byte in 0..=u8::MAX {
            let marked = matches!(byte, b'"' | b'\\' | ..b' ' | 0x80..);
            for place in 0..130 {
                let mut text = [b'x'; 200];
                text[place] = byte;
                assert_eq!(
                    Marks::new(&text).next(&text, 0),
                    if marked { place } else { 200 },
                    "{byte} at {place}"
                );
            }
        }
    }

    #[test]
    fn marks_before_the_place_do_not_count() {
        let text = b"\"a\"";
        let mut marks = Marks::new(text);
        assert_eq!([0, 1, 3].map(|at| marks.next(text, at)), [0, 2, 3]);
    }
}
