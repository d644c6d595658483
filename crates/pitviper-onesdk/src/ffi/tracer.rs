//! The life of a tracer, tags and links.

use std::ffi::{c_char, c_void};

use super::{copy_out, copy_text, short};
use crate::calls;
use crate::text::Text;

/// Longest tag that is looked at, in characters.
const MAX_TAG: usize = 1_024;

#[unsafe(no_mangle)]
extern "C" fn onesdk_tracer_start(handle: u64) {
    calls::start(handle);
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_tracer_end(handle: u64) {
    calls::end(handle);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_tracer_error_p(handle: u64, class: *const Text, message: *const Text) {
    // SAFETY: the texts can be read.
    let (class, message) = unsafe { (short(class), short(message)) };
    calls::fail(handle, &class, &message);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_tracer_set_incoming_dynatrace_string_tag_p(handle: u64, tag: *const Text) {
    // SAFETY: the text can be read.
    let tag = unsafe { Text::read(tag, MAX_TAG) }.unwrap_or_default();
    calls::set_incoming_tag(handle, &tag);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_tracer_set_incoming_dynatrace_byte_tag(handle: u64, tag: *const u8, size: usize) {
    let bytes = if tag.is_null() {
        &[]
    } else {
        // SAFETY: it is not null and has that size.
        unsafe { std::slice::from_raw_parts(tag, size.min(MAX_TAG)) }
    };
    calls::set_incoming_tag(handle, std::str::from_utf8(bytes).unwrap_or_default());
}

/// The size has room for the text's end, and what is returned counts none.
#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_tracer_get_outgoing_dynatrace_string_tag(
    handle: u64,
    buffer: *mut c_char,
    size: usize,
    needed: *mut usize,
) -> usize {
    let tag = calls::outgoing_tag(handle).unwrap_or_default();
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
    let tag = calls::outgoing_tag(handle).unwrap_or_default();
    // SAFETY: the buffer has that size.
    unsafe { copy_out(tag.as_bytes(), buffer, size, needed) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_inprocesslink_create(buffer: *mut c_void, size: usize, needed: *mut usize) -> usize {
    // SAFETY: the buffer has that size.
    unsafe { copy_out(&calls::create_in_process_link(), buffer, size, needed) }
}

/// Writes zeros where nothing is traced, and an empty text where there is no room for an id.
#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_tracecontext_get_current(
    trace_id: *mut c_char,
    trace_id_size: usize,
    span_id: *mut c_char,
    span_id_size: usize,
) -> i32 {
    let (code, trace, span) = calls::current_trace();
    let id = |id: String, room: usize| if room > id.len() { id } else { String::new() };
    // SAFETY: the buffers have these sizes.
    unsafe {
        copy_text(&id(trace.to_string(), trace_id_size), trace_id, trace_id_size);
        copy_text(&id(span.to_string(), span_id_size), span_id, span_id_size);
    }
    code
}
