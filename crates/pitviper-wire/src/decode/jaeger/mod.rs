//! Jaeger's spans in Thrift's binary protocol, as its clients post them to a collector.
//!
//! Source: `jaeger.thrift`, and OpenTelemetry's transformation to Jaeger and from OpenTracing.

mod thrift;

use pitviper_model::{Attributes, Event, Link, Span, SpanId, SpanKind, TraceId, Value};

use self::thrift::{BOOL, DOUBLE, I32, I64, LIST, Reader, STRING, STRUCT};
use super::Decoded;
use super::foreign::{ForeignError, Processes, nanos, unique};
use super::room::Room;

/// Names of what a process is.
const OF_PROCESS: [(&str, &str); 4] = [
    ("hostname", "host.name"),
    ("ip", "host.ip"),
    ("client-uuid", "service.instance.id"),
    ("jaeger.version", "telemetry.sdk.version"),
];
/// What describes an exception, in OpenTracing's words and in OpenTelemetry's.
const OF_EXCEPTION: [(&str, &str); 4] = [
    ("error.kind", "exception.type"),
    ("error.object", "exception.message"),
    ("message", "exception.message"),
    ("stack", "exception.stacktrace"),
];
/// A reference to a parent.
const CHILD_OF: i32 = 0;

/// Reads a batch of spans that may take `limit` bytes, each step of which `may_grow` grants.
///
/// # Errors
/// When the bytes are not that structure, or take more room than there is.
pub fn spans(bytes: &[u8], limit: usize, mut may_grow: impl FnMut(usize) -> bool) -> Result<Decoded, ForeignError> {
    let mut room = Room::new(limit, &mut may_grow);
    let (mut common, mut service, mut spans) = (Attributes::default(), String::new(), Vec::new());
    Reader(bytes).structure(|reader, field, kind| {
        match (field, kind) {
            (1, STRUCT) => (service, common) = process(reader, &mut room)?,
            (2, LIST) => {
                for _ in 0..reader.structures()? {
                    room.take(2 * size_of::<Span>())?;
                    spans.push(span(reader, &mut room)?);
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let mut processes = Processes::default();
    spans.into_iter().for_each(|span| processes.add(&service, span));
    Ok(Decoded { batch: processes.with(&common, &mut room)?, rejected: Vec::new() })
}

/// The name of the service, and what else is known of the process.
fn process(reader: &mut Reader<'_>, room: &mut Room<'_>) -> Result<(String, Attributes), ForeignError> {
    let (mut service, mut common) = (String::new(), Attributes::default());
    reader.structure(|reader, field, kind| {
        match (field, kind) {
            (1, STRING) => service = text(reader, room)?,
            (2, LIST) => {
                let mut named = tags(reader, room)?;
                for (key, _) in &mut named.0 {
                    if let Some((_, ours)) = OF_PROCESS.iter().find(|(theirs, _)| theirs == key) {
                        (*ours).clone_into(key);
                    }
                }
                common = unique(named);
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((service, common))
}

fn text(reader: &mut Reader<'_>, room: &mut Room<'_>) -> Result<String, ForeignError> {
    let text = reader.text()?;
    room.take(text.len())?;
    Ok(text)
}

/// A list of tags. A key that comes twice has its last value.
fn tags(reader: &mut Reader<'_>, room: &mut Room<'_>) -> Result<Attributes, ForeignError> {
    let mut tags = Attributes::default();
    for _ in 0..reader.structures()? {
        room.take(size_of::<(String, Value)>())?;
        let (mut key, mut value) = (String::new(), Value::String(String::new()));
        reader.structure(|reader, field, kind| {
            match (field, kind) {
                (1, STRING) => key = text(reader, room)?,
                (3, STRING) => value = Value::String(text(reader, room)?),
                (4, DOUBLE) => value = Value::Double(reader.double()?),
                (5, BOOL) => value = Value::Bool(reader.bool()?),
                (6, I64) => value = Value::Int(reader.i64()?),
                (7, STRING) => {
                    let bytes = reader.bytes()?.to_vec();
                    room.take(bytes.len())?;
                    value = Value::Bytes(bytes);
                }
                // The type, which the field that is there says as well.
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        tags.0.push((key, value));
    }
    Ok(unique(tags))
}

/// A reference to another span.
#[derive(Debug, Default)]
struct Reference {
    kind: i32,
    trace_id: TraceId,
    span_id: SpanId,
}

fn trace_id(high: i64, low: i64) -> TraceId {
    TraceId((u128::from(high.cast_unsigned()) << 64 | u128::from(low.cast_unsigned())).to_be_bytes())
}

fn span(reader: &mut Reader<'_>, room: &mut Room<'_>) -> Result<Span, ForeignError> {
    let mut span = Span { kind: SpanKind::Internal, ..Span::default() };
    let (mut high, mut low, mut start, mut duration) = (0, 0, 0_u64, 0_u64);
    let mut references = Vec::new();
    reader.structure(|reader, field, kind| {
        match (field, kind) {
            (1, I64) => low = reader.i64()?,
            (2, I64) => high = reader.i64()?,
            (3, I64) => span.span_id = SpanId(reader.i64()?.to_be_bytes()),
            (4, I64) => span.parent_span_id = SpanId(reader.i64()?.to_be_bytes()),
            (5, STRING) => span.name = text(reader, room)?,
            (6, LIST) => references = read_references(reader, room)?,
            (7, I32) => span.flags = (reader.i32()? & 1).cast_unsigned(),
            (8, I64) => start = u64::try_from(reader.i64()?).unwrap_or_default(),
            (9, I64) => duration = u64::try_from(reader.i64()?).unwrap_or_default(),
            (10, LIST) => span.attributes = tags(reader, room)?,
            (11, LIST) => span.events = events(reader, room)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    span.trace_id = trace_id(high, low);
    span.start_time_unix_nano = nanos(start);
    span.end_time_unix_nano = nanos(start).saturating_add(nanos(duration));
    for reference in references {
        let is_here = reference.trace_id == span.trace_id;
        if reference.kind == CHILD_OF && is_here && !span.parent_span_id.is_valid() {
            span.parent_span_id = reference.span_id;
        } else if !is_here || reference.span_id != span.parent_span_id {
            room.take(size_of::<Link>())?;
            let Reference { trace_id, span_id, .. } = reference;
            span.links.push(Link { trace_id, span_id, ..Link::default() });
        }
    }
    Ok(span)
}

fn read_references(reader: &mut Reader<'_>, room: &mut Room<'_>) -> Result<Vec<Reference>, ForeignError> {
    let mut references = Vec::new();
    for _ in 0..reader.structures()? {
        room.take(size_of::<Reference>())?;
        let (mut reference, mut high, mut low) = (Reference::default(), 0, 0);
        reader.structure(|reader, field, kind| {
            match (field, kind) {
                (1, I32) => reference.kind = reader.i32()?,
                (2, I64) => low = reader.i64()?,
                (3, I64) => high = reader.i64()?,
                (4, I64) => reference.span_id = SpanId(reader.i64()?.to_be_bytes()),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        reference.trace_id = trace_id(high, low);
        references.push(reference);
    }
    Ok(references)
}

/// Logs of a span as events: named by their field `event`, and by what they are when they tell of an error.
fn events(reader: &mut Reader<'_>, room: &mut Room<'_>) -> Result<Vec<Event>, ForeignError> {
    let mut events = Vec::new();
    for _ in 0..reader.structures()? {
        room.take(size_of::<Event>())?;
        let mut event = Event::default();
        reader.structure(|reader, field, kind| {
            match (field, kind) {
                (1, I64) => event.time_unix_nano = nanos(u64::try_from(reader.i64()?).unwrap_or_default()),
                (2, LIST) => event.attributes = tags(reader, room)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        name(&mut event);
        events.push(event);
    }
    Ok(events)
}

fn name(event: &mut Event) {
    let named = event.attributes.0.iter().position(|(key, _)| key == "event");
    let told = named.map(|at| event.attributes.0.remove(at).1.to_text()).unwrap_or_default();
    let describes = |key: &str| event.attributes.get(key).is_some();
    if told == "exception" || ["error.kind", "error.object", "stack"].into_iter().any(describes) {
        "exception".clone_into(&mut event.name);
        for (theirs, ours) in OF_EXCEPTION {
            if event.attributes.get(ours).is_none()
                && let Some((key, _)) = event.attributes.0.iter_mut().find(|(key, _)| key == theirs)
            {
                ours.clone_into(key);
            }
        }
    } else if told.is_empty() {
        event.name = event.attributes.get("message").map_or_else(|| "log".to_owned(), Value::to_text);
    } else {
        event.name = told;
    }
}

#[cfg(test)]
mod tests {
    use pitviper_model::StatusCode;
    use proptest::prelude::*;

    use super::*;

    /// Thrift as a client writes it.
    #[derive(Default)]
    struct Writer(Vec<u8>);

    impl Writer {
        fn field(mut self, kind: u8, number: i16, value: impl AsRef<[u8]>) -> Self {
            self.0.push(kind);
            self.0.extend(number.to_be_bytes());
            self.0.extend(value.as_ref());
            self
        }

        fn text(self, number: i16, text: &str) -> Self {
            let value = [&(text.len() as i32).to_be_bytes()[..], text.as_bytes()].concat();
            self.field(STRING, number, value)
        }

        fn long(self, number: i16, value: i64) -> Self {
            self.field(I64, number, value.to_be_bytes())
        }

        fn list(self, number: i16, structures: &[Vec<u8>]) -> Self {
            let head = [&[STRUCT][..], &(structures.len() as i32).to_be_bytes()].concat();
            self.field(LIST, number, [head, structures.concat()].concat())
        }

        fn end(mut self) -> Vec<u8> {
            self.0.push(thrift::STOP);
            self.0
        }
    }

    fn tag(key: &str, value: &str) -> Vec<u8> {
        Writer::default().text(1, key).field(I32, 2, 0_i32.to_be_bytes()).text(3, value).end()
    }

    fn batch() -> Vec<u8> {
        let process = Writer::default().text(1, "shop").list(2, &[tag("hostname", "h1"), tag("team", "web")]).end();
        let log = Writer::default()
            .long(1, 1_000_050)
            .list(2, &[tag("event", "error"), tag("error.kind", "KeyError"), tag("message", "no card")])
            .end();
        let reference = |kind: i32, low, span| {
            Writer::default().field(I32, 1, kind.to_be_bytes()).long(2, low).long(3, 0).long(4, span).end()
        };
        let code = Writer::default().text(1, "http.status_code").field(I32, 2, 3_i32.to_be_bytes()).long(6, 500).end();
        let failed = Writer::default().text(1, "error").field(BOOL, 5, [1]).end();
        let span = Writer::default()
            .long(1, 7)
            .long(2, 0)
            .long(3, 9)
            .long(4, 0)
            .text(5, "pay")
            .list(6, &[reference(0, 7, 8), reference(1, 5, 6)])
            .field(I32, 7, 1_i32.to_be_bytes())
            .long(8, 1_000_000)
            .long(9, 250)
            .list(10, &[tag("span.kind", "server"), tag("otel.scope.name", "jaeger"), code, failed])
            .list(11, &[log])
            .end();
        Writer::default().field(STRUCT, 1, process).list(2, &[span]).long(3, 1).end()
    }

    #[test]
    fn a_batch_is_read_whole() {
        let decoded = spans(&batch(), usize::MAX, |_| true).unwrap();
        let [process] = &decoded.batch[..] else { panic!("{decoded:?}") };
        let of_process: Vec<String> =
            process.resource.attributes.iter().map(|(key, value)| format!("{key}={}", value.to_text())).collect();
        assert_eq!(of_process, ["host.name=h1", "team=web", "service.name=shop"]);
        assert_eq!(process.scopes[0].scope.name, "jaeger");
        let [span] = &process.scopes[0].spans[..] else { panic!("{process:?}") };
        assert_eq!((span.trace_id, span.span_id), (trace_id(0, 7), SpanId(9_u64.to_be_bytes())));
        assert_eq!(span.parent_span_id, SpanId(8_u64.to_be_bytes()));
        assert_eq!((span.links.len(), span.links[0].trace_id), (1, trace_id(0, 5)));
        assert_eq!((span.kind, span.status.code, span.duration_nano()), (SpanKind::Server, StatusCode::Error, 250_000));
        assert_eq!(span.attributes.0, [("http.status_code".to_owned(), Value::Int(500))]);
        let told: Vec<&str> = span.events[0].attributes.iter().map(|(key, _)| key).collect();
        assert_eq!((span.events[0].name.as_str(), told), ("exception", vec!["exception.type", "exception.message"]));
    }

    #[test]
    fn what_is_cut_or_too_much_is_refused() {
        let whole = batch();
        for end in 0..whole.len() {
            assert!(matches!(spans(&whole[..end], usize::MAX, |_| true), Err(ForeignError::Thrift(_))), "{end}");
        }
        assert!(matches!(spans(&whole, 100, |_| true), Err(ForeignError::Room(_))));
        let many = Writer::default().field(LIST, 2, [&[STRUCT][..], &i32::MAX.to_be_bytes()].concat()).end();
        assert!(spans(&many, 10_000_000, |_| true).is_err());
        let deep = [[LIST, 0, 9].as_slice(), &[LIST, 0, 0, 0, 1].repeat(10_000)].concat();
        assert!(matches!(spans(&deep, usize::MAX, |_| true), Err(ForeignError::Thrift("it nests too deep"))));
    }

    #[test]
    fn what_many_processes_have_in_common_is_asked_for_each_time() {
        let process = Writer::default().text(1, "shop").list(2, &[tag("k", &"x".repeat(10_000))]).end();
        let span = |number: u8| Writer::default().long(3, 1).list(10, &[tag("host.name", &number.to_string())]).end();
        let spans_of: Vec<Vec<u8>> = (0..100).map(span).collect();
        let batch = Writer::default().field(STRUCT, 1, process).list(2, &spans_of).end();
        assert!(matches!(spans(&batch, 500_000, |_| true), Err(ForeignError::Room(_))));
        assert_eq!(spans(&batch, 5_000_000, |_| true).unwrap().batch.len(), 100);
    }

    proptest! {
        #[test]
        fn hostile_batches_never_break(bytes in prop::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), byte: u8) {
            let _ = spans(&bytes, 1 << 20, |_| true);
            let mut changed = batch();
            let at = at.index(changed.len());
            changed[at] = byte;
            let _ = spans(&changed, 1 << 20, |_| true);
        }
    }
}
