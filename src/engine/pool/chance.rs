//! The little chance that a pool needs, to keep things from happening all at once.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// A number from 0 up to 1, without it. The standard library's hasher is seeded by chance, which is all of it.
pub(super) fn fraction() -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let chance = (RandomState::new().hash_one(0_u8) >> 11) as f64 / (1_u64 << 53) as f64;
    chance
}
