//! The payloads of spans as they were sent: version 0.3 and 0.4, maps by name, and version 0.5, lists
//! whose texts are numbers of a table.
//!
//! Nothing is copied but what the sender escaped; spans share one list of pairs.

use std::borrow::Cow;
use std::mem::size_of;
use std::ops::Range;

use pitviper_model::Value;

use super::TracesError;
use super::msgpack::{MsgpackError, Reader};
use crate::decode::room::Room;

/// How many values a span of version 0.5 has.
const FIELDS: usize = 12;

/// How spans are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TracesVersion {
    /// Version 0.3 and 0.4: a map for each span.
    V04,
    /// Version 0.5: a list for each span, and a table of texts.
    V05,
}

/// A span as it was sent.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct RawSpan<'a> {
    pub(super) service: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
    pub(super) resource: Cow<'a, str>,
    pub(super) span_type: Cow<'a, str>,
    /// The low 64 bits.
    pub(super) trace_id: u64,
    pub(super) span_id: u64,
    pub(super) parent_id: u64,
    pub(super) start: i64,
    pub(super) duration: i64,
    pub(super) is_error: bool,
    /// Where its texts lie in [`Payload::meta`].
    pub(super) meta: Range<usize>,
    /// Where its numbers lie in [`Payload::metrics`].
    pub(super) metrics: Range<usize>,
    /// What only version 0.4 has beside them; rare.
    pub(super) more: Option<Box<More<'a>>>,
}

/// What few spans have.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct More<'a> {
    pub(super) links: Vec<RawLink<'a>>,
    pub(super) events: Vec<RawEvent<'a>>,
    pub(super) meta_struct: Vec<(Cow<'a, str>, Value)>,
}

/// A link of version 0.4.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct RawLink<'a> {
    pub(super) trace_id: u64,
    pub(super) trace_id_high: u64,
    pub(super) span_id: u64,
    pub(super) attributes: Vec<(Cow<'a, str>, Value)>,
    pub(super) trace_state: Cow<'a, str>,
    pub(super) flags: u64,
}

/// An event of version 0.4.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct RawEvent<'a> {
    pub(super) time_unix_nano: u64,
    pub(super) name: Cow<'a, str>,
    pub(super) attributes: Vec<(Cow<'a, str>, Value)>,
}

/// A payload: chunks of traces.
#[derive(Debug, Default)]
pub(super) struct Payload<'a> {
    pub(super) spans: Vec<RawSpan<'a>>,
    pub(super) meta: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub(super) metrics: Vec<(Cow<'a, str>, f64)>,
    /// Where the spans of each chunk lie in `spans`.
    pub(super) chunks: Vec<Range<usize>>,
}

