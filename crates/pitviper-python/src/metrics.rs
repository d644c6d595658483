//! `Instrument`: one stream of measurements, as Python sees it.

use pitviper_agent::{
    Aggregation, AttributeList, InstrumentId, InstrumentKind, InstrumentOptions, MAX_SERIES_ATTRIBUTES, Scalar,
    TracePoint,
};
use pitviper_model::{Number, Scope, SpanId, TraceId};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyMapping, PyString};

use crate::runtime::agent;
use crate::shield::shield;
use crate::start::with_current_context;
use crate::{convert, reused};

/// Where the current span is in its trace.
pub(crate) fn trace_point(py: Python<'_>) -> Option<TracePoint> {
    with_current_context(py, |context| TracePoint {
        trace_id: context.trace_id,
        span_id: context.span_id,
        sampled: context.is_sampled(),
    })
}

/// A stream of measurements. Misuse does nothing and raises nothing.
#[pyclass(frozen, module = "pitviper._native")]
pub(crate) struct Instrument {
    id: InstrumentId,
}

#[pymethods]
impl Instrument {
    /// `bounds` are for the aggregation `histogram`, `max_size` and `max_scale` for `exponential`.
    #[new]
    #[pyo3(signature = (
        name,
        kind,
        aggregation,
        unit = "",
        description = "",
        scope_name = "",
        scope_version = "",
        scope_attributes = None,
        bounds = None,
        max_size = 160,
        max_scale = 20,
        attribute_keys = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "what describes an instrument")]
    fn new(
        name: &str,
        kind: &str,
        aggregation: &str,
        unit: &str,
        description: &str,
        scope_name: &str,
        scope_version: &str,
        scope_attributes: Option<&Bound<'_, PyAny>>,
        bounds: Option<Vec<f64>>,
        max_size: usize,
        max_scale: i32,
        attribute_keys: Option<Vec<String>>,
    ) -> PyResult<Self> {
        let unknown = |what: &str, given: &str| PyValueError::new_err(format!("unknown {what} {given:?}"));
        let kind = InstrumentKind::parse(kind).ok_or_else(|| unknown("kind", kind))?;
        let aggregation = match aggregation {
            "sum" => Aggregation::Sum,
            "last_value" => Aggregation::LastValue,
            "histogram" => Aggregation::Histogram { bounds: bounds.unwrap_or_default() },
            "exponential" => Aggregation::Exponential { max_size, max_scale },
            other => return Err(unknown("aggregation", other)),
        };
        if let Aggregation::Histogram { bounds } = &aggregation
            && !(bounds.iter().all(|bound| bound.is_finite()) && bounds.is_sorted_by(|one, other| one < other))
        {
            return Err(PyValueError::new_err("bounds of a histogram have to be finite and to grow"));
        }
        let scope = Scope {
            name: scope_name.to_owned(),
            version: scope_version.to_owned(),
            attributes: convert::to_attributes(scope_attributes),
            ..Scope::default()
        };
        let options = InstrumentOptions {
            scope: &scope,
            name,
            unit,
            description,
            kind,
            aggregation,
            attribute_keys: attribute_keys.as_deref(),
        };
        Ok(Self { id: agent().instrument(&options) })
    }

    /// Takes one measurement; whether it counts. `span_context` is where it was made, if not in the
    /// current span.
    #[pyo3(signature = (amount, attributes = None, span_context = None))]
    fn record(
        &self,
        py: Python<'_>,
        amount: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
        span_context: Option<&Bound<'_, PyAny>>,
    ) -> bool {
        shield(false, || {
            let Some(value) = to_number(amount) else { return false };
            let trace = || span_context.map_or_else(|| trace_point(py), to_trace_point);
            take(&[self.id], value, |list| fill(list, attributes, MAX_SERIES_ATTRIBUTES), trace)
        })
    }

    /// Takes all that was observed now: pairs of value and attributes.
    fn observe(&self, observations: Vec<(Bound<'_, PyAny>, Option<Bound<'_, PyAny>>)>) {
        shield((), || {
            let points = observations.iter().filter_map(|(value, attributes)| {
                let mut list = AttributeList::default();
                fill(&mut list, attributes.as_ref(), MAX_SERIES_ATTRIBUTES);
                Some((to_number(value)?, list))
            });
            agent().observe(self.id, points.collect());
        });
    }
}

/// Measures requests that are served, as OpenTelemetry's conventions have it: how long each takes, and how many
/// are under way.
#[pyclass(frozen, module = "pitviper._native")]
pub(crate) struct RequestMeter {
    duration: Vec<InstrumentId>,
    active: Vec<InstrumentId>,
}

#[pymethods]
impl RequestMeter {
    #[new]
    fn new(duration: Vec<PyRef<'_, Instrument>>, active: Vec<PyRef<'_, Instrument>>) -> Self {
        let ids = |streams: Vec<PyRef<'_, Instrument>>| streams.iter().map(|stream| stream.id).collect();
        Self { duration: ids(duration), active: ids(active) }
    }

    /// A request begins.
    fn begin(&self, scheme: &Bound<'_, PyAny>, method: &Bound<'_, PyAny>) {
        shield((), || self.count(1, scheme, method));
    }

