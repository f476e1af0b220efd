//! What a call is made of, step by step and as a whole, each as a case that can be repeated: criterion tells its time,
//! callgrind its instructions.

mod calls;
mod limits;
mod messages;
mod texts;

use std::hint::black_box;
use std::rc::Rc;

use genesis_replicator::engine::error::Result;
use tokio::runtime::Runtime;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One thing to measure.
pub struct Case {
    /// What it is called.
    pub name: &'static str,
    /// How often it is repeated to count its instructions: less, the more of them there are.
    pub repeats: u64,
    work: Box<dyn FnMut(u64)>,
}

/// Few enough for callgrind, which is fifty times slower than the processor.
const OFTEN: u64 = 2_000;
/// For what takes next to nothing, and not always the same.
const VERY_OFTEN: u64 = 20_000;
/// For what takes a hundred times as long.
const SELDOM: u64 = 40;

impl Case {
    fn new<T>(name: &'static str, repeats: u64, mut step: impl FnMut() -> T + 'static) -> Self {
        let work = move |times| {
            for _ in 0..times {
                black_box(step());
            }
        };
        Self { name, repeats, work: Box::new(work) }
    }

    /// The times are spent in one task, one after the other.
    fn awaited<T>(
        name: &'static str,
        repeats: u64,
        runtime: &Rc<Runtime>,
        step: impl AsyncFn() -> T + 'static,
    ) -> Self {
        let runtime = Rc::clone(runtime);
        let work = move |times| {
            runtime.block_on(async {
                for _ in 0..times {
                    black_box(step().await);
                }
            });
        };
        Self { name, repeats, work: Box::new(work) }
    }

    /// Do it so many times.
    pub fn run(&mut self, times: u64) {
        (self.work)(times);
    }
}

/// All cases, ready to run.
///
/// # Errors
/// Those of the engine, if it refuses what the cases are made of.
pub fn all(runtime: Runtime) -> Result<Vec<Case>> {
    let runtime = Rc::new(runtime);
    let mut cases = messages::cases();
    cases.extend(limits::cases(&runtime)?);
    cases.extend(calls::cases(&runtime)?);
    Ok(cases)
}
