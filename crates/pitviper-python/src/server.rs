//! Requests that the application serves. The span of an ASGI request or websocket starts in one call, which
//! reads all that its scope says of it.

use std::borrow::Cow;

use pitviper_agent::{Scalar, http};
use pitviper_model::SpanKind;
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use crate::client::METHODS;
use crate::once::intern;
use crate::propagate::{self, Pairs};
use crate::shield::shield;
use crate::span::{self, Span};
use crate::start::{self, Start};
use crate::{convert, runtime};

/// A scope: a dictionary, or another mapping.
struct Scope<'a, 'py>(&'a Bound<'py, PyAny>);

impl<'py> Scope<'_, 'py> {
    /// What it has under a key; `None` also for None.
    fn get(&self, key: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let found = match self.0.cast::<PyDict>() {
            Ok(dict) => dict.get_item(key)?,
            Err(_) => Some(self.0.call_method1(intern!(self.0.py(), "get"), (key,))?),
        };
        Ok(found.filter(|value| !value.is_none()))
    }

    fn need(&self, key: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        self.get(key)?.ok_or_else(|| PyKeyError::new_err(key.clone().unbind()))
    }
}

/// What headers say that the span tells, and what they hand over.
#[derive(Default)]
struct Headers<'py> {
    host: Option<Bound<'py, PyAny>>,
    user_agent: Option<Bound<'py, PyAny>>,
    request_start: Option<Bound<'py, PyAny>>,
    queue_start: Option<Bound<'py, PyAny>>,
    context: Pairs,
}

impl<'py> Headers<'py> {
    fn read(headers: &Bound<'py, PyAny>) -> Self {
        let mut found = Self::default();
        propagate::each_pair(headers, |pair| {
            let slot = {
                let name = pair.get_item(0).ok();
                match name.as_ref().and_then(|name| name.cast::<PyBytes>().ok()).map(|name| name.as_bytes()) {
                    Some(b"host") => &mut found.host,
                    Some(b"user-agent") => &mut found.user_agent,
                    Some(b"x-request-start") => &mut found.request_start,
                    Some(b"x-queue-start") => &mut found.queue_start,
                    _ => return found.context.add(pair),
                }
            };
            *slot = pair
                .get_item(1)
                .ok()
                .filter(|value| value.cast::<PyBytes>().is_ok_and(|text| !text.as_bytes().is_empty()));
        });
        found
    }
}

/// The text of bytes as HTTP has it.
fn latin_1<'a>(value: &'a Bound<'_, PyAny>) -> Cow<'a, str> {
    match value.cast::<PyBytes>() {
        Ok(bytes) => match std::str::from_utf8(bytes.as_bytes()) {
            Ok(text) if text.is_ascii() => Cow::Borrowed(text),
            _ => bytes.as_bytes().iter().map(|byte| char::from(*byte)).collect(),
        },
        Err(_) => convert::to_text(value),
    }
}

/// Starts the span of a request or websocket; it is not made current.
///
/// `with_query` and `with_queue_time` are the options of servers; `more` has attributes that count more than
/// what the scope says. Returns the span and what its name begins with.
#[pyfunction]
pub(crate) fn start_asgi_request<'py>(
    scope: &Bound<'py, PyAny>,
    scope_name: &Bound<'py, PyAny>,
    with_query: bool,
    with_queue_time: bool,
    more: Option<&Bound<'py, PyDict>>,
) -> PyResult<(Bound<'py, Span>, Bound<'py, PyString>)> {
    let py = scope.py();
    let scope = Scope(scope);
    let is_websocket = scope.need(intern!(py, "type"))?.eq(intern!(py, "websocket"))?;
    let attributes = PyDict::new(py);
    let name = if is_websocket {
        attributes.set_item(intern!(py, "http.request.method"), intern!(py, "GET"))?;
        attributes.set_item(intern!(py, "network.protocol.name"), intern!(py, "websocket"))?;
        intern!(py, "WEBSOCKET").clone()
    } else {
        describe_method(&scope.need(intern!(py, "method"))?, &attributes)?
    };
    let raw_headers = scope.need(intern!(py, "headers"))?;
    let headers = Headers::read(&raw_headers);
    describe(&scope, &headers, is_websocket, with_query, &attributes)?;
    if with_queue_time
        && let Some(text) = headers.request_start.as_ref().or(headers.queue_start.as_ref())
        && let Some(waited) = http::queue_time_ms(&latin_1(text), runtime::now())
    {
        attributes.set_item(intern!(py, "http.server.queue_time_ms"), waited)?;
    }
    if let Some(more) = more {
        attributes.update(more.as_mapping())?;
    }
    let parent = propagate::extract_read(&raw_headers, &headers.context);
    let parent = parent.map(|parent| Bound::new(py, parent)).transpose()?;
    let begin = Start {
        name: name.as_any(),
        kind: SpanKind::Server,
        start_time: None,
        scope: start::scope_of(Some(scope_name)),
        attributes: Some(attributes.as_any()),
        links: None,
        service: None,
    };
    Ok((start::start_object(py, &begin, parent.as_ref().map(Bound::as_any))?, name))
}

