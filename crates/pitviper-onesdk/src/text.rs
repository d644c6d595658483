//! Texts as the C interface passes them: bytes, their number, and the number of their character set.
#![expect(unsafe_code, reason = "texts are read through the pointers that a caller gives")]

use std::ffi::c_void;

/// Longest statement, URL and query, in characters.
pub const MAX_LONG: usize = 4_096;
/// Longest text of any other kind, in characters. What is longer is cut.
pub const MAX_SHORT: usize = 250;
/// Most bytes that a character takes in any of the sets.
const MAX_BYTES_OF_CHARACTER: usize = 4;

const ASCII: u16 = 367;
const LATIN_1: u16 = 819;
const UTF_8: [u16; 2] = [1_208, 1_209];
const UTF_16_BIG_ENDIAN: u16 = 1_201;
const UTF_16_LITTLE_ENDIAN: u16 = 1_203;

/// `onesdk_string_t`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Text {
    data: *const c_void,
    bytes: usize,
    ccsid: u16,
}

impl Text {
    /// The text, cut to `limit` characters; `None` for none, and for a character set that is not known.
    ///
    /// # Safety
    ///
    /// `text` is null or points to a `onesdk_string_t` whose bytes can be read.
    pub(crate) unsafe fn read(text: *const Self, limit: usize) -> Option<String> {
        // SAFETY: the caller says so.
        let text = unsafe { text.as_ref() }?;
        if text.data.is_null() {
            return None;
        }
        let count = text.bytes.min(limit.saturating_mul(MAX_BYTES_OF_CHARACTER));
        // SAFETY: the caller says that `bytes` bytes can be read there, and these are no more.
        let bytes = unsafe { std::slice::from_raw_parts(text.data.cast::<u8>(), count) };
        decode(bytes, text.ccsid, limit)
    }

    /// The pairs of two lists.
    ///
    /// # Safety
    ///
    /// Both are null or point to `count` texts whose bytes can be read.
    pub(crate) unsafe fn read_pairs(keys: *const Self, values: *const Self, count: usize) -> Vec<(String, String)> {
        if keys.is_null() || values.is_null() {
            return Vec::new();
        }
        let pair = |at: usize| {
            // SAFETY: `at` is below `count`, and the caller says that there are so many.
            let (key, value) = unsafe { (Self::read(keys.add(at), MAX_SHORT), Self::read(values.add(at), MAX_SHORT)) };
            Some((key?, value.unwrap_or_default()))
        };
        (0..count).filter_map(pair).collect()
    }
}

fn decode(bytes: &[u8], ccsid: u16, limit: usize) -> Option<String> {
    let wide = |read: fn([u8; 2]) -> u16| {
        let units = bytes.as_chunks::<2>().0.iter().map(|unit| read(*unit));
        char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).take(limit).collect()
    };
    Some(match ccsid {
        ASCII | LATIN_1 => bytes.iter().map(|byte| char::from(*byte)).take(limit).collect(),
        UTF_16_BIG_ENDIAN => wide(u16::from_be_bytes),
        UTF_16_LITTLE_ENDIAN => wide(u16::from_le_bytes),
        _ if UTF_8.contains(&ccsid) => String::from_utf8_lossy(bytes).chars().take(limit).collect(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_character_sets_are_read_and_cut() {
        assert_eq!(decode("größer".as_bytes(), 1_209, 4).as_deref(), Some("größ"));
        assert_eq!(decode(b"gr\xf6\xdf", 819, 250).as_deref(), Some("größ"));
        assert_eq!(decode(&[0x20, 0xac, 0xd8, 0x3d, 0xde, 0x00], 1_201, 250).as_deref(), Some("€😀"));
        assert_eq!(decode(&[0xac, 0x20, 0x3d], 1_203, 250).as_deref(), Some("€"));
        assert_eq!(decode(b"\xff", 1_209, 250).as_deref(), Some("\u{fffd}"));
        assert_eq!(decode(b"a", 37, 250), None);
    }
}
