//! Whether a block may have been sampled, in one load: a bit for every sixteen bytes of sixteen mebibytes of
//! addresses, and beyond that over again. Blocks that lie together have bits that lie together.

use std::sync::atomic::{AtomicU64, Ordering};

/// Blocks begin at multiples of this.
const GRAIN: usize = 16;
/// How many bits there are: 128 KiB, of which those pages are in memory that were looked at.
const BITS: usize = 1 << 20;
const WORD_BITS: usize = u64::BITS as usize;

static FILTER: [AtomicU64; BITS / WORD_BITS] = [const { AtomicU64::new(0) }; BITS / WORD_BITS];

/// The bit of a block.
pub(super) fn bit_of(block: usize) -> u32 {
    ((block / GRAIN) % BITS) as u32
}

fn parts(block: usize) -> (&'static AtomicU64, u64) {
    let bit = (block / GRAIN) % BITS;
    (&FILTER[bit / WORD_BITS], 1 << (bit % WORD_BITS))
}

/// Whether a block may be one that was sampled. Who gives a block back has been told of it after it was added, so
/// no more order is needed than that.
#[inline(always)]
pub(super) fn may_have(block: usize) -> bool {
    let (word, bit) = parts(block);
    word.load(Ordering::Relaxed) & bit != 0
}

/// Sets a block's bit; whether it was set before.
pub(super) fn set(block: usize) -> bool {
    let (word, bit) = parts(block);
    word.fetch_or(bit, Ordering::Relaxed) & bit != 0
}

/// Clears a block's bit.
pub(super) fn clear(block: usize) {
    let (word, bit) = parts(block);
    word.fetch_and(!bit, Ordering::Relaxed);
}

/// Clears all bits.
pub(super) fn clear_all() {
    for word in &FILTER {
        if word.load(Ordering::Relaxed) != 0 {
            word.store(0, Ordering::Relaxed);
        }
    }
}
