//! Loads the generated spans the way receivers do: through ingest, a request at a time, each durable
//! before the next.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use pitviper_ingest::{Ingest, IngestError, Transport};
use pitviper_model::ResourceSpans;
use pitviper_store::Store;
use pitviper_wire::decode::Decoded;

use crate::generate::{self, Dice, Plan};
use crate::questions::{Timed, beside, summary};

/// Spans in a request, about; a larger trace is a request of its own.
const SPANS_A_REQUEST: usize = 512;
const CLIENTS: u64 = 8;
/// Progress is told this often.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// While spans are loaded, somebody looks at a dashboard, a list and a trace, with this rest between.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// How long a client waits that is asked to come again; real ones wait for seconds.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How loading went.
pub(crate) struct Loaded {
    pub(crate) spans: u64,
    pub(crate) traces: u64,
    pub(crate) took: Duration,
    /// Times a client was asked to come again.
    pub(crate) busy: u64,
    /// What questions took that were asked meanwhile.
    pub(crate) asked: Vec<Timed>,
}

/// How many traces make up the plan's spans.
pub(crate) fn traces_of(plan: Plan) -> u64 {
    let (mut spans, mut traces) = (0, 0);
    while spans < plan.spans {
        spans += generate::size(traces);
        traces += 1;
    }
    traces
}

/// Loads everything.
pub(crate) async fn load(store: &Arc<dyn Store>, plan: Plan) -> anyhow::Result<Loaded> {
    let traces = traces_of(plan);
    let ingest = Ingest::new(Arc::clone(store));
    let (next, busy, stored) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let clients = (0..CLIENTS).map(|_| {
        let (ingest, next, busy, stored) = (Arc::clone(&ingest), next.clone(), busy.clone(), stored.clone());
        tokio::spawn(async move {
            // Traces are dealt out in small ranges, so that time goes on evenly.
            const RANGE: u64 = 64;
            loop {
                let first = next.fetch_add(RANGE, Ordering::Relaxed);
                if first >= traces {
                    return anyhow::Ok(());
                }
                let end = (first + RANGE).min(traces);
                let (mut begin, mut spans) = (first, 0);
                for trace in first..end {
                    spans += generate::size(trace) as usize;
                    if spans >= SPANS_A_REQUEST || trace + 1 == end {
                        let make = || make(plan, traces, begin..trace + 1);
                        stored.fetch_add(send(&ingest, &busy, make).await?, Ordering::Relaxed);
                        (begin, spans) = (trace + 1, 0);
                    }
                }
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    let teller = tokio::spawn({
        let (stored, store) = (stored.clone(), Arc::clone(store));
        async move {
            loop {
                tokio::time::sleep(TELL_EVERY).await;
                let stats = store.stats();
                eprintln!(
                    "{:>4.0} s  {:>11} spans  {:>4} segments  {:>4} merges  {:>5.0} MB at most",
                    began.elapsed().as_secs_f64(),
                    stored.load(Ordering::Relaxed),
                    stats.segments,
                    stats.merges,
                    crate::peak_mb().unwrap_or_default()
                );
            }
        }
    });
    let done = Arc::new(AtomicBool::new(false));
    let asker = tokio::spawn(ask(Arc::clone(store), plan, traces, next, Arc::clone(&done)));
    for client in clients {
        client.await.context("a client panicked")??;
    }
    let took = began.elapsed();
    done.store(true, Ordering::Relaxed);
    teller.abort();
    let asked = asker.await.context("the asker panicked")??;
    Ok(Loaded { spans: stored.load(Ordering::Relaxed), traces, took, busy: busy.load(Ordering::Relaxed), asked })
}

/// Asks about what is loaded until everything is.
async fn ask(
    store: Arc<dyn Store>,
    plan: Plan,
    traces: u64,
    next: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
) -> anyhow::Result<Vec<Timed>> {
    let mut dice = Dice::new(13);
    let mut times: [Vec<Duration>; 3] = Default::default();
    while !done.load(Ordering::Relaxed) {
        tokio::time::sleep(ASK_EVERY).await;
        // Behind what is under way.
        let Some(last) = next.load(Ordering::Relaxed).checked_sub(10_000) else { continue };
        let end_ns = start_of(plan, traces, last) as i64;
        let trace = dice.draw() % last;
        for (question, times) in times.iter_mut().enumerate() {
            let began = Instant::now();
            beside(store.as_ref(), question, end_ns, trace).await?;
            times.push(began.elapsed());
        }
    }
    let names = [
        "while loading: all services, an hour",
        "while loading: newest 50 of a service",
        "while loading: a trace by its id",
    ];
    Ok(names
        .into_iter()
        .zip(times)
        .filter(|(_, times)| !times.is_empty())
        .map(|(name, times)| summary(name, times))
        .collect())
}

fn make(plan: Plan, traces: u64, range: Range<u64>) -> Vec<ResourceSpans> {
    let mut batch = Vec::new();
    for trace in range {
        generate::trace(trace, start_of(plan, traces, trace), &mut batch);
    }
    batch
}

/// When a trace begins, in nanoseconds since the Unix epoch.
pub(crate) fn start_of(plan: Plan, traces: u64, trace: u64) -> u64 {
    plan.start_ns + (u128::from(plan.span_of_time_ns) * u128::from(trace) / u128::from(traces)) as u64
}

async fn send(ingest: &Ingest, busy: &AtomicU64, make: impl Fn() -> Vec<ResourceSpans>) -> anyhow::Result<u64> {
    loop {
        // Made again rather than copied for the rare second attempt.
        let decoded = Decoded { batch: make(), rejected: Vec::new() };
        match ingest.accept(Transport::OtlpGrpc, decoded).await {
            Ok(accepted) if accepted.rejected == 0 => return Ok(accepted.stored as u64),
            Ok(accepted) => bail!("{} spans were rejected: {}", accepted.rejected, accepted.message),
            Err(IngestError::TryAgain { .. }) => {
                busy.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(TRY_AGAIN_AFTER).await;
            }
        }
    }
}
