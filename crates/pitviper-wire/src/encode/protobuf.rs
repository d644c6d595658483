//! The few pieces of protobuf's encoding that OTLP uses. Source: protobuf encoding guide.

/// Wire type of a varint.
const VARINT: u8 = 0;
/// Wire type of eight little-endian bytes.
const FIXED64: u8 = 1;
/// Wire type of a length and that many bytes.
pub(super) const LENGTH_DELIMITED: u8 = 2;
/// Wire type of four little-endian bytes.
const FIXED32: u8 = 5;

/// Most bytes that a varint takes.
const MAX_VARINT_BYTES: usize = 10;

/// The byte before a field; all of OTLP's field numbers fit one byte but status and flags.
#[inline]
pub(super) const fn tag(field: u8, wire_type: u8) -> u8 {
    assert!(field < 16, "larger field numbers take two bytes");
    field << 3 | wire_type
}

#[inline]
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes a varint takes.
#[inline]
pub(super) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[inline]
pub(super) fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    if bytes.len() < 0x80 {
        out.extend_from_slice(&[tag(field, LENGTH_DELIMITED), bytes.len() as u8]);
    } else {
        out.push(tag(field, LENGTH_DELIMITED));
        put_varint(out, bytes.len() as u64);
    }
    out.extend_from_slice(bytes);
}

/// Like [`put_bytes`], but leaves out what is empty, as protobuf does by default.
#[inline]
pub(super) fn put_text(out: &mut Vec<u8>, field: u8, text: &str) {
    if !text.is_empty() {
        put_bytes(out, field, text.as_bytes());
    }
}

#[inline]
pub(super) fn put_uint(out: &mut Vec<u8>, field: u8, value: u64) {
    if value != 0 {
        out.push(tag(field, VARINT));
        put_varint(out, value);
    }
}

#[inline]
pub(super) fn put_fixed64(out: &mut Vec<u8>, field: u8, value: u64) {
    let mut bytes = [tag(field, FIXED64); 9];
    bytes[1..].copy_from_slice(&value.to_le_bytes());
    out.extend_from_slice(&bytes);
}

#[inline]
pub(super) fn put_fixed32(out: &mut Vec<u8>, field: u8, value: u32) {
    out.push(tag(field, FIXED32));
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a signed varint, small in either direction.
#[inline]
pub(super) fn put_sint(out: &mut Vec<u8>, field: u8, value: i32) {
    put_uint(out, field, u64::from((value << 1 ^ value >> 31) as u32));
}

/// `flags` is field 16, the only one beyond fifteen with a fixed width.
#[inline]
pub(super) fn put_flags(out: &mut Vec<u8>, flags: u32) {
    const FIELD: u16 = 16 << 3 | FIXED32 as u16;
    if flags != 0 {
        out.extend_from_slice(&[(FIELD & 0x7f) as u8 | 0x80, (FIELD >> 7) as u8]);
        out.extend_from_slice(&flags.to_le_bytes());
    }
}

/// Appends a length-delimited field whose content is written by `content`, without copying it.
///
/// One byte is kept for the length; a longer content is moved up by the bytes that are missing.
#[inline]
pub(super) fn put_message(out: &mut Vec<u8>, field: u8, content: impl FnOnce(&mut Vec<u8>)) {
    put_message_of(out, field, 0, content);
}

/// As [`put_message`], for a content of about `expected` bytes: it is moved only where its length takes more
/// bytes than that, or fewer.
#[inline]
pub(super) fn put_message_of(out: &mut Vec<u8>, field: u8, expected: usize, content: impl FnOnce(&mut Vec<u8>)) {
    let kept = varint_len(expected as u64);
    out.push(tag(field, LENGTH_DELIMITED));
    let length_at = out.len();
    out.extend_from_slice(&[0; MAX_VARINT_BYTES][..kept]);
    content(out);
    let length = out.len() - length_at - kept;
    let width = varint_len(length as u64);
    if width != kept {
        move_content(out, length_at, kept, width);
    }
    let mut rest = length as u64;
    for (offset, byte) in out[length_at..length_at + width].iter_mut().enumerate() {
        *byte = rest as u8 & 0x7f | if offset + 1 < width { 0x80 } else { 0 };
        rest >>= 7;
    }
}

/// Moves what lies `kept` bytes after `length_at`, to `width` bytes after it.
#[cold]
fn move_content(out: &mut Vec<u8>, length_at: usize, kept: usize, width: usize) {
    let content_end = out.len();
    out.resize(content_end.max(content_end + width - kept), 0);
    out.copy_within(length_at + kept..content_end, length_at + width);
    out.truncate(content_end + width - kept);
}

/// Reads a varint at `at`; returns it and where it ends. For bytes this module wrote.
#[inline]
pub(super) fn read_varint(bytes: &[u8], at: usize) -> (u64, usize) {
    match bytes.get(at) {
        Some(&byte) if byte < 0x80 => (u64::from(byte), at + 1),
        _ => read_long_varint(bytes, at),
    }
}

fn read_long_varint(bytes: &[u8], mut at: usize) -> (u64, usize) {
    let mut value = 0;
    let mut shift = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if shift > 63 {
            break;
        }
        if byte < 0x80 {
            break;
        }
    }
    (value, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_and_know_their_length() {
        for value in [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
            assert_eq!(read_varint(&out, 0), (value, out.len()));
        }
    }

    #[test]
    fn a_message_gets_its_length_in_front() {
        for length in [0usize, 1, 127, 128, 20_000] {
            let mut direct = Vec::new();
            put_bytes(&mut direct, 2, &vec![7; length]);
            let mut nested = Vec::new();
            put_message(&mut nested, 2, |out| out.extend(std::iter::repeat_n(7, length)));
            assert_eq!(nested, direct, "{length}");
        }
    }

    #[test]
    fn a_length_that_was_expected_otherwise_is_as_short_as_it_can_be() {
        for length in [0usize, 1, 127, 128, 16_383, 16_384] {
            let mut direct = vec![1, 2];
            put_bytes(&mut direct, 2, &vec![7; length]);
            for expected in [0usize, 127, 128, 16_384, usize::MAX] {
                let mut nested = vec![1, 2];
                put_message_of(&mut nested, 2, expected, |out| out.extend(std::iter::repeat_n(7, length)));
                assert_eq!(nested, direct, "{length} bytes where {expected} were expected");
            }
        }
    }
}
