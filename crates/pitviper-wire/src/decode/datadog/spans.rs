//! Spans of a payload as spans of the model.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use pitviper_model::{
    Attributes, Event, Link, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, SpanKind, Status, StatusCode,
    TraceId, Value,
};

use super::describe::{describe, messaging_of, system_of};
use super::names;
use super::nested;
use super::payload::{Payload, RawLink, RawSpan};
use super::{Sender, Traces, TracesError};
use crate::decode::Decoded;
use crate::decode::room::Room;

/// What a name of a service that was not chosen by its user comes from. `m` is the user.
const CHOSEN: &str = "m";

/// Operations that are given an exception which another span has let through.
const HANDLERS: [&str; 2] = ["flask.handle_exception", "flask.handle_user_exception"];

/// What stays under names of our own.
const OPERATION: &str = "operation.name";
const RESOURCE: &str = "resource.name";
const SPAN_TYPE: &str = "span.type";
const SERVICE: &str = "datadog.service";

/// Turns a payload into the model.
pub(super) fn into_model(payload: &Payload<'_>, sender: &Sender, room: &mut Room<'_>) -> Result<Traces, TracesError> {
    let process = Process::find(payload, sender);
    let mut sorted = Sorted::default();
    let mut discarded = 0;
    for chunk in &payload.chunks {
        let spans = &payload.spans[chunk.clone()];
        let high = spans.iter().find_map(|span| payload.text(span, "_dd.p.tid")).and_then(hex);
        let told = told_below(payload, spans);
        let is_chunk_kept = is_kept(payload, spans);
        for raw in spans {
            // Partial results of spans that run long come again when they are whole.
            if payload.number(raw, "_dd.partial_version").is_some() {
                continue;
            }
            let kind =
                names::kind(payload.text(raw, "span.kind").unwrap_or_default(), &raw.span_type, is_top(payload, raw));
            let is_counted = sender.computed_stats && is_in_stats(payload, raw, kind);
            let lot = match is_chunk_kept || is_kept_by_itself(payload, raw) {
                true if is_counted => Lot::Counted,
                true => Lot::Own,
                false if is_counted => {
                    discarded += 1;
                    continue;
                }
                false => Lot::SampledOut,
            };
            let service = service(payload, raw);
            let key = Key {
                service,
                environment: payload.text(raw, "env").or_else(|| process.fact(service, "env")).unwrap_or_default(),
                version: payload.text(raw, "version").or_else(|| process.fact(service, "version")).unwrap_or_default(),
                component: payload.text(raw, "component").unwrap_or_default(),
            };
            let is_told = told.contains(&raw.span_id);
            let span = span(payload, raw, kind, high.unwrap_or_default(), is_told, room)?;
            sorted.add(&key, lot, span);
        }
    }
    let [own, counted, sampled_out] = sorted.finish(&process, sender);
    Ok(Traces { decoded: Decoded { batch: own, rejected: Vec::new() }, counted, sampled_out, discarded })
}

impl Payload<'_> {
    fn text(&self, span: &RawSpan<'_>, key: &str) -> Option<&str> {
        let pairs = &self.meta[span.meta.clone()];
        pairs.iter().find(|(name, _)| name == key).map(|(_, value)| &**value).filter(|value| !value.is_empty())
    }

    fn number(&self, span: &RawSpan<'_>, key: &str) -> Option<f64> {
        self.metrics[span.metrics.clone()].iter().find(|(name, _)| name == key).map(|(_, value)| *value)
    }
}

/// The service of the process a span was made in. Integrations give what they call services of their
/// own, such as `postgres`; that is a peer, and here it is known by other attributes. What a user named is
/// a service.
fn service<'a>(payload: &'a Payload<'_>, raw: &'a RawSpan<'_>) -> &'a str {
    let base = payload.text(raw, "_dd.base_service");
    match base {
        Some(base) if payload.text(raw, "_dd.svc_src").is_none_or(|source| source != CHOSEN) => base,
        _ => &raw.service,
    }
}

/// Whether a part of a trace is to be kept: clients send what sampling decided against as well, with a priority that
/// says so, for the sake of those who count. Without a word it is.
fn is_kept(payload: &Payload<'_>, spans: &[RawSpan<'_>]) -> bool {
    let priority = spans.iter().find_map(|span| payload.number(span, "_sampling_priority_v1"));
    priority.is_none_or(|priority| priority > 0.0)
}

