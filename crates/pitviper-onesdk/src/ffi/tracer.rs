//! The life of a tracer, tags and links.

use std::ffi::{c_char, c_void};
use std::sync::TryLockError;

use super::{copy_out, copy_text, short};
use crate::handles::{self, NONE, Object};
use crate::links;
use crate::state::{self, code};
use crate::text::Text;
use crate::tracer::Tracer;
use crate::{SCOPE, shield};

/// Longest tag that is looked at, in characters.
const MAX_TAG: usize = 1_024;

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

#[unsafe(no_mangle)]
extern "C" fn onesdk_tracer_start(handle: u64) {
    with(handle, |tracer| {
        let Some(spans) = state::spans() else { return Ok(()) };
        if tracer.start(spans) { Ok(()) } else { Err("It was started before.") }
    });
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_tracer_end(handle: u64) {
    shield(|| {
        let Some(Object::Tracer(tracer)) = handles::remove(handle, |object| matches!(object, Object::Tracer(_))) else {
            return;
        };
        // Whoever else has it at this moment ends it by letting go.
        if let Ok(tracer) = std::sync::Arc::try_unwrap(tracer).map(std::sync::Mutex::into_inner) {
            tracer.unwrap_or_else(std::sync::PoisonError::into_inner).end();
        }
    });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_tracer_error_p(handle: u64, class: *const Text, message: *const Text) {
    // SAFETY: the texts can be read.
    let (class, message) = unsafe { (short(class), short(message)) };
    with(handle, |tracer| {
        if tracer.fail(&class, &message) { Ok(()) } else { Err("It is marked as failed already, or not started.") }
    });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_tracer_set_incoming_dynatrace_string_tag_p(handle: u64, tag: *const Text) {
    // SAFETY: the text can be read.
    let tag = unsafe { Text::read(tag, MAX_TAG) }.unwrap_or_default();
    set_tag(handle, &tag);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_tracer_set_incoming_dynatrace_byte_tag(handle: u64, tag: *const u8, size: usize) {
    let bytes = if tag.is_null() {
        &[]
    } else {
        // SAFETY: it is not null and has that size.
        unsafe { std::slice::from_raw_parts(tag, size.min(MAX_TAG)) }
    };
    set_tag(handle, std::str::from_utf8(bytes).unwrap_or_default());
}

fn set_tag(handle: u64, tag: &str) {
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

fn tag_of(handle: u64) -> Option<String> {
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

/// The size has room for the text's end, and what is returned counts none.
#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_tracer_get_outgoing_dynatrace_string_tag(
    handle: u64,
    buffer: *mut c_char,
    size: usize,
    needed: *mut usize,
) -> usize {
    let tag = tag_of(handle).unwrap_or_default();
    let mut bytes = tag.into_bytes();
    bytes.push(0);
    // SAFETY: the buffer has that size.
    unsafe { copy_out(&bytes, buffer.cast::<c_void>(), size, needed) }.saturating_sub(1)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_tracer_get_outgoing_dynatrace_byte_tag(
    handle: u64,
    buffer: *mut c_void,
    size: usize,
    needed: *mut usize,
) -> usize {
    let tag = tag_of(handle).unwrap_or_default();
    // SAFETY: the buffer has that size.
    unsafe { copy_out(tag.as_bytes(), buffer, size, needed) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_inprocesslink_create(buffer: *mut c_void, size: usize, needed: *mut usize) -> usize {
    let link = shield(|| {
        let current = state::spans()?.current().filter(|current| current.context.is_valid())?;
        Some(links::link(&current.context, current.service.as_deref()))
    });
    // SAFETY: the buffer has that size.
    unsafe { copy_out(&link.unwrap_or_default(), buffer, size, needed) }
}

/// Writes zeros where nothing is traced.
#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_tracecontext_get_current(
    trace_id: *mut c_char,
    trace_id_size: usize,
    span_id: *mut c_char,
    span_id_size: usize,
) -> i32 {
    let spans = state::spans();
    let context = shield(|| Some(spans?.current()?.context)).filter(pitviper_agent::SpanContext::is_valid);
    let (trace, span) = context.as_ref().map_or_else(Default::default, |context| (context.trace_id, context.span_id));
    // SAFETY: the buffers have these sizes.
    unsafe {
        copy_text(&trace.to_string(), trace_id, trace_id_size);
        copy_text(&span.to_string(), span_id, span_id_size);
    }
    match context {
        Some(_) => code::SUCCESS,
        None if spans.is_some() => code::NO_DATA,
        None => code::AGENT_NOT_ACTIVE,
    }
}
