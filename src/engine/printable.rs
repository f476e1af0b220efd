//! Words of others, made fit for errors and logs.

/// How many characters of a server's words are shown.
const SHOWN: usize = 500;

/// A server's words, fit for one line of a log: at most 500 characters, none of which ends the line, moves the cursor or
/// changes the order in which others are read.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).map(visible).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// All of a text, as one line.
#[must_use]
pub fn one_line(text: String) -> String {
    if text.chars().any(is_hidden) { text.chars().map(visible).collect() } else { text }
}

fn visible(c: char) -> char {
    if is_hidden(c) { char::REPLACEMENT_CHARACTER } else { c }
}

/// Controls, separators of lines, and what has no width: joiners, marks of direction, tags, the byte order mark.
fn is_hidden(c: char) -> bool {
    // Nearly all are ASCII.
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_words_cannot_break_a_line_nor_turn_it_around() {
        assert_eq!(printable("a\r\n\u{1b}[31mb"), "a\u{fffd}\u{fffd}\u{fffd}[31mb");
        assert_eq!(printable("a\u{202e}b\u{200b}c\u{2028}d"), "a\u{fffd}b\u{fffd}c\u{fffd}d");
        assert_eq!(printable("é 中 👍"), "é 中 👍");
    }

    #[test]
    fn they_are_cut_and_our_own_lines_are_not() {
        assert_eq!(printable(&"x".repeat(600)).chars().count(), 501);
        assert_eq!(one_line(format!("{}\n", "x".repeat(600))), format!("{}\u{fffd}", "x".repeat(600)));
    }
}
