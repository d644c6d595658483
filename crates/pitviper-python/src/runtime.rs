//! The agent of this process, and the functions that concern it as a whole.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use pitviper_agent::{Agent, Config};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::shield::{self, shield, shield_native};
use crate::{companion, host};

static AGENT: OnceLock<&'static Agent> = OnceLock::new();
/// Set when exit handlers run. Nobody waits for it, so a fork that tears it does no harm.
static ENDING: Mutex<Option<Ending>> = Mutex::new(None);

/// The agent. Until it is configured it records nothing.
pub(crate) fn agent() -> &'static Agent {
    AGENT.get_or_init(|| Agent::leak(Config { enabled: false, ..Config::default() }, host::host()))
}

/// Whether the interpreter had a lock when this module was loaded.
static HAS_INTERPRETER_LOCK: AtomicBool = AtomicBool::new(true);

/// Remembers whether the interpreter has a lock.
pub(crate) fn look_for_interpreter_lock(py: Python<'_>) {
    HAS_INTERPRETER_LOCK.store(is_interpreter_lock_enabled(py), Ordering::Relaxed);
}

/// Whether no other thread runs Python code while the calling one does not let go of the interpreter. A
/// lock that came later, with a module that needs one, does no harm to what does without.
#[inline]
pub(crate) fn has_interpreter_lock() -> bool {
    HAS_INTERPRETER_LOCK.load(Ordering::Relaxed)
}

/// Whether the interpreter has a lock now.
pub(crate) fn is_interpreter_lock_enabled(py: Python<'_>) -> bool {
    let asked = py.import("sys").and_then(|sys| sys.call_method0("_is_gil_enabled")?.extract());
    asked.unwrap_or(true)
}

/// The agent, if there is one yet.
pub(crate) fn known_agent() -> Option<&'static Agent> {
    AGENT.get().copied()
}

/// Says which version of the instrumented library stands behind a scope.
#[pyfunction]
pub(crate) fn set_scope_version(name: &str, version: &str) {
    shield((), || agent().set_scope_version(name, version));
}

/// Nanoseconds since the Unix epoch.
#[pyfunction]
pub(crate) fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_nanos() as u64)
}

/// Sends all finished spans; whether a receiver settled them within `timeout_ms` milliseconds.
#[pyfunction]
#[pyo3(signature = (timeout_ms = 5_000))]
pub(crate) fn flush(py: Python<'_>, timeout_ms: u64) -> bool {
    py.detach(|| shield_native(false, || agent().flush(Duration::from_millis(timeout_ms))))
}

/// Sends all finished spans now, because the process may be about to end; whether that took at most
/// `timeout_ms` and a receiver answered. One that could not be reached is not waited for.
#[pyfunction]
pub(crate) fn flush_once(py: Python<'_>, timeout_ms: u64) -> bool {
    py.detach(|| shield_native(false, || agent().flush_once(Duration::from_millis(timeout_ms))))
}

/// Sends all finished spans and takes no more; whether all were sent within `timeout_ms`.
#[pyfunction]
#[pyo3(signature = (timeout_ms = 5_000))]
pub(crate) fn shutdown(py: Python<'_>, timeout_ms: u64) -> bool {
    py.detach(|| {
        shield_native(false, || {
            companion::stop();
            agent().shutdown(Duration::from_millis(timeout_ms))
        })
    })
}

/// Sends all finished spans at the end of the process. What exit handlers that follow still make is sent
/// when the interpreter has ended, in what is then left of `timeout_ms`.
#[pyfunction]
pub(crate) fn finish(py: Python<'_>, timeout_ms: u64) {
    if !host::watch_exit() {
        shutdown(py, timeout_ms);
        return;
    }
    py.detach(|| {
        shield_native((), || {
            let timeout = Duration::from_millis(timeout_ms);
            let ending = Ending { process: std::process::id(), timeout, until: Instant::now() + timeout };
            if let Ok(mut slot) = ENDING.try_lock() {
                *slot = Some(ending);
            }
            companion::stop();
            agent().flush_once(ending.left());
        });
    });
    shield_native((), || shield::close(py));
}

/// The interpreter has ended.
pub(crate) fn end() {
    shield_native((), || {
        if let Some(ending) = ENDING.try_lock().ok().and_then(|slot| *slot) {
            agent().shutdown_flushed(ending.left());
        }
    });
}

/// How long an end of the interpreter that has begun may still take; none while it has not.
pub(crate) fn left_of_end() -> Option<Duration> {
    let ending = ENDING.try_lock().ok().and_then(|slot| *slot)?;
    (ending.process == std::process::id()).then(|| ending.left())
}

/// A process that runs its exit handlers.
#[derive(Clone, Copy)]
struct Ending {
    process: u32,
    timeout: Duration,
    until: Instant,
}

impl Ending {
    /// How long it may still take. A child that was forked meanwhile has its own time.
    fn left(&self) -> Duration {
        if self.process == std::process::id() {
            self.until.saturating_duration_since(Instant::now())
        } else {
            self.timeout
        }
    }
}

/// What became of the spans, log records, metric points and profiles of this process so far.
#[pyfunction]
pub(crate) fn stats(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let stats = agent().stats();
    let dict = PyDict::new(py);
    for (name, value) in [
        ("started", stats.started),
        ("exported", stats.exported),
        ("sampled_out", stats.sampled_out),
        ("dropped_queue_full", stats.dropped_queue_full),
        ("dropped_export_failed", stats.dropped_export_failed),
        ("dropped_rejected", stats.dropped_rejected),
        ("dropped_shutdown", stats.dropped_shutdown),
        ("dropped_forking", stats.dropped_forking),
        ("pending", stats.pending),
        ("invalid_attributes", stats.invalid_attributes),
        ("invalid_context_fields", stats.invalid_context_fields),
        ("dropped_baggage", stats.dropped_baggage),
        ("retries", stats.retries),
        ("metrics_invalid", stats.invalid_measurements),
        ("metrics_overflowed", stats.overflowed_measurements),
        ("metrics_refused_instruments", stats.refused_instruments),
    ] {
        dict.set_item(name, value)?;
    }
    for (signal, outcomes) in [("logs", stats.logs), ("metrics", stats.metrics), ("profiles", stats.profiles)] {
        for (name, value) in [
            ("exported", outcomes.exported),
            ("dropped_queue_full", outcomes.dropped_queue_full),
            ("dropped_export_failed", outcomes.dropped_export_failed),
            ("dropped_rejected", outcomes.dropped_rejected),
            ("dropped_shutdown", outcomes.dropped_shutdown),
            ("dropped_forking", outcomes.dropped_forking),
            ("pending", outcomes.pending),
        ] {
            dict.set_item(format!("{signal}_{name}"), value)?;
        }
    }
    Ok(dict)
}
