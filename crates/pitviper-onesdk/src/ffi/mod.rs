//! The functions that C calls.
//!
//! All of them share these conditions on their pointers: a text is null or a `onesdk_string_t` that can be
//! read, a list of texts has as many as the count says, and a buffer can be written as far as its size says.
//! Anything else may be passed: numbers that are no handles, null pointers, calls in any order.
#![expect(unsafe_code, reason = "C passes pointers, and looks functions up by their names")]

mod create;
mod set;
mod stub;
mod tracer;

use std::ffi::{CStr, CString, c_char, c_void};

use crate::text::{MAX_LONG, MAX_SHORT, Text};

/// Calls a warning callback.
pub(crate) fn call(callback: usize, message: &CStr) {
    // SAFETY: the number is one that `set_warning_callback` made of a callback of this type, which the
    // application keeps for as long as it is set.
    unsafe {
        let callback = std::mem::transmute::<usize, crate::state::Callback>(callback);
        callback(message.as_ptr());
    }
}

/// A short text; empty for none.
///
/// # Safety
///
/// As for all of this module.
unsafe fn short(text: *const Text) -> String {
    // SAFETY: the caller says so.
    unsafe { Text::read(text, MAX_SHORT) }.unwrap_or_default()
}

/// A statement or URL; empty for none.
///
/// # Safety
///
/// As for all of this module.
unsafe fn long(text: *const Text) -> String {
    // SAFETY: the caller says so.
    unsafe { Text::read(text, MAX_LONG) }.unwrap_or_default()
}

/// The text of a C string; empty for null.
///
/// # Safety
///
/// The pointer is null or that of a C string.
unsafe fn c_text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: it is not null, and the caller says what it is.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Copies bytes to where they fit whole. Says how much room they need; returns how many were copied.
///
/// # Safety
///
/// As for all of this module.
unsafe fn copy_out(bytes: &[u8], buffer: *mut c_void, size: usize, needed: *mut usize) -> usize {
    if !needed.is_null() {
        // SAFETY: it is not null, and the caller says that it can be written.
        unsafe { *needed = bytes.len() };
    }
    if buffer.is_null() || size < bytes.len() {
        return 0;
    }
    // SAFETY: there is room for them, as the caller says.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.cast::<u8>(), bytes.len()) };
    bytes.len()
}

/// Copies a text with its end to a buffer, cut to the room there is.
///
/// # Safety
///
/// As for all of this module.
unsafe fn copy_text(text: &str, buffer: *mut c_char, size: usize) {
    if buffer.is_null() || size == 0 {
        return;
    }
    let text = CString::new(&text[..text.floor_char_boundary(size - 1)]).unwrap_or_default();
    let bytes = text.as_bytes_with_nul();
    // SAFETY: there is room for them, as the caller says.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.cast::<u8>(), bytes.len()) };
}
