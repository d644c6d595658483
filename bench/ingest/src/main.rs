//! Measures what a server takes in: `pitviper-bench-ingest SERVER [SECONDS] [CONNECTIONS] [otlp|grpc|datadog]`.
//!
//! Starts the given server binary on an empty directory, sends it spans over OTLP or as Datadog's clients
//! do, as fast as it accepts them, and tells what that cost it. A request counts once the server has accepted it,
//! which it does when the spans are safe on disk. Client and server share the machine, so the rate
//! is that of both together, and the server's CPU time is told apart.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

mod datadog;
mod load;
mod send;
mod server;
mod spans;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::load::{Load, Wire};
use crate::server::Server;
use crate::spans::SPANS_A_REQUEST;

const DEFAULT_SECONDS: u64 = 60;
const DEFAULT_CONNECTIONS: usize = 8;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let binary =
        arguments.next().context("usage: pitviper-bench-ingest SERVER [SECONDS] [CONNECTIONS] [otlp|grpc|datadog]")?;
    let seconds = arguments.next().map_or(Ok(DEFAULT_SECONDS), |text| text.parse())?;
    let connections = arguments.next().map_or(Ok(DEFAULT_CONNECTIONS), |text| text.parse())?;
    let wire = match arguments.next().as_deref() {
        None | Some("otlp") => Wire::Otlp,
        Some("grpc") => Wire::OtlpGrpc,
        Some("datadog") => Wire::Datadog,
        Some(other) => bail!("`{other}` is neither otlp, grpc nor datadog"),
    };
    let directory = scratch_directory()?;
    let outcome = measure(&PathBuf::from(binary), &directory, seconds, connections, wire);
    std::fs::remove_dir_all(&directory)?;
    outcome
}

fn measure(
    binary: &std::path::Path,
    directory: &std::path::Path,
    seconds: u64,
    connections: usize,
    wire: Wire,
) -> anyhow::Result<()> {
    let server = Server::start(binary, directory)?;
    let cpu_before = server.cpu_seconds()?;
    let began = Instant::now();
    let load = Load::run(&server.traces_url(wire), wire, connections, Duration::from_secs(seconds));
    let took = began.elapsed().as_secs_f64();
    let cpu = server.cpu_seconds()? - cpu_before;
    let peak_mb = server.peak_mb()?;
    let found = server.spans_accepted()?;
    ensure!(load.failed == 0, "{} requests failed: {}", load.failed, load.first_failure.unwrap_or_default());
    ensure!(found == load.accepted, "{} spans were accepted, the server counts {found}", load.accepted);
    // A stop writes what is in memory to segments; only then does the size tell something.
    server.stop()?;
    let bytes = size_of(&directory.join("data"))?;
    let accepted = load.accepted as f64;
    println!("## {}\n", wire.name());
    println!(
        "{connections} connections, {SPANS_A_REQUEST} spans a request, {took:.0} s, client and server on one machine"
    );
    println!("with {} CPUs.\n", std::thread::available_parallelism()?);
    println!("| figure | value |\n|---|---|");
    let row = |figure: &str, value: String| println!("| {figure} | {value} |");
    row("spans accepted durably", load.accepted.to_string());
    row("spans a second", format!("{:.0}", accepted / took));
    row("answers 429 or 503", load.refused.to_string());
    row("server CPU, µs a span", format!("{:.2}", cpu / accepted * 1e6));
    row("server CPUs in use", format!("{:.2}", cpu / took));
    row("time to the answer p50, p99, max, ms", load.latency());
    row("bytes a span on the wire", format!("{:.0}", load.sent_bytes as f64 / accepted));
    row("bytes a span on disk", format!("{:.0}", bytes as f64 / accepted));
    row("server peak memory, MB", format!("{peak_mb:.0}"));
    Ok(())
}

fn scratch_directory() -> anyhow::Result<PathBuf> {
    let directory = std::env::temp_dir().join(format!("pitviper-bench-ingest-{}", std::process::id()));
    std::fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    Ok(directory)
}

fn size_of(directory: &std::path::Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.metadata()?;
        bytes += if kind.is_dir() { size_of(&entry.path())? } else { kind.len() };
    }
    Ok(bytes)
}
