//! Attribute lists as they lie on the wire.

use pitviper_model::{Attributes, Value};

use super::protobuf::{
    LENGTH_DELIMITED, put_bytes, put_fixed64, put_message, put_uint, put_varint, read_varint, tag, varint_len,
};

/// A value that needs no memory of its own. What instrumentation sets is nearly always one of these.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar<'a> {
    /// Text.
    Str(&'a str),
    /// True or false.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// A float.
    Double(f64),
}

// Field numbers of KeyValue, AnyValue, ArrayValue and KeyValueList.
const KEY: u8 = 1;
const VALUE: u8 = 2;
const STRING: u8 = 1;
const BOOL: u8 = 2;
const INT: u8 = 3;
const DOUBLE: u8 = 4;
const ARRAY: u8 = 5;
const KVLIST: u8 = 6;
const BYTES: u8 = 7;
const VALUES: u8 = 1;

#[inline]
pub(super) fn put_scalar(out: &mut Vec<u8>, value: Scalar<'_>) {
    match value {
        // Fields of a oneof are written even when they hold the default.
        Scalar::Str(text) => put_bytes(out, STRING, text.as_bytes()),
        Scalar::Bool(flag) => out.extend_from_slice(&[tag(BOOL, 0), u8::from(flag)]),
        Scalar::Int(number) => {
            out.push(tag(INT, 0));
            put_varint(out, number as u64);
        }
        Scalar::Double(number) => put_fixed64(out, DOUBLE, number.to_bits()),
    }
}

/// How many bytes [`put_scalar`] writes.
#[inline]
fn scalar_len(value: Scalar<'_>) -> usize {
    match value {
        Scalar::Str(text) => 1 + varint_len(text.len() as u64) + text.len(),
        Scalar::Bool(_) => 2,
        Scalar::Int(number) => 1 + varint_len(number as u64),
        Scalar::Double(_) => 9,
    }
}

pub(super) fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(text) => put_scalar(out, Scalar::Str(text)),
        Value::Bool(flag) => put_scalar(out, Scalar::Bool(*flag)),
        Value::Int(number) => put_scalar(out, Scalar::Int(*number)),
        Value::Double(number) => put_scalar(out, Scalar::Double(*number)),
        Value::Bytes(bytes) => put_bytes(out, BYTES, bytes),
        Value::Array(values) => put_message(out, ARRAY, |out| {
            for value in values {
                put_message(out, VALUES, |out| put_value(out, value));
            }
        }),
        Value::Map(attributes) => put_message(out, KVLIST, |out| {
            for (key, value) in attributes.iter() {
                append_key_value(out, VALUES, key, value);
            }
        }),
    }
}

/// Appends one attribute as the length-delimited field `field` (at most 15).
pub fn append_key_value(out: &mut Vec<u8>, field: u8, key: &str, value: &Value) {
    put_message(out, field, |out| {
        put_bytes(out, KEY, key.as_bytes());
        put_message(out, VALUE, |out| put_value(out, value));
    });
}

/// An attribute list under construction: unique keys, the last value wins, bounded in number.
#[derive(Debug, Clone, Default)]
pub struct AttributeList {
    /// `KeyValue` messages, each as field `field` of whatever holds the list.
    bytes: Vec<u8>,
    count: u32,
    dropped: u32,
}

impl AttributeList {
    /// The field number attributes have in spans and events. Links and resources have others and
    /// are rare enough to be encoded from the model.
    const FIELD: u8 = 9;

    /// Sets a plain value. Over `limit` attributes a new key is dropped and counted.
    #[inline]
    pub fn set(&mut self, key: &str, value: Scalar<'_>, limit: u32) {
        if self.makes_room(key, limit) {
            self.append_scalar(key, value);
        }
    }

    /// Sets a plain value of a key that the list does not have: the caller knows. Over `limit` attributes it is
    /// dropped and counted.
    #[inline]
    pub fn push(&mut self, key: &str, value: Scalar<'_>, limit: u32) {
        debug_assert!(self.find(key).is_none());
        if self.count >= limit {
            self.dropped += 1;
        } else {
            self.append_scalar(key, value);
        }
    }

