//! A span under way.

use std::cell::RefCell;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use pitviper_model::{Attributes, Link, SpanId, SpanKind, StatusCode, Value};
use pitviper_wire::encode::{AttributeList, Scalar, SpanEncoder, SpanHead};

use crate::agent::Agent;
use crate::id;
use crate::propagation::SpanContext;

/// Span buffers a thread keeps for reuse.
const MAX_POOLED: usize = 32;
/// Largest buffer kept for reuse, in bytes.
const MAX_POOLED_BYTES: usize = 16 * 1024;

/// OTLP span flag: whether the parent is remote is known.
const HAS_IS_REMOTE: u32 = 0x100;
/// OTLP span flag: the parent is remote.
const IS_REMOTE: u32 = 0x200;

thread_local! {
    // Boxed, so that a span moves a pointer and not the buffers' heads.
    #[expect(clippy::vec_box, reason = "the boxes are what is reused")]
    static POOL: RefCell<Vec<Box<SpanEncoder>>> = const { RefCell::new(Vec::new()) };
}

fn take_encoder() -> Box<SpanEncoder> {
    POOL.try_with(|pool| pool.borrow_mut().pop()).ok().flatten().unwrap_or_default()
}

fn return_encoder(mut encoder: Box<SpanEncoder>) {
    if encoder.capacity() <= MAX_POOLED_BYTES {
        encoder.clear();
        // The pool is gone while its thread ends; the buffer is then simply freed.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < MAX_POOLED {
                pool.push(encoder);
            }
        });
    }
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn now_unix_nano() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_nanos() as u64)
}

/// What a new span hangs on.
#[derive(Debug, Clone, Copy)]
pub enum Parent<'a> {
    /// Nothing: it begins a trace.
    Root,
    /// This span, local or remote.
    Context(&'a SpanContext),
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
}

/// A span under way. Dropped without [`Span::end`], it ends there and then.
#[derive(Debug)]
pub struct Span {
    agent: &'static Agent,
    context: SpanContext,
    parent_span_id: SpanId,
    parent_is_remote: bool,
    kind: SpanKind,
    name: String,
    scope: u16,
    start_time_unix_nano: u64,
    /// Reading of the monotonic clock at the start; `None` when the caller gave the start time.
    started: Option<Instant>,
    status: StatusCode,
    status_message: String,
    /// `None` once it ended, and when it is not recorded.
    encoder: Option<Box<SpanEncoder>>,
    /// The process it was started in. A forked child has a copy, and only the parent may send it.
    generation: u64,
}

impl Span {
    pub(crate) fn new(agent: &'static Agent, options: &SpanOptions<'_>, context: SpanContext, recorded: bool) -> Self {
        let (parent_span_id, parent_is_remote) = match options.parent {
            Parent::Root => (SpanId::INVALID, false),
            Parent::Context(parent) => (parent.span_id, parent.is_remote),
        };
        Self {
            agent,
            context,
            parent_span_id,
            parent_is_remote,
            kind: options.kind,
            name: if recorded { options.name.to_owned() } else { String::new() },
            scope: options.scope,
            start_time_unix_nano: options.start_time_unix_nano.unwrap_or_else(now_unix_nano),
            started: options.start_time_unix_nano.is_none().then(Instant::now),
            status: StatusCode::Unset,
            status_message: String::new(),
            encoder: recorded.then(take_encoder),
            generation: id::generation(),
        }
    }

    /// What it tells others of itself.
    #[must_use]
    pub fn context(&self) -> &SpanContext {
        &self.context
    }

    /// The span it is part of; invalid for a root.
    #[must_use]
    pub fn parent_span_id(&self) -> SpanId {
        self.parent_span_id
    }

    /// Its name; empty when it is not recorded.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its role.
    #[must_use]
    pub fn kind(&self) -> SpanKind {
        self.kind
    }

