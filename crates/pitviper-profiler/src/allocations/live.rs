//! The sampled blocks that have not been given back.

use rustc_hash::FxHashMap;

use super::filter;

/// Sampled blocks that are kept, at most: at the default rate a heap of 32 GiB. Over that the
/// others are counted and not kept.
pub(super) const MAX_LIVE: usize = 65_536;

/// Blocks by their address.
#[derive(Debug)]
pub(super) struct Live<T> {
    blocks: FxHashMap<usize, T>,
    /// How many more blocks than one have this bit of the filter; few have any.
    shared: FxHashMap<u32, u32>,
}

impl<T> Live<T> {
    /// No blocks; there is one of these at a time, as there is one filter.
    pub(super) fn new() -> Self {
        filter::clear_all();
        Self { blocks: FxHashMap::default(), shared: FxHashMap::default() }
    }

    /// Adds a block; whether there was room.
    pub(super) fn insert(&mut self, block: usize, value: T) -> bool {
        if self.blocks.len() >= MAX_LIVE {
            return false;
        }
        // One that is there already was given back where no hook saw it.
        let is_new = self.blocks.insert(block, value).is_none();
        if is_new && filter::set(block) {
            *self.shared.entry(filter::bit_of(block)).or_default() += 1;
        }
        true
    }

    /// Takes a block out; `None` if it was not sampled.
    pub(super) fn remove(&mut self, block: usize) -> Option<T> {
        let value = self.blocks.remove(&block)?;
        let bit = filter::bit_of(block);
        match self.shared.get_mut(&bit) {
            Some(others) if *others > 1 => *others -= 1,
            Some(_) => {
                self.shared.remove(&bit);
            }
            None => filter::clear(block),
        }
        Some(value)
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.blocks.values()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.blocks.values_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_is_set_as_long_as_any_block_has_it() {
        const AROUND: usize = 16 << 20;
        let mut live = Live::new();
        let blocks = [0x7000_0010, 0x7000_0010 + AROUND, 0x7000_0010 + 5 * AROUND];
        for (number, block) in blocks.into_iter().enumerate() {
            assert!(live.insert(block, number));
        }
        assert!(!filter::may_have(0x7000_0020));
        assert_eq!(live.remove(blocks[0] + 3 * AROUND), None);
        for (number, block) in blocks.into_iter().enumerate() {
            assert!(filter::may_have(blocks[2]));
            assert_eq!(live.remove(block), Some(number));
            assert_eq!(live.remove(block), None);
        }
        assert!(!filter::may_have(blocks[0]));
        // A block that came back without having been seen to go counts once.
        live.insert(blocks[0], 1);
        live.insert(blocks[0], 2);
        assert_eq!((live.remove(blocks[0]), live.len()), (Some(2), 0));
        assert!(!filter::may_have(blocks[0]));
        let mut full = Live::new();
        assert!((0..MAX_LIVE).all(|number| full.insert(number * 16, number)));
        assert!(!full.insert(MAX_LIVE * 16, 0));
        assert_eq!(full.len(), MAX_LIVE);
        let _ = Live::<u8>::new();
        assert!(!filter::may_have(blocks[0]));
    }
}
