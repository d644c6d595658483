//! Measures the embedded store at size: `pitviper-bench-store [MILLIONS_OF_SPANS] [DIRECTORY] [QUESTIONS]`.
//!
//! Loads generated spans through ingest, with every request durable, asks the questions people ask,
//! and prints what it all took. Given a directory, the data stays there, and a second run asks
//! without loading: everything, or the `traces`, `metrics`, `searches` or `views`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is its purpose")]

mod generate;
mod load;
mod questions;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use pitviper_store::Store;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore, RollUp};

use crate::generate::{Plan, SERVICES};
use crate::questions::{Data, Timed};

/// The server's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DEFAULT_MILLIONS: u64 = 20;
/// Spans a second on average; the data covers as much time as that takes.
const RATE: u64 = 250;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let millions = arguments.next().map_or(Ok(DEFAULT_MILLIONS), |text| text.parse())?;
    let given = arguments.next().map(PathBuf::from);
    let only = arguments.next();
    let directory = given.clone().unwrap_or_else(|| std::env::temp_dir().join("pitviper-bench-store"));
    let spans = millions * 1_000_000;
    let plan = plan(&directory, spans)?;
    println!("# Results\n");
    if directory.join("manifest.sqlite").exists() {
        eprintln!("asking what is in {}", directory.display());
    } else {
        fill(&directory, plan).await?;
    }
    let data = Data { plan, traces: load::traces_of(plan) };
    drop_caches();
    let store = open(&directory).await?;
    let timed = questions::ask(store.as_ref(), &data, only.as_deref()).await?;
    tell(&timed);
    println!("\nPeak memory while asking, in a process of its own or after loading: {:.0} MB.", peak_mb()?);
    store.close().await?;
    if given.is_none() {
        std::fs::remove_dir_all(&directory)?;
    }
    Ok(())
}

/// The data ends now, as that of a server does, or when it was loaded.
fn plan(directory: &Path, spans: u64) -> anyhow::Result<Plan> {
    let file = directory.join("bench-end-ns");
    let end_ns = match std::fs::read_to_string(&file) {
        Ok(text) => text.parse()?,
        Err(_) => {
            let now = SystemTime::UNIX_EPOCH.elapsed()?.as_nanos() as u64;
            std::fs::create_dir_all(directory)?;
            std::fs::write(&file, now.to_string())?;
            now
        }
    };
    let span_of_time_ns = spans / RATE * 1_000_000_000;
    Ok(Plan { spans, start_ns: end_ns - span_of_time_ns, span_of_time_ns })
}

async fn open(directory: &Path) -> anyhow::Result<Arc<dyn Store>> {
    // As the server has it.
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    let roll_up = RollUp { minutes_after: hours(6), hours_after: hours(14 * 24) };
    let store = EmbeddedStore::open(EmbeddedConfig { roll_up, ..EmbeddedConfig::new(directory) }).await?;
    Ok(store)
}

async fn fill(directory: &Path, plan: Plan) -> anyhow::Result<()> {
    let store = open(directory).await?;
    let loaded = load::load(&store, plan).await?;
    let began = Instant::now();
    store.flush().await?;
    let flushed = began.elapsed();
    let data = Data { plan, traces: loaded.traces };
    let mut asked = loaded.asked;
    for timed in questions::lookups(store.as_ref(), &data).await? {
        asked.push(Timed { question: before_merging(timed.question), ..timed });
    }
    let began = Instant::now();
    store.compact().await?;
    let compacted = flushed + began.elapsed();
    let stats = store.stats();
    println!(
        "{} spans in {} traces of {SERVICES} services, over {:.1} hours; {} CPUs, making the spans included.\n",
        loaded.spans,
        loaded.traces,
        plan.span_of_time_ns as f64 / 3.6e12,
        std::thread::available_parallelism()?
    );
    println!("| loading | |\n|---|---|");
    println!(
        "| spans a second, every request durable, questions asked meanwhile | {:.0} |",
        loaded.spans as f64 / loaded.took.as_secs_f64()
    );
    println!("| requests asked to come again | {} |", loaded.busy);
    println!("| bytes a span on disk | {:.1} |", stats.segment_bytes as f64 / stats.spans as f64);
    println!("| segments, after merging what is left in {:.1} s | {} |", compacted.as_secs_f64(), stats.segments);
    println!("| rows rewritten, times | {:.1} |", stats.merged_rows as f64 / stats.spans as f64);
    println!("| peak memory, MB | {:.0} |\n", peak_mb()?);
    tell(&asked);
    println!();
    store.close().await?;
    Ok(())
}

/// Names for look-ups while many segments wait to be merged.
fn before_merging(question: &'static str) -> &'static str {
    match question {
        "a trace by its id" => "before the last merges: a trace by its id",
        "the same traces again" => "before the last merges: the same traces again",
        "an unknown trace" => "before the last merges: an unknown trace",
        _ => "before the last merges: a trace of 50,000 spans",
    }
}

fn tell(timed: &[Timed]) {
    println!("| question | first, ms | p50, ms | p95, ms |\n|---|---|---|---|");
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    for Timed { question, first, p50, p95 } in timed {
        println!("| {question} | {:.1} | {:.1} | {:.1} |", ms(*first), ms(*p50), ms(*p95));
    }
}

/// Has the system forget the files it has read, where that is allowed, so that first times are cold.
fn drop_caches() {
    if std::fs::write("/proc/sys/vm/drop_caches", "3").is_err() {
        println!("The system's file cache could not be emptied: first times are not those of a cold disk.\n");
    }
}

/// The most memory the process ever had, in MB.
pub(crate) fn peak_mb() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM")).context("no VmHWM")?;
    Ok(line.split_whitespace().nth(1).context("no figure")?.parse::<f64>()? / 1024.0)
}
