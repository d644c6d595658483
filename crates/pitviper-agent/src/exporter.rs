//! The exporter thread: takes batches, wraps and sends them, counts what became of each item, and
//! collects metrics and takes profiles when their time has come.
//!
//! A receiver may take spans and no logs. So each signal has its own request under way, and one that
//! has to be sent again holds up nothing but its own signal.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pitviper_model::Scope;
use pitviper_wire::encode::append_resource_spans;

use crate::agent::Agent;
use crate::config::{Config, Signals};
use crate::id;
use crate::queue::{Batch, KEPT_BYTES, Pause, SIGNALS, Signal, Work};
use crate::runtime::Sampler;
use crate::transport::{Answer, Reply, Transport};

/// First pause between attempts; each further one is twice as long, less a random part.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
/// Longest pause between attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(15);
/// How long one batch is tried before its items are dropped. While it lasts, newer ones queue up
/// to the queue's bound.
const MAX_RETRY: Duration = Duration::from_secs(300);
/// At most one warning about an unreachable or refusing receiver in this time.
const WARN_EVERY: Duration = Duration::from_secs(300);
/// The first profile of a process takes this part of the period: whoever looks for it has it soon.
const FIRST_PROFILE_SHARE: f64 = 1.0 / 6.0;
/// By how much of the period later ones may be longer or shorter, so that processes which were started
/// together do not send together.
const PROFILE_JITTER: f64 = 0.1;

/// Starts the thread; whether that was possible. Where the system allows no more threads the application
/// goes on, what it made waits up to the queue's bound, and the thread is tried again.
pub(crate) fn start(agent: &'static Agent) -> bool {
    static TOLD: AtomicBool = AtomicBool::new(false);
    let mut started = Ok(());
    (agent.host.without_signals)(&mut || {
        let exporter = std::thread::Builder::new().name("pitviper-export".to_owned());
        started = exporter.spawn(move || Exporter::new(agent).run()).map(drop);
    });
    match started {
        Ok(()) => (agent.host.exporter_started)(),
        Err(ref error) => {
            agent.queue.no_exporter();
            if !TOLD.swap(true, Ordering::Relaxed) {
                (agent.host.warn)(&format!(
                    "pitviper: no thread to export from ({error}); spans wait in memory; raise the limit of threads"
                ));
            }
        }
    }
    started.is_ok()
}

/// A request that waits to be sent again.
struct Attempt {
    /// What the URL ends with, for what has no place for its resource in the body.
    query: String,
    body: Vec<u8>,
    items: usize,
    began: Instant,
    backoff: Duration,
    pause: Pause,
}

struct Exporter {
    agent: &'static Agent,
    config: Arc<Config>,
    transport: Transport,
    attempts: [Option<Attempt>; SIGNALS],
    /// Empty; its memory is the next request's.
    spare: Vec<u8>,
    /// When metrics were collected last.
    collected: Instant,
    /// When a profile was taken last, and what part of the period ends the next.
    profiled: Instant,
    profile_share: f64,
    /// What reads the process; made when metrics of it are wanted.
    sampler: Option<Sampler>,
    last_warning: Option<Instant>,
    /// What the server has told, and when it was asked last; whether it ever was.
    told: Option<String>,
    asked: Instant,
    has_asked: bool,
}

impl Exporter {
    fn new(agent: &'static Agent) -> Self {
        let config = agent.config();
        Self {
            agent,
            transport: Transport::new(&config),
            config,
            attempts: Default::default(),
            spare: Vec::new(),
            collected: Instant::now(),
            profiled: Instant::now(),
            profile_share: FIRST_PROFILE_SHARE,
            // At once, so that the first collection has something to compare with.
            sampler: agent.measures_runtime().then(|| Sampler::new(agent)),
            last_warning: None,
            told: None,
            asked: Instant::now(),
            has_asked: false,
        }
    }

