//! An exception as the event that OpenTelemetry's conventions describe.

use pitviper_agent::Span;
use pitviper_model::{Attributes, StatusCode, Value};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::once::Once;

/// Longest stack trace kept, in bytes; of a longer one the end, where the error is.
const MAX_STACK_TRACE_BYTES: usize = 32 * 1024;
/// Frames of a stack trace that are read, from its end. An exception that leaves many spans is read in each.
const MAX_FRAMES: i32 = 256;
/// Longest exception message kept, in bytes.
const MAX_MESSAGE_BYTES: usize = 4 * 1024;

static FORMAT_EXCEPTION: Once<Py<PyAny>> = Once::new();

/// What an exception's event says about leaving the span's block.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Escaped {
    /// Only that it did, if it did.
    Shown(bool),
    /// Either way, as a text: what OpenTelemetry's SDK writes.
    Said(bool),
}

/// Adds the event `exception`.
pub(crate) fn record(
    span: &mut Span,
    exception: &Bound<'_, PyAny>,
    more: Attributes,
    time: Option<u64>,
    escaped: Escaped,
) {
    if !span.is_recording() {
        return;
    }
    let mut attributes = Attributes::default();
    attributes.set("exception.type", type_name(&exception.get_type()));
    attributes.set("exception.message", message(exception));
    if let Some(trace) = stack_trace(exception) {
        attributes.set("exception.stacktrace", trace);
    }
    match escaped {
        Escaped::Shown(false) => {}
        Escaped::Shown(true) => attributes.set("exception.escaped", Value::Bool(true)),
        Escaped::Said(escaped) => attributes.set("exception.escaped", if escaped { "True" } else { "False" }),
    }
    for (key, value) in more.0 {
        attributes.set(key, value);
    }
    span.add_event("exception", time, attributes);
}

/// Records an exception that left the span's block, and marks the span as failed. What is no
/// failure leaves no trace: a cancelled task, a closed generator, an orderly exit.
pub(crate) fn leave_with(span: &mut Span, exception: &Bound<'_, PyAny>) {
    if !span.is_recording() || !exception.is_instance_of::<PyException>() {
        return;
    }
    record(span, exception, Attributes::default(), None, Escaped::Shown(true));
    let kind = exception.get_type();
    span.set_attribute("error.type", pitviper_agent::Scalar::Str(&type_name(&kind)));
    span.set_status(StatusCode::Error, &description(exception));
}

/// What a status says of an exception.
pub(crate) fn description(exception: &Bound<'_, PyAny>) -> String {
    let name = exception.get_type().name().map(|name| name.to_string()).unwrap_or_default();
    format!("{name}: {}", message(exception))
}

/// The qualified name of the type, without the module for built-in ones.
pub(crate) fn type_name(kind: &Bound<'_, PyType>) -> String {
    let name = kind.qualname().map(|name| name.to_string()).unwrap_or_else(|_| "Exception".to_owned());
    match kind.module().map(|module| module.to_string()) {
        Ok(module) if module != "builtins" => format!("{module}.{name}"),
        _ => name,
    }
}

pub(crate) fn message(exception: &Bound<'_, PyAny>) -> String {
    // An exception whose __str__ fails is the application's; it must not fail here as well.
    let mut text = exception.str().map(|text| text.to_string_lossy().into_owned()).unwrap_or_default();
    text.truncate(text.floor_char_boundary(MAX_MESSAGE_BYTES));
    text
}

pub(crate) fn stack_trace(exception: &Bound<'_, PyAny>) -> Option<String> {
    let py = exception.py();
    let format = FORMAT_EXCEPTION
        .get_or_try_init(py, || PyResult::Ok(py.import("traceback")?.getattr("format_exception")?.unbind()))
        .ok()?;
    let traceback = exception.getattr("__traceback__").ok()?;
    let lines = format.bind(py).call1((exception.get_type(), exception, traceback, -MAX_FRAMES)).ok()?;
    let text = lines.extract::<Vec<String>>().ok()?.concat();
    let excess = text.len().saturating_sub(MAX_STACK_TRACE_BYTES);
    Some(text[text.ceil_char_boundary(excess)..].to_owned())
}
