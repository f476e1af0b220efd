//! The engine's records on Python's loggers: `genesis_replicator` and a child for each area.
//!
//! The service thread hands them over in order, and looks ten times a second which levels are wanted. No I/O thread
//! ever waits for a handler.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, UNIX_EPOCH};

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::process::PerProcess;
use super::runtime;
use crate::engine::log::{Area, Level, Log, Record};

/// How long `stop` waits for its records to be handed over: a handler may block for ever.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// How many records are handed over between two looks at the levels.
const ROUND: usize = 64;

/// How long records may keep the service thread from its other work.
const ROUND_TIME: Duration = Duration::from_millis(50);

static LOG: PerProcess<Option<Logging>> = PerProcess::new();

struct Logging {
    log: Log,
    /// Taken by the service thread when the first pool is used.
    records: Option<Receiver<Record>>,
}

/// One logger for each area, in the order of their numbers.
type Loggers = Arc<[Py<PyAny>]>;

/// The log of this process. Making it starts no thread.
pub fn log() -> Log {
    LOG.with(|slot| slot.get_or_insert_with(Logging::new).log.clone())
}

/// From now on records are handed over.
pub fn begin(py: Python<'_>) -> PyResult<()> {
    let taken = LOG.with(|slot| {
        let logging = slot.get_or_insert_with(Logging::new);
        logging.records.take().map(|records| (logging.log.clone(), records))
    });
    let Some((log, records)) = taken else { return Ok(()) };
    let loggers = find_loggers(py)?;
    set_thresholds(py, &log, &loggers)?;
    let delivery = Delivery { log, records, loggers };
    runtime::on_tick(py, || true, move |py| delivery.run(py).map(|()| true))
}

/// The same, and the levels of this moment count at once instead of a tenth of a second later.
pub fn refresh(py: Python<'_>) -> PyResult<()> {
    begin(py)?;
    set_thresholds(py, &log(), &find_loggers(py)?)
}

impl Logging {
    fn new() -> Self {
        let (log, records) = Log::new();
        Self { log, records: Some(records) }
    }
}

struct Delivery {
    log: Log,
    records: Receiver<Record>,
    loggers: Loggers,
}

impl Delivery {
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        let until = Instant::now() + ROUND_TIME;
        loop {
            // Looked at again and again, so that a flood of records can be turned off while it lasts.
            set_thresholds(py, &self.log, &self.loggers)?;
            let delivered = self.records.try_iter().take(ROUND).map(|record| {
                // A handler that raises must not keep later records from the others.
                if let Err(error) = self.hand_over(py, &record) {
                    error.write_unraisable(py, None);
                }
                self.log.mark_delivered();
            });
            if delivered.count() < ROUND || Instant::now() > until {
                break;
            }
        }
        match self.log.take_dropped() {
            0 => Ok(()),
            dropped => {
                let text = format!("{dropped} log records were dropped: the handlers are too slow");
                self.loggers[Area::Manager as usize].call_method1(py, "warning", (text,)).map(drop)
            }
        }
    }

    fn hand_over(&self, py: Python<'_>, record: &Record) -> PyResult<()> {
        let logger = self.loggers[record.area as usize].bind(py);
        let name = logger.getattr("name")?;
        let empty = PyTuple::empty(py);
        // The text is no format: its per cent signs are the server's.
        let arguments =
            (name, number(record.level), "genesis_replicator", 0, &record.message, empty, py.None());
        let entry = logger.call_method1("makeRecord", arguments)?;
        if let Ok(at) = record.at.duration_since(UNIX_EPOCH) {
            entry.setattr("created", at.as_secs_f64())?;
            entry.setattr("msecs", at.subsec_millis())?;
        }
        logger.call_method1("handle", (entry,)).map(drop)
    }
}

/// Tell the engine which levels are wanted now.
fn set_thresholds(py: Python<'_>, log: &Log, loggers: &Loggers) -> PyResult<()> {
    for (area, logger) in Area::ALL.into_iter().zip(loggers.iter()) {
        let mut lowest = None;
        for level in [Level::Warning, Level::Info, Level::Debug] {
            if logger.call_method1(py, "isEnabledFor", (number(level),))?.is_truthy(py)? {
                lowest = Some(level);
            }
        }
        log.set_threshold(area, lowest);
    }
    Ok(())
}

fn find_loggers(py: Python<'_>) -> PyResult<Loggers> {
    let logging = py.import("logging")?;
    let logger = |area: Area| {
        let name = format!("genesis_replicator.{}", area.name());
        logging.call_method1("getLogger", (name,)).map(Bound::unbind)
    };
    Area::ALL.into_iter().map(logger).collect()
}

/// The number that Python's logging has for a level.
const fn number(level: Level) -> u8 {
    match level {
        Level::Debug => 10,
        Level::Info => 20,
        Level::Warning => 30,
    }
}
