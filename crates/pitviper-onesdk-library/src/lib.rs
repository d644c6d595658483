//! `libonesdk_shared.so`: the OneAgent SDK for C programs without Python. The functions are those of
//! [`pitviper_onesdk`]; spans live in each thread ([`spans`]), and settings come from the environment
//! ([`settings`]).
//!
//! A C library within a Python process under Pitviper does without this one: `pitviper._native` exports the
//! same functions, and its agent is the process's.
#![expect(unsafe_code, reason = "the library is told of its loading, of forks and of the process's end by C")]

mod host;
mod settings;
mod spans;

/// Says where spans live, before the program calls anything.
extern "C" fn attach() {
    pitviper_onesdk::attach(&spans::IN_THREADS);
}

/// Run by the loader.
#[used]
// SAFETY: functions without arguments are what the loader expects here, and this one uses nothing that is set up
// later.
#[unsafe(link_section = ".init_array")]
static ATTACH: extern "C" fn() = attach;
