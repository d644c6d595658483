//! The server under test: started, killed, started again on the same data.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// The longest its start or its end may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How old its newest data becomes before it moves to files.
const FLUSH_AFTER_MS: &str = "3000";

/// Where a running server listens.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses {
    pub(crate) http: String,
    pub(crate) otlp_http: String,
    pub(crate) otlp_grpc: String,
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) addresses: Addresses,
}

impl Server {
    /// Starts the binary on free ports of loopback, with its data in the directory and so much room.
    pub(crate) fn start(binary: &Path, directory: &Path, max_disk: &str) -> anyhow::Result<Self> {
        let ready_file = directory.join("ready.json");
        let _ = std::fs::remove_file(&ready_file);
        let mut child = Command::new(binary)
            .args(["serve", "--http", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0"])
            .args(["--log-level", "warn", "--flush-after-ms", FLUSH_AFTER_MS, "--max-disk", max_disk, "--data-dir"])
            .arg(data_dir(directory))
            .arg("--ready-file")
            .arg(&ready_file)
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(text) = std::fs::read_to_string(&ready_file) {
                let ready: serde_json::Value = serde_json::from_str(&text)?;
                let address = |name: &str| ready[name].as_str().map(str::to_owned).context("an address is missing");
                let addresses = Addresses {
                    http: address("http")?,
                    otlp_http: address("otlp_http")?,
                    otlp_grpc: address("otlp_grpc")?,
                };
                return Ok(Self { child, addresses });
            }
            if let Some(status) = child.try_wait()? {
                bail!("the server ended with {status}");
            }
            ensure!(Instant::now() < deadline, "the server is not ready");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Memory it has now, in MB.
    pub(crate) fn memory_mb(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS")).context("no VmRSS")?;
        let kilobytes: f64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
        Ok(kilobytes / 1024.0)
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Stops it in order and waits for the end.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        ensure!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?.success(), "kill failed");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the server ended with {status}");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("the server does not stop")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the server keeps its data.
pub(crate) fn data_dir(directory: &Path) -> PathBuf {
    directory.join("data")
}
