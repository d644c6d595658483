//! A list of attributes that each thread keeps, so that a measurement or a log record allocates nothing for its own.
//!
//! One for both: a library's thread-local variables have little room where they are found fast.

use std::cell::RefCell;

use pitviper_agent::AttributeList;

/// Memory that a thread keeps for the next one's attributes, in bytes.
const MAX_KEPT_BYTES: usize = 16 * 1024;

thread_local! {
    static LIST: RefCell<AttributeList> = RefCell::default();
}

/// An empty list. Taken, not borrowed: what is read of the application's objects may run its code, and that may
/// measure or log something.
pub(crate) fn take() -> AttributeList {
    LIST.with(RefCell::take)
}

/// Keeps the list's memory for the next one.
pub(crate) fn give_back(mut list: AttributeList) {
    if list.capacity() <= MAX_KEPT_BYTES {
        list.clear();
        LIST.with(|kept| kept.replace(list));
    }
}
