//! What the program does beside serving, a file each.

pub(crate) mod backup;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod import;
mod progress;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;

/// Largest request of a file that is read, in bytes; an export writes none that is larger.
const MAX_MESSAGE_BYTES: usize = 128 * 1024 * 1024;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Spans,
    /// Log records.
    Logs,
    /// Points of metrics of every kind.
    Metrics,
}

impl Kind {
    /// What its items are called.
    fn items(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Logs => "log records",
            Self::Metrics => "points of metrics",
        }
    }
}

/// The data directory: as named, or where the user keeps data.
pub(crate) fn data_dir(named: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(dir) = named {
        return Ok(dir.clone());
    }
    let absolute = |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("pitviper"))
        .context("no place for the data: neither HOME nor XDG_DATA_HOME is set; say --data-dir DIR")
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} B"),
    }
}
