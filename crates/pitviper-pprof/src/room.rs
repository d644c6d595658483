//! What reading a profile may take: bytes that are granted, and how many of each thing.

use crate::protobuf::Fields;
use crate::read::ReadError;

/// Bytes that are asked for at once.
const STEP_BYTES: usize = 64 * 1024;

/// About what an entry of a hash map costs beside its key and value, in bytes.
pub(crate) const MAP_ENTRY_BYTES: usize = 16;

/// Bytes that are granted.
pub(crate) struct Room<'a> {
    limit: usize,
    taken: usize,
    granted: usize,
    may_grow: &'a mut dyn FnMut(usize) -> bool,
}

impl<'a> Room<'a> {
    /// Room for at most so many bytes, for which `may_grow` is asked step by step.
    pub(crate) fn new(limit: usize, may_grow: &'a mut dyn FnMut(usize) -> bool) -> Self {
        Self { limit, taken: 0, granted: 0, may_grow }
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), ReadError> {
        self.taken = self.taken.saturating_add(bytes);
        if self.taken > self.limit {
            return Err(ReadError::TooLarge { what: "bytes in memory", limit: self.limit });
        }
        if self.taken > self.granted {
            // Up to the limit and no further: a profile that is alone gets all of it.
            let step = (self.taken - self.granted).max(STEP_BYTES).min(self.limit - self.granted);
            if !(self.may_grow)(step) {
                return Err(ReadError::NoRoom);
            }
            self.granted += step;
        }
        Ok(())
    }

    /// Room for so many of a type.
    pub(crate) fn take_for<T>(&mut self, count: usize) -> Result<(), ReadError> {
        self.take(count.saturating_mul(size_of::<T>()))
    }
}

/// Refuses more of something than is read.
pub(crate) fn within(what: &'static str, count: usize, limit: usize) -> Result<(), ReadError> {
    if count > limit { Err(ReadError::TooLarge { what, limit }) } else { Ok(()) }
}

/// The numbers in these fields of a message; zero for those it does not have.
pub(crate) fn numbers<const N: usize>(bytes: &[u8], wanted: [u32; N]) -> Result<[u64; N], ReadError> {
    let mut found = [0; N];
    for field in Fields::of(bytes) {
        let (number, field) = field?;
        if let Some(at) = wanted.iter().position(|wanted| *wanted == number) {
            found[at] = field.number()?;
        }
    }
    Ok(found)
}
