//! One round: as many requests as the given time allows, and what they cost.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;

use crate::exchange::{Client, Failure};
use crate::{Work, process};

/// What a round says. The times of requests are in microseconds.
#[derive(Serialize)]
pub struct Figures {
    requests: usize,
    seconds: f64,
    cpu: f64,
    p50: f64,
    p99: f64,
    rss: u64,
}

/// Keep all clients busy for so many seconds.
pub async fn run(clients: &mut Vec<Client>, work: Work, seconds: f64) -> Result<Figures, Failure> {
    let cpu = process::cpu_time();
    let start = Instant::now();
    let end = start + Duration::try_from_secs_f64(seconds)?;
    let mut asking = JoinSet::new();
    for client in clients.drain(..) {
        asking.spawn_local(keep_asking(client, work, end));
    }
    let mut times = Vec::new();
    while let Some(joined) = asking.join_next().await {
        let (client, its_times) = joined??;
        clients.push(client);
        times.extend(its_times);
    }
    let seconds = start.elapsed().as_secs_f64();
    let cpu = process::cpu_time().saturating_sub(cpu).as_secs_f64();
    times.sort_unstable();
    Ok(Figures {
        requests: times.len(),
        seconds,
        cpu,
        p50: quantile(&times, 50),
        p99: quantile(&times, 99),
        rss: process::resident_kilobytes()?,
    })
}

async fn keep_asking(
    mut client: Client,
    work: Work,
    end: Instant,
) -> Result<(Client, Vec<Duration>), Failure> {
    let mut times = Vec::new();
    let mut begun = Instant::now();
    while begun < end {
        client.ask(work).await?;
        let done = Instant::now();
        times.push(done - begun);
        begun = done;
    }
    Ok((client, times))
}

fn quantile(sorted: &[Duration], percent: usize) -> f64 {
    let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}