    /// Sets any value. Over `limit` attributes a new key is dropped and counted.
    pub fn set_value(&mut self, key: &str, value: &Value, limit: u32) {
        if self.makes_room(key, limit) {
            self.append(key, |out| put_value(out, value));
        }
    }

    /// Takes away what the key has; whether there is room for what it is to have.
    #[inline]
    fn makes_room(&mut self, key: &str, limit: u32) -> bool {
        if let Some(range) = self.find(key) {
            self.bytes.drain(range);
            self.count -= 1;
        } else if self.count >= limit {
            self.dropped += 1;
            return false;
        }
        true
    }

    fn append(&mut self, key: &str, put: impl FnOnce(&mut Vec<u8>)) {
        put_message(&mut self.bytes, Self::FIELD, |out| {
            put_bytes(out, KEY, key.as_bytes());
            put_message(out, VALUE, put);
        });
        self.count += 1;
    }

    /// As [`append`](Self::append): most are short, and then all lengths are known beforehand and take a byte.
    #[inline]
    fn append_scalar(&mut self, key: &str, value: Scalar<'_>) {
        let value_length = scalar_len(value);
        let length = 4 + key.len() + value_length;
        if length >= 0x80 {
            self.append(key, |out| put_scalar(out, value));
            return;
        }
        let head = [tag(Self::FIELD, LENGTH_DELIMITED), length as u8, tag(KEY, LENGTH_DELIMITED), key.len() as u8];
        self.bytes.reserve(2 + length);
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(key.as_bytes());
        self.bytes.extend_from_slice(&[tag(VALUE, LENGTH_DELIMITED), value_length as u8]);
        put_scalar(&mut self.bytes, value);
        self.count += 1;
    }

    /// Where the attribute of this key lies. A walk over the list: lists are short, and keeping
    /// an index would cost more than it saves.
    #[inline]
    fn find(&self, key: &str) -> Option<std::ops::Range<usize>> {
        let mut at = 0;
        while at < self.bytes.len() {
            debug_assert_eq!(self.bytes[at], tag(Self::FIELD, LENGTH_DELIMITED));
            let (length, content) = read_varint(&self.bytes, at + 1);
            let end = content + length as usize;
            let (key_length, key_at) = read_varint(&self.bytes, content + 1);
            if self.bytes.get(key_at..key_at + key_length as usize) == Some(key.as_bytes()) {
                return Some(at..end);
            }
            at = end;
        }
        None
    }

    /// The attributes as values.
    #[must_use]
    pub fn read(&self) -> Attributes {
        super::read::attributes(&self.bytes)
    }

    /// Counts an attribute that could not be encoded.
    pub fn drop_one(&mut self) {
        self.dropped += 1;
    }

    /// How many attributes there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// How many attributes the limit or a bad value cost.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Empties the list and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
        self.dropped = 0;
    }

    /// The encoded attributes, as fields of a span.
    #[must_use]
    pub(super) fn as_span_fields(&self) -> &[u8] {
        &self.bytes
    }

    /// Memory kept, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The encoded attributes, for [`append_attribute_fields`] and as the key of a series. Lists with the
    /// same attributes have the same bytes once they are [sorted](Self::sort).
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Brings the attributes into the order of their keys.
    pub fn sort(&mut self) {
        if self.count < 2 {
            return;
        }
        let mut entries: Vec<_> = entries(&self.bytes).collect();
        if entries.is_sorted_by_key(|entry| entry.key) {
            return;
        }
        entries.sort_unstable_by_key(|entry| entry.key);
        self.bytes = entries.into_iter().flat_map(|entry| entry.whole).copied().collect();
    }

    /// The attributes whose keys are among `keys`, and the others.
    #[must_use]
    pub fn split(&self, keys: &[String]) -> (Self, Self) {
        let (mut kept, mut others) = (Self::default(), Self::default());
        for entry in entries(&self.bytes) {
            let list = if keys.iter().any(|key| key.as_bytes() == entry.key) { &mut kept } else { &mut others };
            list.bytes.extend_from_slice(entry.whole);
            list.count += 1;
        }
        (kept, others)
    }

    /// Appends the attributes as field `field` of another message, and how many were dropped.
    pub(super) fn append_as(&self, out: &mut Vec<u8>, field: u8, dropped_field: u8) {
        append_attribute_fields(out, field, &self.bytes);
        put_uint(out, dropped_field, u64::from(self.dropped));
    }
}

