//! Where in the arguments something is, like `params[1]['to']`.

use std::fmt::Write as _;

use super::Open;

/// How many steps are shown, and how much of a key: enough to find the place.
const STEPS: usize = 8;
const KEY: usize = 40;

/// The place of the item that was begun last.
pub fn of(open: &[Open<'_>]) -> String {
    let mut place = String::from("params");
    for container in open.iter().take(STEPS) {
        // Writing to a string cannot fail.
        let _ = match &container.key {
            Some(key) => write!(place, "[{}]", shown(&key.to_string())),
            None => write!(place, "[{}]", container.count.saturating_sub(1)),
        };
    }
    if open.len() > STEPS {
        place.push('…');
    }
    place
}

fn shown(key: &str) -> String {
    let mut shown: String = key.chars().take(KEY).collect();
    if shown.len() < key.len() {
        shown.push('…');
    }
    format!("'{}'", shown.escape_debug())
}
