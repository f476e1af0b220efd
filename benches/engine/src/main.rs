//! One case, repeated as often as is said: what `tools/instructions.py` counts the instructions of.
//!
//! Without arguments it lists the cases, each with a number of repeats that suits it.

use std::error::Error;
use std::io::Write;

use genesis_engine_bench::all;

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut cases = all(runtime)?;
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        for case in cases {
            writeln!(std::io::stdout(), "{} {}", case.name, case.repeats)?;
        }
        return Ok(());
    };
    let times = arguments.next().ok_or("usage: genesis-engine-bench [CASE TIMES]")?.parse()?;
    let case = cases.iter_mut().find(|case| case.name == name).ok_or("no such case")?;
    case.run(times);
    Ok(())
}