    fn run(mut self) {
        let (mut last, mut has_collected, mut is_identified) = (Signal::Metrics, false, false);
        loop {
            self.follow_settings();
            let pauses = self.attempts.each_ref().map(|attempt| attempt.as_ref().map(|attempt| attempt.pause));
            let work = self.agent.queue.take(&pauses, &self.collect_at(), last, has_collected);
            has_collected = matches!(work, Work::Collect(_));
            if !is_identified && !matches!(work, Work::Done) {
                is_identified = true;
                (self.agent.host.await_identity)();
            }
            match work {
                Work::Done => return,
                Work::Follow => {}
                Work::Collect(signal) => {
                    // A panic costs this collection, not the thread: nobody would start another.
                    let _ = catch_unwind(AssertUnwindSafe(|| self.collect(signal)));
                    self.agent.queue.collected(signal);
                }
                Work::Send(signal, batch) => {
                    last = signal;
                    let items = batch.items;
                    self.guarded(signal, items, |own| own.send(signal, batch));
                }
                Work::Retry(signal, last_attempt) => {
                    last = signal;
                    if let Some(attempt) = self.attempts[signal as usize].take() {
                        let items = attempt.items;
                        self.guarded(signal, items, |own| own.attempt(signal, attempt, last_attempt));
                    }
                }
            }
        }
    }

    /// When each signal is to be collected next; `None` while it is off. Of spans there is nothing to collect,
    /// and a request without any is how the server is asked for settings. Whoever reads observable
    /// instruments asks for it when they are read, and then this is only for when nobody does.
    fn collect_at(&self) -> [Option<Instant>; SIGNALS] {
        let Signals { metrics_enabled, metrics_interval_ms, .. } = self.config.signals;
        let patience = if self.agent.observed.load(Ordering::Relaxed) { 2 } else { 1 };
        let metrics = || self.collected + Duration::from_millis(metrics_interval_ms) * patience;
        let period = Duration::from_millis(self.config.profiles.period_ms);
        let profile = || self.profiled + period.mul_f64(self.profile_share);
        let ask = || self.asked + Duration::from_millis(self.config.remote_settings_interval_ms);
        // A receiver that knows nothing of settings is asked once.
        let asks = self.config.remote_settings && (self.told.is_some() || !self.has_asked);
        [asks.then(ask), None, metrics_enabled.then(metrics), self.config.profiles.enabled.then(profile)]
    }

    fn collect(&mut self, signal: Signal) {
        match signal {
            Signal::Metrics => {
                self.collected = Instant::now();
                self.agent.collect_metrics(&mut self.sampler);
            }
            Signal::Profiles => {
                self.profiled = Instant::now();
                self.profile_share = 1.0 - PROFILE_JITTER + 2.0 * PROFILE_JITTER * random_share();
                self.agent.take_profile();
            }
            Signal::Spans => {
                if let Ok(nothing) = self.transport.compress(Signal::Spans, &[]) {
                    // Whoever does not answer is asked again.
                    let _ = self.post(Signal::Spans, "", &nothing.unwrap_or_default());
                }
            }
            Signal::Logs => {}
        }
    }

    /// Sends a request, and hands on what the server tells beside its answer.
    fn post(&mut self, signal: Signal, query: &str, body: &[u8]) -> Answer {
        (self.asked, self.has_asked) = (Instant::now(), true);
        let Reply { answer, settings } = self.transport.post(signal, query, body);
        if settings.is_some() && settings != self.told {
            (self.agent.host.told)(settings.as_deref().unwrap_or_default());
            self.told = settings;
        }
        answer
    }

