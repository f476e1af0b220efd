//! When everybody in a line will be admitted, where no formula tells it.
//!
//! One window and a line of single units have a formula. Heavier requests leave gaps in a window, and several windows
//! delay one another, so the admissions are gone through in their order.

use tokio::time::Instant;

use super::window::Window;

/// Some units that are admitted together.
#[derive(Debug, Clone, Copy)]
struct Step {
    at: Instant,
    /// The number of the last unit in it.
    end: u64,
}

/// The admissions to come, if everybody goes on at once and nobody leaves the line.
#[derive(Debug)]
pub(super) struct Plan {
    made: Instant,
    steps: Vec<Step>,
}

impl Plan {
    /// The plan of a line with these amounts, in their order. The windows have seen what happened until `now`.
    pub(super) fn new(now: Instant, windows: &[Window], amounts: impl Iterator<Item = u64>) -> Self {
        let mut plan = Self { made: now, steps: Vec::new() };
        for amount in amounts {
            plan.push(windows, amount);
        }
        plan
    }

    /// When it was made.
    pub(super) fn made(&self) -> Instant {
        self.made
    }

    /// Somebody joins the end of the line.
    pub(super) fn push(&mut self, windows: &[Window], amount: u64) {
        let step = self.next(windows, amount);
        self.steps.push(step);
    }

    /// When somebody who joined the end of the line would be admitted.
    pub(super) fn end(&self, windows: &[Window], amount: u64) -> Instant {
        self.next(windows, amount).at
    }

    fn next(&self, windows: &[Window], amount: u64) -> Step {
        let admitted = windows.first().map_or(0, Window::admitted);
        let before = self.steps.last().copied().unwrap_or(Step { at: self.made, end: admitted });
        let end = before.end + amount;
        let free = windows.iter().filter_map(|window| self.leaves(window, end.saturating_sub(window.max())));
        Step { at: free.fold(before.at, Instant::max), end }
    }

    /// When the unit numbered `unit` leaves the window, unless it has left.
    fn leaves(&self, window: &Window, unit: u64) -> Option<Instant> {
        if unit <= window.admitted() {
            return window.leaves(unit);
        }
        let step = self.steps.get(self.steps.partition_point(|step| step.end < unit))?;
        step.at.checked_add(window.span())
    }
}
