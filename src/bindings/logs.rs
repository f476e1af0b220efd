//! `LogStream`: logs of any number of blocks, piece by piece.

use std::sync::Arc;

use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::prelude::*;
use pyo3::types::PyRange;

use super::answers;
use super::bridge::{Coroutine, Finished, Start};
use super::decode::in_slices;
use super::json_in::Decoder;
use super::staged::{Ends, Staged};
use crate::engine::blocks::Blocks;
use crate::engine::chain::{LogFilter, LogOptions, LogPiece, LogStream as Engine};
use crate::engine::manager::Manager;

/// What is searched, and how.
pub struct Search {
    pub manager: Manager,
    pub chain_id: String,
    pub filter: LogFilter,
    pub options: LogOptions,
}

/// The logs of `ChainManager.stream_logs`, as pairs of a `range` of blocks and the list of their logs.
///
/// It is an async iterator. Its requests are ended by `await aclose()`, and when nobody holds it any more.
#[pyclass(frozen, module = "genesis_replicator")]
pub struct LogStream(Staged<Search, Engine>);

impl Ends for Engine {
    fn end(&self) {
        self.close();
    }
}

impl LogStream {
    /// A search that begins when the first piece is asked for.
    pub fn new(search: Search) -> Self {
        Self(Staged::new(search))
    }

    /// The search; it begins now if it has not. `None` after the end.
    fn running(&self, py: Python<'_>) -> PyResult<Option<Arc<Engine>>> {
        self.0.running(py, |search| {
            let chain = search.manager.chain(&search.chain_id)?;
            Ok(Engine::new(chain, search.filter.clone(), search.options))
        })
    }
}

#[pymethods]
impl LogStream {
    /// All blocks that are searched, as a `range`; `None` before the first piece, and when there are none.
    #[getter]
    fn blocks<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyRange>>> {
        let blocks = self.0.open()?.and_then(|engine| engine.blocks());
        blocks.map(|blocks| range(py, blocks)).transpose()
    }

    fn __aiter__<'a, 'py>(slf: &'a Bound<'py, Self>) -> &'a Bound<'py, Self> {
        slf
    }

    fn __anext__(slf: &Bound<'_, Self>) -> Coroutine {
        const NAME: &str = "LogStream.__anext__";
        Coroutine::checked(NAME, || {
            let engine = slf.get().running(slf.py())?;
            let next = async move {
                match engine {
                    Some(engine) => engine.next().await,
                    None => Ok(None),
                }
            };
            // Looking through the answers is work, and not the event loop's.
            Ok(Coroutine::new(NAME, Start::Spawn, next, give).keeping(slf.clone().into_any().unbind()))
        })
    }

    /// End every request that is under way. The second time does nothing.
    fn aclose(slf: &Bound<'_, Self>) -> Coroutine {
        let stream = slf.clone().unbind();
        let close = move |py: Python<'_>, ()| {
            stream.get().0.close();
            answers::none(py, ())
        };
        Coroutine::new("LogStream.aclose", Start::Poll, async { Ok(()) }, close)
    }
}

fn range(py: Python<'_>, blocks: Blocks) -> PyResult<Bound<'_, PyRange>> {
    let edge = |block: u64| isize::try_from(block).unwrap_or(isize::MAX);
    PyRange::new(py, edge(blocks.first()), edge(blocks.last().saturating_add(1)))
}

/// The pair that a piece is in Python, or the end of the stream.
fn give(py: Python<'_>, piece: Option<LogPiece>) -> PyResult<Finished> {
    let end = || PyStopAsyncIteration::new_err(());
    in_slices(py, piece.ok_or_else(end)?, Decoder::default(), move |py, piece, logs| {
        let (blocks, _) = piece.take().ok_or_else(end)?;
        Ok((range(py, blocks)?, logs?).into_pyobject(py)?.into_any().unbind())
    })
}
