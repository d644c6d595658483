//! Log records of Python's `logging`, and of OpenTelemetry's loggers.

use std::cell::Cell;

use pitviper_agent::{AttributeList, Body, LogRecord, MAX_LOG_ATTRIBUTES, Scalar, TracePoint};
use pitviper_model::{Scope, SpanId, TraceId};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyString, PyTuple};

use crate::metrics::{fill, put, to_trace_point, trace_point};
use crate::runtime::agent;
use crate::shield::shield;
use crate::{convert, exception, start};

/// Longest text of a record, in bytes; of a longer one the beginning is kept.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// The fields that are read, by number.
#[derive(Clone, Copy)]
enum Key {
    Args,
    Created,
    ExcInfo,
    FuncName,
    LevelName,
    LevelNo,
    LineNo,
    Msg,
    Name,
    PathName,
    StackInfo,
    Thread,
    ThreadName,
}

/// Their names, made once: a record is read in less time than it takes to make these.
fn keys(py: Python<'_>) -> &'static [Py<PyString>; 13] {
    static KEYS: PyOnceLock<[Py<PyString>; 13]> = PyOnceLock::new();
    KEYS.get_or_init(py, || {
        [
            "args",
            "created",
            "exc_info",
            "funcName",
            "levelname",
            "levelno",
            "lineno",
            "msg",
            "name",
            "pathname",
            "stack_info",
            "thread",
            "threadName",
        ]
        .map(|name| PyString::intern(py, name).unbind())
    })
}

/// Whether a field is one that every record of `logging` has, or that integrations add for text formats and
/// that a record has anyway when it is exported. All else came from the application.
fn is_known_name(key: &str) -> bool {
    matches!(
        key,
        "args"
            | "asctime"
            | "created"
            | "exc_info"
            | "exc_text"
            | "filename"
            | "funcName"
            | "levelname"
            | "levelno"
            | "lineno"
            | "message"
            | "module"
            | "msecs"
            | "msg"
            | "name"
            | "pathname"
            | "process"
            | "processName"
            | "relativeCreated"
            | "stack_info"
            | "taskName"
            | "thread"
            | "threadName"
            | "color_message"
            | "trace_id"
            | "span_id"
            | "trace_flags"
            | "trace_sampled"
            | "otelTraceID"
            | "otelSpanID"
            | "otelTraceSampled"
            | "otelServiceName"
            | "dd.trace_id"
            | "dd.span_id"
            | "dd.service"
            | "dd.env"
            | "dd.version"
    )
}

/// The same of a key. The names that logging's own code writes are interned, and so the same objects.
fn is_known(key: &Bound<'_, PyAny>) -> bool {
    static SEEN: PyOnceLock<Vec<Py<PyString>>> = PyOnceLock::new();
    let py = key.py();
    let seen = SEEN.get_or_init(py, || USUAL.iter().map(|name| PyString::intern(py, name).unbind()).collect());
    let pointer = key.as_ptr();
    seen.iter().any(|name| name.as_ptr() == pointer)
        || key.cast::<PyString>().ok().and_then(|key| key.to_str().ok()).is_none_or(is_known_name)
}

/// The names that every record has.
const USUAL: [&str; 28] = [
    "name",
    "msg",
    "args",
    "levelname",
    "levelno",
    "pathname",
    "filename",
    "module",
    "exc_info",
    "exc_text",
    "stack_info",
    "lineno",
    "funcName",
    "created",
    "msecs",
    "relativeCreated",
    "thread",
    "threadName",
    "processName",
    "process",
    "taskName",
    "trace_id",
    "span_id",
    "otelTraceID",
    "otelSpanID",
    "otelTraceSampled",
    "otelServiceName",
    "message",
];

/// Gives a record, whose fields these are, the trace and the span it is written in, unless it has fields of
/// those names. Without a span the ids are `0`.
#[pyfunction]
pub(crate) fn mark_record(py: Python<'_>, fields: &Bound<'_, PyDict>, service: &Bound<'_, PyAny>) {
    shield((), || {
        let current = start::current(py);
        let (trace_id, span_id, sampled) = match &current {
            Some(span) => {
                let (trace_id, span_id) = span.get().shown_ids(py);
                (trace_id, span_id, span.get().core_context().is_sampled())
            }
            None => (intern!(py, "0").clone(), intern!(py, "0").clone(), false),
        };
        let sampled = PyBool::new(py, sampled);
        for (key, value) in [
            (intern!(py, "trace_id"), trace_id.as_any()),
            (intern!(py, "span_id"), span_id.as_any()),
            (intern!(py, "otelTraceID"), trace_id.as_any()),
            (intern!(py, "otelSpanID"), span_id.as_any()),
            (intern!(py, "otelTraceSampled"), sampled.as_any()),
            (intern!(py, "otelServiceName"), service),
        ] {
            if !fields.contains(key).unwrap_or(true) {
                let _ = fields.set_item(key, value);
            }
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
            // A record that cannot be read is the application's; it has been shown by its own handlers.
            let _ = export(py, record);
        }
    });
}

fn export(py: Python<'_>, record: &Bound<'_, PyAny>) -> PyResult<()> {
    let fields = record.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?;
    let keys = keys(py);
    let field = |key: Key| fields.get_item(&keys[key as usize]).ok().flatten().filter(|value| !value.is_none());
    let mut attributes = AttributeList::default();
    let text = message(record, &field)?;
    let (text, cut) = shortened(&text);
    if cut {
        attributes.set("pitviper.log.truncated", Scalar::Bool(true), MAX_LOG_ATTRIBUTES);
    }
    for (key, name) in [
        (intern!(py, "code.file.path"), Key::PathName),
        (intern!(py, "code.function.name"), Key::FuncName),
        (intern!(py, "code.line.number"), Key::LineNo),
        (intern!(py, "thread.id"), Key::Thread),
        (intern!(py, "thread.name"), Key::ThreadName),
    ] {
        if let Some(value) = field(name) {
            put(&mut attributes, key.as_any(), &value, MAX_LOG_ATTRIBUTES);
        }
    }
    let exception = field(Key::ExcInfo).and_then(|info| info.cast_into::<PyTuple>().ok()?.get_item(1).ok());
    if let Some(exception) = exception.filter(|exception| !exception.is_none()) {
        describe_exception(&mut attributes, &exception);
    }
    if let Some(stack) = field(Key::StackInfo) {
        let stack = convert::to_text(&stack);
        attributes.set("code.stacktrace", Scalar::Str(shortened(&stack).0), MAX_LOG_ATTRIBUTES);
    }
    convert::for_each(&fields, |key, value| {
        if !is_known(key) {
            put(&mut attributes, key, value, MAX_LOG_ATTRIBUTES);
        }
    });
    let name = field(Key::Name);
    let level = field(Key::LevelName);
    let created: f64 = field(Key::Created).and_then(|created| created.extract().ok()).unwrap_or_default();
    let number = field(Key::LevelNo).and_then(|level| level.extract().ok()).unwrap_or_default();
    let trace = trace_point(py);
    agent().log(
        &name.as_ref().map(|name| convert::to_text(name)).unwrap_or_default(),
        &LogRecord {
            time_unix_nano: (created * 1e9) as u64,
            severity_number: severity(number),
            severity_text: &level.as_ref().map(|level| convert::to_text(level)).unwrap_or_default(),
            body: Body::Text(text),
            ..in_trace(trace)
        },
        &attributes,
    );
    Ok(())
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

/// The text of a record, as its handlers will show it.
fn message<'py>(record: &Bound<'py, PyAny>, field: &impl Fn(Key) -> Option<Bound<'py, PyAny>>) -> PyResult<String> {
    let is_empty = |args: &Bound<'py, PyAny>| args.cast::<PyTuple>().is_ok_and(|args| args.is_empty());
    if field(Key::Args).is_none_or(|args| is_empty(&args))
        && let Some(message) = field(Key::Msg)
        && let Ok(text) = message.cast_exact::<PyString>()
    {
        return Ok(text.to_string_lossy().into_owned());
    }
    // What getMessage does, where it is logging's own.
    let shown = match field(Key::Msg).and_then(|message| message.cast_into_exact::<PyString>().ok()) {
        Some(format) if is_plain(record) => match field(Key::Args) {
            Some(args) if args.is_truthy().unwrap_or(true) => format.rem(args),
            _ => Ok(format.into_any()),
        },
        _ => record.call_method0(intern!(record.py(), "getMessage")),
    };
    match shown {
        Ok(text) => Ok(convert::to_text(&text).into_owned()),
        // Arguments that do not fit the format: the handlers complain about it, and the format says most.
        Err(_) => Ok(field(Key::Msg).map(|message| convert::to_text(&message).into_owned()).unwrap_or_default()),
    }
}

/// Whether a record makes its text as `logging` does: it is of no subclass, and nobody changed the method.
fn is_plain(record: &Bound<'_, PyAny>) -> bool {
    /// The class and its method, if that is the one of `logging`.
    static OWN: PyOnceLock<Option<(Py<PyAny>, Py<PyAny>)>> = PyOnceLock::new();
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
