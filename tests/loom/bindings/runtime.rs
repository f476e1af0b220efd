//! Stands in for the runtime: a line and a flusher without a thread.

use std::sync::Arc;

use super::bridge::line::Line;
use super::bridge::queue::Flusher;

/// Where jobs go.
#[derive(Default)]
pub struct Io {
    pub line: Arc<Line>,
    pub flusher: Flusher,
}

/// There is no context to enter.
pub struct Entered;

impl Io {
    pub fn line(&self) -> &Line {
        &self.line
    }

    pub fn flusher(&self) -> &Flusher {
        &self.flusher
    }

    #[allow(clippy::unused_self, reason = "the real one has a runtime to enter")]
    pub fn enter(&self) -> Entered {
        Entered
    }
}