    /// It is over. `route`, `status` and `error_type` are empty, or zero, where there is none.
    #[expect(clippy::too_many_arguments, reason = "what is told of a request")]
    fn end(
        &self,
        seconds: f64,
        scheme: &Bound<'_, PyAny>,
        method: &Bound<'_, PyAny>,
        version: &Bound<'_, PyAny>,
        route: &Bound<'_, PyAny>,
        status: &Bound<'_, PyAny>,
        error_type: &Bound<'_, PyAny>,
    ) {
        shield((), || {
            let describe = |list: &mut AttributeList| {
                describe_kind(list, scheme, method);
                for (key, value) in [
                    ("network.protocol.version", version),
                    ("http.route", route),
                    ("http.response.status_code", status),
                    ("error.type", error_type),
                ] {
                    if value.is_truthy().unwrap_or(false) {
                        put_value(list, key, value, MAX_SERIES_ATTRIBUTES);
                    }
                }
            };
            take(&self.duration, Number::Double(seconds), describe, || trace_point(scheme.py()));
            self.count(-1, scheme, method);
        });
    }
}

impl RequestMeter {
    /// So many more are under way.
    fn count(&self, more: i64, scheme: &Bound<'_, PyAny>, method: &Bound<'_, PyAny>) {
        let describe = |list: &mut AttributeList| describe_kind(list, scheme, method);
        take(&self.active, Number::Int(more), describe, || trace_point(scheme.py()));
    }
}

fn describe_kind(list: &mut AttributeList, scheme: &Bound<'_, PyAny>, method: &Bound<'_, PyAny>) {
    put_value(list, "url.scheme", scheme, MAX_SERIES_ATTRIBUTES);
    put_value(list, "http.request.method", method, MAX_SERIES_ATTRIBUTES);
}

/// Takes a measurement of some streams, with the attributes that `fill` adds; whether it counts for all.
fn take(
    streams: &[InstrumentId],
    value: Number,
    fill: impl FnOnce(&mut AttributeList),
    trace: impl Fn() -> Option<TracePoint>,
) -> bool {
    let mut list = reused::take();
    fill(&mut list);
    let mut counts = true;
    for id in streams {
        counts &= agent().record(*id, value, &mut list, &trace);
    }
    reused::give_back(list);
    counts
}

fn to_number(value: &Bound<'_, PyAny>) -> Option<Number> {
    // An integer beyond 64 bits counts as a float; numpy's numbers have `__index__` or `__float__`.
    if !value.is_instance_of::<PyFloat>()
        && let Ok(number) = value.extract::<i64>()
    {
        return Some(Number::Int(number));
    }
    value.extract::<f64>().ok().map(Number::Double)
}

pub(crate) fn to_trace_point(context: &Bound<'_, PyAny>) -> Option<TracePoint> {
    let trace_id: u128 = context.getattr("trace_id").ok()?.extract().ok()?;
    let span_id: u64 = context.getattr("span_id").ok()?.extract().ok()?;
    let flags: u32 = context.getattr("trace_flags").ok()?.extract().ok()?;
    Some(TracePoint {
        trace_id: TraceId(trace_id.to_be_bytes()),
        span_id: SpanId(span_id.to_be_bytes()),
        sampled: flags & 1 == 1,
    })
}

/// Fills a list from an optional mapping. What has no representation is left out and counted in it.
pub(crate) fn fill(list: &mut AttributeList, mapping: Option<&Bound<'_, PyAny>>, limit: u32) {
    let Some(mapping) = mapping else { return };
    if let Ok(dict) = mapping.cast::<PyDict>() {
        convert::for_each(dict, |key, value| put(list, key, value, limit));
    } else if let Ok(items) =
        mapping.cast::<PyMapping>().map_err(|_| ()).and_then(|mapping| mapping.items().map_err(|_| ()))
    {
        for pair in items {
            if let Ok((key, value)) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>() {
                put(list, &key, &value, limit);
            }
        }
    }
}

/// Sets one attribute from Python objects.
pub(crate) fn put(list: &mut AttributeList, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>, limit: u32) {
    let Some(key) = key.cast::<PyString>().ok().and_then(|key| key.to_str().ok()).filter(|key| !key.is_empty()) else {
        list.drop_one();
        return;
    };
    put_value(list, key, value, limit);
}

/// The same of a key that is known.
pub(crate) fn put_value(list: &mut AttributeList, key: &str, value: &Bound<'_, PyAny>, limit: u32) {
    match scalar_of(value) {
        Some(scalar) => list.set(key, scalar, limit),
        None => put_other(list, key, value, limit),
    }
}

/// The same of a key that the list does not have yet.
pub(crate) fn put_new(list: &mut AttributeList, key: &str, value: &Bound<'_, PyAny>, limit: u32) {
    match scalar_of(value) {
        Some(scalar) => list.push(key, scalar, limit),
        None => put_other(list, key, value, limit),
    }
}

/// A value of one of the usual types, without a copy.
#[inline]
fn scalar_of<'a>(value: &'a Bound<'_, PyAny>) -> Option<Scalar<'a>> {
    if let Ok(text) = value.cast_exact::<PyString>() {
        text.to_str().ok().map(Scalar::Str)
    } else if let Ok(flag) = value.cast_exact::<PyBool>() {
        Some(Scalar::Bool(flag.is_true()))
    } else if let Ok(number) = value.cast_exact::<PyInt>() {
        number.extract().ok().map(Scalar::Int)
    } else {
        value.cast_exact::<PyFloat>().ok().map(|number| Scalar::Double(number.value()))
    }
}

#[cold]
fn put_other(list: &mut AttributeList, key: &str, value: &Bound<'_, PyAny>, limit: u32) {
    if !value.is_none() {
        match convert::to_value(value, 0) {
            Some(value) => list.set_value(key, &value, limit),
            None => list.drop_one(),
        }
    }
}
