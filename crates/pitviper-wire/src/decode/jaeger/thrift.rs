//! Thrift's binary protocol, as much of it as a batch of spans needs.
//!
//! Source: Apache Thrift, "Thrift Binary protocol encoding".

use crate::decode::foreign::ForeignError;

/// How deep what is skipped may nest.
const MAX_DEPTH: usize = 16;

/// The end came too early.
const ENDS_EARLY: ForeignError = ForeignError::Thrift("it ends early");

pub(super) const STOP: u8 = 0;
pub(super) const BOOL: u8 = 2;
pub(super) const DOUBLE: u8 = 4;
pub(super) const I32: u8 = 8;
pub(super) const I64: u8 = 10;
pub(super) const STRING: u8 = 11;
pub(super) const STRUCT: u8 = 12;
pub(super) const LIST: u8 = 15;
const BYTE: u8 = 3;
const I16: u8 = 6;
const MAP: u8 = 13;
const SET: u8 = 14;

/// What is left to read.
#[derive(Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], ForeignError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(ENDS_EARLY)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, ForeignError> {
        self.take().map(|[byte]| byte)
    }

    pub(super) fn bool(&mut self) -> Result<bool, ForeignError> {
        self.byte().map(|byte| byte != 0)
    }

    pub(super) fn i32(&mut self) -> Result<i32, ForeignError> {
        self.take().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, ForeignError> {
        self.take().map(i64::from_be_bytes)
    }

    pub(super) fn double(&mut self) -> Result<f64, ForeignError> {
        self.take().map(f64::from_be_bytes)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], ForeignError> {
        let length = self.length()?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(ENDS_EARLY)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A text; what is not UTF-8 is replaced.
    pub(super) fn text(&mut self) -> Result<String, ForeignError> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    fn length(&mut self) -> Result<usize, ForeignError> {
        usize::try_from(self.i32()?).map_err(|_| ForeignError::Thrift("a length is negative"))
    }

    /// How many structures a list has.
    pub(super) fn structures(&mut self) -> Result<usize, ForeignError> {
        if self.byte()? != STRUCT {
            return Err(ForeignError::Thrift("a list is not of structures"));
        }
        self.length()
    }

    /// Reads a structure: `field` gets each field's number and type, and says whether it has read it.
    pub(super) fn structure(
        &mut self,
        mut field: impl FnMut(&mut Self, i16, u8) -> Result<bool, ForeignError>,
    ) -> Result<(), ForeignError> {
        loop {
            let kind = self.byte()?;
            if kind == STOP {
                return Ok(());
            }
            let number = self.take().map(i16::from_be_bytes)?;
            if !field(self, number, kind)? {
                self.skip(kind, 0)?;
            }
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), ForeignError> {
        if depth >= MAX_DEPTH {
            return Err(ForeignError::Thrift("it nests too deep"));
        }
        match kind {
            BOOL | BYTE => self.take::<1>().map(drop),
            I16 => self.take::<2>().map(drop),
            I32 => self.take::<4>().map(drop),
            I64 | DOUBLE => self.take::<8>().map(drop),
            STRING => self.bytes().map(drop),
            STRUCT => loop {
                let kind = self.byte()?;
                if kind == STOP {
                    return Ok(());
                }
                self.take::<2>()?;
                self.skip(kind, depth + 1)?;
            },
            LIST | SET => {
                let kind = self.byte()?;
                let length = self.length()?;
                // Each takes a byte at least, so the end comes before a long time has passed.
                (0..length).try_for_each(|_| self.skip(kind, depth + 1))
            }
            MAP => {
                let (key, value) = (self.byte()?, self.byte()?);
                let length = self.length()?;
                (0..length).try_for_each(|_| {
                    self.skip(key, depth + 1)?;
                    self.skip(value, depth + 1)
                })
            }
            _ => Err(ForeignError::Thrift("a field has a type that there is not")),
        }
    }
}
