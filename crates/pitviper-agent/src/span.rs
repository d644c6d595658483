//! A span under way.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use pitviper_model::{Attributes, Link, SpanId, SpanKind, StatusCode, Value};
use pitviper_wire::encode::{AttributeList, Scalar, SpanEncoder, SpanHead};

use crate::agent::{Agent, cut, shorten};
use crate::bounds::Bounds;
use crate::config::Limits;
use crate::id;
use crate::propagation::{Baggage, SpanContext};
use crate::record::Pooled;

/// OTLP span flag: whether the parent is remote is known.
const HAS_IS_REMOTE: u32 = 0x100;
/// OTLP span flag: the parent is remote.
const IS_REMOTE: u32 = 0x200;

/// Nanoseconds since the Unix epoch.
pub(crate) fn now_unix_nano() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_nanos() as u64)
}

/// What a new span hangs on.
#[derive(Debug, Clone, Copy)]
pub enum Parent<'a> {
    /// Nothing: it begins a trace.
    Root,
    /// This span, local or remote. Where its trace id is invalid a trace begins that passes on what came
    /// with it; where its span id is, the trace goes on with a root.
    Context(&'a SpanContext),
}

/// What a span passes on from its parent: trace state and baggage.
type PassedOn = (Option<Arc<str>>, Option<Arc<Baggage>>);

impl<'a> Parent<'a> {
    /// The context whose trace goes on, if one does.
    #[must_use]
    #[inline]
    pub fn trace(self) -> Option<&'a SpanContext> {
        match self {
            Self::Context(context) if context.trace_id.is_valid() => Some(context),
            _ => None,
        }
    }

    /// What goes on besides: the trace state and the baggage.
    #[must_use]
    #[inline]
    pub fn passed_on(self) -> PassedOn {
        match self {
            Self::Root => (None, None),
            Self::Context(context) => (context.trace_state.clone(), context.baggage.clone()),
        }
    }
}

/// How a span begins.
#[derive(Debug, Clone, Copy)]
pub struct SpanOptions<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its role.
    pub kind: SpanKind,
    /// What it hangs on.
    pub parent: Parent<'a>,
    /// When it began, in nanoseconds since the Unix epoch; `None` for now.
    pub start_time_unix_nano: Option<u64>,
    /// The instrumentation scope, from [`Agent::scope`].
    pub scope: u16,
    /// Bounds that hold instead of the agent's.
    pub limits: Option<Limits>,
    /// The service that it is part of; `None` for the process's own.
    pub service: Option<&'a Arc<str>>,
}

/// A span under way. Dropped without [`Span::end`], it ends there and then.
#[derive(Debug)]
pub struct Span {
    agent: &'static Agent,
    record: Pooled,
}

impl Span {
    /// Begins a span in `scope`, which is that of `options` in the span's service.
    #[inline]
    pub(crate) fn new(
        agent: &'static Agent,
        options: &SpanOptions<'_>,
        scope: u16,
        mut context: SpanContext,
        recorded: bool,
        exported: bool,
    ) -> Self {
        context.local_root = match options.parent {
            Parent::Context(parent) if !parent.is_remote && parent.local_root.is_valid() => parent.local_root,
            _ => context.span_id,
        };
        let names_endpoint = recorded && context.local_root == context.span_id && agent.endpoints.is_wanted();
        if names_endpoint {
            agent.endpoints.begin(context.span_id, options.name);
        }
        let (parent_span_id, parent_is_remote, parent_flags) = match options.parent {
            Parent::Context(parent) if parent.is_valid() => (parent.span_id, parent.is_remote, parent.flags),
            _ => (SpanId::INVALID, false, 0),
        };
        let mut pooled = Pooled::take();
        let record = &mut *pooled;
        if recorded {
            record.name.push_str(options.name);
        }
        record.context = context;
        record.parent_span_id = parent_span_id;
        record.parent_is_remote = parent_is_remote;
        record.parent_flags = parent_flags;
        record.kind = options.kind;
        record.scope = scope;
        record.start_time_unix_nano = options.start_time_unix_nano.unwrap_or_else(now_unix_nano);
        record.started = options.start_time_unix_nano.is_none().then(Instant::now);
        record.status = StatusCode::Unset;
        record.end_time_unix_nano = 0;
        record.recorded = recorded;
        record.recording = recorded;
        record.exported = exported;
        record.names_endpoint = names_endpoint;
        record.limits = options.limits.map(Box::new);
        record.service = options.service.cloned();
        record.generation = id::generation();
        Self { agent, record: pooled }
    }

