//! The newest blocks of a chain, as far as they were heard of: what all its readers look at first.

use std::collections::VecDeque;

use super::header::Header;

/// How many headers are kept.
const LENGTH: usize = 256;

/// Headers in a row, each of which follows the one before.
#[derive(Debug, Default)]
pub(super) struct Window(VecDeque<Header>);

impl Window {
    /// The block of this number.
    pub(super) fn at(&self, number: u64) -> Option<&Header> {
        let oldest = self.0.front()?.point.number;
        self.0.get(usize::try_from(number.checked_sub(oldest)?).ok()?)
    }

    /// A node says that this is the newest block: whether that is news. A block that is here, below the newest one, is
    /// what a node says that lags. One that follows none that is here begins a row of its own.
    pub(super) fn heard(&mut self, header: Header) -> bool {
        let number = header.point.number;
        if self.at(number).is_some_and(|known| known.point == header.point) || self.precedes(&header) {
            return false;
        }
        let parent = number.checked_sub(1).and_then(|number| self.at(number));
        if parent.is_some_and(|parent| header.follows(&parent.point)) {
            while self.0.back().is_some_and(|last| last.point.number >= number) {
                self.0.pop_back();
            }
        } else {
            self.0.clear();
        }
        self.0.push_back(header);
        if self.0.len() > LENGTH {
            self.0.pop_front();
        }
        true
    }

    /// Somebody had to ask for a block: it is kept if it comes just before those that are here.
    pub(super) fn fetched(&mut self, header: &Header) {
        if self.0.len() < LENGTH && self.precedes(header) {
            self.0.push_front(header.clone());
        }
    }

    fn precedes(&self, header: &Header) -> bool {
        self.0.front().is_some_and(|oldest| oldest.follows(&header.point))
    }
}

#[cfg(test)]
mod tests {
    use super::super::header::Point;
    use super::*;

    fn header(number: u64, hash: &str, parent: &str) -> Header {
        let point = Point { number, hash: hash.into() };
        Header { point, parent: parent.into(), text: bytes::Bytes::new() }
    }

    fn numbers(window: &Window) -> Vec<u64> {
        window.0.iter().map(|header| header.point.number).collect()
    }

    #[test]
    fn heads_make_a_row() {
        let mut window = Window::default();
        assert!(window.heard(header(5, "5", "4")) && window.heard(header(6, "6", "5")));
        for known in [header(6, "6", "5"), header(5, "5", "4"), header(4, "4", "3")] {
            assert!(!window.heard(known));
        }
        assert_eq!((numbers(&window), window.0.back().unwrap().point.number), (vec![5, 6], 6));
        assert_eq!((window.at(5).unwrap().point.number, window.at(4), window.at(7)), (5, None, None));
    }

    #[test]
    fn a_branch_takes_the_place_of_what_it_parted_from() {
        let mut window = Window::default();
        for (number, hash, parent) in [(5, "5", "4"), (6, "6", "5"), (7, "7", "6")] {
            window.heard(header(number, hash, parent));
        }
        assert!(window.heard(header(6, "6b", "5")));
        assert_eq!((numbers(&window), &*window.0.back().unwrap().point.hash), (vec![5, 6], "6b"));
    }

    #[test]
    fn what_follows_nothing_begins_anew_and_is_filled_from_behind() {
        let mut window = Window::default();
        window.heard(header(5, "5", "4"));
        assert!(window.heard(header(9, "9", "8")));
        for (number, hash, parent) in [(8, "8", "7"), (6, "6", "5"), (7, "7b", "6"), (7, "7", "6")] {
            window.fetched(&header(number, hash, parent));
        }
        assert_eq!(numbers(&window), [7, 8, 9]);
    }

    #[test]
    fn the_oldest_go_when_there_are_many() {
        let mut window = Window::default();
        for number in 1..1000_u64 {
            window.heard(header(number, &number.to_string(), &(number - 1).to_string()));
        }
        assert_eq!((window.0.len(), window.0[0].point.number), (LENGTH, 744));
        window.fetched(&header(743, "743", "742"));
        assert_eq!(window.0.len(), LENGTH);
    }
}
