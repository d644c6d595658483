//! Which threads are changing a span, where the interpreter has no lock. With one, nobody asks.

use std::cell::Cell;

use crate::runtime::has_interpreter_lock;

thread_local! {
    /// This thread is changing a span. Then it waits for no other, so that no two threads wait for each other.
    static CHANGING: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is changing a span.
pub(crate) fn is_changing() -> bool {
    CHANGING.with(Cell::get)
}

/// Says that this thread is changing a span, until it is dropped.
pub(crate) struct Changing {
    before: bool,
}

impl Changing {
    #[inline]
    pub(crate) fn begin() -> Option<Self> {
        if has_interpreter_lock() {
            return None;
        }
        Some(Self { before: CHANGING.with(|changing| changing.replace(true)) })
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        CHANGING.with(|changing| changing.set(self.before));
    }
}
