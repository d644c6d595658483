//! `pitviper-server import`: sends files of spans, log records and points of metrics to a server, or takes them
//! into a data directory.
//!
//! They go the way all telemetry goes: through a server's receiver, or through ingest into a store. How far a
//! file came is written beside it, so that an import that was cut short goes on where it was, and one that
//! is done is not done again.

mod files;
mod target;

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use pitviper_wire::decode::Telemetry;
use serde::{Deserialize, Serialize};

use self::files::{Item, TelemetryFile};
use self::target::Target;
use super::Kind;
use super::progress::Progress;

/// How often it is written down how far a file came.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
/// Most bad places of a file that are shown; all are counted.
const MAX_SHOWN: u64 = 20;

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// OTLP/JSON with a request a line, OTLP protobuf with lengths, or Parquet, all as `export` writes them
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// What files of OTLP protobuf hold, which they do not say themselves; of all others the file says it
    #[arg(long, value_name = "SIGNAL", default_value = "spans")]
    signal: Kind,

    /// The server to send to, such as http://127.0.0.1:4318
    #[arg(long, value_name = "URL", conflicts_with = "data_dir", required_unless_present = "data_dir")]
    to: Option<String>,

    /// The data directory to take them into; no server may be using it
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// File that holds the server's token; else the variable PITVIPER_SERVER_TOKEN is used, if there is one
    #[arg(long, value_name = "FILE", env = "PITVIPER_SERVER_TOKEN_FILE")]
    token_file: Option<PathBuf>,
}

/// What became of the spans, log records and points of a file.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Totals {
    /// Durable where they were sent.
    stored: u64,
    /// Not fit to keep.
    rejected: u64,
    /// Places of the file that are not what they should be.
    bad: u64,
}

/// How far a file came, as it is written beside it.
#[derive(Debug, Serialize, Deserialize)]
struct Checkpoint {
    /// Where they went.
    to: String,
    /// The file's size: another file under the same name begins anew.
    file_bytes: u64,
    /// Requests of it that are through.
    items: u64,
    /// What the requests hold, for people.
    #[serde(default = "spans")]
    items_are: String,
    is_done: bool,
    totals: Totals,
}

pub(crate) fn run(import: &Import) -> anyhow::Result<()> {
    let target = Target::open(import.to.as_deref(), import.data_dir.as_deref(), import.token_file.as_deref())?;
    let mut failed = 0;
    for path in &import.files {
        let totals = import_file(path, import.signal, &target).with_context(|| path.display().to_string());
        match totals {
            Ok(totals) => failed += totals.bad,
            Err(error) => {
                // What is through stays; the other files would meet the same server.
                target.close()?;
                return Err(error);
            }
        }
    }
    target.close()?;
    if failed > 0 {
        bail!("{failed} places could not be read, see above; all else was imported");
    }
    Ok(())
}

fn import_file(path: &Path, signal: Kind, target: &Target) -> anyhow::Result<Totals> {
    let mut file = TelemetryFile::open(path, signal)?;
    let file_bytes = fs::metadata(path)?.len();
    let mut beside = path.as_os_str().to_owned();
    beside.push(".imported");
    let beside = PathBuf::from(beside);
    let fresh = || Checkpoint {
        to: target.name().to_owned(),
        file_bytes,
        items: 0,
        items_are: String::new(),
        is_done: false,
        totals: Totals::default(),
    };
    let mut checkpoint = read_checkpoint(&beside)?
        .filter(|known| known.to == target.name() && known.file_bytes == file_bytes)
        .unwrap_or_else(fresh);
    let mut out = io::stdout().lock();
    if checkpoint.is_done {
        let (path, beside) = (path.display(), beside.display());
        writeln!(out, "{path}: was imported before; remove {beside} to do it again")?;
        return Ok(Totals::default());
    }
    if checkpoint.items > 0 {
        writeln!(out, "{}: going on after {} requests", path.display(), checkpoint.items)?;
        file.skip(checkpoint.items)?;
    }
    let mut progress = Progress::new("imported", "items");
    let mut written = Instant::now();
    while let Some(item) = file.next()? {
        match item {
            Item::Telemetry { telemetry, rejected } => {
                checkpoint.items_are = items_of(&telemetry, &checkpoint.items_are).to_owned();
                let outcome = match target.send(&telemetry) {
                    Ok(outcome) => outcome,
                    Err(error) => {
                        write_checkpoint(&beside, &checkpoint)?;
                        return Err(error);
                    }
                };
                checkpoint.totals.stored += outcome.stored;
                checkpoint.totals.rejected += outcome.rejected + rejected;
            }
            Item::Bad { place, why } => {
                checkpoint.totals.bad += 1;
                if checkpoint.totals.bad <= MAX_SHOWN {
                    complain(path, &place, &why);
                }
            }
        }
        checkpoint.items += 1;
        progress.at(checkpoint.totals.stored);
        if written.elapsed() >= CHECKPOINT_INTERVAL {
            write_checkpoint(&beside, &checkpoint)?;
            written = Instant::now();
        }
    }
    checkpoint.is_done = true;
    write_checkpoint(&beside, &checkpoint)?;
    let Totals { stored, rejected, bad } = checkpoint.totals;
    let items = &checkpoint.items_are;
    writeln!(out, "{}: {stored} {items} stored, {rejected} rejected, {bad} places not readable", path.display())?;
    Ok(checkpoint.totals)
}

fn spans() -> String {
    Kind::Spans.items().to_owned()
}

/// What a file is said to hold, now that this request of it was read as well.
fn items_of<'a>(telemetry: &Telemetry, before: &'a str) -> &'a str {
    let own = match telemetry {
        Telemetry::Traces(_) => Kind::Spans,
        Telemetry::Logs(_) => Kind::Logs,
        Telemetry::Metrics(_) => Kind::Metrics,
    };
    if before.is_empty() || before == own.items() { own.items() } else { "items" }
}

#[expect(clippy::print_stderr, reason = "a command-line tool says on stderr what is wrong")]
fn complain(path: &Path, place: &str, why: &str) {
    eprintln!("{}: {place}: {why}", path.display());
}

fn read_checkpoint(path: &Path) -> anyhow::Result<Option<Checkpoint>> {
    match fs::read(path) {
        // Half written, or another program's: begin anew, which does no harm.
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

fn write_checkpoint(path: &Path, checkpoint: &Checkpoint) -> anyhow::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let write = || -> io::Result<()> {
        fs::write(&partial, serde_json::to_vec(checkpoint)?)?;
        fs::rename(&partial, path)
    };
    write().with_context(|| format!("writing {}, which says how far the import came", path.display()))
}
