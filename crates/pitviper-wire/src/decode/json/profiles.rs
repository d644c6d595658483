//! OTLP/JSON of profiles, rewritten as the protobuf it stands for.
//!
//! Profiles are read where their other forms are, from protobuf and within bounds of their own. So the document
//! is not decoded into messages: each field that is read there is written as protobuf as it comes by, which takes
//! no more memory than the bytes that are written. What is not read is skipped.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::decode::room::{Room, RoomError};

/// Why profiles are not read.
#[derive(Debug, thiserror::Error)]
pub enum ProfilesError {
    /// They are not JSON, or another document.
    #[error("not an OTLP JSON document: {0}")]
    Json(#[from] serde_json::Error),
    /// There is no room for them.
    #[error(transparent)]
    Room(#[from] RoomError),
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Flag,
    Number,
    /// A number of eight bytes.
    Fixed,
    /// Bytes in hex.
    Id,
    Message(&'static Shape),
}

/// A field that is read.
#[derive(Debug)]
struct Known {
    name: &'static str,
    number: u8,
    kind: Kind,
    is_list: bool,
}

/// A message by the fields of it that are read.
#[derive(Debug)]
struct Shape(&'static [Known]);

const fn one(name: &'static str, number: u8, kind: Kind) -> Known {
    Known { name, number, kind, is_list: false }
}

const fn many(name: &'static str, number: u8, kind: Kind) -> Known {
    Known { name, number, kind, is_list: true }
}

use Kind::{Fixed, Flag, Id, Message, Number, Text};

static REQUEST: Shape =
    Shape(&[many("resourceProfiles", 1, Message(&RESOURCE_PROFILES)), one("dictionary", 2, Message(&DICTIONARY))]);
static RESOURCE_PROFILES: Shape =
    Shape(&[one("resource", 1, Message(&RESOURCE)), many("scopeProfiles", 2, Message(&SCOPE_PROFILES))]);
static RESOURCE: Shape = Shape(&[many("attributes", 1, Message(&KEY_VALUE))]);
static KEY_VALUE: Shape =
    Shape(&[one("key", 1, Text), one("value", 2, Message(&ANY_VALUE)), one("keyStrindex", 3, Number)]);
static ANY_VALUE: Shape = Shape(&[
    one("stringValue", 1, Text),
    one("boolValue", 2, Flag),
    one("intValue", 3, Number),
    one("stringValueStrindex", 8, Number),
]);
static SCOPE_PROFILES: Shape = Shape(&[many("profiles", 2, Message(&PROFILE))]);
static PROFILE: Shape = Shape(&[
    one("sampleType", 1, Message(&VALUE_TYPE)),
    many("samples", 2, Message(&SAMPLE)),
    one("timeUnixNano", 3, Fixed),
    one("durationNano", 4, Number),
]);
static VALUE_TYPE: Shape = Shape(&[one("typeStrindex", 1, Number), one("unitStrindex", 2, Number)]);
static SAMPLE: Shape = Shape(&[
    one("stackIndex", 1, Number),
    many("attributeIndices", 2, Number),
    one("linkIndex", 3, Number),
    many("values", 4, Number),
    many("timestampsUnixNano", 5, Fixed),
]);
static DICTIONARY: Shape = Shape(&[
    many("mappingTable", 1, Message(&MAPPING)),
    many("locationTable", 2, Message(&LOCATION)),
    many("functionTable", 3, Message(&FUNCTION)),
    many("linkTable", 4, Message(&LINK)),
    many("stringTable", 5, Text),
    many("attributeTable", 6, Message(&ATTRIBUTE)),
    many("stackTable", 7, Message(&STACK)),
]);
static MAPPING: Shape = Shape(&[one("filenameStrindex", 4, Number), many("attributeIndices", 5, Number)]);
static LOCATION: Shape =
    Shape(&[one("mappingIndex", 1, Number), one("address", 2, Number), many("lines", 3, Message(&LINE))]);
static LINE: Shape = Shape(&[one("functionIndex", 1, Number), one("line", 2, Number)]);
static FUNCTION: Shape =
    Shape(&[one("nameStrindex", 1, Number), one("systemNameStrindex", 2, Number), one("filenameStrindex", 3, Number)]);
static LINK: Shape = Shape(&[one("traceId", 1, Id), one("spanId", 2, Id)]);
static ATTRIBUTE: Shape = Shape(&[one("keyStrindex", 1, Number), one("value", 2, Message(&ANY_VALUE))]);
static STACK: Shape = Shape(&[many("locationIndices", 1, Number)]);

/// What a byte that is written costs: a list that grows may be twice as large as what is in it.
const BYTES_PER_BYTE: usize = 2;

/// Rewrites the document of an `ExportProfilesServiceRequest` as the protobuf message. It may take `limit` bytes,
/// each step of which `may_grow` grants.
///
/// # Errors
/// When the bytes are not JSON, or a field has the wrong type, or it takes more room than there is.
pub fn profiles_from_json(
    bytes: &[u8],
    limit: usize,
    mut may_grow: impl FnMut(usize) -> bool,
) -> Result<Vec<u8>, ProfilesError> {
    let mut out = Out { bytes: Vec::new(), room: Room::new(limit, &mut may_grow), no_room: None };
    let mut document = serde_json::Deserializer::from_slice(bytes);
    let written = Fields { shape: &REQUEST, out: &mut out }.deserialize(&mut document).and_then(|()| document.end());
    match (out.no_room, written) {
        (Some(no_room), _) => Err(no_room.into()),
        (None, written) => Ok(written.map(|()| out.bytes)?),
    }
}

/// What was written.
struct Out<'g> {
    bytes: Vec<u8>,
    room: Room<'g>,
    no_room: Option<RoomError>,
}

impl Out<'_> {
    fn write<E: de::Error>(&mut self, bytes: &[u8]) -> Result<(), E> {
        if let Err(no_room) = self.room.take(bytes.len() * BYTES_PER_BYTE) {
            self.no_room = Some(no_room);
            return Err(E::custom("there is no room"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn varint<E: de::Error>(&mut self, number: u64) -> Result<(), E> {
        let (buffer, length) = varint(number);
        self.write(&buffer[..length])
    }

    fn key<E: de::Error>(&mut self, number: u8, wire_type: u8) -> Result<(), E> {
        self.write(&[number << 3 | wire_type])
    }

    /// Writes a field whose length is known when all of it is there.
    fn nested<E: de::Error>(&mut self, number: u8, content: impl FnOnce(&mut Self) -> Result<(), E>) -> Result<(), E> {
        self.key(number, 2)?;
        let begin = self.bytes.len();
        content(self)?;
        let (buffer, length) = varint((self.bytes.len() - begin) as u64);
        // As many bytes more, and then in their place.
        self.write(&buffer[..length])?;
        self.bytes[begin..].rotate_right(length);
        Ok(())
    }
}

fn varint(mut number: u64) -> ([u8; 10], usize) {
    let mut buffer = [0; 10];
    for (at, byte) in buffer.iter_mut().enumerate() {
        *byte = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            return (buffer, at + 1);
        }
        *byte |= 0x80;
    }
    (buffer, buffer.len())
}

/// The fields of a message.
struct Fields<'o, 'g> {
    shape: &'static Shape,
    out: &'o mut Out<'g>,
}

impl<'de> DeserializeSeed<'de> for Fields<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(known) = map.next_key_seed(Name(self.shape))? {
            match known {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(known) if known.is_list => map.next_value_seed(List { known, out: self.out })?,
                Some(known) => map.next_value_seed(One { known, is_of_list: false, out: self.out })?,
            }
        }
        Ok(())
    }
}

/// The name of a field; `None` for one that is not read.
struct Name(&'static Shape);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static Known>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static Known>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.0.iter().find(|known| known.name == name))
    }
}

/// The values of a field that has several. Numbers are packed.
struct List<'o, 'g> {
    known: &'static Known,
    out: &'o mut Out<'g>,
}

impl<'de> DeserializeSeed<'de> for List<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let known = self.known;
        let mut each = |out: &mut Out<'_>| -> Result<(), A::Error> {
            while list.next_element_seed(One { known, is_of_list: true, out: &mut *out })?.is_some() {}
            Ok(())
        };
        match known.kind {
            Number | Fixed => self.out.nested(known.number, each),
            Text | Flag | Id | Message(_) => each(self.out),
        }
    }
}

