//! Settings of metrics and logs, as Python hands them over.

use pitviper_agent::{ExemplarFilter, Signals, TemporalityPreference};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::runtime::agent;

/// Takes the settings of metrics and logs; may be called again. Raises ValueError for a value that makes
/// no sense, and then changes nothing.
#[pyfunction]
#[pyo3(signature = (
    *,
    metrics_enabled,
    runtime_metrics,
    metrics_url,
    metrics_headers,
    metrics_interval_ms,
    temporality,
    exemplars,
    logs_enabled,
    logs_url,
    logs_headers,
    logs_delay_ms,
    max_queue_logs,
    max_batch_logs,
))]
#[expect(clippy::too_many_arguments, reason = "each is one setting, and all are keywords")]
pub(crate) fn configure_signals(
    metrics_enabled: bool,
    runtime_metrics: bool,
    metrics_url: String,
    metrics_headers: Vec<(String, String)>,
    metrics_interval_ms: u64,
    temporality: &str,
    exemplars: &str,
    logs_enabled: bool,
    logs_url: String,
    logs_headers: Vec<(String, String)>,
    logs_delay_ms: u64,
    max_queue_logs: usize,
    max_batch_logs: usize,
) -> PyResult<()> {
    let temporality = TemporalityPreference::parse(temporality).ok_or_else(|| {
        PyValueError::new_err(format!("unknown temporality {temporality:?}; use cumulative, delta or lowmemory"))
    })?;
    let exemplars = ExemplarFilter::parse(exemplars).ok_or_else(|| {
        PyValueError::new_err(format!("unknown filter {exemplars:?}; use trace_based, always_on or always_off"))
    })?;
    agent().configure_signals(Signals {
        metrics_enabled,
        runtime_metrics,
        metrics_url,
        metrics_headers,
        metrics_interval_ms: metrics_interval_ms.max(1),
        temporality,
        exemplars,
        logs_enabled,
        logs_url,
        logs_headers,
        logs_delay_ms,
        max_queue_logs: max_queue_logs.max(1),
        max_batch_logs: max_batch_logs.max(1),
    });
    Ok(())
}
