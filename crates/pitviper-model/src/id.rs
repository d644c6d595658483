//! Ids: of traces and spans, and those that follow from content.

use std::fmt;
use std::str::FromStr;

/// The text was not the right number of hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseIdError {
    /// How many hex digits were expected.
    pub expected_digits: usize,
}

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} hex digits", self.expected_digits)
    }
}

impl std::error::Error for ParseIdError {}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], ParseIdError> {
    let error = ParseIdError { expected_digits: N * 2 };
    let text = text.as_bytes();
    if text.len() != N * 2 {
        return Err(error);
    }
    let mut out = [0u8; N];
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let high = hex_digit(pair[0]).ok_or(error)?;
        let low = hex_digit(pair[1]).ok_or(error)?;
        *byte = high << 4 | low;
    }
    Ok(out)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub [u8; $bytes]);

        impl $name {
            /// The id that stands for "none".
            pub const INVALID: Self = Self([0; $bytes]);

            /// Whether the id is not all zero.
            #[must_use]
            pub fn is_valid(self) -> bool {
                self != Self::INVALID
            }

            /// Reads an id from its bytes; `None` when the length is wrong.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // Every outgoing call and every log record writes ids, so this is no formatting of numbers.
                let mut text = [0; $bytes * 2];
                for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
                    pair[0] = DIGITS[usize::from(byte >> 4)];
                    pair[1] = DIGITS[usize::from(byte & 15)];
                }
                f.write_str(std::str::from_utf8(&text).expect("hex digits are ASCII"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_hex(text).map(Self)
            }
        }
    };
}

id!(
    /// The 128-bit id all spans of one trace share.
    TraceId,
    16
);
id!(
    /// The 64-bit id of a span, unique within its trace.
    SpanId,
    8
);
id!(
    /// The 128-bit id of a stack, which follows from its frames.
    StackId,
    16
);
id!(
    /// The 128-bit id of a frame, which follows from its content.
    FrameId,
    16
);
id!(
    /// The 128-bit id of a metric's series, which follows from what identifies it.
    SeriesId,
    16
);
id!(
    /// What exceptions of one group have in common, as 128 bits.
    Fingerprint,
    16
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_through_hex() {
        let text = "4bf92f3577b34da6a3ce929d0e0e4736";
        let id: TraceId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert!(id.is_valid());
        assert_eq!("00F067AA0BA902B7".parse::<SpanId>().unwrap().to_string(), "00f067aa0ba902b7");
    }

    #[test]
    fn refuses_other_lengths_and_letters() {
        assert!("4bf9".parse::<TraceId>().is_err());
        assert!("zzf067aa0ba902b7".parse::<SpanId>().is_err());
        // Sixteen bytes of UTF-8 that are not sixteen characters must not panic.
        assert!("ééééééé€".parse::<SpanId>().is_err());
        assert_eq!(SpanId::from_slice(&[1; 7]), None);
    }
}
