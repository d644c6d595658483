//! Log records of Python's `logging`, and of OpenTelemetry's loggers.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

use pitviper_agent::{AttributeList, Body, LogRecord, MAX_LOG_ATTRIBUTES, Scalar, TracePoint};
use pitviper_model::{Scope, SpanId, TraceId};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString, PyTuple};

use crate::metrics::{fill, put, put_new, to_trace_point, trace_point};
use crate::once::{Once, intern};
use crate::record_fields::{Fields, Key, is_known};
use crate::runtime::agent;
use crate::shield::shield;
use crate::{convert, exception, record_fields, reused, start};

/// Longest text of a record, in bytes; of a longer one the beginning is kept.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// The name of the process's service, as records have it. The lock is held for no longer than a copy of the
/// reference.
static SERVICE: Mutex<Option<Py<PyString>>> = Mutex::new(None);

/// Says what the process's service is called.
pub(crate) fn name_service(name: &Bound<'_, PyString>) {
    let before = SERVICE.lock().unwrap_or_else(PoisonError::into_inner).replace(name.clone().unbind());
    drop(before);
}

fn service(py: Python<'_>) -> Bound<'_, PyString> {
    let name = SERVICE.lock().unwrap_or_else(PoisonError::into_inner);
    name.as_ref().map_or_else(|| intern!(py, "").clone(), |name| name.bind(py).clone())
}

/// Gives a record the trace and the span it is written in, unless it has fields of those names. Without a span
/// the ids are `0`.
#[pyfunction]
pub(crate) fn mark_record(py: Python<'_>, record: &Bound<'_, PyAny>) {
    shield((), || {
        let Some(fields) = record_fields::fields_of(record) else { return };
        let current = start::current(py);
        let (trace_id, span_id, sampled) = match &current {
            Some(span) => {
                let (trace_id, span_id) = span.get().shown_ids(py);
                (trace_id, span_id, span.get().core_context().is_sampled())
            }
            None => (intern!(py, "0").clone(), intern!(py, "0").clone(), false),
        };
        let (sampled, service) = (PyBool::new(py, sampled), service(py));
        for (key, value) in [
            (intern!(py, "trace_id"), trace_id.as_any()),
            (intern!(py, "span_id"), span_id.as_any()),
            (intern!(py, "otelTraceID"), trace_id.as_any()),
            (intern!(py, "otelSpanID"), span_id.as_any()),
            (intern!(py, "otelTraceSampled"), sampled.as_any()),
            (intern!(py, "otelServiceName"), service.as_any()),
        ] {
            record_fields::add(&fields, key, value);
        }
    });
}

thread_local! {
    /// A record is being read in this thread. Reading runs the application's code, which may log: what it
    /// logs meanwhile is not exported, or it might go on for ever.
    static READING: Cell<bool> = const { Cell::new(false) };
}

/// Ends the reading, also when it fails.
struct Reading;

impl Reading {
    fn begin() -> Option<Self> {
        READING.with(|reading| !reading.replace(true)).then(|| Self)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        READING.with(|reading| reading.set(false));
    }
}

/// Exports a `logging.LogRecord`, unless one is being read in this thread. Raises nothing, whatever the
/// record holds.
#[pyfunction]
pub(crate) fn emit_record(py: Python<'_>, record: &Bound<'_, PyAny>) {
    shield((), || {
        if agent().takes_logs()
            && let Some(_reading) = Reading::begin()
        {
            export(py, record);
        }
    });
}

fn export(py: Python<'_>, record: &Bound<'_, PyAny>) {
    // What has no fields is no record.
    let Some(dict) = record_fields::fields_of(record) else { return };
    let fields = Fields::of(&dict);
    let text = message(record, &fields);
    let text = convert::to_text(&text);
    let (text, cut) = shortened(&text);
    let mut attributes = reused::take();
    if cut {
        attributes.set("pitviper.log.truncated", Scalar::Bool(true), MAX_LOG_ATTRIBUTES);
    }
    describe(&mut attributes, &dict, &fields);
    let created: f64 = fields.get(Key::Created).and_then(|created| created.extract().ok()).unwrap_or_default();
    let number = fields.get(Key::LevelNo).and_then(|level| level.extract().ok()).unwrap_or_default();
    agent().log(
        &fields.text(Key::Name),
        &LogRecord {
            time_unix_nano: (created * 1e9) as u64,
            severity_number: severity(number),
            severity_text: &fields.text(Key::LevelName),
            body: Body::Text(text),
            ..in_trace(trace_point(py))
        },
        &attributes,
    );
    reused::give_back(attributes);
}

/// Fills the attributes of a record.
fn describe(attributes: &mut AttributeList, dict: &Bound<'_, PyDict>, fields: &Fields<'_>) {
    for (key, name) in [
        ("code.file.path", Key::PathName),
        ("code.function.name", Key::FuncName),
        ("code.line.number", Key::LineNo),
        ("thread.id", Key::Thread),
        ("thread.name", Key::ThreadName),
    ] {
        if let Some(value) = fields.get(name) {
            put_new(attributes, key, value, MAX_LOG_ATTRIBUTES);
        }
    }
    let exception = fields.get(Key::ExcInfo).and_then(|info| info.cast::<PyTuple>().ok()?.get_item(1).ok());
    if let Some(exception) = exception.filter(|exception| !exception.is_none()) {
        describe_exception(attributes, &exception);
    }
    if let Some(stack) = fields.get(Key::StackInfo) {
        let stack = convert::to_text(stack);
        attributes.set("code.stacktrace", Scalar::Str(shortened(&stack).0), MAX_LOG_ATTRIBUTES);
    }
    if fields.has_own {
        convert::for_each(dict, |key, value| {
            if !is_known(key) {
                put(attributes, key, value, MAX_LOG_ATTRIBUTES);
            }
        });
    }
}

fn in_trace(trace: Option<TracePoint>) -> LogRecord<'static> {
    let Some(trace) = trace else { return LogRecord::default() };
    LogRecord {
        trace_id: trace.trace_id,
        span_id: trace.span_id,
        flags: u32::from(trace.sampled),
        ..LogRecord::default()
    }
}

