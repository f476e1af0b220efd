//! Equal calls at a time are one: whoever comes first makes it, the others wait for what comes of it.
//!
//! If the first is cancelled, or its own time runs out, another of them makes the call; each waits no longer than its
//! own deadline, which ends its future.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::OnceCell;

use crate::engine::error::{Error, Kind, Result};

/// The calls that are under way, by their texts.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Box<[u8]>, Flight>>);

struct Flight {
    landing: Arc<Landing>,
    seats: usize,
}

/// What all get; `None` when each must ask for itself.
type Landing = OnceCell<Option<Result<Bytes>>>;

/// What a call came to.
pub(super) enum Flown {
    /// It was made by this caller.
    Own(Result<Bytes>),
    /// It was made by another.
    Shared(Result<Bytes>),
    /// It was made by another, and what came of it may be something else by now.
    Alone,
}

impl Flights {
    /// Wait for a call that is under way, or make it: `ask` tells its result and whether that is settled, so that
    /// those who came after it was asked for may have it too.
    pub(super) async fn join(
        &self,
        call: &[u8],
        ask: impl Future<Output = (Result<Bytes>, bool)> + Send,
    ) -> Flown {
        let seat = Seat::take(self, call);
        let mut own = None;
        let landed = seat.landing.get_or_try_init(|| async {
            let (result, is_settled) = ask.await;
            let shared = match &result {
                Ok(_) => is_settled.then(|| result.clone()),
                Err(error) if is_callers_own(error) => {
                    own = Some(result);
                    return Err(());
                }
                Err(error) => (error.kind() != Kind::NodeBehind).then(|| result.clone()),
            };
            // Who comes from now on asks anew: this answer may be older than the question.
            seat.close();
            own = Some(result);
            Ok(shared)
        });
        let landed = landed.await.ok().cloned().flatten();
        match (own, landed) {
            (Some(result), _) => Flown::Own(result),
            (None, Some(result)) => Flown::Shared(result),
            (None, None) => Flown::Alone,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, Flight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the error is about the time that its caller had, which others may have more of.
fn is_callers_own(error: &Error) -> bool {
    match error.kind() {
        Kind::PoolTimeout
        | Kind::RequestTimeout
        | Kind::ConnectTimeout
        | Kind::LimiterTimeout
        | Kind::TooManyWaiters => true,
        _ => error.is_too_late(),
    }
}

/// A caller's part in a call. The last who leaves forgets the call.
struct Seat<'a> {
    flights: &'a Flights,
    call: &'a [u8],
    landing: Arc<Landing>,
}

impl<'a> Seat<'a> {
    fn take(flights: &'a Flights, call: &'a [u8]) -> Self {
        let mut under_way = flights.lock();
        let landing = if let Some(flight) = under_way.get_mut(call) {
            flight.seats += 1;
            Arc::clone(&flight.landing)
        } else {
            let landing = Arc::<Landing>::default();
            under_way.insert(call.into(), Flight { landing: Arc::clone(&landing), seats: 1 });
            landing
        };
        drop(under_way);
        Self { flights, call, landing }
    }

    /// Nobody else joins it.
    fn close(&self) {
        let mut under_way = self.flights.lock();
        if under_way.get(self.call).is_some_and(|flight| Arc::ptr_eq(&flight.landing, &self.landing)) {
            under_way.remove(self.call);
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut under_way = self.flights.lock();
        let Some(flight) = under_way.get_mut(self.call) else { return };
        if Arc::ptr_eq(&flight.landing, &self.landing) {
            flight.seats -= 1;
            if flight.seats == 0 {
                under_way.remove(self.call);
            }
        }
    }
}

#[cfg(test)]
#[path = "flights_tests.rs"]
mod tests;
