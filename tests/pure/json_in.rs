//! What of `src/bindings/json_in` reads text and makes no objects.

#![allow(dead_code, reason = "the rest of the module uses them")]

#[cfg(target_arch = "x86_64")]
#[path = "../../src/bindings/json_in/blocks.rs"]
mod blocks;
#[path = "../../src/bindings/json_in/cursor.rs"]
mod cursor;
#[path = "../../src/bindings/json_in/escapes.rs"]
mod escapes;

pub use cursor::{Cursor, NotJson};
pub use escapes::unescape;

/// As in the module itself.
pub const MAX_DEPTH: usize = 2_100;
