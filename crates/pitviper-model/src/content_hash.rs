//! Ids that follow from content, so that writing the same thing twice is harmless.
//!
//! FNV-1a with 128 bits: the same on every machine, and no two of the things one server meets share
//! an id but by malice.

const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// Hashes a sequence of texts and numbers. Each part is hashed with its length, so that no two
/// sequences run into each other.
#[derive(Debug, Clone, Copy)]
pub struct ContentHash(u128);

impl Default for ContentHash {
    fn default() -> Self {
        Self(OFFSET)
    }
}

impl ContentHash {
    /// Adds bytes, after their length.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64).raw(bytes)
    }

    /// Adds text, after its length.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// Adds a number.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.raw(&number.to_le_bytes())
    }

    /// The hash of all that was added.
    #[must_use]
    pub fn finish(&self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        for &byte in bytes {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(PRIME);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_hash_others_compute() {
        // From the reference vectors of FNV-1a, 128 bits: "" and "a".
        assert_eq!(ContentHash::default().finish(), OFFSET.to_be_bytes());
        let a = ContentHash::default().raw(b"a").finish();
        assert_eq!(u128::from_be_bytes(a), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let hash = |parts: &[&str]| {
            let mut hash = ContentHash::default();
            parts.iter().for_each(|part| {
                hash.text(part);
            });
            hash.finish()
        };
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_ne!(hash(&["ab"]), hash(&["ab", ""]));
        assert_eq!(hash(&["ab", "c"]), hash(&["ab", "c"]));
    }
}
