//! Reading MessagePack where it lies: nothing is copied, and no length is believed before its bytes are
//! there.
//!
//! Source: MessagePack specification. Clients differ in how wide they write a number and whether text is
//! `str` or `bin`, so every form of a thing is read.

use std::borrow::Cow;

use pitviper_model::{Attributes, Value};

/// Deepest nesting that is made into a value; what is deeper is refused. Skipping has no depth.
const MAX_DEPTH: usize = 64;

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MsgpackError {
    /// The bytes end within a value.
    #[error("the message ends early")]
    Truncated,
    /// There is something else than was expected.
    #[error("expected {expected}, found the byte {found:#04x}, {left} bytes before the end")]
    Unexpected {
        /// What was expected.
        expected: &'static str,
        /// The first byte of what is there.
        found: u8,
        /// Bytes behind it.
        left: usize,
    },
    /// Values lie too deep in each other.
    #[error("values are nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// A number names something that is not there.
    #[error("string {index} is named, the table has {length}")]
    NoSuchString {
        /// The place that is named.
        index: u64,
        /// How many there are.
        length: usize,
    },
}

/// A number of any width.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Num {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

impl Num {
    pub(super) fn as_f64(self) -> f64 {
        match self {
            Self::Unsigned(number) => number as f64,
            Self::Signed(number) => number as f64,
            Self::Float(number) => number,
        }
    }

    /// The bits of an id or a count: clients write large ids also as negative numbers.
    pub(super) fn as_u64(self) -> u64 {
        match self {
            Self::Unsigned(number) => number,
            Self::Signed(number) => number.cast_unsigned(),
            Self::Float(number) => number as u64,
        }
    }

    pub(super) fn as_i64(self) -> i64 {
        match self {
            Self::Unsigned(number) => i64::try_from(number).unwrap_or(i64::MAX),
            Self::Signed(number) => number,
            Self::Float(number) => number as i64,
        }
    }
}