/// Adds a method to the attributes; what the span's name begins with. Names stay few whatever clients send.
fn describe_method<'py>(method: &Bound<'py, PyAny>, attributes: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyString>> {
    let py = method.py();
    let text = method.cast::<PyString>().ok().and_then(|method| method.to_str().ok()).unwrap_or_default();
    if let Some(known) = METHODS.iter().find(|known| **known == text) {
        let name = PyString::intern(py, known);
        attributes.set_item(intern!(py, "http.request.method"), &name)?;
        return Ok(name);
    }
    attributes.set_item(intern!(py, "http.request.method"), intern!(py, "_OTHER"))?;
    attributes.set_item(intern!(py, "http.request.method_original"), method)?;
    Ok(intern!(py, "HTTP").clone())
}

/// Adds where the request came from and what it asks for.
fn describe<'py>(
    scope: &Scope<'_, 'py>,
    headers: &Headers<'py>,
    is_websocket: bool,
    with_query: bool,
    attributes: &Bound<'py, PyDict>,
) -> PyResult<()> {
    let py = attributes.py();
    let given = scope.get(intern!(py, "scheme"))?.filter(|scheme| scheme.is_truthy().unwrap_or(false));
    match given {
        Some(scheme) => attributes.set_item(intern!(py, "url.scheme"), scheme)?,
        None if is_websocket => attributes.set_item(intern!(py, "url.scheme"), intern!(py, "ws"))?,
        None => attributes.set_item(intern!(py, "url.scheme"), intern!(py, "http"))?,
    }
    attributes.set_item(intern!(py, "url.path"), scope.need(intern!(py, "path"))?)?;
    // Bytes, as ASGI has it; test clients of frameworks give text.
    if with_query
        && let Some(query) = scope.get(intern!(py, "query_string"))?.filter(|query| query.is_truthy().unwrap_or(false))
    {
        attributes.set_item(intern!(py, "url.query"), &*http::masked_query(&latin_1(&query)))?;
    }
    let part = |pair: &Option<Bound<'py, PyAny>>, place: usize| {
        let tuple = pair.as_ref()?.cast::<PyTuple>().ok().map(|tuple| tuple.get_item(place));
        let part = tuple.or_else(|| Some(pair.as_ref()?.get_item(place)))?.ok()?;
        Some(part).filter(|part| part.is_truthy().unwrap_or(false))
    };
    let server = scope.get(intern!(py, "server"))?;
    let told = match &headers.host {
        Some(host) => {
            let host = latin_1(host);
            let (address, port) = http::split_host(&host);
            attributes.set_item(intern!(py, "server.address"), address)?;
            port.filter(|port| *port != 0)
        }
        None => {
            let address = part(&server, 0).unwrap_or_else(|| intern!(py, "").clone().into_any());
            attributes.set_item(intern!(py, "server.address"), address)?;
            None
        }
    };
    if let Some(port) = told {
        attributes.set_item(intern!(py, "server.port"), port)?;
    } else if let Some(port) = part(&server, 1) {
        attributes.set_item(intern!(py, "server.port"), port)?;
    }
    if let Some(client) = part(&scope.get(intern!(py, "client"))?, 0) {
        attributes.set_item(intern!(py, "client.address"), client)?;
    }
    if let Some(agent) = &headers.user_agent {
        attributes.set_item(intern!(py, "user_agent.original"), &*latin_1(agent))?;
    }
    if let Some(version) =
        scope.get(intern!(py, "http_version"))?.filter(|version| version.is_truthy().unwrap_or(false))
    {
        attributes.set_item(intern!(py, "network.protocol.version"), version)?;
    }
    Ok(())
}

/// Names the span of a request by its route, the template of its path; its name begins with `method`.
#[pyfunction]
pub(crate) fn name_by_route(span: &Bound<'_, Span>, method: &Bound<'_, PyAny>, route: &Bound<'_, PyAny>) {
    shield((), || {
        let (method, route) = (convert::to_text(method), convert::to_text(route));
        span::change(span, |span| {
            span.update_name(&format!("{method} {route}"));
            span.set_attribute("http.route", Scalar::Str(&route));
        });
    });
}

/// The host and the port of a `Host` header; the port is None when it is not said.
#[pyfunction]
pub(crate) fn host_and_port(text: &str) -> (&str, Option<u32>) {
    http::split_host(text)
}

/// How long a request waited before the server, in milliseconds: `text` is a proxy's header, `now` in
/// nanoseconds since the Unix epoch. None when it is no such time.
#[pyfunction]
pub(crate) fn queue_time_ms(text: &str, now: u64) -> Option<f64> {
    http::queue_time_ms(text, now)
}