    /// A span of no trace, which is not recorded and counts for nothing: something to look at.
    #[must_use]
    pub fn blank(agent: &'static Agent) -> Self {
        let options = SpanOptions {
            name: "",
            kind: SpanKind::Internal,
            parent: Parent::Root,
            start_time_unix_nano: Some(0),
            scope: 0,
            limits: None,
            service: None,
        };
        Self::new(agent, &options, options.scope, SpanContext::default(), false, false)
    }

    /// What writes it, with its bounds, while what is set still counts.
    #[inline]
    fn writer(&mut self) -> Option<(&mut SpanEncoder, Bounds<'_>)> {
        let record = &mut *self.record;
        let bounds = Bounds { own: record.limits.as_deref(), common: &self.agent.limits };
        record.recording.then_some((&mut record.encoder, bounds))
    }

    /// What it tells others of itself.
    #[must_use]
    pub fn context(&self) -> &SpanContext {
        &self.record.context
    }

    /// The span it is part of; invalid for a root.
    #[must_use]
    pub fn parent_span_id(&self) -> SpanId {
        self.record.parent_span_id
    }

    /// The context of the span it is part of; `None` for a root.
    #[must_use]
    pub fn parent(&self) -> Option<SpanContext> {
        self.record.parent_span_id.is_valid().then(|| SpanContext {
            trace_id: self.record.context.trace_id,
            span_id: self.record.parent_span_id,
            flags: self.record.parent_flags,
            is_remote: self.record.parent_is_remote,
            trace_state: self.record.context.trace_state.clone(),
            baggage: None,
            local_root: SpanId::INVALID,
        })
    }

    /// The number of its instrumentation scope.
    #[must_use]
    pub fn scope(&self) -> u16 {
        self.record.scope
    }

    /// The service that it is part of, and what is below it in this process; `None` for the process's own.
    #[must_use]
    pub fn service(&self) -> Option<&Arc<str>> {
        self.record.service.as_ref()
    }