/// Whether a rule for single spans keeps this one, whatever becomes of its trace.
fn is_kept_by_itself(payload: &Payload<'_>, raw: &RawSpan<'_>) -> bool {
    payload.number(raw, "_dd.span_sampling.mechanism").is_some()
}

fn is_top(payload: &Payload<'_>, raw: &RawSpan<'_>) -> bool {
    payload.number(raw, "_dd.top_level").is_some_and(|flag| flag != 0.0)
}

/// Whether a client that makes statistics counts the span in them.
fn is_in_stats(payload: &Payload<'_>, raw: &RawSpan<'_>, kind: SpanKind) -> bool {
    let is_measured = payload.number(raw, "_dd.measured").is_some_and(|flag| flag != 0.0);
    // Its own word for the kind counts, not what its type makes of it.
    let says_kind = payload.text(raw, "span.kind").is_some() && kind != SpanKind::Internal;
    is_measured || says_kind || is_top(payload, raw)
}

/// Spans whose error is told by one below them: an exception on its way up is noted by every span it
/// passes, and happened once.
fn told_below(payload: &Payload<'_>, spans: &[RawSpan<'_>]) -> BTreeSet<u64> {
    let failed: HashMap<u64, &RawSpan<'_>> =
        spans.iter().filter(|span| span.is_error).map(|span| (span.span_id, span)).collect();
    let is_same = |one: &RawSpan<'_>, other: &RawSpan<'_>| {
        ["error.type", "error.message"].iter().all(|key| payload.text(one, key) == payload.text(other, key))
    };
    let is_told = |span: &&RawSpan<'_>| failed.get(&span.parent_id).is_some_and(|parent| is_same(parent, span));
    let handles = |span: &&RawSpan<'_>| {
        let is_other = |other: &RawSpan<'_>| other.span_id != span.span_id && is_same(other, span);
        HANDLERS.contains(&&*span.name) && failed.values().copied().any(is_other)
    };
    let below = failed.values().copied().filter(is_told).map(|span| span.parent_id);
    let handled = failed.values().copied().filter(handles).map(|span| span.span_id);
    below.chain(handled).collect()
}

fn span(
    payload: &Payload<'_>,
    raw: &RawSpan<'_>,
    kind: SpanKind,
    trace_id_high: u64,
    is_told: bool,
    room: &mut Room<'_>,
) -> Result<Span, TracesError> {
    let described = describe(&raw.name, &raw.resource, &raw.span_type, kind);
    let start = u64::try_from(raw.start).unwrap_or_default();
    let end = start.saturating_add(u64::try_from(raw.duration).unwrap_or_default());
    let high = payload.text(raw, "_dd.p.tid").and_then(hex).unwrap_or(trace_id_high);
    let mut attributes = attributes(payload, raw);
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() && attributes.get(key).is_none() {
            attributes.0.push((key.to_owned(), Value::from(value)));
        }
    };
    if let Some(statement) = &described.statement {
        add("db.query.text", &statement.text);
        add("db.query.summary", &statement.summary);
        add("db.operation.name", &statement.operation);
    } else if matches!(&*raw.span_type, "redis" | "valkey" | "memcached") {
        add("db.operation.name", &described.name);
    } else if raw.span_type == "mongodb" {
        add("db.operation.name", described.name.split(' ').next().unwrap_or_default());
    }
    add("messaging.system", messaging_of(&raw.name).unwrap_or_default());
    if kind == SpanKind::Client {
        add("db.system.name", system_of(&raw.name, &raw.span_type).unwrap_or_default());
    }
    if raw.span_type == "grpc" {
        add("rpc.system", "grpc");
    }
    if raw.name != described.name {
        add(OPERATION, &raw.name);
    }
    // A statement as it was sent has its literals; what stands for it is above.
    let is_said = raw.resource == described.name || raw.resource == raw.name || is_query(&raw.span_type);
    if !is_said {
        add(RESOURCE, &raw.resource);
    }
    add(SPAN_TYPE, &raw.span_type);
    if raw.service != service(payload, raw) {
        add(SERVICE, &raw.service);
    }

    let mut events = events(payload, raw, room)?;
    let error_type = payload.text(raw, "error.type").map(without_builtins).unwrap_or_default();
    let message = payload.text(raw, "error.message").or_else(|| payload.text(raw, "error.msg")).unwrap_or_default();
    if raw.is_error && !is_told && !error_type.is_empty() && events.iter().all(|event| event.name != "exception") {
        let stack = payload.text(raw, "error.stack").unwrap_or_default();
        let pairs = [("exception.type", error_type), ("exception.message", message), ("exception.stacktrace", stack)];
        let attributes = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        events.push(Event { time_unix_nano: end, name: "exception".to_owned(), attributes, ..Event::default() });
    }
    let status = match raw.is_error {
        true => Status { code: StatusCode::Error, message: message.to_owned() },
        false => Status::default(),
    };
    let name = described.name.into_owned();
    Ok(Span {
        trace_id: trace_id(high, raw.trace_id),
        span_id: SpanId(raw.span_id.to_be_bytes()),
        parent_span_id: SpanId(raw.parent_id.to_be_bytes()),
        name: if name.is_empty() { raw.service.clone().into_owned() } else { name },
        kind,
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        attributes,
        events,
        links: links(payload, raw, room)?,
        status,
        ..Span::default()
    })
}

