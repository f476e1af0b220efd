//! What is known of one client: how often it passed in each sub-window that may count, in 32 bytes.

/// The sub-windows that may count: a window of sixteen, and the one that is just leaving.
const ROW: usize = 17;
/// The same: a request no longer counts so many sub-windows after its own.
pub(super) const LIFE: u64 = ROW as u64;
/// How many sub-windows a window has.
pub(super) const PARTS: u64 = LIFE - 1;

/// A counter as small as the limit allows.
pub(super) trait Counter: Copy + Default + Into<u64> {
    fn next(self) -> Self;
}

macro_rules! counters {
    ($($counter:ty),*) => {
        $(impl Counter for $counter {
            fn next(self) -> Self {
                self.saturating_add(1)
            }
        })*
    };
}

counters!(u8, u16, u32);

/// What a request met.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It counts; so many more may follow.
    Admitted { remaining: u64 },
    /// It does not; the oldest that does was made in this sub-window.
    Refused { oldest: u64 },
}

/// What one client did in the last sub-windows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<C> {
    pub(super) client: u64,
    counts: [C; ROW],
    /// The last digits of the newest sub-window. A row that nobody looks at until they repeat, after 74 hours or
    /// more, may count for one window too long.
    newest: u32,
    /// Refusals and failures since the last multiple of a window, as far as a byte can count.
    refused: u8,
    failed: u8,
}

impl<C: Counter> Row<C> {
    pub(super) fn new() -> Self {
        Self { client: 0, counts: [C::default(); ROW], newest: 0, refused: 0, failed: 0 }
    }

    /// The same counts for another client, of whom nothing bad is known.
    pub(super) fn of(self, client: u64) -> Self {
        Self { client, refused: 0, failed: 0, ..self }
    }

    /// Whether nothing in it counts any more in sub-window `part`.
    pub(super) fn is_idle(&self, part: u64) -> bool {
        self.age(part) >= LIFE
    }

    /// Judge a request in sub-window `part`, and count it if it may pass.
    pub(super) fn judge(&mut self, part: u64, limit: u64) -> Verdict {
        self.advance(part);
        let total: u64 = self.counts.iter().map(|&count| count.into()).sum();
        if total >= limit {
            self.refused = self.refused.saturating_add(1);
            return Verdict::Refused { oldest: self.oldest(part) };
        }
        let counter = &mut self.counts[place(part)];
        *counter = counter.next();
        Verdict::Admitted { remaining: limit - total - 1 }
    }

    /// How often it was refused in this window, 255 for more.
    pub(super) fn refused(&self) -> u8 {
        self.refused
    }

    /// Count a failure in sub-window `part`: how many there are in this window, 255 for more.
    pub(super) fn fail(&mut self, part: u64) -> u8 {
        self.advance(part);
        self.failed = self.failed.saturating_add(1);
        self.failed
    }

    /// Forget what no longer counts in sub-window `part`.
    pub(super) fn advance(&mut self, part: u64) {
        let age = self.age(part);
        for gone in 0..age.min(LIFE) {
            self.counts[place(part.wrapping_sub(gone))] = C::default();
        }
        if age > part % PARTS {
            (self.refused, self.failed) = (0, 0);
        }
        self.newest = digits(part);
    }

    fn age(&self, part: u64) -> u64 {
        digits(part).wrapping_sub(self.newest).into()
    }

    /// The oldest sub-window in which something counts.
    fn oldest(&self, part: u64) -> u64 {
        let first = part.saturating_sub(PARTS);
        (first..part).find(|&part| self.counts[place(part)].into() > 0).unwrap_or(part)
    }
}

/// Where the sub-window `part` has its counter.
fn place(part: u64) -> usize {
    usize::try_from(part % LIFE).unwrap_or_default()
}

#[expect(clippy::cast_possible_truncation, reason = "the last digits are what is wanted")]
fn digits(part: u64) -> u32 {
    part as u32
}