/// A value of a field.
struct One<'o, 'g> {
    known: &'static Known,
    is_of_list: bool,
    out: &'o mut Out<'g>,
}

impl One<'_, '_> {
    fn number<E: de::Error>(self, number: u64) -> Result<(), E> {
        let wire_type = match self.known.kind {
            Number | Flag => 0,
            Fixed => 1,
            Text | Id | Message(_) => return Err(E::custom(format_args!("`{}` is no number", self.known.name))),
        };
        if !self.is_of_list {
            self.out.key(self.known.number, wire_type)?;
        }
        match wire_type {
            0 => self.out.varint(number),
            _ => self.out.write(&number.to_le_bytes()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for One<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for One<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.known.kind {
            Text => "text",
            Flag => "true or false",
            Number | Fixed => "a whole number of 64 bits, or one as text",
            Id => "an id in hex",
            Message(_) => "an object",
        };
        write!(f, "{what} for `{}`", self.known.name)
    }

    /// Nothing stands for a default, but not in a list, whose places count.
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        if self.is_of_list { Err(E::custom(format_args!("`{}` has a null in it", self.known.name))) } else { Ok(()) }
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<(), E> {
        match self.known.kind {
            Flag => self.number(flag.into()),
            _ => Err(E::invalid_type(de::Unexpected::Bool(flag), &self)),
        }
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<(), E> {
        match self.known.kind {
            Number | Fixed => self.number(number),
            _ => Err(E::invalid_type(de::Unexpected::Unsigned(number), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<(), E> {
        match self.known.kind {
            // Negative ones are as long as the longest.
            Number => self.number(number.cast_unsigned()),
            _ => Err(E::invalid_type(de::Unexpected::Signed(number), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        match self.known.kind {
            Text => self.out.nested(self.known.number, |out| out.write(text.as_bytes())),
            Id => {
                let id = hex(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))?;
                self.out.nested(self.known.number, |out| out.write(&id))
            }
            Number | Fixed => match (text.parse(), text.parse()) {
                (Ok(number), _) => self.visit_u64(number),
                (_, Ok(number)) => self.visit_i64(number),
                _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
            },
            Flag | Message(_) => Err(E::invalid_type(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        match self.known.kind {
            Message(shape) => self.out.nested(self.known.number, |out| Fields { shape, out }.visit_map(map)),
            _ => Err(de::Error::invalid_type(de::Unexpected::Map, &self)),
        }
    }
}

/// Bytes of an id: no longer than a trace's.
fn hex(text: &str) -> Option<Vec<u8>> {
    const MAX_DIGITS: usize = 32;
    let is_hex =
        text.len() <= MAX_DIGITS && text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).ok();
    is_hex.then(|| (0..text.len()).step_by(2).map_while(byte).collect())
}

#[cfg(test)]
#[path = "profiles_tests.rs"]
mod tests;
