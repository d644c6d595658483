//! The last line before the application: no panic of ours becomes an exception of its, and no thread of
//! its that is in here when the interpreter ends takes the process down.
//!
//! Up to Python 3.13 a thread that wants the interpreter lock while the interpreter ends is unwound by
//! `pthread_exit`. That cannot pass through Rust: the process would abort. It happens to daemon threads whose
//! calls of ours have called Python again: a span processor, the text of an exception, an attribute's type.
//! So the end of the process waits for such calls, and lets no others begin.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::host;
use crate::runtime::has_interpreter_lock;

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

/// How long the end of the process waits for calls of other threads, and how often it looks.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
const LEAVE_STEP: Duration = Duration::from_micros(200);

/// Shielded calls under way, of all threads; less by those that a fork happened in.
static INSIDE: AtomicIsize = AtomicIsize::new(0);
/// Those of [`shield_attached`], which are written by whoever has the interpreter.
static ATTACHED: AtomicIsize = AtomicIsize::new(0);
/// The process ends; other threads than the one that ends it are not let in.
static CLOSED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// This thread ends the process.
    static ENDS: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, which may call Python; a panic gives `fallback` instead, and so does the end of the process
/// in all threads but its own.
///
/// The state a panic may leave half done is one span's, behind its own lock, and at worst that span
/// is incomplete.
pub(crate) fn shield<T>(fallback: T, work: impl FnOnce() -> T) -> T {
    INSIDE.fetch_add(1, Ordering::SeqCst);
    let result = if may_enter() { shield_native(fallback, work) } else { fallback };
    INSIDE.fetch_sub(1, Ordering::SeqCst);
    result
}

/// As [`shield`], for who has the interpreter. Its lock, where it has one, guards the count too.
#[inline]
pub(crate) fn shield_attached<T>(_: Python<'_>, fallback: T, work: impl FnOnce() -> T) -> T {
    if !has_interpreter_lock() {
        return shield(fallback, work);
    }
    let add = |change| ATTACHED.store(ATTACHED.load(Ordering::Relaxed) + change, Ordering::Relaxed);
    add(1);
    let result = if may_enter() { shield_native(fallback, work) } else { fallback };
    add(-1);
    result
}

#[inline]
fn may_enter() -> bool {
    !CLOSED.load(Ordering::SeqCst) || ENDS.with(Cell::get)
}

/// Runs `work`, which does not call Python; a panic gives `fallback` instead.
#[inline]
pub(crate) fn shield_native<T>(fallback: T, work: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(fallback)
}

/// Lets no other thread in any more, and waits until those inside have left. To be called by the thread that
/// ends the process, outside of shielded calls. It lets go of the interpreter while it waits.
pub(crate) fn close(py: Python<'_>) {
    ENDS.with(|ends| ends.set(true));
    // While nobody else has the interpreter: a call either has counted itself before, or sees this.
    CLOSED.store(true, Ordering::SeqCst);
    py.detach(|| {
        let began = Instant::now();
        let inside = || INSIDE.load(Ordering::SeqCst) + ATTACHED.load(Ordering::SeqCst);
        while inside() > 0 && began.elapsed() < LEAVE_TIMEOUT {
            std::thread::sleep(LEAVE_STEP);
        }
    });
}

/// In a forked child there is one thread, wherever the others were.
pub(crate) fn open_in_child() {
    INSIDE.store(0, Ordering::SeqCst);
    ATTACHED.store(0, Ordering::SeqCst);
    CLOSED.store(false, Ordering::SeqCst);
}