    /// Runs one step that settles its items or leaves them as an attempt. A panic costs the items and
    /// the connection it may have left half used.
    fn guarded(&mut self, signal: Signal, items: usize, step: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| step(self))).is_err() {
            self.agent.counters.of(signal).export_failed.fetch_add(items as u64, Ordering::Relaxed);
            self.transport = Transport::new(&self.config);
            self.attempts[signal as usize] = None;
        }
        if self.attempts[signal as usize].is_none() {
            self.agent.queue.settle(signal, items);
        }
    }

    fn follow_settings(&mut self) {
        let current = self.agent.config();
        if !Arc::ptr_eq(&current, &self.config) {
            self.transport = Transport::new(&current);
            self.config = current;
        }
    }

    fn send(&mut self, signal: Signal, batch: Batch) {
        let items = batch.items;
        let (query, body) = match signal {
            Signal::Profiles => (self.agent.profile_query(), batch.scopes.into_iter().next().unwrap_or_default()),
            Signal::Spans | Signal::Logs | Signal::Metrics => (String::new(), self.wrap(signal, batch)),
        };
        let body = match self.transport.compress(signal, &body) {
            Ok(None) => body,
            Ok(Some(compressed)) => {
                self.keep(body);
                compressed
            }
            Err(_) => {
                self.agent.counters.of(signal).export_failed.fetch_add(items as u64, Ordering::Relaxed);
                return;
            }
        };
        let now = Instant::now();
        let pause = Pause { until: now, until_flush: false, flushes: 0 };
        self.attempt(signal, Attempt { query, body, items, began: now, backoff: FIRST_BACKOFF, pause }, false);
    }

    fn attempt(&mut self, signal: Signal, mut attempt: Attempt, last: bool) {
        let counters = self.agent.counters.of(signal);
        let items = attempt.items as u64;
        // A flush that comes while the request is under way wants the next one at once.
        let flushes = self.agent.queue.flushes();
        match self.post(signal, &attempt.query, &attempt.body) {
            Answer::Accepted { rejected } => {
                let rejected = rejected.min(items);
                counters.rejected.fetch_add(rejected, Ordering::Relaxed);
                counters.exported.fetch_add(items - rejected, Ordering::Relaxed);
            }
            Answer::Refused { status, why } => {
                // Many receivers take traces alone, which is no mistake; what is lost is counted.
                if signal == Signal::Spans || status != Some(404) {
                    self.warn(signal, &why, "are dropped");
                } else if signal == Signal::Profiles {
                    (self.agent.host.profiles_refused)();
                }
                counters.export_failed.fetch_add(items, Ordering::Relaxed);
            }
            Answer::TryAgain { after, why } => {
                self.warn(signal, &why, "wait in memory and are sent when it answers");
                if last {
                    counters.shutdown.fetch_add(items, Ordering::Relaxed);
                } else if attempt.began.elapsed() > MAX_RETRY {
                    counters.export_failed.fetch_add(items, Ordering::Relaxed);
                } else {
                    self.agent.counters.retries.fetch_add(1, Ordering::Relaxed);
                    // A pause the receiver asked for is its own; ours ends when someone cannot wait.
                    attempt.pause = Pause {
                        until: Instant::now() + after.unwrap_or_else(|| jittered(attempt.backoff)),
                        until_flush: after.is_none(),
                        flushes,
                    };
                    attempt.backoff = (attempt.backoff * 2).min(MAX_BACKOFF);
                    self.attempts[signal as usize] = Some(attempt);
                    return;
                }
            }
        }
        self.keep(attempt.body);
    }

    /// Keeps the memory of a request for the next, unless it is much.
    fn keep(&mut self, mut body: Vec<u8>) {
        if (self.spare.capacity()..=KEPT_BYTES).contains(&body.capacity()) {
            body.clear();
            self.spare = body;
        }
    }

    /// Builds the request around the encoded items. Those of spans, logs and metrics have the same
    /// shape: resource, scope, items.
    fn wrap(&mut self, signal: Signal, batch: Batch) -> Vec<u8> {
        let origins = self.agent.origins_of(signal);
        let mut body = std::mem::take(&mut self.spare);
        body.reserve(batch.bytes + 2048);
        let mut done = vec![false; batch.scopes.len()];
        for first in 0..batch.scopes.len() {
            if done[first] || batch.scopes[first].is_empty() {
                continue;
            }
            let origin = &origins[first];
            let mut scopes: Vec<(&Scope, &[u8])> = Vec::new();
            for index in first..batch.scopes.len() {
                if !batch.scopes[index].is_empty() && origins[index].shares_resource(origin) {
                    done[index] = true;
                    scopes.push((&origins[index].scope, &batch.scopes[index]));
                }
            }
            let resource = self.agent.resource(origin.resource.as_deref(), origin.service.as_deref());
            append_resource_spans(&mut body, &resource, &scopes);
        }
        self.agent.queue.give_back(signal, batch);
        body
    }

    fn warn(&mut self, signal: Signal, why: &str, consequence: &str) {
        if self.last_warning.is_some_and(|last| last.elapsed() < WARN_EVERY) {
            return;
        }
        self.last_warning = Some(Instant::now());
        let url = without_credentials(self.config.url(signal));
        let items = signal.items();
        (self.agent.host.warn)(&format!("pitviper: no export to {url} ({why}); {items} {consequence}"));
    }
}

fn jittered(backoff: Duration) -> Duration {
    backoff.mul_f64(0.5 + random_share() / 2.0)
}

/// A number from 0 to 1.
fn random_share() -> f64 {
    (id::random_u64() >> 11) as f64 / (1u64 << 53) as f64
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
