//! The limit: what an expert would write in Rust for just this work, with the checks that the product makes.
//!
//! It is a worker like those in Python: `limit '{"url": …}'` connects, says that it is ready, and then answers every
//! `go SECONDS` on its standard input with one line of JSON.

mod connect;
mod exchange;
mod process;
mod round;

use std::io::{BufRead, Write};

use serde::Deserialize;
use tokio::task::LocalSet;

use crate::exchange::Failure;

/// What the client is asked to do.
#[derive(Deserialize)]
pub struct Task {
    /// Where the node is.
    pub url: String,
    /// The authority that a TLS node is signed by, as a PEM file.
    pub ca: String,
    /// What a request asks for.
    pub work: Work,
    /// How many requests are in flight at a time.
    pub in_flight: usize,
    /// Whether requests share connections by HTTP/2.
    pub h2: bool,
}

/// The kinds of work that have a limit.
#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// A short answer.
    Small,
    /// A block of 200 KB, left as JSON text.
    Block,
    /// A batch of 100 short answers.
    Batch,
}

fn main() -> Result<(), Failure> {
    let task = std::env::args().nth(1).ok_or("usage: limit TASK")?;
    let task: Task = serde_json::from_str(&task)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let mut clients = local.block_on(&runtime, connect::all(&task))?;
    let mut out = std::io::stdout();
    writeln!(out, "{{\"ready\": true}}")?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let seconds = line.strip_prefix("go ").ok_or("expected: go SECONDS")?.parse()?;
        let figures = local.block_on(&runtime, round::run(&mut clients, task.work, seconds))?;
        writeln!(out, "{}", serde_json::to_string(&figures)?)?;
    }
    Ok(())
}