fn is_query(span_type: &str) -> bool {
    matches!(span_type, "sql" | "redis" | "valkey" | "memcached" | "mongodb")
}

fn attributes(payload: &Payload<'_>, raw: &RawSpan<'_>) -> Attributes {
    let mut pairs: Vec<(String, Value)> = Vec::with_capacity(raw.meta.len() + raw.metrics.len() + 4);
    let add = |pairs: &mut Vec<(String, Value)>, (name, value): (String, Value)| {
        // Two of Datadog's names may be one of OpenTelemetry's; the first counts.
        if !pairs.iter().any(|(known, _)| *known == name) {
            pairs.push((name, value));
        }
    };
    for (key, value) in &payload.meta[raw.meta.clone()] {
        let pair = match &**key {
            // What failed is the status and an event.
            "error.message" | "error.msg" | "error.stack" => None,
            "error.type" => Some(("error.type".to_owned(), Value::from(without_builtins(value)))),
            key => names::attribute(key, value),
        };
        if let Some(pair) = pair {
            add(&mut pairs, pair);
        }
    }
    for (key, value) in &payload.metrics[raw.metrics.clone()] {
        if let Some(pair) = names::number(key, *value) {
            add(&mut pairs, pair);
        }
    }
    for (key, value) in raw.more.iter().flat_map(|more| &more.meta_struct) {
        add(&mut pairs, (key.clone().into_owned(), value.clone()));
    }
    Attributes(pairs)
}

/// Python's own exceptions by their names alone, as every other client writes them.
fn without_builtins(name: &str) -> &str {
    name.strip_prefix("builtins.").unwrap_or(name)
}

fn events(payload: &Payload<'_>, raw: &RawSpan<'_>, room: &mut Room<'_>) -> Result<Vec<Event>, TracesError> {
    let mut events = match payload.text(raw, "events") {
        Some(text) => nested::events(text, room)?,
        None => Vec::new(),
    };
    events.extend(raw.more.iter().flat_map(|more| &more.events).map(|event| Event {
        time_unix_nano: event.time_unix_nano,
        name: event.name.clone().into_owned(),
        attributes: owned(&event.attributes),
        ..Event::default()
    }));
    for (_, value) in events.iter_mut().flat_map(|event| &mut event.attributes.0) {
        if let Value::String(text) = value
            && text.starts_with("builtins.")
        {
            *text = without_builtins(text).to_owned();
        }
    }
    Ok(events)
}

fn links(payload: &Payload<'_>, raw: &RawSpan<'_>, room: &mut Room<'_>) -> Result<Vec<Link>, TracesError> {
    let mut links = match payload.text(raw, "_dd.span_links") {
        Some(text) => nested::links(text, room)?,
        None => Vec::new(),
    };
    links.extend(raw.more.iter().flat_map(|more| &more.links).map(|link: &RawLink<'_>| Link {
        trace_id: trace_id(link.trace_id_high, link.trace_id),
        span_id: SpanId(link.span_id.to_be_bytes()),
        trace_state: link.trace_state.clone().into_owned(),
        attributes: owned(&link.attributes),
        flags: (link.flags & 0xff) as u32,
        ..Link::default()
    }));
    Ok(links)
}

