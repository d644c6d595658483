//! How the files beside segments hold numbers, texts and compressed parts.

use std::io::{self, ErrorKind};

use zstd::bulk::Decompressor;

/// Largest part that is read or unpacked, in bytes; a larger one is damaged.
pub(super) const MAX_UNPACKED_BYTES: usize = 256 * 1024 * 1024;

/// Appends a number as a varint: seven bits a byte, the lowest first.
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a text behind its length.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Takes a number from the front; `None` when it does not end.
#[inline]
pub(super) fn get(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Takes a text from the front; `None` when it does not end or is no UTF-8.
pub(super) fn get_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(get(bytes)?).ok()?;
    std::str::from_utf8(bytes.split_off(..length)?).ok()
}

/// A number near zero as a small one without sign.
pub(super) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

/// What [`zigzag`] was given.
pub(super) fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Unpacks a zstd frame, which says how large it gets.
pub(super) fn unpack(decompressor: &mut Decompressor<'_>, frame: &[u8]) -> io::Result<Vec<u8>> {
    let size = zstd::zstd_safe::get_frame_content_size(frame).ok().flatten();
    let size = size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size <= MAX_UNPACKED_BYTES);
    let too_long = || io::Error::new(ErrorKind::InvalidData, "a frame of it is too long");
    decompressor.decompress(frame, size.ok_or_else(too_long)?)
}
