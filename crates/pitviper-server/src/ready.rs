//! The ready file: tells scripts where the server listens.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

/// What the file says.
#[derive(Debug, Serialize)]
pub(crate) struct Ready {
    /// Address of UI and API, `127.0.0.1:4390`.
    pub(crate) http: String,
    /// Address of OTLP over HTTP.
    pub(crate) otlp_http: String,
    /// Address of OTLP over gRPC.
    pub(crate) otlp_grpc: String,
    /// Address that Datadog's clients send to, if there is one.
    pub(crate) datadog: Option<String>,
    /// Address of DogStatsD over UDP, if there is one.
    pub(crate) dogstatsd: Option<String>,
    /// The server's process.
    pub(crate) pid: u32,
}

/// Takes away what an earlier run may have left, so that nobody reads old addresses.
pub(crate) fn clear(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("--ready-file {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes the file in one step: a reader finds all of it or nothing.
pub(crate) fn write(path: &Path, ready: &Ready) -> anyhow::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", ready.pid));
    let beside = PathBuf::from(beside);
    let write = || -> io::Result<()> {
        let mut file = File::create(&beside)?;
        serde_json::to_writer(&mut file, ready)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().with_context(|| format!("--ready-file {}", path.display()))
}
