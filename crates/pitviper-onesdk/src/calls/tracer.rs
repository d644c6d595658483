//! The life of a tracer, tags and links.

use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use pitviper_model::{SpanId, TraceId};

use crate::handles::{self, NONE, Object};
use crate::links;
use crate::state::{self, code};
use crate::tracer::Tracer;
use crate::{SCOPE, shield};

/// Works with a tracer; what it says against it, the application is told. Nobody waits: who uses a tracer
/// that is in use elsewhere makes a mistake.
pub(super) fn with(handle: u64, work: impl FnOnce(&mut Tracer) -> Result<(), &'static str>) {
    // Nothing is traced, and a caller may go on as if it were.
    if handle == NONE {
        return;
    }
    shield(|| {
        let Some(tracer) = handles::tracer(handle) else {
            return state::warn(&format!("{SCOPE}: {handle} is no tracer, or one that has ended."));
        };
        let done = match tracer.try_lock() {
            Ok(mut tracer) => work(&mut tracer),
            Err(TryLockError::Poisoned(poisoned)) => work(&mut poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err("It is in use by another thread."),
        };
        if let Err(why) = done {
            state::warn(&format!("{SCOPE}: a call for tracer {handle} has no effect. {why}"));
        }
    });
}

/// Starts it.
pub fn start(handle: u64) {
    with(handle, |tracer| {
        let Some(spans) = state::spans() else { return Ok(()) };
        if tracer.start(spans) { Ok(()) } else { Err("It was started before.") }
    });
}

/// Ends it and lets go of it.
pub fn end(handle: u64) {
    shield(|| {
        let Some(Object::Tracer(tracer)) = handles::remove(handle, |object| matches!(object, Object::Tracer(_))) else {
            return;
        };
        // Whoever else has it at this moment ends it by letting go.
        if let Ok(tracer) = Arc::try_unwrap(tracer).map(Mutex::into_inner) {
            tracer.unwrap_or_else(PoisonError::into_inner).end();
        }
    });
}

/// Marks it as failed.
pub fn fail(handle: u64, class: &str, message: &str) {
    with(handle, |tracer| {
        if tracer.fail(class, message) { Ok(()) } else { Err("It is marked as failed already, or not started.") }
    });
}

/// Says who called, before the start.
pub fn set_incoming_tag(handle: u64, tag: &str) {
    with(handle, |tracer| {
        if !tracer.kind().takes_tag() {
            return Err("A tracer of its kind takes no tag.");
        }
        let read = pitviper_agent::read_dynatrace_tag(tag);
        let is_readable = tag.is_empty() || read.is_some();
        match tracer.set_tag(read) {
            false => Err("A tag is set before the start."),
            true if !is_readable => Err("Its tag cannot be read."),
            true => Ok(()),
        }
    });
}

/// The tag for whom it calls; `None` where there is none.
pub fn outgoing_tag(handle: u64) -> Option<String> {
    let mut tag = None;
    with(handle, |tracer| {
        if !tracer.kind().gives_tag() {
            return Err("A tracer of its kind has no tag.");
        }
        if !tracer.is_started() {
            return Err("It has a tag between start and end.");
        }
        tag = tracer.context().as_ref().and_then(links::tag);
        Ok(())
    });
    tag
}

/// A link to what is current; empty where nothing is.
pub fn create_in_process_link() -> Vec<u8> {
    let link = shield(|| {
        let current = state::spans()?.current().filter(|current| current.context.is_valid())?;
        Some(links::link(&current.context, current.service.as_deref()))
    });
    link.unwrap_or_default()
}

/// The ids of what is current, which are invalid where nothing is, and a code that says why.
pub fn current_trace() -> (i32, TraceId, SpanId) {
    let spans = state::spans();
    let context = shield(|| Some(spans?.current()?.context)).filter(pitviper_agent::SpanContext::is_valid);
    match context {
        Some(context) => (code::SUCCESS, context.trace_id, context.span_id),
        None if spans.is_some() => (code::NO_DATA, TraceId::INVALID, SpanId::INVALID),
        None => (code::AGENT_NOT_ACTIVE, TraceId::INVALID, SpanId::INVALID),
    }
}
