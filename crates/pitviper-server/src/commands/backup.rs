//! `pitviper-server backup`: copies a data directory while a server uses it.

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::{data_dir, size};

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The data directory to copy [default: $XDG_DATA_HOME/pitviper or ~/.local/share/pitviper]
    #[arg(long, value_name = "DIR", env = "PITVIPER_SERVER_DATA_DIR")]
    data_dir: Option<PathBuf>,

    /// The directory to make; it must not be there yet. On the same disk it takes next to no room
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

pub(crate) fn run(command: &Backup) -> anyhow::Result<()> {
    let dir = data_dir(command.data_dir.as_ref())?;
    let report =
        pitviper_store::embedded::backup(&dir, &command.to).with_context(|| format!("--data-dir {}", dir.display()))?;
    writeln!(
        io::stdout(),
        "{}: {} segments with {} rows ({}; {} files linked, {} copied) and {} of log",
        command.to.display(),
        report.segments,
        report.rows,
        size(report.segment_bytes),
        report.linked_files,
        report.copied_files,
        size(report.log_bytes)
    )?;
    Ok(())
}
