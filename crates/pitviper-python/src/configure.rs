//! Settings, as Python hands them over.

use pitviper_agent::{Compression, Config, Format, Limits, Propagation, Sampler};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::runtime::agent;
use crate::{convert, host, logs};

/// Takes settings; may be called again. Raises ValueError for a value that makes no sense, and then
/// changes nothing.
#[pyfunction]
#[pyo3(signature = (
    *,
    endpoint,
    resource,
    headers = None,
    compression = "auto",
    sampler = "parentbased_traceidratio",
    sampler_arg = 1.0,
    timeout_ms = 10_000,
    schedule_delay_ms = 1_000,
    max_queue_spans = 16_384,
    max_batch_spans = 2_048,
    remote_settings = true,
    remote_settings_interval_ms = 60_000,
    attribute_count_limit = 128,
    event_attribute_count_limit = 128,
    link_attribute_count_limit = 128,
    attribute_value_length_limit = None,
    span_attribute_value_length_limit = None,
    event_count_limit = 128,
    link_count_limit = 128,
    extract = None,
    inject = None,
    baggage_attributes = None,
    enabled = true,
))]
#[expect(clippy::too_many_arguments, reason = "each is one setting, and all are keywords")]
pub(crate) fn configure(
    endpoint: &str,
    resource: &Bound<'_, PyAny>,
    headers: Option<Vec<(String, String)>>,
    compression: &str,
    sampler: &str,
    sampler_arg: f64,
    timeout_ms: u64,
    schedule_delay_ms: u64,
    max_queue_spans: usize,
    max_batch_spans: usize,
    remote_settings: bool,
    remote_settings_interval_ms: u64,
    attribute_count_limit: u32,
    event_attribute_count_limit: u32,
    link_attribute_count_limit: u32,
    attribute_value_length_limit: Option<usize>,
    span_attribute_value_length_limit: Option<usize>,
    event_count_limit: u32,
    link_count_limit: u32,
    extract: Option<Vec<String>>,
    inject: Option<Vec<String>>,
    baggage_attributes: Option<Vec<String>>,
    enabled: bool,
) -> PyResult<()> {
    let sampler = Sampler::parse(sampler, sampler_arg).ok_or_else(|| {
        PyValueError::new_err(format!(
            "unknown sampler {sampler:?} with argument {sampler_arg}; see OTEL_TRACES_SAMPLER"
        ))
    })?;
    let compression = Compression::parse(compression).ok_or_else(|| {
        PyValueError::new_err(format!("unknown compression {compression:?}; use auto, none, gzip or zstd"))
    })?;
    let defaults = Propagation::default();
    agent().configure(Config {
        enabled,
        traces_url: endpoint.to_owned(),
        headers: headers.unwrap_or_default(),
        compression,
        resource: convert::to_attributes(Some(resource)),
        sampler,
        limits: Limits {
            attributes: attribute_count_limit,
            event_attributes: event_attribute_count_limit,
            link_attributes: link_attribute_count_limit,
            value_length: span_attribute_value_length_limit.or(attribute_value_length_limit).unwrap_or(usize::MAX),
            detail_value_length: attribute_value_length_limit.unwrap_or(usize::MAX),
            events: event_count_limit,
            links: link_count_limit,
        },
        schedule_delay_ms,
        timeout_ms,
        max_queue_spans: max_queue_spans.max(1),
        max_batch_spans: max_batch_spans.max(1),
        remote_settings,
        remote_settings_interval_ms: remote_settings_interval_ms.max(1),
        propagation: Propagation {
            extract: extract.map_or(Ok(defaults.extract), formats)?,
            inject: inject.map_or(Ok(defaults.inject), formats)?,
            baggage_attributes: baggage_attributes.unwrap_or_default(),
        },
        ..Config::default()
    });
    if let Ok(Ok(service)) = resource.get_item("service.name").map(Bound::cast_into::<PyString>) {
        logs::name_service(&service);
    }
    host::watch_forks();
    Ok(())
}

/// The formats of these names.
fn formats(names: Vec<String>) -> PyResult<Vec<Format>> {
    let unknown = |name: &String| PyValueError::new_err(format!("unknown propagator {name:?}"));
    names.iter().map(|name| Format::parse(name).ok_or_else(|| unknown(name))).collect()
}
