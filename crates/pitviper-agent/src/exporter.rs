//! The exporter thread: takes batches, wraps and sends them, and counts what became of each span.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pitviper_wire::encode::{append_resource_spans, append_scope_spans};

use crate::agent::Agent;
use crate::config::Config;
use crate::id;
use crate::queue::Batch;
use crate::transport::{Answer, Transport};

/// First pause between attempts; each further one is twice as long, less a random part.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
/// Longest pause between attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(15);
/// How long one batch is tried before its spans are dropped. While it lasts, newer spans queue up
/// to the queue's bound.
const MAX_RETRY: Duration = Duration::from_secs(300);
/// At most one warning about an unreachable or refusing receiver in this time.
const WARN_EVERY: Duration = Duration::from_secs(300);

/// Starts the thread. A system that allows no more threads costs the spans, not the application.
pub(crate) fn start(agent: &'static Agent) {
    let started = std::thread::Builder::new().name("pitviper-export".to_owned()).spawn(move || {
        (agent.host.thread_start)();
        Exporter::new(agent).run();
    });
    if started.is_err() {
        let lost = agent.queue.discard() as u64;
        agent.counters.export_failed.fetch_add(lost, Ordering::Relaxed);
        agent.queue.hold().has_exporter = false;
    }
}

struct Exporter {
    agent: &'static Agent,
    config: Arc<Config>,
    transport: Transport,
    last_warning: Option<Instant>,
}

impl Exporter {
    fn new(agent: &'static Agent) -> Self {
        let config = agent.config();
        Self { agent, transport: Transport::new(&config), config, last_warning: None }
    }

    fn run(mut self) {
        while let Some(batch) = self.agent.queue.take() {
            let spans = batch.spans;
            // A panic costs this batch and the connection it may have left half used, not the
            // thread: nobody would start another.
            let sent = catch_unwind(AssertUnwindSafe(|| {
                self.follow_settings();
                self.send(batch);
            }));
            if sent.is_err() {
                self.agent.counters.export_failed.fetch_add(spans as u64, Ordering::Relaxed);
                self.transport = Transport::new(&self.config);
            }
            self.agent.queue.settle(spans);
        }
    }

    fn follow_settings(&mut self) {
        let current = self.agent.config();
        if !Arc::ptr_eq(&current, &self.config) {
            self.transport = Transport::new(&current);
            self.config = current;
        }
    }

    fn send(&mut self, batch: Batch) {
        let spans = batch.spans as u64;
        let counters = &self.agent.counters;
        let Ok(body) = self.transport.compress(self.wrap(batch)) else {
            counters.export_failed.fetch_add(spans, Ordering::Relaxed);
            return;
        };
        let began = Instant::now();
        let mut backoff = FIRST_BACKOFF;
        let mut last_attempt = false;
        loop {
            match self.transport.post(&body) {
                Answer::Accepted { rejected } => {
                    let rejected = rejected.min(spans);
                    counters.rejected.fetch_add(rejected, Ordering::Relaxed);
                    counters.exported.fetch_add(spans - rejected, Ordering::Relaxed);
                    return;
                }
                Answer::Refused { why } => {
                    self.warn(&why, "spans are dropped");
                    counters.export_failed.fetch_add(spans, Ordering::Relaxed);
                    return;
                }
                Answer::TryAgain { after, why } => {
                    self.warn(&why, "spans wait in memory and are sent when it answers");
                    if last_attempt {
                        counters.shutdown.fetch_add(spans, Ordering::Relaxed);
                        return;
                    }
                    // A pause the receiver asked for is its own; ours ends when someone cannot wait.
                    last_attempt = self.agent.queue.pause(after.unwrap_or_else(|| jittered(backoff)), after.is_none());
                    if began.elapsed() > MAX_RETRY {
                        counters.export_failed.fetch_add(spans, Ordering::Relaxed);
                        return;
                    }
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                    counters.retries.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Builds the `ExportTraceServiceRequest` around the encoded spans.
    fn wrap(&self, batch: Batch) -> Vec<u8> {
        let scopes = self.agent.scopes();
        let mut scope_spans = Vec::with_capacity(batch.bytes + 256);
        for (scope, spans) in scopes.iter().zip(&batch.scopes) {
            if !spans.is_empty() {
                append_scope_spans(&mut scope_spans, scope, spans);
            }
        }
        let mut body = Vec::with_capacity(scope_spans.len() + 2048);
        append_resource_spans(&mut body, &self.agent.resource(), &scope_spans);
        body
    }

    fn warn(&mut self, why: &str, consequence: &str) {
        if self.last_warning.is_some_and(|last| last.elapsed() < WARN_EVERY) {
            return;
        }
        self.last_warning = Some(Instant::now());
        let url = without_credentials(&self.config.traces_url);
        (self.agent.host.warn)(&format!("pitviper: no export to {url} ({why}); {consequence}"));
    }
}

fn jittered(backoff: Duration) -> Duration {
    let share = (id::random_u64() >> 11) as f64 / (1u64 << 53) as f64;
    backoff.mul_f64(0.5 + share / 2.0)
}

fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_credentials() {
        assert_eq!(without_credentials("https://user:secret@host:1/v1/traces"), "https://host:1/v1/traces");
        assert_eq!(without_credentials("http://host"), "http://host/");
    }

    #[test]
    fn jitter_stays_within_half() {
        for _ in 0..1_000 {
            let pause = jittered(Duration::from_millis(100));
            assert!((50..=100).contains(&pause.as_millis()));
        }
    }
}