/// The text of a record, as its handlers will show it, or what is as good as that.
fn message<'py>(record: &Bound<'py, PyAny>, fields: &Fields<'py>) -> Bound<'py, PyAny> {
    let empty = || PyString::new(record.py(), "").into_any();
    let raw = fields.get(Key::Msg);
    let args = fields.get(Key::Args);
    let has_args = args.is_some_and(|args| !args.cast::<PyTuple>().is_ok_and(|args| args.is_empty()));
    let format = raw.and_then(|raw| raw.cast_exact::<PyString>().ok());
    if let Some(text) = format.filter(|_| !has_args) {
        return text.clone().into_any();
    }
    // What getMessage does, where it is logging's own.
    let shown = match format {
        Some(format) if is_plain(record) => match args {
            Some(args) if args.is_truthy().unwrap_or(true) => format.rem(args),
            _ => Ok(format.clone().into_any()),
        },
        _ => record.call_method0(intern!(record.py(), "getMessage")),
    };
    // Arguments that do not fit the format: the handlers complain about it, and the format says most.
    shown.unwrap_or_else(|_| raw.cloned().unwrap_or_else(empty))
}

/// Whether a record makes its text as `logging` does: it is of no subclass, and nobody changed the method.
fn is_plain(record: &Bound<'_, PyAny>) -> bool {
    /// The class and its method, if that is the one of `logging`.
    static OWN: Once<Option<(Py<PyAny>, Py<PyAny>)>> = Once::new();
    let py = record.py();
    let own = OWN.get_or_init(py, || {
        let class = py.import("logging").and_then(|logging| logging.getattr("LogRecord")).ok()?;
        let method = class.getattr("getMessage").ok()?;
        let place = method.getattr("__code__").and_then(|code| code.getattr("co_filename")).ok()?;
        let file = py.import("logging").and_then(|logging| logging.getattr("__file__")).ok()?;
        place.eq(file).unwrap_or(false).then(|| (class.unbind(), method.unbind()))
    });
    own.as_ref().is_some_and(|(class, method)| {
        let class = class.bind(py);
        record.get_type().is(class)
            && class.getattr(intern!(py, "getMessage")).is_ok_and(|present| present.is(method.bind(py)))
    })
}

