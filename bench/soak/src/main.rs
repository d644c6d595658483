//! `pitviper-bench-soak SERVER [MINUTES]`: prints where every span went, or says what is wrong.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use pitviper_bench_soak::{Plan, run};

const DEFAULT_MINUTES: f64 = 10.0;
/// A minute of load takes about three times as much.
const MAX_DISK: &str = "40MB";

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let binary = PathBuf::from(arguments.next().context("usage: pitviper-bench-soak SERVER [MINUTES]")?);
    let minutes = arguments.next().map_or(Ok(DEFAULT_MINUTES), |text| text.parse())?;
    let duration = Duration::from_secs_f64(minutes * 60.0);
    let plan = Plan { binary, duration, kills: 6, max_disk: MAX_DISK.to_owned(), must_expire: true };
    print!("{}", run(&plan)?);
    Ok(())
}
