//! Calls of clients. A call's span hides those below it: libraries stand on each other, and each of them
//! would trace the same request.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use pitviper_agent::{Scalar, http};
use pitviper_model::{SpanKind, StatusCode};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString};

use crate::runtime_context::http_suppressed;
use crate::shield::{shield, shield_attached};
use crate::span::{self, Span};
use crate::start::Start;
use crate::{convert, pipeline, start};

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
    http_suppressed(py) || shield_attached(py, false, is_below)
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
    let py = method.py();
    let (method, url, host) = (convert::to_text(method), convert::to_text(url), host.map(convert::to_text));
    let call = HttpCall::of(&method, &url, host.as_deref(), port, resend);
    let name = PyString::intern(py, call.name).into_any();
    // Who watches spans is told of them with their attributes.
    let told = pipeline::own(py).map(|_| call.as_dict(py)).transpose()?;
    let begin = Start {
        name: &name,
        kind: SpanKind::Client,
        start_time: None,
        scope: start::scope_of(Some(scope)),
        attributes: told.as_ref().map(|told| told.as_any()),
        links: None,
        service: None,
    };
    let fill = |span: &mut pitviper_agent::Span| {
        if told.is_none() {
            call.each(|name, value| span.set_attribute(name, value));
        }
    };
    let span = start::start_filled(py, &begin, None, fill)?;
    span.get().is_call.store(true, Ordering::Relaxed);
    shield_attached(py, (), || span::enter(&span));
    Ok(span)
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
) -> PyResult<(Bound<'py, PyString>, Bound<'py, PyDict>)> {
    let py = method.py();
    let (method, url, host) = (convert::to_text(method), convert::to_text(url), host.map(convert::to_text));
    let call = HttpCall::of(&method, &url, host.as_deref(), port, resend);
    Ok((PyString::intern(py, call.name), call.as_dict(py)?))
}

/// What the span of an HTTP call says.
struct HttpCall<'a> {
    name: &'static str,
    /// The method, if it is none that is known.
    other_method: Option<&'a str>,
    url: Cow<'a, str>,
    host: Cow<'a, str>,
    port: Option<i64>,
    resend: u64,
}

impl<'a> HttpCall<'a> {
    fn of(method: &'a str, url: &'a str, host: Option<&'a str>, port: Option<&Bound<'_, PyAny>>, resend: u64) -> Self {
        let known = METHODS.iter().find(|known| known.eq_ignore_ascii_case(method)).copied();
        let (host, own_port) = match host {
            Some(host) => (Cow::Borrowed(host), None),
            None => http::host_and_port(url),
        };
        let port = port.and_then(|port| port.extract().ok()).filter(|port| *port != 0);
        Self {
            name: known.unwrap_or("HTTP"),
            other_method: known.is_none().then_some(method),
            url: http::masked_url(url),
            host,
            port: port.or(own_port.map(i64::from)),
            resend,
        }
    }

    fn each(&self, mut set: impl FnMut(&'static str, Scalar<'_>)) {
        match self.other_method {
            None => set("http.request.method", Scalar::Str(self.name)),
            Some(method) => {
                set("http.request.method", Scalar::Str("_OTHER"));
                set("http.request.method_original", Scalar::Str(method));
            }
        }
        set("url.full", Scalar::Str(&self.url));
        if !self.host.is_empty() {
            set("server.address", Scalar::Str(&self.host));
        }
        if let Some(port) = self.port {
            set("server.port", Scalar::Int(port));
        }
        if self.resend > 0 {
            set("http.request.resend_count", Scalar::Int(self.resend as i64));
        }
    }

    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        let mut outcome = Ok(());
        self.each(|name, value| {
            let name = PyString::intern(py, name);
            let item = match value {
                Scalar::Str(text) => dict.set_item(name, text),
                Scalar::Int(number) => dict.set_item(name, number),
                Scalar::Bool(is_so) => dict.set_item(name, is_so),
                Scalar::Double(number) => dict.set_item(name, number),
            };
            if item.is_err() {
                outcome = item;
            }
        });
        outcome.map(|()| dict)
    }
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
