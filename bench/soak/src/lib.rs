//! A server under load for minutes: clients that send and send again, questions of every kind, merges,
//! retention that lets data go, and `kill -9` in the middle. At the end every span that was made is
//! accounted for: stored, rejected, dropped or let go, none of them twice.

mod account;
mod client;
mod questions;
mod server;
mod spans;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::account::Stored;
use crate::client::{Sent, Shared};
use crate::questions::Answers;
use crate::server::{Server, data_dir};

/// Clients over HTTP, and after them those over gRPC.
const HTTP_CLIENTS: u64 = 4;
const GRPC_CLIENTS: u64 = 2;
const ASKING: usize = 2;
/// Memory the server may have at any moment, in MB.
const MAX_MEMORY_MB: f64 = 1_024.0;
/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long, and how hard.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server's binary.
    pub binary: PathBuf,
    /// How long clients send.
    pub duration: Duration,
    /// How often the server is killed: at even distances in the first two thirds, so that memory has
    /// time to grow afterwards.
    pub kills: u32,
    /// The room it gets, as its command line takes it; data beyond goes.
    pub max_disk: String,
    /// Whether data has to have gone, or the run was too short for that.
    pub must_expire: bool,
}

/// Runs the plan in a scratch directory. The report is a page of Markdown.
///
/// # Errors
/// When an account does not come out even, an answer was wrong, or memory grew beyond its bound.
pub fn run(plan: &Plan) -> anyhow::Result<String> {
    let directory = std::env::temp_dir().join(format!("pitviper-bench-soak-{}", std::process::id()));
    std::fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let outcome = soak(plan, &directory);
    if outcome.is_ok() {
        std::fs::remove_dir_all(&directory)?;
    }
    outcome.with_context(|| format!("the data is left in {}", directory.display()))
}

