//! An answer that trickles in must not keep its connection for ever: once it has begun, it has to go on.
//!
//! A node that has not begun to answer may think as long as the deadline lets it. The window is long enough for nodes
//! that write an answer while they are still at work on it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::engine::deadline::Call;
use crate::engine::error::{Error, Kind, Phase, Result};

/// How much of an answer has to come in any ...
const LEAST: usize = 10 * 1024;
/// ... of these times in which it is waited for.
const WINDOW: Duration = Duration::from_secs(10);

/// How fast an answer comes in. Nothing is measured until it has to be waited for.
#[derive(Default)]
pub(super) struct Pace {
    window: Option<Pin<Box<Sleep>>>,
    received: usize,
}

impl Pace {
    /// The next piece of the answer.
    ///
    /// # Errors
    /// `RequestTimeout` when too little has come for too long.
    pub(super) async fn next<T>(
        &mut self,
        mut piece: impl Future<Output = T> + Unpin,
        call: &Call,
    ) -> Result<T> {
        poll_fn(|cx| {
            if let Poll::Ready(piece) = Pin::new(&mut piece).poll(cx) {
                return Poll::Ready(Ok(piece));
            }
            loop {
                let window = self.window.get_or_insert_with(|| Box::pin(sleep(WINDOW)));
                ready!(window.as_mut().poll(cx));
                if self.received < LEAST {
                    return Poll::Ready(Err(too_slow(self.received, call)));
                }
                self.received = 0;
                window.as_mut().reset(Instant::now() + WINDOW);
            }
        })
        .await
    }

    /// So many bytes came in.
    pub(super) const fn count(&mut self, bytes: usize) {
        self.received += bytes;
    }
}

fn too_slow(received: usize, call: &Call) -> Error {
    let seconds = WINDOW.as_secs();
    let message =
        format!("the answer came in too slowly: {received} of at least {LEAST} bytes in {seconds} s");
    Error::new(Kind::RequestTimeout, message).with(|facts| {
        facts.phase = Some(Phase::Receive);
        facts.elapsed = Some(call.elapsed());
    })
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    /// What comes of an answer of `pieces` pieces of `size` bytes, one every `every`, and how long that took.
    async fn answer(pieces: usize, size: usize, every: Duration) -> (Result<()>, Duration) {
        let (call, began) = (Call::new(None), Instant::now());
        let mut pace = Pace::default();
        for _ in 0..pieces {
            if let Err(error) = pace.next(pin!(sleep(every)), &call).await {
                return (Err(error), began.elapsed());
            }
            pace.count(size);
        }
        (Ok(()), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_trickles_is_cut_after_its_window() {
        let (result, took) = answer(1_000, 1, Duration::from_secs(1)).await;
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.facts().phase), (Kind::RequestTimeout, Some(Phase::Receive)));
        assert!(error.message().contains("bytes in 10 s"), "{error}");
        assert!(took.abs_diff(WINDOW) < Duration::from_secs(1), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_was_fast_and_then_stalls_is_cut_too() {
        let (call, mut pace) = (Call::new(None), Pace::default());
        pace.next(pin!(sleep(Duration::from_secs(1))), &call).await.unwrap();
        pace.count(1 << 20);
        let began = Instant::now();
        pace.next(pin!(std::future::pending::<()>()), &call).await.unwrap_err();
        assert!(began.elapsed() < 2 * WINDOW);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_line_is_fast_enough() {
        assert!(answer(100, 2048, Duration::from_secs(1)).await.0.is_ok());
        assert!(answer(20, 64 * 1024, Duration::from_secs(9)).await.0.is_ok());
    }
}
