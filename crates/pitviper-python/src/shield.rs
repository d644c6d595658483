//! The last line before the application: no panic of ours becomes an exception of its.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::host;

/// Shows the first panic in one line, and says nothing of those that follow: a fault of ours must not
/// fill the application's log.
pub(crate) fn show_panics_once() {
    static SHOWN: AtomicBool = AtomicBool::new(false);
    std::panic::set_hook(Box::new(|panic| {
        if !SHOWN.swap(true, Ordering::Relaxed) {
            let what = panic.to_string().replace('\n', " ");
            host::warn(&format!("pitviper: internal error, please report it; the application goes on: {what}"));
        }
    }));
}

/// Runs `work`; a panic gives `fallback` instead.
///
/// The state a panic may leave half done is one span's, behind its own lock, and at worst that span
/// is incomplete.
pub(crate) fn shield<T>(fallback: T, work: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(fallback)
}