/// One encoded attribute of a list.
struct Entry<'a> {
    key: &'a [u8],
    /// With its tag and length.
    whole: &'a [u8],
}

fn entries(bytes: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let begin = at;
        if begin >= bytes.len() {
            return None;
        }
        let (length, content) = read_varint(bytes, begin + 1);
        at = content + length as usize;
        let (key_length, key_at) = read_varint(bytes, content + 1);
        Some(Entry { key: bytes.get(key_at..key_at + key_length as usize)?, whole: bytes.get(begin..at)? })
    })
}

/// Appends attributes as [`AttributeList::as_bytes`] gives them, as field `field` (at most 15).
pub fn append_attribute_fields(out: &mut Vec<u8>, field: u8, attributes: &[u8]) {
    let mut at = out.len();
    out.extend_from_slice(attributes);
    if field == AttributeList::FIELD {
        return;
    }
    // Both fields have tags of one byte.
    while at < out.len() {
        out[at] = tag(field, LENGTH_DELIMITED);
        let (length, content) = read_varint(out, at + 1);
        at = content + length as usize;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(pairs: &[(&str, i64)]) -> AttributeList {
        let mut list = AttributeList::default();
        for (key, number) in pairs {
            list.set(key, Scalar::Int(*number), 100);
        }
        list
    }

    #[test]
    fn the_order_of_setting_does_not_matter_once_sorted() {
        let (mut one, mut two) = (list(&[("b", 2), ("a", 1), ("ab", 3)]), list(&[("ab", 3), ("b", 2), ("a", 1)]));
        one.sort();
        two.sort();
        assert_eq!(one.as_bytes(), two.as_bytes());
        assert_eq!(one.as_bytes(), list(&[("a", 1), ("ab", 3), ("b", 2)]).as_bytes());
    }

    #[test]
    fn new_keys_are_appended_up_to_the_limit() {
        let mut pushed = AttributeList::default();
        for (key, number) in [("a", 1), ("b", 2), ("c", 3)] {
            pushed.push(key, Scalar::Int(number), 2);
        }
        assert_eq!(pushed.as_bytes(), list(&[("a", 1), ("b", 2)]).as_bytes());
        assert_eq!((pushed.count(), pushed.dropped()), (2, 1));
    }

    #[test]
    fn short_and_long_attributes_are_written_alike() {
        let texts: Vec<_> = (0..300).map(|length| "v".repeat(length)).collect();
        let numbers = [0, 1, 127, 128, -1, i64::MAX, i64::MIN].map(Scalar::Int);
        let others = [Scalar::Bool(false), Scalar::Bool(true), Scalar::Double(0.0), Scalar::Double(-1.5)];
        for key_length in [1, 100, 112, 113, 120, 127, 128, 200] {
            let key = "k".repeat(key_length);
            for value in texts.iter().map(|text| Scalar::Str(text)).chain(numbers).chain(others) {
                let (mut one, mut other) = (AttributeList::default(), AttributeList::default());
                one.append_scalar(&key, value);
                other.append(&key, |out| put_scalar(out, value));
                assert_eq!(one.as_bytes(), other.as_bytes(), "{key_length} {value:?}");
            }
        }
    }

    #[test]
    fn attributes_become_another_field_whatever_their_length() {
        let long = "viper".repeat(1_000);
        let mut attributes = list(&[("a", 1)]);
        attributes.set("long", Scalar::Str(&long), 100);
        let mut out = vec![7];
        append_attribute_fields(&mut out, 9, attributes.as_bytes());
        let mut expected = vec![7];
        for entry in entries(attributes.as_bytes()) {
            let (_, content) = read_varint(entry.whole, 1);
            put_bytes(&mut expected, 9, &entry.whole[content..]);
        }
        assert_eq!(out, expected);
    }

    #[test]
    fn a_list_splits_by_key() {
        let (kept, others) = list(&[("a", 1), ("b", 2), ("c", 3)]).split(&["c".into(), "a".into(), "z".into()]);
        assert_eq!(kept.as_bytes(), list(&[("a", 1), ("c", 3)]).as_bytes());
        assert_eq!((kept.count(), others.as_bytes()), (2, list(&[("b", 2)]).as_bytes()));
    }
}
