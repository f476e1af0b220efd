//! How long each case takes: `make bench-engine`.

use std::time::{Duration, Instant};

use criterion::Criterion;
use genesis_engine_bench::all;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    // Two seconds tell these cases apart; all of them together take less than a minute.
    let criterion = Criterion::default().warm_up_time(Duration::from_millis(500));
    let mut criterion = criterion.measurement_time(Duration::from_secs(2)).configure_from_args();
    for mut case in all(runtime)? {
        criterion.bench_function(case.name, |bencher| {
            bencher.iter_custom(|times| {
                let began = Instant::now();
                case.run(times);
                began.elapsed()
            });
        });
    }
    criterion.final_summary();
    Ok(())
}
