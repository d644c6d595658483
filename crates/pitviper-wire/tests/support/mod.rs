//! What the tests of hostile input share.

use proptest::sample::Index;

/// The bytes with some of them changed.
pub(crate) fn changed(mut bytes: Vec<u8>, changes: &[(Index, u8)]) -> Vec<u8> {
    for (at, byte) in changes {
        let at = at.index(bytes.len());
        bytes[at] = *byte;
    }
    bytes
}
