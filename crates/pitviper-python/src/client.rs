//! Calls of clients. A call's span hides those below it: libraries stand on each other, and each of them
//! would trace the same request.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use pitviper_agent::{Scalar, http};
use pitviper_model::{SpanKind, StatusCode};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString};

use crate::once::intern;
use crate::runtime_context::http_suppressed;
use crate::shield::{shield, shield_attached};
use crate::span::{self, Span};
use crate::{convert, start};

/// The methods that are known, and so what spans are named after.
pub(crate) const METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "QUERY", "CONNECT", "TRACE"];

/// A status from which on a call failed.
const FAILED: i64 = 400;

/// The span of the call that a library further up is making just now. A client span of the application's
/// own is none: what is called below it gets its span.
#[pyfunction]
pub(crate) fn current_call(py: Python<'_>) -> Option<Bound<'_, Span>> {
    shield(None, || start::current(py).filter(|span| span.get().is_call.load(Ordering::Relaxed)))
}

/// Whether a library further up already traces this call, or the application wants no span of it.
#[pyfunction]
pub(crate) fn inside_call(py: Python<'_>) -> bool {
    let is_below = || start::current(py).is_some_and(|span| span.get().is_call.load(Ordering::Relaxed));
    http_suppressed(py) || shield(false, is_below)
}

/// Starts the span of a call that hides those below it until it ends, and makes it current.
#[pyfunction]
pub(crate) fn start_call<'py>(
    name: &Bound<'py, PyAny>,
    kind: &Bound<'py, PyAny>,
    attributes: &Bound<'py, PyAny>,
    scope: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, Span>> {
    let py = name.py();
    let span = start::start_as_current_span(py, name, Some(kind), Some(attributes), None, None, None, Some(scope))?;
    span.get().is_call.store(true, Ordering::Relaxed);
    Ok(span)
}

/// Starts the span of an HTTP call, likewise. Host and port are those of the URL if they are not given;
/// `resend` is how many times the call was sent before.
#[pyfunction]
#[pyo3(signature = (method, url, scope, host = None, port = None, resend = 0))]
pub(crate) fn start_http_call<'py>(
    method: &Bound<'py, PyAny>,
    url: &Bound<'py, PyAny>,
    scope: &Bound<'py, PyAny>,
    host: Option<&Bound<'py, PyAny>>,
    port: Option<&Bound<'py, PyAny>>,
    resend: u64,
) -> PyResult<Bound<'py, Span>> {
    let (name, attributes) = describe_call(method, url, host, port, resend)?;
    let kind = (SpanKind::Client as i32).into_pyobject(method.py())?;
    start_call(&name, &kind, &attributes, scope)
}

/// The name and the attributes of the span of an HTTP call; the arguments are those of `start_http_call`.
#[pyfunction]
#[pyo3(signature = (method, url, host = None, port = None, resend = 0))]
pub(crate) fn describe_call<'py>(
    method: &Bound<'py, PyAny>,
    url: &Bound<'py, PyAny>,
    host: Option<&Bound<'py, PyAny>>,
    port: Option<&Bound<'py, PyAny>>,
    resend: u64,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let py = method.py();
    let attributes = PyDict::new(py);
    let given = convert::to_text(method);
    let known = METHODS.iter().find(|known| known.eq_ignore_ascii_case(&given));
    let name = match known {
        Some(known) => {
            let name = PyString::intern(py, known);
            attributes.set_item(intern!(py, "http.request.method"), &name)?;
            name
        }
        None => {
            attributes.set_item(intern!(py, "http.request.method"), intern!(py, "_OTHER"))?;
            attributes.set_item(intern!(py, "http.request.method_original"), method)?;
            intern!(py, "HTTP").clone()
        }
    };
    let whole = convert::to_text(url);
    match http::masked_url(&whole) {
        Cow::Borrowed(shown) if shown.len() == whole.len() => {
            attributes.set_item(intern!(py, "url.full"), url)?;
        }
        shown => attributes.set_item(intern!(py, "url.full"), &*shown)?,
    }
    let (own_host, own_port) = match host {
        Some(_) => (Cow::default(), None),
        None => http::host_and_port(&whole),
    };
    match host {
        Some(host) if host.is_truthy()? => attributes.set_item(intern!(py, "server.address"), host)?,
        None if !own_host.is_empty() => attributes.set_item(intern!(py, "server.address"), &*own_host)?,
        _ => {}
    }
    match (port, own_port) {
        (Some(port), _) if port.is_truthy()? => attributes.set_item(intern!(py, "server.port"), port)?,
        (None, Some(port)) => attributes.set_item(intern!(py, "server.port"), port)?,
        _ => {}
    }
    if resend > 0 {
        attributes.set_item(intern!(py, "http.request.resend_count"), resend)?;
    }
    Ok((name.into_any(), attributes.into_any()))
}

/// Notes the status of a response; anything but a number is none.
#[pyfunction]
pub(crate) fn answered_call(span: &Bound<'_, Span>, status: &Bound<'_, PyAny>) {
    note_status(span, status);
}

/// The same of a call that ends with that.
#[pyfunction]
pub(crate) fn end_call(span: &Bound<'_, Span>, status: &Bound<'_, PyAny>) {
    note_status(span, status);
    shield_attached(span.py(), (), || span::leave(span, None));
}

fn note_status(span: &Bound<'_, Span>, status: &Bound<'_, PyAny>) {
    let Some(status) = status.cast::<PyInt>().ok().and_then(|status| status.extract::<i64>().ok()) else { return };
    span::change(span, |span| {
        span.set_attribute("http.response.status_code", Scalar::Int(status));
        if status >= FAILED {
            span.set_attribute("error.type", Scalar::Str(&status.to_string()));
            span.set_status(StatusCode::Error, "");
        }
    });
}

/// A URL without credentials, fragment, and the values of parameters that look like secrets.
#[pyfunction]
pub(crate) fn masked_url(url: &Bound<'_, PyAny>) -> String {
    http::masked_url(&convert::to_text(url)).into_owned()
}

/// A query string without the values of parameters that look like secrets.
#[pyfunction]
pub(crate) fn masked_query(query: &Bound<'_, PyAny>) -> String {
    http::masked_query(&convert::to_text(query)).into_owned()
}
