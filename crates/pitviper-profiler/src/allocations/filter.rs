//! Whether a block may have been sampled, in one load: a byte for each kibibyte of a gibibyte of addresses, and beyond
//! that over again. So few bytes stand for what a program uses that they are always near the processor, and few
//! blocks that were not sampled lie so near to one that was that they are taken for it.

use std::sync::atomic::{AtomicBool, Ordering};

/// Addresses of so many bytes have one mark.
const GRAIN: usize = 1_024;
/// How many marks there are. Those that are never looked at take no memory.
const MARKS: usize = 1 << 20;

static FILTER: [AtomicBool; MARKS] = [const { AtomicBool::new(false) }; MARKS];

/// The mark of a block.
pub(super) fn mark_of(block: usize) -> u32 {
    place(block) as u32
}

#[inline(always)]
fn place(block: usize) -> usize {
    (block / GRAIN) % MARKS
}

/// Whether a block may be one that was sampled. Who gives a block back has been told of it after it was added, so
/// no more order is needed than that.
#[inline(always)]
pub(super) fn may_have(block: usize) -> bool {
    FILTER[place(block)].load(Ordering::Relaxed)
}

/// Sets a block's mark; whether it was set before.
pub(super) fn set(block: usize) -> bool {
    FILTER[place(block)].swap(true, Ordering::Relaxed)
}

/// Clears a block's mark.
pub(super) fn clear(block: usize) {
    FILTER[place(block)].store(false, Ordering::Relaxed);
}
