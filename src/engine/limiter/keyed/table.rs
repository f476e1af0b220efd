//! Rows by client, packed: they lie side by side without a gap, in pieces that are made and freed one at a time.
//!
//! An index of four bytes a client finds them. It grows in small parts as well, so that no request waits for a crowd
//! to be moved.

use hashbrown::HashTable;
use hashbrown::hash_table::{AbsentEntry, OccupiedEntry};

use super::row::{Counter, Row};

/// Rows that are allocated at once.
const PIECE: usize = 1024;
/// Parts of the index.
const SHARDS: usize = 256;

#[derive(Debug)]
pub(super) struct Table<C> {
    pieces: Vec<Vec<Row<C>>>,
    len: usize,
    /// Places of rows, found by their clients.
    index: Box<[HashTable<u32>]>,
}

impl<C: Counter> Table<C> {
    pub(super) fn new() -> Self {
        Self { pieces: Vec::new(), len: 0, index: (0..SHARDS).map(|_| HashTable::new()).collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get_mut(&mut self, client: u64) -> Option<&mut Row<C>> {
        let pieces = &self.pieces;
        let found = self.index[shard(client)].find(client, |&place| client_at(pieces, place) == Some(client));
        let (piece, within) = split(*found?);
        self.pieces.get_mut(piece)?.get_mut(within)
    }

    /// The row at `place`, from 0 to `len`.
    pub(super) fn at(&self, place: usize) -> Option<&Row<C>> {
        self.pieces.get(place / PIECE)?.get(place % PIECE)
    }

    /// Add the row of a client that has none.
    pub(super) fn insert(&mut self, row: Row<C>) {
        let Ok(place) = u32::try_from(self.len) else { return };
        if self.len.is_multiple_of(PIECE) {
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        if let Some(piece) = self.pieces.last_mut() {
            piece.push(row);
        }
        self.len += 1;
        let pieces = &self.pieces;
        let hash = |&place: &u32| client_at(pieces, place).unwrap_or_default();
        self.index[shard(row.client)].insert_unique(row.client, place, hash);
    }

    /// Remove the row at `place`; the last one moves there.
    pub(super) fn remove(&mut self, place: usize) {
        let Some(last) = self.len.checked_sub(1) else { return };
        let (Some(&gone), Some(&moved)) = (self.at(place), self.at(last)) else { return };
        if let Ok(entry) = self.entry(gone.client, place) {
            entry.remove();
        }
        if place != last
            && let (Ok(mut entry), Ok(to)) = (self.entry(moved.client, last), u32::try_from(place))
        {
            *entry.get_mut() = to;
            self.pieces[place / PIECE][place % PIECE] = moved;
        }
        self.pieces[last / PIECE].pop();
        self.pieces.truncate(last.div_ceil(PIECE));
        self.len = last;
        self.shrink(shard(gone.client));
    }

    fn entry(&mut self, client: u64, place: usize) -> Result<OccupiedEntry<'_, u32>, AbsentEntry<'_, u32>> {
        self.index[shard(client)].find_entry(client, |&known| split(known) == (place / PIECE, place % PIECE))
    }

    /// Give back what a crowd that has left took of the index.
    fn shrink(&mut self, shard: usize) {
        let (pieces, shard) = (&self.pieces, &mut self.index[shard]);
        if shard.len() < shard.capacity() / 4 {
            shard.shrink_to(shard.len() * 2, |&place| client_at(pieces, place).unwrap_or_default());
        }
    }
}

/// Ids are hashed at random, so any part of one is as good as another. The table itself uses both ends.
fn shard(client: u64) -> usize {
    usize::try_from(client >> 32).unwrap_or_default() % SHARDS
}

fn split(place: u32) -> (usize, usize) {
    let place = usize::try_from(place).unwrap_or(usize::MAX);
    (place / PIECE, place % PIECE)
}

fn client_at<C>(pieces: &[Vec<Row<C>>], place: u32) -> Option<u64> {
    let (piece, within) = split(place);
    pieces.get(piece)?.get(within).map(|row| row.client)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::row::Verdict;
    use super::*;

    /// A number that looks like a hash.
    fn scattered(n: u64) -> u64 {
        n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17)
    }

    #[test]
    fn rows_are_found_wherever_removals_moved_them() {
        let mut table = Table::<u8>::new();
        let mut known = HashMap::new();
        for n in 0..50_000_u64 {
            let client = scattered(n);
            let mut row = Row::new().of(client);
            assert!(row.judge(n % 7, 10) != row.judge(n % 7, 10));
            known.insert(client, n % 7);
            table.insert(row);
            if n % 3 == 0 {
                let place = usize::try_from(scattered(n + 1)).unwrap() % table.len();
                known.remove(&table.at(place).unwrap().client);
                table.remove(place);
            }
        }
        assert_eq!(table.len(), known.len());
        for n in 0..50_000 {
            let row = table.get_mut(scattered(n)).map(|row| row.judge(n % 7, 3));
            assert_eq!(row.is_some(), known.contains_key(&scattered(n)), "{n}");
            assert!(row.is_none_or(|verdict| verdict == Verdict::Admitted { remaining: 0 }));
        }
    }

    #[test]
    fn a_crowd_that_left_leaves_no_memory_behind() {
        let mut table = Table::<u8>::new();
        for n in 0..100_000 {
            table.insert(Row::new().of(scattered(n)));
        }
        while table.len() > 10 {
            table.remove(table.len() / 2);
        }
        let index: usize = table.index.iter().map(HashTable::capacity).sum();
        assert!(
            table.pieces.len() == 1 && index < 4 * SHARDS,
            "{} pieces, {index} places",
            table.pieces.len()
        );
    }
}
