//! Options, initialisation, states and messages.

use std::ffi::{c_char, c_int};

use super::{c_text, copy_text};
use crate::shield;
use crate::state::{self, Callback, code};
use crate::text::Text;

/// `onesdk_stub_version_t`.
#[derive(Debug)]
#[repr(C)]
struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

/// A function that takes the level of a message, and the message.
type LoggingCallback = unsafe extern "C" fn(i32, *const c_char);

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_stub_get_version(version: *mut Version) {
    // SAFETY: it is null or can be written.
    if let Some(version) = unsafe { version.as_mut() } {
        let [major, minor, patch] = crate::INTERFACE_VERSION;
        *version = Version { major, minor, patch };
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_stub_is_sdk_cmdline_arg(argument: *const c_char) -> i32 {
    // SAFETY: it is null or a C string.
    i32::from(state::is_argument(&unsafe { c_text(argument) }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_stub_process_cmdline_arg(argument: *const c_char, replace: i32) -> i32 {
    // SAFETY: it is null or a C string.
    let argument = unsafe { c_text(argument) };
    shield(|| state::set_from_argument(&argument, replace != 0))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_stub_process_cmdline_args(
    count: c_int,
    arguments: *const *const c_char,
    replace: i32,
) -> i32 {
    if arguments.is_null() {
        return code::INVALID_ARGUMENT;
    }
    for at in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: there are so many, each null or a C string.
        let argument = unsafe { c_text(*arguments.add(at)) };
        if state::is_argument(&argument) {
            shield(|| state::set_from_argument(&argument, replace != 0));
        }
    }
    code::SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_stub_strip_sdk_cmdline_args(count: *mut c_int, arguments: *mut *const c_char) -> i32 {
    if count.is_null() || arguments.is_null() {
        return code::INVALID_ARGUMENT;
    }
    // SAFETY: neither is null. What is written stands no further on than what was read last.
    unsafe {
        let all = usize::try_from(*count).unwrap_or(0);
        let mut kept = 0;
        for at in 0..all {
            let argument = *arguments.add(at);
            if !state::is_argument(&c_text(argument)) {
                *arguments.add(kept) = argument;
                kept += 1;
            }
        }
        if kept < all {
            *arguments.add(kept) = std::ptr::null();
        }
        *count = c_int::try_from(kept).unwrap_or(c_int::MAX);
    }
    code::SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_stub_set_variable(option: *const c_char, replace: i32) -> i32 {
    // SAFETY: it is null or a C string.
    let option = unsafe { c_text(option) };
    shield(|| state::set_option(&option, replace != 0))
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_stub_free_variables() {
    shield(state::free_options);
}

/// The SDK's own log stays empty: what matters comes through the warning callback.
#[unsafe(no_mangle)]
extern "C" fn onesdk_stub_set_logging_level(_level: i32) {}

/// As [`onesdk_stub_set_logging_level`].
#[unsafe(no_mangle)]
extern "C" fn onesdk_stub_set_logging_callback(_callback: Option<LoggingCallback>) {}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_stub_default_logging_function(level: i32, message: *const c_char) {
    // SAFETY: it is null or a C string.
    let message = unsafe { c_text(message) };
    if let Some(spans) = crate::spans() {
        shield(|| (spans.agent().host().warn)(&format!("[onesdk] {level} {message}")));
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_stub_xstrerror(error: i32, buffer: *mut c_char, size: usize) -> *mut c_char {
    // SAFETY: the buffer is null or has that size.
    unsafe { copy_text(code::message(error), buffer, size) };
    buffer
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_stub_get_agent_load_info(found: *mut i32, compatible: *mut i32) {
    let is_here = i32::from(crate::spans().is_some());
    for out in [found, compatible] {
        // SAFETY: it is null or can be written.
        if let Some(out) = unsafe { out.as_mut() } {
            *out = is_here;
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_initialize() -> i32 {
    shield(|| state::initialize(0))
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_initialize_2(flags: u32) -> i32 {
    shield(|| state::initialize(flags))
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_shutdown() -> i32 {
    shield(state::shutdown)
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_agent_get_current_state() -> i32 {
    shield(state::current_state)
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_agent_get_fork_state() -> i32 {
    shield(state::current_fork_state)
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_agent_get_version_string() -> *const c_char {
    if crate::spans().is_some() { crate::AGENT_VERSION.as_ptr() } else { c"".as_ptr() }
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_agent_set_warning_callback(callback: Option<Callback>) -> i32 {
    state::set_warning_callback(callback)
}

/// The older name of [`onesdk_agent_set_warning_callback`].
#[unsafe(no_mangle)]
extern "C" fn onesdk_agent_set_logging_callback(callback: Option<Callback>) -> i32 {
    state::set_warning_callback(callback)
}

/// There is nothing to tell beside warnings.
#[unsafe(no_mangle)]
extern "C" fn onesdk_agent_set_verbose_callback(_callback: Option<Callback>) -> i32 {
    code::SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_ex_api_enable_techtype() -> i32 {
    code::SUCCESS
}

/// What the process is made of, the agent finds out by itself.
#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_ex_agent_add_process_technology_p(
    _kind: i32,
    _edition: *const Text,
    _version: *const Text,
) {
}