fn soak(plan: &Plan, directory: &Path) -> anyhow::Result<String> {
    let shared = Shared::default();
    let mut server = Server::start(&plan.binary, directory, &plan.max_disk)?;
    *shared.addresses.write().unwrap_or_else(PoisonError::into_inner) = server.addresses.clone();
    let (sent, answers, memory) = std::thread::scope(|scope| -> anyhow::Result<_> {
        let shared = &shared;
        let clients: Vec<_> = (0..HTTP_CLIENTS + GRPC_CLIENTS)
            .map(|client| scope.spawn(move || client::run(shared, client, client >= HTTP_CLIENTS)))
            .collect();
        let asking: Vec<_> = (0..ASKING).map(|_| scope.spawn(|| questions::run(shared))).collect();
        let memory = watch(plan, directory, shared, &mut server);
        shared.over.store(true, Ordering::Relaxed);
        let memory = memory?;
        let mut sent = Sent::default();
        for client in clients {
            sent.add(client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??);
        }
        let mut answers = Answers::new();
        for part in asking {
            for (kind, (count, longest)) in part.join().map_err(|_| anyhow::anyhow!("a question panicked"))? {
                let sum = answers.entry(kind).or_default();
                *sum = (sum.0 + count, sum.1.max(longest));
            }
        }
        Ok((sent, answers, memory))
    })?;
    server.stop()?;
    let failures = shared.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ensure!(failures.is_empty(), "{} wrong answers, the first: {}", failures.len(), failures[0]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let stored = runtime.block_on(account::count(&data_dir(directory), &sent))?;
    let expired = balance(plan, &sent, &stored)?;
    report(plan, &sent, &stored, expired, &answers, &memory)
}

/// Watches the server until its time is over, and kills it now and then. The largest memory of each
/// tenth of the time, in MB.
fn watch(plan: &Plan, directory: &Path, shared: &Shared, server: &mut Server) -> anyhow::Result<[f64; 10]> {
    let began = Instant::now();
    let mut kills = 0;
    let mut memory = [0f64; 10];
    while began.elapsed() < plan.duration {
        std::thread::sleep(LOOK_EVERY);
        let share = began.elapsed().as_secs_f64() / plan.duration.as_secs_f64();
        let now = server.memory_mb()?;
        let tenth = &mut memory[((share * 10.0) as usize).min(9)];
        *tenth = tenth.max(now);
        ensure!(now <= MAX_MEMORY_MB, "the server has {now:.0} MB, more than {MAX_MEMORY_MB:.0}");
        let next_kill = f64::from(kills + 1) / f64::from(plan.kills + 1) * 0.7;
        if kills < plan.kills && share > next_kill {
            kills += 1;
            let held = shared.resending.write().unwrap_or_else(PoisonError::into_inner);
            server.kill()?;
            drop(held);
            *server = Server::start(&plan.binary, directory, &plan.max_disk)?;
            *shared.addresses.write().unwrap_or_else(PoisonError::into_inner) = server.addresses.clone();
        }
    }
    Ok(memory)
}

/// Checks that nothing is missing and nothing is there that was not sent; how many distinct spans were
/// let go.
fn balance(plan: &Plan, sent: &Sent, stored: &Stored) -> anyhow::Result<u64> {
    ensure!(sent.made == sent.accepted + sent.rejected + sent.dropped, "the clients lost count: {sent:?}");
    let (appended, found) = (sent.accepted + sent.twice, stored.rows + stored.expired_rows);
    ensure!(appended == found, "{appended} rows were acknowledged, {found} are stored or let go: {stored:?}");
    ensure!(stored.counted == appended, "the metrics count {} spans of {appended}", stored.counted);
    let Some(expired) = sent.accepted.checked_sub(stored.spans) else {
        bail!("{} spans are stored, {} were accepted", stored.spans, sent.accepted);
    };
    let twice_and_gone = stored.expired_rows.checked_sub(expired).filter(|twice| *twice <= sent.twice);
    ensure!(twice_and_gone.is_some(), "{expired} spans are gone, {} rows were let go", stored.expired_rows);
    ensure!(!plan.must_expire || expired > 0, "nothing was let go; run longer or give less room");
    Ok(expired)
}

fn report(
    plan: &Plan,
    sent: &Sent,
    stored: &Stored,
    expired: u64,
    answers: &Answers,
    memory: &[f64; 10],
) -> anyhow::Result<String> {
    let mut out = String::from("# Results\n\n");
    let seconds = plan.duration.as_secs();
    writeln!(
        out,
        "{seconds} s, {HTTP_CLIENTS} clients over HTTP and {GRPC_CLIENTS} over gRPC, {} times `kill -9`, {} of disk,\n\
         all on one machine with {} CPUs.\n\n| spans | |\n|---|---|",
        plan.kills,
        plan.max_disk,
        std::thread::available_parallelism()?
    )?;
    let mut row = |what: &str, figure: String| writeln!(out, "| {what} | {figure} |");
    row("made by the clients", sent.made.to_string())?;
    row("= stored, each once", stored.spans.to_string())?;
    row("+ rejected", sent.rejected.to_string())?;
    row("+ let go by retention", expired.to_string())?;
    row("+ dropped", sent.dropped.to_string())?;
    row("stored already when they were sent again", sent.twice.to_string())?;
    row("counted by the metrics, those sent again included", stored.counted.to_string())?;
    row("a second", format!("{:.0}", sent.made as f64 / plan.duration.as_secs_f64()))?;
    writeln!(out, "\n| | |\n|---|---|")?;
    let mut row = |what: &str, figure: String| writeln!(out, "| {what} | {figure} |");
    row("requests", sent.requests.to_string())?;
    row("sent again without an answer", sent.retries.to_string())?;
    row("segments at the end", stored.segments.to_string())?;
    for (kind, (count, longest)) in answers {
        row(&format!("answers to {kind}, the longest"), format!("{count}, {:.2} s", longest.as_secs_f64()))?;
    }
    let memory: Vec<String> = memory.iter().map(|tenth| format!("{tenth:.0}")).collect();
    row("server's memory in each tenth of the time, MB", memory.join(" "))?;
    Ok(out)
}
