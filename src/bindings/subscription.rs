//! `Subscription`: what a chain tells, item by item.

use std::sync::Arc;

use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::prelude::*;

use super::answers;
use super::bridge::{Coroutine, Finished, Start};
use super::decode::in_slices;
use super::json_in::Decoder;
use super::staged::{Ends, Staged};
use super::turn::Turn;
use crate::engine::chain::{Subscription as Engine, Told, Topic};
use crate::engine::manager::Manager;

/// What is subscribed to.
pub struct Plan {
    pub manager: Manager,
    pub chain_id: String,
    pub topic: Topic,
}

/// What `ChainManager.subscribe` gives: what a chain tells, as it comes.
///
/// It is an async iterator, and begins with its first item. As `async with` it begins at once, and ends with the block.
/// It is ended by `await aclose()`, and when nobody holds it any more.
#[pyclass(frozen, module = "genesis_replicator")]
pub struct Subscription {
    reader: Staged<Plan, Engine>,
    turn: Turn,
}

impl Ends for Engine {
    fn end(&self) {
        self.close();
    }
}

impl Subscription {
    /// A subscription that has not begun.
    pub fn new(plan: Plan) -> Self {
        Self { reader: Staged::new(plan), turn: Turn::new() }
    }

    /// The reader. `None` after the end.
    fn running(&self, py: Python<'_>) -> PyResult<Option<Arc<Engine>>> {
        self.reader.running(py, |plan| {
            plan.manager.chain(&plan.chain_id).map(|chain| Engine::new(chain, plan.topic.clone()))
        })
    }

    fn closing(slf: &Bound<'_, Self>, name: &'static str) -> Coroutine {
        let subscription = slf.clone().unbind();
        let close = move |py: Python<'_>, ()| {
            subscription.get().reader.close();
            answers::none(py, ())
        };
        Coroutine::new(name, Start::Poll, async { Ok(()) }, close)
    }
}

#[pymethods]
impl Subscription {
    /// While it is open, how many items were let go because they were read too slowly. Heads and logs never are.
    #[getter]
    fn missed(&self) -> PyResult<u64> {
        Ok(self.reader.open()?.map_or(0, |engine| engine.missed()))
    }

    fn __aiter__<'a, 'py>(slf: &'a Bound<'py, Self>) -> &'a Bound<'py, Self> {
        slf
    }

    fn __anext__(slf: &Bound<'_, Self>) -> Coroutine {
        const NAME: &str = "Subscription.__anext__";
        Coroutine::checked(NAME, || {
            let engine = slf.get().running(slf.py())?;
            // Looking for the next item is work, and not the event loop's. Taking one that is there is not.
            let is_ready = engine.as_ref().is_some_and(|engine| engine.is_ready());
            let start = if is_ready { Start::Poll } else { Start::Spawn };
            let next = async move {
                match engine {
                    Some(engine) => engine.next().await,
                    None => Ok(None),
                }
            };
            let subscription = slf.clone().unbind();
            let give = move |py: Python<'_>, told| subscription.get().turn.before(py, told, give);
            Ok(Coroutine::new(NAME, start, next, give).keeping(slf.clone().into_any().unbind()))
        })
    }

    /// End it. The second time does nothing.
    fn aclose(slf: &Bound<'_, Self>) -> Coroutine {
        Self::closing(slf, "Subscription.aclose")
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> Coroutine {
        const NAME: &str = "Subscription.__aenter__";
        Coroutine::checked(NAME, || {
            let engine = slf.get().running(slf.py())?;
            let begin = async move {
                match engine {
                    Some(engine) => engine.begin().await,
                    None => Ok(()),
                }
            };
            let coroutine = Coroutine::new(NAME, Start::Spawn, begin, answers::none);
            Ok(coroutine.giving(slf.clone().into_any().unbind()))
        })
    }

    fn __aexit__(
        slf: &Bound<'_, Self>,
        _exc_type: &Bound<'_, PyAny>,
        _exc: &Bound<'_, PyAny>,
        _tb: &Bound<'_, PyAny>,
    ) -> Coroutine {
        Self::closing(slf, "Subscription.__aexit__")
    }
}

/// The item, or the end.
fn give(py: Python<'_>, told: Option<Told>) -> PyResult<Finished> {
    let end = || PyStopAsyncIteration::new_err(());
    in_slices(py, told.ok_or_else(end)?, Decoder::default(), move |_, told, item| {
        told.take().ok_or_else(end)?;
        item
    })
}