    /// When it began, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn start_time_unix_nano(&self) -> u64 {
        self.record.start_time_unix_nano
    }

    /// When it ended, in nanoseconds since the Unix epoch; `None` while it runs.
    #[must_use]
    pub fn end_time_unix_nano(&self) -> Option<u64> {
        (self.record.end_time_unix_nano != 0).then_some(self.record.end_time_unix_nano)
    }

    /// Its status and the description of an error.
    #[must_use]
    pub fn status(&self) -> (StatusCode, &str) {
        (self.record.status, &self.record.status_message)
    }

    /// Its attributes, events and links, written as OTLP; `None` when it is not recorded.
    #[must_use]
    pub fn content(&self) -> Option<&SpanEncoder> {
        self.record.recorded.then_some(&self.record.encoder)
    }

    /// Its name; empty when it is not recorded.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// Its role.
    #[must_use]
    pub fn kind(&self) -> SpanKind {
        self.record.kind
    }

    /// Makes it part of another service of this process; with `None`, of the process's own.
    pub fn set_service(&mut self, service: Option<Arc<str>>) {
        if self.is_recording() {
            self.record.scope = self.agent.scope_in_service(self.record.scope, service.as_ref());
            self.record.service = service;
        }
    }

    /// Says that it began at another time, in nanoseconds since the Unix epoch.
    pub fn set_start(&mut self, time_unix_nano: u64) {
        if self.is_recording() {
            self.record.start_time_unix_nano = time_unix_nano;
            self.record.started = None;
        }
    }

    /// Gives it another role.
    pub fn set_kind(&mut self, kind: SpanKind) {
        if self.is_recording() {
            self.record.kind = kind;
        }
    }

    /// Keeps it from being sent when it ends.
    pub fn discard(&mut self) {
        if std::mem::take(&mut self.record.exported) {
            self.agent.counters.sampled_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether what is set still counts: it is sampled and has not ended.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.record.recording
    }

    /// Sets an attribute. The last value of a key counts; an empty key is ignored.
    #[inline]
    pub fn set_attribute(&mut self, key: &str, value: Scalar<'_>) {
        let agent = self.agent;
        let Some((encoder, bounds)) = self.writer() else { return };
        if key.is_empty() {
            agent.count_invalid_attribute();
            return;
        }
        let value = match value {
            Scalar::Str(text) => Scalar::Str(cut(text, bounds.value_length())),
            other => other,
        };
        encoder.attributes.set(key, value, bounds.attributes());
    }

    /// Sets an attribute to a value of any shape.
    pub fn set_value(&mut self, key: &str, value: Value) {
        let agent = self.agent;
        if let Some((encoder, bounds)) = self.writer() {
            put(&mut encoder.attributes, agent, key, value, bounds.attributes(), bounds.value_length());
        }
    }

    /// Counts an attribute whose value could not be represented.
    pub fn drop_attribute(&mut self) {
        let agent = self.agent;
        if let Some((encoder, _)) = self.writer() {
            encoder.attributes.drop_one();
            agent.count_invalid_attribute();
        }
    }

    /// Adds an event, at `time_unix_nano` or now.
    pub fn add_event(&mut self, name: &str, time_unix_nano: Option<u64>, attributes: Attributes) {
        let agent = self.agent;
        let Some((encoder, bounds)) = self.writer() else { return };
        let mut list = AttributeList::default();
        for (key, value) in attributes.0 {
            put(&mut list, agent, &key, value, bounds.event_attributes(), bounds.detail_value_length());
        }
        let time = time_unix_nano.unwrap_or_else(now_unix_nano);
        encoder.add_event(name, time, &list, bounds.events());
    }

    /// Links another span as a cause.
    pub fn add_link(&mut self, mut link: Link) {
        if let Some((encoder, bounds)) = self.writer() {
            let kept = link.attributes.0.len().min(bounds.link_attributes() as usize);
            link.dropped_attributes_count += (link.attributes.0.len() - kept) as u32;
            link.attributes.0.truncate(kept);
            link.attributes.0.iter_mut().for_each(|(_, value)| shorten(value, bounds.detail_value_length()));
            encoder.add_link(&link, bounds.links());
        }
    }

    /// Gives it another name.
    pub fn update_name(&mut self, name: &str) {
        if self.is_recording() {
            name.clone_into(&mut self.record.name);
            if self.record.names_endpoint {
                self.agent.endpoints.rename(self.record.context.span_id, name);
            }
        }
    }

    /// Says whether it succeeded, by OpenTelemetry's rules: `Ok` is final, `Unset` is ignored, and
    /// only an error has a message.
    pub fn set_status(&mut self, code: StatusCode, message: &str) {
        if !self.is_recording() || self.record.status == StatusCode::Ok || code == StatusCode::Unset {
            return;
        }
        self.record.status = code;
        self.record.status_message.clear();
        if code == StatusCode::Error {
            let limit = Bounds { own: self.record.limits.as_deref(), common: &self.agent.limits }.detail_value_length();
            self.record.status_message.push_str(cut(message, limit));
        }
    }

    /// Ends it, at `end_time_unix_nano` or now. Only the first end counts; whether this
    /// was it, of a span that is recorded.
    pub fn end(&mut self, end_time_unix_nano: Option<u64>) -> bool {
        let record = &mut *self.record;
        if !std::mem::take(&mut record.recording) {
            self.agent.unrecorded();
            return false;
        }
        if std::mem::take(&mut record.names_endpoint) {
            self.agent.endpoints.end(record.context.span_id);
        }
        let end = end_time_unix_nano.unwrap_or_else(|| match record.started {
            // The wall clock may be set while the span runs; its duration must not change.
            Some(started) => record.start_time_unix_nano + started.elapsed().as_nanos() as u64,
            None => now_unix_nano().max(record.start_time_unix_nano),
        });
        record.end_time_unix_nano = end.max(1);
        if record.exported && record.generation == id::generation() {
            let remote = if record.parent_is_remote { IS_REMOTE } else { 0 };
            let head = SpanHead {
                trace_id: record.context.trace_id,
                span_id: record.context.span_id,
                parent_span_id: record.parent_span_id,
                trace_state: record.context.trace_state.as_deref().unwrap_or_default(),
                flags: u32::from(record.context.flags) | HAS_IS_REMOTE | remote,
                kind: record.kind,
                start_time_unix_nano: record.start_time_unix_nano,
            };
            self.agent.finish(record.scope, |out| {
                record.encoder.append_span(out, &head, &record.name, end, record.status, &record.status_message);
            });
        }
        true
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if self.record.recording {
            self.end(None);
        }
    }
}

fn put(list: &mut AttributeList, agent: &Agent, key: &str, mut value: Value, count_limit: u32, length_limit: usize) {
    if key.is_empty() {
        agent.count_invalid_attribute();
        return;
    }
    shorten(&mut value, length_limit);
    list.set_value(key, &value, count_limit);
}
