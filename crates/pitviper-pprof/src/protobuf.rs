//! Protobuf as far as a profile needs it: fields of a message, one after the other, nothing allocated.

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// The content of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    pub(crate) fn number(self) -> Result<u64, Malformed> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Bytes(_) => Err(Malformed("a field that is a number is not")),
        }
    }

    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) => Err(Malformed("a field that is a text or a message is not")),
        }
    }
}

/// The fields of a message with their numbers.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).ok().filter(|length| *length <= self.0.len());
        let (taken, rest) = self.0.split_at(length.ok_or(Malformed("it ends within a field"))?);
        self.0 = rest;
        Ok(taken)
    }

    fn read(&mut self) -> Result<(u32, Field<'a>), Malformed> {
        let key = varint(&mut self.0)?;
        let number = u32::try_from(key >> 3).ok().filter(|number| *number > 0);
        let number = number.ok_or(Malformed("a field has no number"))?;
        let fixed = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let field = match key & 7 {
            0 => Field::Number(varint(&mut self.0)?),
            1 => Field::Number(fixed(self.take(8)?)),
            2 => {
                let length = varint(&mut self.0)?;
                Field::Bytes(self.take(length)?)
            }
            5 => Field::Number(fixed(self.take(4)?)),
            _ => return Err(Malformed("a field is of a kind that is not known")),
        };
        Ok((number, field))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Field<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.0 = &[];
        }
        Some(read)
    }
}

/// The numbers of a repeated field: one, or several packed into bytes.
pub(crate) fn packed<'a>(field: &Field<'a>) -> impl Iterator<Item = Result<u64, Malformed>> + use<'a> {
    let (mut one, mut rest) = match *field {
        Field::Number(number) => (Some(number), &[][..]),
        Field::Bytes(bytes) => (None, bytes),
    };
    std::iter::from_fn(move || {
        if let Some(number) = one.take() {
            return Some(Ok(number));
        }
        if rest.is_empty() {
            return None;
        }
        let number = varint(&mut rest);
        if number.is_err() {
            rest = &[];
        }
        Some(number)
    })
}

/// Reads a number of seven bits a byte, the lowest first.
fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *bytes = &bytes[at + 1..];
            return Ok(number);
        }
    }
    Err(Malformed("it ends within a number, or a number is too long"))
}
