//! From the bytes of a profile to rows.

use std::borrow::Cow;

use pitviper_model::Resource;
use pitviper_pprof::{ReadError, read_pprof_within};
use pitviper_wire::decode::{ContentEncoding, decompress_within};

use super::MAX_DECOMPRESSED_BYTES;
use crate::accept::now_unix_nano;
use crate::accounting::RefusalReason;
use crate::limits::Share;
use crate::processors::profiles::{ProfileRows, cost_bytes, rows};
use crate::receivers::refusal::Refusal;

/// What a gzip file begins with.
const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// What a zstd frame begins with.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The content of a file that may be compressed by itself; what comes out is charged to the share.
pub(in crate::receivers) fn unpacked<'a>(bytes: &'a [u8], share: &mut Share) -> Result<Cow<'a, [u8]>, Refusal> {
    // No profile begins so: field three of a message of wire type seven, field five of a wire type zero
    // that is not one of a profile.
    let encoding = if bytes.starts_with(&GZIP_MAGIC) {
        ContentEncoding::Gzip
    } else if bytes.starts_with(&ZSTD_MAGIC) {
        ContentEncoding::Zstd
    } else {
        return Ok(Cow::Borrowed(bytes));
    };
    Ok(Cow::Owned(decompress_within(encoding, bytes, MAX_DECOMPRESSED_BYTES, |step| share.grow(step))?))
}

/// The rows of a profile, compressed by itself or not, for which at most `limit` bytes are taken.
pub(in crate::receivers) fn decoded(
    bytes: &[u8],
    resource: &Resource,
    limit: usize,
    share: &mut Share,
) -> Result<ProfileRows, Refusal> {
    let bytes = unpacked(bytes, share)?;
    let room = limit.saturating_sub(share.held());
    let profile = read_pprof_within(&bytes, room, |step| share.grow(step))?;
    let cost = cost_bytes(&profile);
    // More than it may take when it is alone: to come again would not help.
    if cost > limit.saturating_sub(share.held()) {
        let message = format!("the profile takes {cost} bytes more as rows; send profiles more often");
        return Err(Refusal::new(RefusalReason::TooLarge, message));
    }
    if !share.grow(cost) {
        return Err(Refusal::overloaded());
    }
    Ok(rows(resource, &profile, now_unix_nano()))
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Malformed(_) => Self::new(RefusalReason::BadProfile, error.to_string()),
            ReadError::TooLarge { .. } => Self::new(RefusalReason::TooLarge, error.to_string()),
            ReadError::NoRoom => Self::overloaded(),
        }
    }
}
