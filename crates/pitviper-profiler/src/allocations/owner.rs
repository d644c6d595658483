//! Whose state the calling thread runs with.
#![expect(unsafe_code, reason = "the interpreter's functions are found by their names, and called")]

use std::sync::OnceLock;

use crate::layout::symbol;

type GetState = unsafe extern "C" fn() -> usize;

/// The functions that say so.
#[derive(Debug, Clone, Copy)]
struct Functions {
    /// The current thread's state: from 3.12 on the calling one's, before that of whatever thread has the
    /// interpreter's lock.
    current: GetState,
    /// What the calling thread was given first.
    own: GetState,
}

/// From which version on the current state is the calling thread's own.
const OWN_FROM: (u8, u8) = (3, 12);

fn functions() -> Option<&'static Functions> {
    static FUNCTIONS: OnceLock<Option<Functions>> = OnceLock::new();
    let find = || {
        let current = symbol(c"PyThreadState_GetUnchecked").or_else(|_| symbol(c"_PyThreadState_UncheckedGet"));
        let own = symbol(c"PyGILState_GetThisThreadState");
        // SAFETY: these are the interpreter's functions of these names: without arguments, they return a pointer.
        let function = |address: usize| unsafe { std::mem::transmute::<usize, GetState>(address) };
        Some(Functions { current: function(current.ok()?), own: function(own.ok()?) })
    };
    FUNCTIONS.get_or_init(find).as_ref()
}

/// Whether it can be found out.
pub(super) fn is_known() -> bool {
    functions().is_some()
}

/// The state of the calling thread, zero if it has none; it is the current one unless `is_raw` says that the
/// thread may not have the interpreter's lock.
pub(super) fn thread_state(version: (u8, u8), is_raw: bool) -> usize {
    let Some(functions) = functions() else { return 0 };
    // SAFETY: both may be called by any thread at any time; they read a variable. What they return is a number
    // here, and is read by loads that may fail.
    unsafe {
        let current = if is_raw && version < OWN_FROM { 0 } else { (functions.current)() };
        if current != 0 { current } else { (functions.own)() }
    }
}