fn shortened(text: &str) -> (&str, bool) {
    let end = text.floor_char_boundary(MAX_TEXT_BYTES);
    (&text[..end], end < text.len())
}

fn describe_exception(attributes: &mut AttributeList, raised: &Bound<'_, PyAny>) {
    let mut set = |key: &str, text: &str| attributes.set(key, Scalar::Str(text), MAX_LOG_ATTRIBUTES);
    set("exception.type", &exception::type_name(&raised.get_type()));
    set("exception.message", &exception::message(raised));
    if let Some(trace) = exception::stack_trace(raised) {
        set("exception.stacktrace", &trace);
    }
}

/// OpenTelemetry's number for a level of `logging`: debug is 5, info 9, warning 13, error 17, critical 21;
/// levels a little above one of these come a little after it.
fn severity(level: i64) -> u8 {
    match level {
        i64::MIN..=0 => 0,
        1..=9 => 1,
        10.. => {
            let group = (level / 10 - 1).min(4);
            let step = if level >= 60 { 3 } else { (level % 10).min(3) };
            (5 + group * 4 + step) as u8
        }
    }
}

/// Exports a record of an OpenTelemetry logger. `span_context` is where it was written, if not in the
/// current span; times are nanoseconds since the Unix epoch.
#[pyfunction]
#[pyo3(signature = (
    *,
    body = None,
    timestamp = None,
    observed_timestamp = None,
    severity_number = 0,
    severity_text = None,
    attributes = None,
    event_name = None,
    exception = None,
    span_context = None,
    scope_name = "",
    scope_version = "",
    scope_attributes = None,
))]
#[expect(clippy::too_many_arguments, reason = "what a log record has")]
pub(crate) fn emit_log(
    py: Python<'_>,
    body: Option<&Bound<'_, PyAny>>,
    timestamp: Option<&Bound<'_, PyAny>>,
    observed_timestamp: Option<&Bound<'_, PyAny>>,
    severity_number: u8,
    severity_text: Option<&Bound<'_, PyAny>>,
    attributes: Option<&Bound<'_, PyAny>>,
    event_name: Option<&Bound<'_, PyAny>>,
    exception: Option<&Bound<'_, PyAny>>,
    span_context: Option<&Bound<'_, PyAny>>,
    scope_name: &str,
    scope_version: &str,
    scope_attributes: Option<&Bound<'_, PyAny>>,
) {
    shield((), || {
        let Some(_reading) = Reading::begin().filter(|_| agent().takes_logs()) else { return };
        let mut list = AttributeList::default();
        // What the caller says of the exception counts more than what is found out.
        if let Some(exception) = exception {
            describe_exception(&mut list, exception);
        }
        fill(&mut list, attributes, MAX_LOG_ATTRIBUTES);
        let value = body.and_then(|body| convert::to_value(body, 0));
        let trace = span_context.map_or_else(|| trace_point(py), to_trace_point);
        let scope = Scope {
            name: scope_name.to_owned(),
            version: scope_version.to_owned(),
            attributes: convert::to_attributes(scope_attributes),
            ..Scope::default()
        };
        let text = |value: Option<&Bound<'_, PyAny>>| value.map(|value| convert::to_text(value).into_owned());
        agent().log_in(
            &scope,
            &LogRecord {
                time_unix_nano: convert::to_time(timestamp).unwrap_or_default(),
                observed_time_unix_nano: convert::to_time(observed_timestamp).unwrap_or_default(),
                severity_number: severity_number.min(24),
                severity_text: &text(severity_text).unwrap_or_default(),
                body: value.as_ref().map_or(Body::None, Body::Value),
                event_name: &text(event_name).unwrap_or_default(),
                ..in_trace(trace.filter(|trace| trace.trace_id != TraceId::INVALID && trace.span_id != SpanId::INVALID))
            },
            &list,
        );
    });
}
