//! The one thing an exporter reads: how many items a receiver refused.

use super::protobuf::read_varint;

/// The count in `ExportTraceServiceResponse.partial_success.rejected_spans`, or in what stands in its
/// place for logs and metrics; zero when it is not said or the bytes are something else.
#[must_use]
pub fn rejected_items(response: &[u8]) -> u64 {
    const PARTIAL_SUCCESS: u64 = 1 << 3 | 2;
    const REJECTED: u64 = 1 << 3;
    let Some(partial_success) = find(response, PARTIAL_SUCCESS) else { return 0 };
    let (length, at) = read_varint(response, partial_success);
    let end = at.saturating_add(length as usize).min(response.len());
    let Some(message) = response.get(at..end) else { return 0 };
    find(message, REJECTED).map_or(0, |at| read_varint(message, at).0)
}

/// Where the content of the first field with this tag begins.
fn find(message: &[u8], tag: u64) -> Option<usize> {
    let mut at = 0;
    while at < message.len() {
        let (found, content) = read_varint(message, at);
        if found == tag {
            return Some(content);
        }
        at = match found & 7 {
            0 => read_varint(message, content).1,
            1 => content.checked_add(8)?,
            2 => {
                let (length, start) = read_varint(message, content);
                start.checked_add(usize::try_from(length).ok()?)?
            }
            5 => content.checked_add(4)?,
            _ => return None,
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_the_count() {
        assert_eq!(rejected_items(&[]), 0);
        // partial_success { rejected_spans: 300, error_message: "x" }, after an unknown field.
        assert_eq!(rejected_items(&[0x7d, 0, 0, 0, 0, 0x0a, 6, 0x08, 0xac, 0x02, 0x12, 1, b'x']), 300);
        assert_eq!(rejected_items(&[0x0a, 3, 0x12, 1, b'x']), 0);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = rejected_items(&bytes);
        }
    }
}
