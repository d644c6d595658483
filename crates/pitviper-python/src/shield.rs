//! The last line before the application: no panic of ours becomes an exception of its.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `work`; a panic gives `fallback` instead.
///
/// The state a panic may leave half done is one span's, behind its own lock, and at worst that span
/// is incomplete.
pub(crate) fn shield<T>(fallback: T, work: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(fallback)
}