fn owned(pairs: &[(Cow<'_, str>, Value)]) -> Attributes {
    Attributes(pairs.iter().map(|(key, value)| (key.clone().into_owned(), value.clone())).collect())
}

pub(super) fn trace_id(high: u64, low: u64) -> TraceId {
    TraceId((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
}

/// Sixteen hex digits.
fn hex(text: &str) -> Option<u64> {
    (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// What a payload says of the process that sent it, on any of its spans.
#[derive(Debug, Default)]
struct Process<'a> {
    /// By service, `env` and `version`.
    facts: Vec<(&'a str, &'static str, &'a str)>,
    attributes: Attributes,
}

impl<'a> Process<'a> {
    fn find(payload: &'a Payload<'_>, sender: &Sender) -> Self {
        let mut process = Self { facts: Vec::new(), attributes: sender.attributes() };
        for span in &payload.spans {
            let service = service(payload, span);
            for name in ["env", "version"] {
                if let Some(value) = payload.text(span, name)
                    && process.fact(service, name).is_none()
                {
                    process.facts.push((service, name, value));
                }
            }
            // Only the first span of each part of a trace says more.
            if payload.text(span, "runtime-id").is_some() || payload.text(span, "_dd.p.dm").is_some() {
                process.note(payload, span);
            }
        }
        process
    }

    fn fact(&self, service: &str, name: &str) -> Option<&'a str> {
        let same = |fact: &&(&str, &str, &str)| (fact.0, fact.1) == (service, name);
        self.facts.iter().find(same).map(|(_, _, value)| *value)
    }

    fn note(&mut self, payload: &Payload<'_>, span: &RawSpan<'_>) {
        for (key, name) in names::OF_PROCESS.iter().filter(|(key, _)| !matches!(*key, "env" | "version" | "process_id"))
        {
            if let Some(value) = payload.text(span, key) {
                self.attributes.set(*name, value);
            }
        }
        if let Some(host) = payload.text(span, "_dd.hostname") {
            self.attributes.set("host.name", host);
        }
        if let Some(pid) = payload.number(span, "process_id") {
            self.attributes.set("process.pid", pid as i64);
        }
    }
}

/// What spans are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key<'a> {
    service: &'a str,
    environment: &'a str,
    version: &'a str,
    component: &'a str,
}

/// What is to be done with spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lot {
    /// They are counted and kept.
    Own,
    /// They are kept; their sender has counted them.
    Counted,
    /// They are counted alone.
    SampledOut,
}

/// Spans by resource and scope. There are few of each, and neighbours are mostly alike.
#[derive(Debug, Default)]
struct Sorted<'a> {
    groups: Vec<(Key<'a>, Lot, Vec<Span>)>,
    by_key: HashMap<(&'a str, &'a str, &'a str, &'a str, Lot), usize>,
}

impl<'a> Sorted<'a> {
    fn add(&mut self, key: &Key<'a>, lot: Lot, span: Span) {
        let of = (key.service, key.environment, key.version, key.component, lot);
        let groups = &mut self.groups;
        let place = *self.by_key.entry(of).or_insert_with(|| {
            groups.push((*key, lot, Vec::new()));
            groups.len() - 1
        });
        groups[place].2.push(span);
    }

    /// The lots, in order.
    fn finish(self, process: &Process<'_>, sender: &Sender) -> [Vec<ResourceSpans>; 3] {
        let mut batches: [Vec<ResourceSpans>; 3] = [Vec::new(), Vec::new(), Vec::new()];
        for (key, lot, spans) in self.groups {
            let attributes = resource_attributes(&process.attributes, key.service, key.environment, key.version);
            let scope = Scope {
                name: match key.component {
                    "" => sender.library().to_owned(),
                    component => format!("{}.{component}", sender.library()),
                },
                version: sender.tracer_version.clone(),
                ..Scope::default()
            };
            let scoped = ScopeSpans { scope: Arc::new(scope), spans };
            let batch = &mut batches[lot as usize];
            match batch.iter_mut().find(|known| known.resource.attributes == attributes) {
                Some(known) => known.scopes.push(scoped),
                None => {
                    let resource = Arc::new(Resource { attributes, ..Resource::default() });
                    batch.push(ResourceSpans { resource, scopes: vec![scoped] });
                }
            }
        }
        batches
    }
}

/// What is said of the process, with its service first.
pub(super) fn resource_attributes(process: &Attributes, service: &str, environment: &str, version: &str) -> Attributes {
    let mut attributes = Attributes::default();
    for (name, value) in
        [("service.name", service), ("service.version", version), ("deployment.environment.name", environment)]
    {
        if !value.is_empty() {
            attributes.0.push((name.to_owned(), Value::from(value)));
        }
    }
    attributes.0.extend(process.0.iter().cloned());
    attributes
}
