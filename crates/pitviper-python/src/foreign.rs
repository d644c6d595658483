//! Finished spans of somebody else's tracer, sent through our exporter.

use std::sync::Arc;

use pitviper_agent::{Parent, SpanOptions};
use pitviper_model::{Scope, SpanKind, StatusCode};
use pyo3::prelude::*;
use pyo3::types::PyAny;

use crate::convert;
use crate::runtime::agent;
use crate::shield::shield;
use crate::span_context::{context_of, given_link};

/// Exports a finished span that reads like those of OpenTelemetry's SDK. `resource` are the attributes
/// it goes out with, or None for the agent's; `service` is the service of this process it is part of, or None
/// for the process's own. What cannot be read is left out.
#[pyfunction]
#[pyo3(signature = (span, resource = None, service = None))]
pub(crate) fn export_span(
    span: &Bound<'_, PyAny>,
    resource: Option<&Bound<'_, PyAny>>,
    service: Option<&Bound<'_, PyAny>>,
) {
    shield((), || {
        // A span that lacks what every span has is none.
        let _ = export(span, resource, convert::to_service(service));
    });
}

fn export(span: &Bound<'_, PyAny>, resource: Option<&Bound<'_, PyAny>>, service: Option<Arc<str>>) -> PyResult<()> {
    let Some(context) = context_of(&span.getattr("context")?).filter(pitviper_agent::SpanContext::is_valid) else {
        return Ok(());
    };
    let parent = span.getattr("parent")?;
    let parent = if parent.is_none() { None } else { context_of(&parent) };
    let scope = span.getattr("instrumentation_scope").ok().filter(|scope| !scope.is_none());
    let text = |name: &str| {
        let found = scope.as_ref().and_then(|scope| scope.getattr(name).ok());
        found.map(|found| convert::to_text(&found).into_owned()).unwrap_or_default()
    };
    let attributes = scope.as_ref().and_then(|scope| scope.getattr("attributes").ok());
    let scope = Scope {
        name: text("name"),
        version: text("version"),
        attributes: convert::to_attributes(attributes.as_ref()),
        ..Scope::default()
    };
    let resource = resource.map(|resource| Arc::new(convert::to_attributes(Some(resource))));
    let name = span.getattr("name")?;
    let options = SpanOptions {
        name: &convert::to_text(&name),
        kind: span.getattr("kind").map_or(SpanKind::Internal, |kind| convert::to_kind(&kind)),
        parent: parent.as_ref().map_or(Parent::Root, Parent::Context),
        start_time_unix_nano: convert::to_time(Some(&span.getattr("start_time")?)),
        scope: agent().scope_of_tracer(scope, resource),
        limits: None,
        service: service.as_ref(),
    };
    let exported = context.is_sampled() && agent().is_enabled();
    let mut out = agent().begin(&options, context, exported, exported);
    if out.is_recording() {
        fill(&mut out, span);
    }
    out.end(span.getattr("end_time").ok().and_then(|time| convert::to_time(Some(&time))));
    Ok(())
}

fn fill(out: &mut pitviper_agent::Span, span: &Bound<'_, PyAny>) {
    if let Ok(attributes) = span.getattr("attributes") {
        convert::set_attributes(out, &attributes);
    }
    let items = |name: &str| span.getattr(name).and_then(|items| items.try_iter()).ok().into_iter().flatten().flatten();
    for event in items("events") {
        let part = |name: &str| event.getattr(name).ok();
        let name = part("name").map(|name| convert::to_text(&name).into_owned()).unwrap_or_default();
        let time = convert::to_time(part("timestamp").as_ref());
        out.add_event(&name, time, convert::to_attributes(part("attributes").as_ref()));
    }
    for link in items("links").filter_map(|link| given_link(&link)) {
        out.add_link(link);
    }
    if let Ok(status) = span.getattr("status") {
        let code = status.getattr("status_code").and_then(|code| code.getattr("value"));
        let code = code.and_then(|code| code.extract::<i32>()).map_or(StatusCode::Unset, StatusCode::from_otlp);
        let description = status.getattr("description").map(|text| convert::to_text(&text).into_owned());
        out.set_status(code, &description.unwrap_or_default());
    }
}
