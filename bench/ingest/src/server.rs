//! The server under measurement, and what the system says of it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::load::Wire;

/// The longest its start may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Units of CPU time in /proc: fixed at 100 a second for what user programs see.
const TICKS_A_SECOND: f64 = 100.0;

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    http: String,
    otlp_http: String,
    otlp_grpc: String,
    datadog: String,
}

impl Server {
    /// Starts the binary on free ports of loopback, with its data in the directory.
    pub(crate) fn start(binary: &Path, directory: &Path) -> anyhow::Result<Self> {
        let ready_file = directory.join("ready.json");
        let mut child = Command::new(binary)
            .args(["serve", "--http", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0"])
            .args(["--datadog", "127.0.0.1:0", "--dogstatsd", "off", "--log-level", "warn", "--data-dir"])
            .arg(directory.join("data"))
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
                let (http, otlp_http) = (address("http")?, address("otlp_http")?);
                let (otlp_grpc, datadog) = (address("otlp_grpc")?, address("datadog")?);
                return Ok(Self { http, otlp_http, otlp_grpc, datadog, child });
            }
            if let Some(status) = child.try_wait()? {
                bail!("the server ended with {status}");
            }
            ensure!(Instant::now() < deadline, "the server is not ready");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn traces_url(&self, wire: Wire) -> String {
        match wire {
            Wire::Otlp => format!("http://{}/v1/traces", self.otlp_http),
            Wire::OtlpGrpc => format!("http://{}", self.otlp_grpc),
            Wire::Datadog => format!("http://{}/v0.5/traces", self.datadog),
        }
    }

    /// CPU time so far, of all threads, in seconds.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name, in parentheses, may hold anything; behind it utime and stime are the 12th and 13th.
        let fields = stat.rsplit_once(')').context("no name in stat")?.1.split_whitespace();
        let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        Ok(ticks.iter().sum::<f64>() / TICKS_A_SECOND)
    }

    /// The most memory it ever had, in MB.
    pub(crate) fn peak_mb(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM")).context("no VmHWM")?;
        let kilobytes: f64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
        Ok(kilobytes / 1024.0)
    }

    /// Spans it says it has accepted.
    pub(crate) fn spans_accepted(&self) -> anyhow::Result<u64> {
        let text = ureq::get(format!("http://{}/metrics", self.http)).call()?.body_mut().read_to_string()?;
        let accepted = text
            .lines()
            .filter(|line| line.starts_with("pitviper_spans_total{") && line.contains("outcome=\"stored\""))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum();
        Ok(accepted)
    }

    /// Stops it in order and waits for the end.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        ensure!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?.success(), "kill failed");
        ensure!(self.child.wait()?.success(), "the server did not end in order");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