/// The rest of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes that were not read yet.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    fn peek(&self) -> Result<u8, MsgpackError> {
        self.rest.first().copied().ok_or(MsgpackError::Truncated)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], MsgpackError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(MsgpackError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A big-endian number of so many bytes.
    fn uint(&mut self, bytes: usize) -> Result<u64, MsgpackError> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn length(&mut self, bytes: usize) -> Result<usize, MsgpackError> {
        usize::try_from(self.uint(bytes)?).map_err(|_| MsgpackError::Truncated)
    }

    fn unexpected<T>(&self, expected: &'static str) -> Result<T, MsgpackError> {
        Err(MsgpackError::Unexpected { expected, found: self.peek()?, left: self.rest.len() - 1 })
    }

    /// How many values a list has; each takes a byte at least, so a length beyond that is refused. Nil is
    /// an empty one.
    pub(super) fn array(&mut self) -> Result<usize, MsgpackError> {
        let length = match self.peek()? {
            0xc0 => self.take(1).map(|_| 0)?,
            byte @ 0x90..=0x9f => self.take(1).map(|_| usize::from(byte & 0x0f))?,
            0xdc => self.take(1).and_then(|_| self.length(2))?,
            0xdd => self.take(1).and_then(|_| self.length(4))?,
            _ => return self.unexpected("a list"),
        };
        if length > self.rest.len() { Err(MsgpackError::Truncated) } else { Ok(length) }
    }

    /// How many pairs a map has, as [`Reader::array`].
    pub(super) fn map(&mut self) -> Result<usize, MsgpackError> {
        let length = match self.peek()? {
            0xc0 => self.take(1).map(|_| 0)?,
            byte @ 0x80..=0x8f => self.take(1).map(|_| usize::from(byte & 0x0f))?,
            0xde => self.take(1).and_then(|_| self.length(2))?,
            0xdf => self.take(1).and_then(|_| self.length(4))?,
            _ => return self.unexpected("a map"),
        };
        if length > self.rest.len() / 2 { Err(MsgpackError::Truncated) } else { Ok(length) }
    }

    /// Bytes, also those of text.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], MsgpackError> {
        let length = match self.peek()? {
            0xc0 => self.take(1).map(|_| 0)?,
            byte @ 0xa0..=0xbf => self.take(1).map(|_| usize::from(byte & 0x1f))?,
            0xc4 | 0xd9 => self.take(1).and_then(|_| self.length(1))?,
            0xc5 | 0xda => self.take(1).and_then(|_| self.length(2))?,
            0xc6 | 0xdb => self.take(1).and_then(|_| self.length(4))?,
            _ => return self.unexpected("text"),
        };
        self.take(length)
    }

    /// Text; what is not UTF-8 is replaced. Nil is empty text.
    pub(super) fn text(&mut self) -> Result<Cow<'a, str>, MsgpackError> {
        Ok(String::from_utf8_lossy(self.bytes()?))
    }

    /// Text, or a scalar written as text.
    pub(super) fn text_of_scalar(&mut self) -> Result<Cow<'a, str>, MsgpackError> {
        match self.peek()? {
            0xc2 => self.take(1).map(|_| Cow::Borrowed("false")),
            0xc3 => self.take(1).map(|_| Cow::Borrowed("true")),
            0x00..=0x7f | 0xca..=0xd3 | 0xe0..=0xff => Ok(Cow::Owned(match self.number()? {
                Num::Unsigned(number) => number.to_string(),
                Num::Signed(number) => number.to_string(),
                Num::Float(number) => number.to_string(),
            })),
            _ => self.text(),
        }
    }

    /// A number of any width; nil and booleans count as numbers.
    pub(super) fn number(&mut self) -> Result<Num, MsgpackError> {
        let byte = self.peek()?;
        let number = match byte {
            0x00..=0x7f => Num::Unsigned(u64::from(byte)),
            0xe0..=0xff => Num::Signed(i64::from(byte.cast_signed())),
            0xc0 | 0xc2 => Num::Unsigned(0),
            0xc3 => Num::Unsigned(1),
            0xca..=0xd3 => {
                self.take(1)?;
                return Ok(match byte {
                    0xca => Num::Float(f64::from(f32::from_bits(self.uint(4)? as u32))),
                    0xcb => Num::Float(f64::from_bits(self.uint(8)?)),
                    0xcc..=0xcf => Num::Unsigned(self.uint(1 << (byte - 0xcc))?),
                    0xd0 => Num::Signed(i64::from(self.uint(1)? as i8)),
                    0xd1 => Num::Signed(i64::from(self.uint(2)? as i16)),
                    0xd2 => Num::Signed(i64::from(self.uint(4)? as i32)),
                    _ => Num::Signed(self.uint(8)?.cast_signed()),
                });
            }
            _ => return self.unexpected("a number"),
        };
        self.take(1)?;
        Ok(number)
    }

    /// Passes over a value, however deep it is.
    pub(super) fn skip(&mut self) -> Result<(), MsgpackError> {
        // A list or map adds what is in it; the sum cannot exceed the bytes there are.
        let mut left = 1_usize;
        while left > 0 {
            left -= 1;
            let byte = self.peek()?;
            match byte {
                0x80..=0x8f | 0xde | 0xdf => left += 2 * self.map()?,
                0x90..=0x9f | 0xdc | 0xdd => left += self.array()?,
                0xa0..=0xbf | 0xc4..=0xc6 | 0xd9..=0xdb => drop(self.bytes()?),
                0xd4..=0xd8 => drop(self.take(2 + (1 << (byte - 0xd4)))?),
                0xc7..=0xc9 => {
                    self.take(1)?;
                    let length = self.length(1 << (byte - 0xc7))?;
                    self.take(1)?;
                    self.take(length)?;
                }
                0xc1 => return self.unexpected("a value"),
                _ => drop(self.number()?),
            }
        }
        Ok(())
    }

    /// Any value, as one of the model.
    pub(super) fn value(&mut self) -> Result<Value, MsgpackError> {
        self.value_below(0)
    }

    fn value_below(&mut self, depth: usize) -> Result<Value, MsgpackError> {
        if depth > MAX_DEPTH {
            return Err(MsgpackError::TooDeep);
        }
        Ok(match self.peek()? {
            0xc2 | 0xc3 => Value::Bool(self.number()?.as_u64() == 1),
            0xc4..=0xc6 => Value::Bytes(self.bytes()?.to_vec()),
            0xc0 | 0xa0..=0xbf | 0xd9..=0xdb => Value::String(self.text()?.into_owned()),
            0x80..=0x8f | 0xde | 0xdf => {
                let mut pairs = Vec::new();
                for _ in 0..self.map()? {
                    let key = self.text_of_scalar()?.into_owned();
                    pairs.push((key, self.value_below(depth + 1)?));
                }
                Value::Map(Attributes(pairs))
            }
            0x90..=0x9f | 0xdc | 0xdd => {
                let mut values = Vec::new();
                for _ in 0..self.array()? {
                    values.push(self.value_below(depth + 1)?);
                }
                Value::Array(values)
            }
            _ => match self.number()? {
                Num::Unsigned(number) => i64::try_from(number).map_or(Value::Double(number as f64), Value::Int),
                Num::Signed(number) => Value::Int(number),
                Num::Float(number) => Value::Double(number),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_width_of_a_number_is_read() {
        let cases: [(&[u8], Num); 12] = [
            (b"\x07", Num::Unsigned(7)),
            (b"\xff", Num::Signed(-1)),
            (b"\xcc\xff", Num::Unsigned(255)),
            (b"\xcd\x01\x00", Num::Unsigned(256)),
            (b"\xce\x00\x01\x00\x00", Num::Unsigned(65536)),
            (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", Num::Unsigned(u64::MAX)),
            (b"\xd0\x80", Num::Signed(-128)),
            (b"\xd1\xff\xfe", Num::Signed(-2)),
            (b"\xd2\xff\xff\xff\xfd", Num::Signed(-3)),
            (b"\xd3\xff\xff\xff\xff\xff\xff\xff\xfc", Num::Signed(-4)),
            (b"\xca\x3f\x80\x00\x00", Num::Float(1.0)),
            (b"\xcb\x3f\xe0\x00\x00\x00\x00\x00\x00", Num::Float(0.5)),
        ];
        for (bytes, number) in cases {
            let mut reader = Reader::new(bytes);
            assert_eq!((reader.number(), reader.left()), (Ok(number), 0), "{bytes:?}");
        }
        assert_eq!(Num::Signed(-1).as_u64(), u64::MAX);
    }

    #[test]
    fn lengths_are_not_believed() {
        for bytes in [&b"\xdd\xff\xff\xff\xff"[..], b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\x92\x01", b""]
        {
            assert_eq!(Reader::new(bytes).skip(), Err(MsgpackError::Truncated), "{bytes:?}");
            assert_eq!(Reader::new(bytes).value(), Err(MsgpackError::Truncated), "{bytes:?}");
        }
    }

    #[test]
    fn depth_is_bounded_where_it_costs_stack() {
        let deep = [&[0x91; 100_000][..], &[0xc0]].concat();
        assert_eq!(Reader::new(&deep).value(), Err(MsgpackError::TooDeep));
        assert_eq!(Reader::new(&deep).skip(), Ok(()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
            let mut skipped = Reader::new(&bytes);
            let mut read = Reader::new(&bytes);
            if read.value().is_ok() {
                prop_assert_eq!(skipped.skip(), Ok(()));
                prop_assert_eq!(skipped.rest.len(), read.rest.len());
            }
        }
    }
}
