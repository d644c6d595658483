//! Reading back what this module wrote: a span under way keeps its attributes, events and links as
//! bytes alone, and whoever wants to see them pays for it.

use pitviper_model::{Attributes, Event, Link, SpanId, TraceId, Value};

use super::protobuf::read_varint;

/// Nesting that is followed. What is written is never deeper; bytes from elsewhere are not read here.
const MAX_DEPTH: usize = 32;

/// One field of a message: its number, the varint or fixed value, and the bytes of what has a length.
struct Field<'a> {
    number: u64,
    value: u64,
    bytes: &'a [u8],
}

/// The fields of a message; stops at the first byte that makes no sense.
struct Fields<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        if self.at >= self.message.len() {
            return None;
        }
        let (tag, content) = read_varint(self.message, self.at);
        let (value, bytes, end): (u64, &[u8], usize) = match tag & 7 {
            0 => {
                let (value, end) = read_varint(self.message, content);
                (value, &[], end)
            }
            1 => {
                let bytes = self.message.get(content..content + 8)?;
                (u64::from_le_bytes(bytes.try_into().ok()?), &[], content + 8)
            }
            2 => {
                let (length, start) = read_varint(self.message, content);
                let end = start.checked_add(usize::try_from(length).ok()?)?;
                (0, self.message.get(start..end)?, end)
            }
            5 => {
                let bytes = self.message.get(content..content + 4)?;
                (u64::from(u32::from_le_bytes(bytes.try_into().ok()?)), &[], content + 4)
            }
            _ => return None,
        };
        self.at = end;
        Some(Field { number: tag >> 3, value, bytes })
    }
}

fn fields(message: &[u8]) -> Fields<'_> {
    Fields { message, at: 0 }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn value(message: &[u8], depth: usize) -> Option<Value> {
    let field = fields(message).next()?;
    Some(match field.number {
        1 => Value::String(text(field.bytes)),
        2 => Value::Bool(field.value != 0),
        3 => Value::Int(field.value as i64),
        4 => Value::Double(f64::from_bits(field.value)),
        5 if depth < MAX_DEPTH => {
            Value::Array(fields(field.bytes).filter_map(|item| value(item.bytes, depth + 1)).collect())
        }
        6 if depth < MAX_DEPTH => {
            Value::Map(fields(field.bytes).filter_map(|pair| key_value(pair.bytes, depth + 1)).collect())
        }
        7 => Value::Bytes(field.bytes.to_vec()),
        _ => return None,
    })
}

fn key_value(message: &[u8], depth: usize) -> Option<(String, Value)> {
    let (mut key, mut found) = (None, None);
    for field in fields(message) {
        match field.number {
            1 => key = Some(text(field.bytes)),
            2 => found = value(field.bytes, depth),
            _ => {}
        }
    }
    Some((key?, found?))
}

/// The `KeyValue` messages that are entries of a repeated field, whatever its number.
pub(super) fn attributes(entries: &[u8]) -> Attributes {
    fields(entries).filter_map(|entry| key_value(entry.bytes, 0)).collect()
}

/// The `Event` messages that are entries of a repeated field.
pub(super) fn events(entries: &[u8]) -> Vec<Event> {
    fields(entries)
        .map(|entry| {
            let mut event = Event::default();
            for field in fields(entry.bytes) {
                match field.number {
                    1 => event.time_unix_nano = field.value,
                    2 => event.name = text(field.bytes),
                    3 => event.attributes.0.extend(key_value(field.bytes, 0)),
                    4 => event.dropped_attributes_count = field.value as u32,
                    _ => {}
                }
            }
            event
        })
        .collect()
}

/// The `Link` messages that are entries of a repeated field.
pub(super) fn links(entries: &[u8]) -> Vec<Link> {
    fields(entries)
        .map(|entry| {
            let mut link = Link::default();
            for field in fields(entry.bytes) {
                match field.number {
                    1 => link.trace_id = field.bytes.try_into().map_or(link.trace_id, TraceId),
                    2 => link.span_id = field.bytes.try_into().map_or(link.span_id, SpanId),
                    3 => link.trace_state = text(field.bytes),
                    4 => link.attributes.0.extend(key_value(field.bytes, 0)),
                    5 => link.dropped_attributes_count = field.value as u32,
                    6 => link.flags = field.value as u32,
                    _ => {}
                }
            }
            link
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{AttributeList, Scalar, SpanEncoder};
    use super::*;

    fn all_kinds() -> Vec<(String, Value)> {
        let nested = Attributes(vec![("inner".to_owned(), Value::Bool(true))]);
        vec![
            ("text".to_owned(), Value::String("a".repeat(300))),
            ("empty".to_owned(), Value::String(String::new())),
            ("flag".to_owned(), Value::Bool(false)),
            ("negative".to_owned(), Value::Int(-5)),
            ("ratio".to_owned(), Value::Double(0.25)),
            ("bytes".to_owned(), Value::Bytes(vec![0, 255])),
            ("list".to_owned(), Value::Array(vec![Value::Int(1), Value::String("x".to_owned())])),
            ("none".to_owned(), Value::Array(Vec::new())),
            ("map".to_owned(), Value::Map(nested)),
        ]
    }

    #[test]
    fn reads_back_what_was_written() {
        let mut encoder = SpanEncoder::default();
        for (key, value) in all_kinds() {
            encoder.attributes.set_value(&key, &value, 128);
        }
        assert_eq!(encoder.attributes.read(), Attributes(all_kinds()));

        let mut list = AttributeList::default();
        list.set("n", Scalar::Int(7), 1);
        list.set("over", Scalar::Int(8), 1);
        encoder.add_event("happened", 42, &list, 128);
        let attributes = Attributes(vec![("n".to_owned(), Value::Int(7))]);
        let event = Event {
            time_unix_nano: 42,
            name: "happened".to_owned(),
            attributes: attributes.clone(),
            dropped_attributes_count: 1,
        };
        assert_eq!(encoder.read_events(), vec![event]);

        let link = Link {
            trace_id: TraceId([7; 16]),
            span_id: SpanId([9; 8]),
            trace_state: "a=b".to_owned(),
            attributes,
            dropped_attributes_count: 2,
            flags: 1,
        };
        encoder.add_link(&link, 128);
        encoder.add_link(&link, 1);
        assert_eq!(encoder.read_links(), vec![link]);
        assert_eq!(encoder.dropped(), (0, 0, 1));
    }
}
