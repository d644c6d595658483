//! Memory that decoding may take, asked for while it is taken.
//!
//! A span of Datadog's version 0.5 names its texts by number, so a few bytes may stand for megabytes, and an
//! empty structure of Thrift is one byte: what such a request costs is not known before it is decoded.

/// How much is asked for at once, in bytes.
const STEP_BYTES: usize = 256 * 1024;

/// There is no room for what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
    /// It takes more than one request may.
    #[error("the request takes more than {limit} bytes once decoded; send smaller batches")]
    TooLarge {
        /// The bound in bytes.
        limit: usize,
    },
    /// There is no room for it now; the same request may be taken later.
    #[error("too many bytes are under way, try again")]
    NoRoom,
}

/// What one request may take.
pub(crate) struct Room<'a> {
    granted: usize,
    used: usize,
    limit: usize,
    may_grow: &'a mut dyn FnMut(usize) -> bool,
}

impl<'a> Room<'a> {
    /// At most `limit` bytes, each step of which `may_grow` grants.
    pub(crate) fn new(limit: usize, may_grow: &'a mut dyn FnMut(usize) -> bool) -> Self {
        Self { granted: 0, used: 0, limit, may_grow }
    }

    /// Takes bytes.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), RoomError> {
        self.used = self.used.saturating_add(bytes);
        if self.used <= self.granted {
            return Ok(());
        }
        if self.used > self.limit {
            return Err(RoomError::TooLarge { limit: self.limit });
        }
        // Up to the limit and no further: a request that is alone gets all of it.
        let step = (self.used - self.granted).max(STEP_BYTES).min(self.limit - self.granted);
        if !(self.may_grow)(step) {
            return Err(RoomError::NoRoom);
        }
        self.granted += step;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_granted_in_steps_up_to_the_limit() {
        let mut asked = Vec::new();
        let mut grow = |bytes| {
            asked.push(bytes);
            asked.len() < 4
        };
        let mut room = Room::new(4 * STEP_BYTES, &mut grow);
        assert_eq!(room.take(1), Ok(()));
        assert_eq!(room.take(STEP_BYTES - 1), Ok(()));
        assert_eq!(room.take(STEP_BYTES + 1), Ok(()));
        assert_eq!(room.take(STEP_BYTES), Ok(()));
        assert_eq!(room.take(STEP_BYTES - 1), Err(RoomError::NoRoom));
        assert_eq!(room.take(1), Err(RoomError::TooLarge { limit: 4 * STEP_BYTES }));
        assert_eq!(asked, [STEP_BYTES, STEP_BYTES + 1, STEP_BYTES, STEP_BYTES - 1]);
    }
}
