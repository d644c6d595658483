//! `pitviper-server doctor`: prints what the store's doctor finds.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use pitviper_store::embedded::{Diagnosis, Examination, Lost, Severity, examine};

use super::{data_dir, size};

/// The exit codes, for scripts.
const EXIT_WARNING: u8 = 1;
const EXIT_DAMAGE: u8 = 2;

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The data directory to look at [default: $XDG_DATA_HOME/pitviper or ~/.local/share/pitviper]
    #[arg(long, value_name = "DIR", env = "PITVIPER_SERVER_DATA_DIR")]
    data_dir: Option<PathBuf>,

    /// Mend what can be mended; what may hold data is moved to DIR/damaged. The server has to be stopped
    #[arg(long)]
    repair: bool,

    /// Read every column of every row, and look every value up in its index
    #[arg(long)]
    deep: bool,
}

/// Prints the findings. The exit code is 0 when nothing is wrong or all of it was mended, 1 when something
/// is not as it should be, and 2 when data is damaged or could not be looked at.
pub(crate) fn run(doctor: &Doctor) -> ExitCode {
    match look(doctor) {
        Ok(code) => code,
        Err(error) => crate::complain(&error, EXIT_DAMAGE),
    }
}

fn look(doctor: &Doctor) -> anyhow::Result<ExitCode> {
    let dir = data_dir(doctor.data_dir.as_ref())?;
    let examination = Examination { deep: doctor.deep, repair: doctor.repair };
    let diagnosis = examine(&dir, examination).with_context(|| format!("--data-dir {}", dir.display()))?;
    let mut out = io::stdout().lock();
    for finding in &diagnosis.findings {
        let done = if finding.is_repaired { "repaired" } else { "to do" };
        writeln!(out, "{:<8} {}: {}; {done}: {}", finding.severity, finding.place, finding.what, finding.advice)?;
    }
    for lost in &diagnosis.lost {
        writeln!(out, "lost     {}", describe(lost))?;
    }
    writeln!(out, "{}", summary(&diagnosis))?;
    Ok(match diagnosis.worst() {
        None | Some(Severity::Note) => ExitCode::SUCCESS,
        Some(Severity::Warning) => ExitCode::from(EXIT_WARNING),
        Some(Severity::Damage) => ExitCode::from(EXIT_DAMAGE),
    })
}

fn describe(lost: &Lost) -> String {
    let rows = lost.rows.map_or_else(|| "an unknown number of".to_owned(), |rows| rows.to_string());
    let time = lost.starts_ns.map_or_else(String::new, |(first, last)| {
        format!(", starting between {} and {} s since the Unix epoch", seconds(first), seconds(last))
    });
    format!("{}: {rows} rows{time}", lost.table)
}

fn seconds(nanos: i64) -> String {
    format!("{}.{:03}", nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000) / 1_000_000)
}

fn summary(diagnosis: &Diagnosis) -> String {
    let repaired = diagnosis.findings.iter().filter(|finding| finding.is_repaired).count();
    let verdict = match diagnosis.worst() {
        None | Some(Severity::Note) if repaired > 0 => "repaired",
        None | Some(Severity::Note) => "healthy",
        Some(Severity::Warning) => "usable, see above",
        Some(Severity::Damage) => "damaged, see above",
    };
    let free = diagnosis.free_bytes.map_or_else(|| "unknown".to_owned(), size);
    format!(
        "{verdict}: {} segments with {} rows, {} writes in the log of which {} are in no segment yet, {free} free; \
         {} findings, {repaired} repaired",
        diagnosis.segments,
        diagnosis.rows,
        diagnosis.log_writes,
        diagnosis.log_writes_unflushed,
        diagnosis.findings.len()
    )
}
