//! Content encodings, with a bound on what comes out.

use std::io::Read;

/// Largest window a zstd frame may ask for, as a power of two: 8 MiB, which RFC 8878 recommends
/// decoders to support and no regular level exceeds.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How much is decompressed between two questions whether there is room, in bytes.
const STEP_BYTES: usize = 64 * 1024;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentEncoding {
    /// As it is.
    Identity,
    /// gzip.
    Gzip,
    /// zlib, which HTTP calls deflate.
    Deflate,
    /// zstd.
    Zstd,
}

impl ContentEncoding {
    /// The encodings that are understood, as in an `Accept-Encoding` header.
    pub const ACCEPTED: &str = "gzip, deflate, zstd, identity";

    /// The encoding a `Content-Encoding` header names; `None` for any other.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// A body could not be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    /// The bytes are damaged, or encoded otherwise than they say.
    #[error("body does not decompress as its content-encoding says: {0}")]
    Malformed(#[from] std::io::Error),
    /// More would come out than is allowed.
    #[error("body is larger than {limit} bytes once decompressed; send smaller batches")]
    TooLarge {
        /// The bound in bytes.
        limit: usize,
    },
    /// There is no room for it now; the same body may decompress later.
    #[error("too many bytes are being decompressed already, try again")]
    NoRoom,
}

/// Decompresses a body; at most `limit` bytes come out.
///
/// # Errors
/// When the bytes are damaged or too many.
pub fn decompress(encoding: ContentEncoding, body: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    decompress_within(encoding, body, limit, |_| true)
}

/// Decompresses a body as [`decompress`] does, and asks before each step whether that many more
/// bytes may come out. So a budget that many bodies share is charged for what comes out of each, not
/// for the most that might.
///
/// # Errors
/// When the bytes are damaged or too many, or a step was not granted.
pub fn decompress_within(
    encoding: ContentEncoding,
    body: &[u8],
    limit: usize,
    may_grow: impl FnMut(usize) -> bool,
) -> Result<Vec<u8>, DecompressError> {
    match encoding {
        ContentEncoding::Identity if body.len() > limit => Err(DecompressError::TooLarge { limit }),
        ContentEncoding::Identity => Ok(body.to_vec()),
        ContentEncoding::Gzip => read_bounded(flate2::read::MultiGzDecoder::new(body), limit, may_grow),
        ContentEncoding::Deflate => read_bounded(flate2::read::ZlibDecoder::new(body), limit, may_grow),
        ContentEncoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            read_bounded(decoder, limit, may_grow)
        }
    }
}

fn read_bounded(
    source: impl Read,
    limit: usize,
    mut may_grow: impl FnMut(usize) -> bool,
) -> Result<Vec<u8>, DecompressError> {
    let mut out = Vec::new();
    let mut source = source.take(limit as u64 + 1);
    loop {
        if !may_grow(STEP_BYTES) {
            return Err(DecompressError::NoRoom);
        }
        let read = source.by_ref().take(STEP_BYTES as u64).read_to_end(&mut out)?;
        if out.len() > limit {
            return Err(DecompressError::TooLarge { limit });
        }
        if read < STEP_BYTES {
            return Ok(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn bombs_stop_at_the_limit() {
        let zeros = vec![0; 10_000_000];
        let bombs = [
            (ContentEncoding::Gzip, gzip(&zeros)),
            (ContentEncoding::Deflate, deflate(&zeros)),
            (ContentEncoding::Zstd, zstd::bulk::compress(&zeros, 3).unwrap()),
        ];
        for (encoding, bomb) in bombs {
            assert!(bomb.len() < 20_000);
            let error = decompress(encoding, &bomb, 1_000_000).unwrap_err();
            assert!(matches!(error, DecompressError::TooLarge { limit: 1_000_000 }), "{error}");
            assert_eq!(decompress(encoding, &bomb, 10_000_000).unwrap(), zeros);
        }
    }

    #[test]
    fn a_step_that_is_not_granted_ends_it() {
        let bomb = gzip(&vec![0; 10 * STEP_BYTES]);
        let mut room = 4 * STEP_BYTES;
        let take = |bytes| {
            let granted = bytes <= room;
            room -= if granted { bytes } else { 0 };
            granted
        };
        let error = decompress_within(ContentEncoding::Gzip, &bomb, usize::MAX >> 1, take).unwrap_err();
        assert!(matches!(error, DecompressError::NoRoom), "{error}");
        assert_eq!(room, 0, "what there was is used before it gives up");
    }

    proptest! {
        #[test]
        fn damaged_bytes_are_an_error_not_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for encoding in [ContentEncoding::Gzip, ContentEncoding::Deflate, ContentEncoding::Zstd] {
                let _ = decompress(encoding, &bytes, 1_000);
            }
        }

        #[test]
        fn round_trips(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            prop_assert_eq!(&decompress(ContentEncoding::Gzip, &gzip(&bytes), 2_000).unwrap(), &bytes);
            prop_assert_eq!(&decompress(ContentEncoding::Deflate, &deflate(&bytes), 2_000).unwrap(), &bytes);
            let packed = zstd::bulk::compress(&bytes, 1).unwrap();
            prop_assert_eq!(&decompress(ContentEncoding::Zstd, &packed, 2_000).unwrap(), &bytes);
            prop_assert_eq!(&decompress(ContentEncoding::Identity, &bytes, 2_000).unwrap(), &bytes);
        }
    }
}