    /// Whether what is set still counts: it is sampled and has not ended.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.encoder.is_some()
    }

    /// Sets an attribute. The last value of a key counts; an empty key is ignored.
    #[inline]
    pub fn set_attribute(&mut self, key: &str, value: Scalar<'_>) {
        if let Some(encoder) = &mut self.encoder {
            put_scalar(&mut encoder.attributes, self.agent, key, value);
        }
    }

    /// Sets an attribute to a value of any shape.
    pub fn set_value(&mut self, key: &str, value: Value) {
        if let Some(encoder) = &mut self.encoder {
            put_value(&mut encoder.attributes, self.agent, key, value);
        }
    }

    /// Counts an attribute whose value could not be represented.
    pub fn drop_attribute(&mut self) {
        if let Some(encoder) = &mut self.encoder {
            encoder.attributes.drop_one();
            self.agent.count_invalid_attribute();
        }
    }

    /// Adds an event, at `time_unix_nano` or now.
    pub fn add_event(&mut self, name: &str, time_unix_nano: Option<u64>, attributes: Attributes) {
        let Some(encoder) = &mut self.encoder else { return };
        let mut list = AttributeList::default();
        for (key, value) in attributes.0 {
            put_value(&mut list, self.agent, &key, value);
        }
        let time = time_unix_nano.unwrap_or_else(now_unix_nano);
        encoder.add_event(name, time, &list, self.agent.limits.events.load(Ordering::Relaxed));
    }

    /// Links another span as a cause.
    pub fn add_link(&mut self, mut link: Link) {
        if let Some(encoder) = &mut self.encoder {
            link.attributes.0.iter_mut().for_each(|(_, value)| self.agent.shorten(value));
            encoder.add_link(&link, self.agent.limits.links.load(Ordering::Relaxed));
        }
    }

    /// Gives it another name.
    pub fn update_name(&mut self, name: &str) {
        if self.is_recording() {
            name.clone_into(&mut self.name);
        }
    }

    /// Says whether it succeeded, by OpenTelemetry's rules: `Ok` is final, `Unset` is ignored, and
    /// only an error has a message.
    pub fn set_status(&mut self, code: StatusCode, message: &str) {
        if !self.is_recording() || self.status == StatusCode::Ok || code == StatusCode::Unset {
            return;
        }
        self.status = code;
        self.status_message.clear();
        if code == StatusCode::Error {
            self.status_message.push_str(self.agent.cut(message));
        }
    }

    /// Ends it, at `end_time_unix_nano` or now. Only the first end counts.
    pub fn end(&mut self, end_time_unix_nano: Option<u64>) {
        let Some(encoder) = self.encoder.take() else { return };
        if self.generation == id::generation() {
            let end = end_time_unix_nano.unwrap_or_else(|| match self.started {
                // The wall clock may be set while the span runs; its duration must not change.
                Some(started) => self.start_time_unix_nano + started.elapsed().as_nanos() as u64,
                None => now_unix_nano().max(self.start_time_unix_nano),
            });
            let remote = if self.parent_is_remote { IS_REMOTE } else { 0 };
            let head = SpanHead {
                trace_id: self.context.trace_id,
                span_id: self.context.span_id,
                parent_span_id: self.parent_span_id,
                trace_state: self.context.trace_state.as_deref().unwrap_or_default(),
                flags: u32::from(self.context.flags) | HAS_IS_REMOTE | remote,
                kind: self.kind,
                start_time_unix_nano: self.start_time_unix_nano,
            };
            self.agent.finish(self.scope, |out| {
                encoder.append_span(out, &head, &self.name, end, self.status, &self.status_message);
            });
        }
        return_encoder(encoder);
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        self.end(None);
    }
}

#[inline]
fn put_scalar(list: &mut AttributeList, agent: &Agent, key: &str, value: Scalar<'_>) {
    if key.is_empty() {
        agent.count_invalid_attribute();
        return;
    }
    let value = match value {
        Scalar::Str(text) => Scalar::Str(agent.cut(text)),
        other => other,
    };
    list.set(key, value, agent.limits.attributes.load(Ordering::Relaxed));
}

fn put_value(list: &mut AttributeList, agent: &Agent, key: &str, mut value: Value) {
    if key.is_empty() {
        agent.count_invalid_attribute();
        return;
    }
    agent.shorten(&mut value);
    list.set_value(key, &value, agent.limits.attributes.load(Ordering::Relaxed));
}