impl<'a> Payload<'a> {
    pub(super) fn read(version: TracesVersion, bytes: &'a [u8], room: &mut Room<'_>) -> Result<Self, TracesError> {
        let mut reader = Reader::new(bytes);
        let mut payload = Self::default();
        match version {
            TracesVersion::V04 => payload.read_chunks(&mut reader, room, Self::read_map)?,
            TracesVersion::V05 => {
                let parts = reader.array()?;
                let mut table = Vec::new();
                if parts > 0 {
                    let length = reader.array()?;
                    room.take(length.saturating_mul(size_of::<Cow<'_, str>>()))?;
                    table.reserve_exact(length);
                    for _ in 0..length {
                        table.push(reader.text()?);
                    }
                }
                if parts > 1 {
                    payload.read_chunks(&mut reader, room, |payload, reader, room| {
                        payload.read_list(&table, reader, room)
                    })?;
                }
                for _ in 2..parts {
                    reader.skip()?;
                }
            }
        }
        Ok(payload)
    }

    fn read_chunks(
        &mut self,
        reader: &mut Reader<'a>,
        room: &mut Room<'_>,
        mut read: impl FnMut(&mut Self, &mut Reader<'a>, &mut Room<'_>) -> Result<RawSpan<'a>, TracesError>,
    ) -> Result<(), TracesError> {
        for _ in 0..reader.array()? {
            let first = self.spans.len();
            room.take(size_of::<Range<usize>>())?;
            for _ in 0..reader.array()? {
                // As it was sent, and as it is in the model; each list may have grown to twice its size.
                room.take(2 * size_of::<RawSpan<'_>>() + size_of::<pitviper_model::Span>())?;
                let span = read(self, reader, room)?;
                self.spans.push(span);
            }
            self.chunks.push(first..self.spans.len());
        }
        Ok(())
    }

    fn read_list(
        &mut self,
        table: &[Cow<'a, str>],
        reader: &mut Reader<'a>,
        room: &mut Room<'_>,
    ) -> Result<RawSpan<'a>, TracesError> {
        let fields = reader.array()?;
        if fields < FIELDS {
            return Err(TracesError::Fields { found: fields });
        }
        let text = |reader: &mut Reader<'a>| {
            let index = reader.number()?.as_u64();
            let found = usize::try_from(index).ok().and_then(|index| table.get(index));
            found.cloned().ok_or(MsgpackError::NoSuchString { index, length: table.len() })
        };
        let mut span = RawSpan {
            service: text(reader)?,
            name: text(reader)?,
            resource: text(reader)?,
            trace_id: reader.number()?.as_u64(),
            span_id: reader.number()?.as_u64(),
            parent_id: reader.number()?.as_u64(),
            start: reader.number()?.as_i64(),
            duration: reader.number()?.as_i64(),
            is_error: reader.number()?.as_i64() != 0,
            ..RawSpan::default()
        };
        let first = self.meta.len();
        for _ in 0..reader.map()? {
            let pair = (text(reader)?, text(reader)?);
            self.push_meta(pair, room)?;
        }
        span.meta = first..self.meta.len();
        let first = self.metrics.len();
        for _ in 0..reader.map()? {
            let pair = (text(reader)?, reader.number()?.as_f64());
            self.push_metric(pair, room)?;
        }
        span.metrics = first..self.metrics.len();
        span.span_type = text(reader)?;
        for _ in FIELDS..fields {
            reader.skip()?;
        }
        take_texts(&span, room)?;
        Ok(span)
    }

    fn read_map(&mut self, reader: &mut Reader<'a>, room: &mut Room<'_>) -> Result<RawSpan<'a>, TracesError> {
        let mut span = RawSpan::default();
        for _ in 0..reader.map()? {
            match &*reader.text()? {
                "service" => span.service = reader.text()?,
                "name" => span.name = reader.text()?,
                "resource" => span.resource = reader.text()?,
                "type" => span.span_type = reader.text()?,
                "trace_id" => span.trace_id = reader.number()?.as_u64(),
                "span_id" => span.span_id = reader.number()?.as_u64(),
                "parent_id" => span.parent_id = reader.number()?.as_u64(),
                "start" => span.start = reader.number()?.as_i64(),
                "duration" => span.duration = reader.number()?.as_i64(),
                "error" => span.is_error = reader.number()?.as_i64() != 0,
                "meta" => {
                    let first = self.meta.len();
                    for _ in 0..reader.map()? {
                        let pair = (reader.text()?, reader.text_of_scalar()?);
                        self.push_meta(pair, room)?;
                    }
                    span.meta = first..self.meta.len();
                }
                "metrics" => {
                    let first = self.metrics.len();
                    for _ in 0..reader.map()? {
                        let pair = (reader.text()?, reader.number()?.as_f64());
                        self.push_metric(pair, room)?;
                    }
                    span.metrics = first..self.metrics.len();
                }
                "span_links" => span.more.get_or_insert_default().links = read_links(reader, room)?,
                "span_events" => span.more.get_or_insert_default().events = read_events(reader, room)?,
                "meta_struct" => span.more.get_or_insert_default().meta_struct = read_struct(reader, room)?,
                _ => reader.skip()?,
            }
        }
        take_texts(&span, room)?;
        Ok(span)
    }

    fn push_meta(
        &mut self,
        (key, value): (Cow<'a, str>, Cow<'a, str>),
        room: &mut Room<'_>,
    ) -> Result<(), TracesError> {
        room.take(pair_bytes(&key) + value.len() + 2 * size_of::<(Cow<'_, str>, Cow<'_, str>)>())?;
        self.meta.push((key, value));
        Ok(())
    }

    fn push_metric(&mut self, (key, value): (Cow<'a, str>, f64), room: &mut Room<'_>) -> Result<(), TracesError> {
        room.take(pair_bytes(&key) + 2 * size_of::<(Cow<'_, str>, f64)>())?;
        self.metrics.push((key, value));
        Ok(())
    }
}

/// What an attribute with this key takes in the model, without its value's text.
fn pair_bytes(key: &str) -> usize {
    2 * size_of::<(String, Value)>() + key.len()
}

/// The texts of a span that are not pairs. Each may be an attribute as well, and a name.
fn take_texts(span: &RawSpan<'_>, room: &mut Room<'_>) -> Result<(), TracesError> {
    let texts = [&span.service, &span.name, &span.resource, &span.span_type];
    Ok(room.take(3 * texts.map(|text| text.len()).iter().sum::<usize>())?)
}

fn read_links<'a>(reader: &mut Reader<'a>, room: &mut Room<'_>) -> Result<Vec<RawLink<'a>>, TracesError> {
    let mut links = Vec::new();
    for _ in 0..reader.array()? {
        room.take(2 * size_of::<RawLink<'_>>() + size_of::<pitviper_model::Link>())?;
        let mut link = RawLink::default();
        for _ in 0..reader.map()? {
            match &*reader.text()? {
                "trace_id" => link.trace_id = reader.number()?.as_u64(),
                "trace_id_high" => link.trace_id_high = reader.number()?.as_u64(),
                "span_id" => link.span_id = reader.number()?.as_u64(),
                "tracestate" => link.trace_state = reader.text()?,
                "flags" => link.flags = reader.number()?.as_u64(),
                "attributes" => link.attributes = read_pairs(reader, room, Reader::value)?,
                _ => reader.skip()?,
            }
        }
        links.push(link);
    }
    Ok(links)
}

fn read_events<'a>(reader: &mut Reader<'a>, room: &mut Room<'_>) -> Result<Vec<RawEvent<'a>>, TracesError> {
    let mut events = Vec::new();
    for _ in 0..reader.array()? {
        room.take(2 * size_of::<RawEvent<'_>>() + size_of::<pitviper_model::Event>())?;
        let mut event = RawEvent::default();
        for _ in 0..reader.map()? {
            match &*reader.text()? {
                "time_unix_nano" => event.time_unix_nano = reader.number()?.as_u64(),
                "name" => event.name = reader.text()?,
                "attributes" => {
                    let tagged = read_pairs(reader, room, Reader::value)?;
                    event.attributes = tagged.into_iter().map(|(key, value)| (key, untagged(value))).collect();
                }
                _ => reader.skip()?,
            }
        }
        events.push(event);
    }
    Ok(events)
}

/// The value of `{"type": 0, "string_value": …}` and its kin.
fn untagged(value: Value) -> Value {
    let Value::Map(tagged) = value else { return value };
    let names = ["string_value", "bool_value", "int_value", "double_value"];
    if let Some(plain) = names.iter().find_map(|name| tagged.get(name)) {
        return plain.clone();
    }
    let list = match tagged.get("array_value") {
        Some(Value::Map(list)) => list.get("values"),
        _ => None,
    };
    match list {
        Some(Value::Array(values)) => Value::Array(values.iter().cloned().map(untagged_scalar).collect()),
        _ => Value::Map(tagged),
    }
}

/// As [`untagged`], of what is in a list: lists hold no lists.
fn untagged_scalar(value: Value) -> Value {
    let Value::Map(tagged) = value else { return value };
    let names = ["string_value", "bool_value", "int_value", "double_value"];
    let plain = names.iter().find_map(|name| tagged.get(name)).cloned();
    plain.unwrap_or(Value::Map(tagged))
}

/// `meta_struct`: its values are MessagePack within MessagePack.
fn read_struct<'a>(reader: &mut Reader<'a>, room: &mut Room<'_>) -> Result<Vec<(Cow<'a, str>, Value)>, TracesError> {
    read_pairs(reader, room, |reader| {
        let bytes = reader.bytes()?;
        Ok(Reader::new(bytes).value().unwrap_or_else(|_| Value::Bytes(bytes.to_vec())))
    })
}

type Pairs<'a> = Vec<(Cow<'a, str>, Value)>;

fn read_pairs<'a>(
    reader: &mut Reader<'a>,
    room: &mut Room<'_>,
    read: impl Fn(&mut Reader<'a>) -> Result<Value, MsgpackError>,
) -> Result<Pairs<'a>, TracesError> {
    let mut pairs = Vec::new();
    for _ in 0..reader.map()? {
        let key = reader.text()?;
        let before = reader.left();
        let mut passed = *reader;
        passed.skip()?;
        // A value of one byte takes a whole one of the model, in a list that may have grown to twice its size.
        let most = (before - passed.left()).saturating_mul(2 * size_of::<(String, Value)>());
        room.take(pair_bytes(&key) + most)?;
        pairs.push((key, read(reader)?));
    }
    Ok(pairs)
}
