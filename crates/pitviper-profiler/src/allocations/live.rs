//! The sampled blocks that have not been given back.

use rustc_hash::FxHashMap;

use super::filter;

/// Sampled blocks that are kept, at most: at the default rate a heap of 32 GiB. Over that the
/// others are counted and not kept.
pub(super) const MAX_LIVE: usize = 65_536;

/// Blocks by their address. There is one of these at a time, as there is one filter, but for a moment in which an
/// empty one takes another's place.
#[derive(Debug)]
pub(super) struct Live<T> {
    blocks: FxHashMap<usize, T>,
    /// How many more blocks than one have this mark of the filter; few have any.
    shared: FxHashMap<u32, u32>,
}

impl<T> Live<T> {
    /// No blocks.
    pub(super) fn new() -> Self {
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
            *self.shared.entry(filter::mark_of(block)).or_default() += 1;
        }
        true
    }

    /// Takes a block out; `None` if it was not sampled.
    pub(super) fn remove(&mut self, block: usize) -> Option<T> {
        let value = self.blocks.remove(&block)?;
        let mark = filter::mark_of(block);
        match self.shared.get_mut(&mark) {
            Some(others) if *others > 1 => *others -= 1,
            Some(_) => {
                self.shared.remove(&mark);
            }
            None => filter::clear(block),
        }
        Some(value)
    }

    /// Keeps those of which this is true.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&T) -> bool) {
        let gone = self.blocks.iter().filter(|(_, value)| !is_kept(value));
        for block in gone.map(|(block, _)| *block).collect::<Vec<usize>>() {
            let _ = self.remove(block);
        }
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

impl<T> Drop for Live<T> {
    fn drop(&mut self) {
        for block in self.blocks.keys() {
            filter::clear(*block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_set_as_long_as_any_block_has_it() {
        const AROUND: usize = 1 << 30;
        let mut live = Live::new();
        let blocks = [0x7000_0010, 0x7000_0010 + AROUND, 0x7000_0010 + 5 * AROUND];
        for (number, block) in blocks.into_iter().enumerate() {
            assert!(live.insert(block, number));
        }
        assert!(filter::may_have(0x7000_0020) && !filter::may_have(0x7000_0410));
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
        assert!((0..MAX_LIVE).all(|number| live.insert(number * 16, number)));
        assert!(!live.insert(MAX_LIVE * 16, 0));
        assert_eq!(live.len(), MAX_LIVE);
        live.retain(|number| *number != 5);
        assert!(live.insert(80, 5) && live.len() == MAX_LIVE);
        assert!((0..MAX_LIVE).all(|number| filter::may_have(number * 16)));
        drop(live);
        assert!(!(0..MAX_LIVE).any(|number| filter::may_have(number * 16)));
    }
}
