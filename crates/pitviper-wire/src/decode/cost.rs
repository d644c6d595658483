//! What a message takes in memory once it is decoded, found out before it is.
//!
//! An empty span is two bytes of protobuf and hundreds of bytes in memory, so a bound on the bytes
//! of a message does not bound its memory: a few kilobytes, well compressed, could ask for
//! gigabytes. Walking over a message costs a fraction of decoding it and allocates nothing.

use std::mem::size_of;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1 as otlp_logs;
use opentelemetry_proto::tonic::metrics::v1 as otlp_metrics;
use opentelemetry_proto::tonic::trace::v1 as otlp;
use pitviper_model::{
    Attributes, Event, Exemplar, Link, LogRecord, MetricPoint, MetricPoints, ResourceLogs, ResourceMetrics,
    ResourceSpans, ScopeLogs, ScopeMetrics, ScopeSpans, Signal, Span, Value,
};

use super::points::SUMMARY_ROOM_BYTES;
use super::{json, zipkin};

/// Deepest nesting that is looked into; the decoders refuse what is deeper.
const MAX_DEPTH: usize = 128;

/// A kind of protobuf message: what one takes beyond its text, and which of its fields are messages.
/// It is there twice for a moment, as it was sent and in the model.
struct Shape {
    bytes: usize,
    fields: &'static [(u64, &'static Shape)],
}

static TRACES: Shape = Shape { bytes: 0, fields: &[(1, &RESOURCE_SPANS)] };
static METRICS: Shape = Shape { bytes: 0, fields: &[(1, &RESOURCE_METRICS)] };
static LOGS: Shape = Shape { bytes: 0, fields: &[(1, &RESOURCE_LOGS)] };
static RESOURCE_SPANS: Shape = Shape {
    bytes: size_of::<otlp::ResourceSpans>() + size_of::<ResourceSpans>(),
    fields: &[(1, &RESOURCE), (2, &SCOPE_SPANS)],
};
static RESOURCE: Shape = Shape { bytes: size_of::<pitviper_model::Resource>(), fields: &[(1, &PAIR)] };
static SCOPE_SPANS: Shape =
    Shape { bytes: size_of::<otlp::ScopeSpans>() + size_of::<ScopeSpans>(), fields: &[(1, &SCOPE), (2, &SPAN)] };
static SCOPE: Shape = Shape { bytes: size_of::<pitviper_model::Scope>(), fields: &[(3, &PAIR)] };
static SPAN: Shape =
    Shape { bytes: size_of::<otlp::Span>() + size_of::<Span>(), fields: &[(9, &PAIR), (11, &EVENT), (13, &LINK)] };
static EVENT: Shape = Shape { bytes: size_of::<otlp::span::Event>() + size_of::<Event>(), fields: &[(3, &PAIR)] };
static LINK: Shape = Shape { bytes: size_of::<otlp::span::Link>() + size_of::<Link>(), fields: &[(4, &PAIR)] };
static RESOURCE_METRICS: Shape = Shape {
    bytes: size_of::<otlp_metrics::ResourceMetrics>() + size_of::<ResourceMetrics>(),
    fields: &[(1, &RESOURCE), (2, &SCOPE_METRICS)],
};
static SCOPE_METRICS: Shape = Shape {
    bytes: size_of::<otlp_metrics::ScopeMetrics>() + size_of::<ScopeMetrics>(),
    fields: &[(1, &SCOPE), (2, &METRIC)],
};
static METRIC: Shape = Shape {
    bytes: size_of::<otlp_metrics::Metric>() + size_of::<MetricPoints>(),
    fields: &[(5, &NUMBERS), (7, &NUMBERS), (9, &HISTOGRAMS), (10, &EXPONENTIALS), (11, &SUMMARIES), (12, &PAIR)],
};
static NUMBERS: Shape = Shape { bytes: 0, fields: &[(1, &NUMBER)] };
static HISTOGRAMS: Shape = Shape { bytes: 0, fields: &[(1, &HISTOGRAM)] };
static EXPONENTIALS: Shape = Shape { bytes: 0, fields: &[(1, &EXPONENTIAL)] };
/// A summary becomes three metrics.
static SUMMARIES: Shape = Shape { bytes: 2 * size_of::<MetricPoints>(), fields: &[(1, &SUMMARY)] };
const POINT_BYTES: usize = size_of::<Attributes>() + size_of::<MetricPoint>();
static NUMBER: Shape =
    Shape { bytes: size_of::<otlp_metrics::NumberDataPoint>() + POINT_BYTES, fields: &[(7, &PAIR), (5, &EXEMPLAR)] };
static HISTOGRAM: Shape =
    Shape { bytes: size_of::<otlp_metrics::HistogramDataPoint>() + POINT_BYTES, fields: &[(9, &PAIR), (8, &EXEMPLAR)] };
static EXPONENTIAL: Shape = Shape {
    bytes: size_of::<otlp_metrics::ExponentialHistogramDataPoint>() + POINT_BYTES,
    fields: &[(1, &PAIR), (11, &EXEMPLAR), (8, &BUCKETS), (9, &BUCKETS)],
};
/// Counts are a byte each on the wire and eight in a list that may have grown to twice its size.
static BUCKETS: Shape = Shape { bytes: 0, fields: &[] };
const BYTES_PER_COUNT: usize = 2 * size_of::<u64>();
static SUMMARY: Shape = Shape {
    bytes: size_of::<otlp_metrics::SummaryDataPoint>() + 2 * POINT_BYTES,
    fields: &[(7, &PAIR), (6, &QUANTILE)],
};
static QUANTILE: Shape = Shape {
    bytes: size_of::<otlp_metrics::summary_data_point::ValueAtQuantile>() + size_of::<(f64, f64)>() + POINT_BYTES,
    fields: &[],
};
static EXEMPLAR: Shape =
    Shape { bytes: size_of::<otlp_metrics::Exemplar>() + size_of::<Exemplar>(), fields: &[(7, &PAIR)] };
static RESOURCE_LOGS: Shape = Shape {
    bytes: size_of::<otlp_logs::ResourceLogs>() + size_of::<ResourceLogs>(),
    fields: &[(1, &RESOURCE), (2, &SCOPE_LOGS)],
};
static SCOPE_LOGS: Shape =
    Shape { bytes: size_of::<otlp_logs::ScopeLogs>() + size_of::<ScopeLogs>(), fields: &[(1, &SCOPE), (2, &RECORD)] };
static RECORD: Shape =
    Shape { bytes: size_of::<otlp_logs::LogRecord>() + size_of::<LogRecord>(), fields: &[(5, &VALUE), (6, &PAIR)] };
static PAIR: Shape =
    Shape { bytes: size_of::<KeyValue>() + size_of::<(String, Value)>(), fields: &[(2, &VALUE_OF_PAIR)] };
/// Its bytes are the pair's.
static VALUE_OF_PAIR: Shape = Shape { bytes: 0, fields: &[(5, &VALUES), (6, &PAIRS)] };
static VALUE: Shape = Shape { bytes: size_of::<AnyValue>() + size_of::<Value>(), fields: &[(5, &VALUES), (6, &PAIRS)] };
static VALUES: Shape = Shape { bytes: 0, fields: &[(1, &VALUE)] };
static PAIRS: Shape = Shape { bytes: 0, fields: &[(1, &PAIR)] };

/// About how many bytes the export request of a signal takes while it is decoded.
#[must_use]
pub fn protobuf_cost(signal: Signal, bytes: &[u8]) -> usize {
    let request = match signal {
        Signal::Traces => &TRACES,
        Signal::Metrics => &METRICS,
        Signal::Logs => &LOGS,
    };
    let mut has_summaries = false;
    let walked = walk(request, bytes, 0, &mut has_summaries);
    let copies = if has_summaries { SUMMARY_ROOM_BYTES } else { 0 };
    bytes.len().saturating_add(walked).saturating_add(copies)
}

/// What is damaged ends the walk; decoding will say what is wrong with it.
fn walk(shape: &'static Shape, mut bytes: &[u8], depth: usize, has_summaries: &mut bool) -> usize {
    if std::ptr::eq(shape, &BUCKETS) {
        return bytes.len().saturating_mul(BYTES_PER_COUNT);
    }
    *has_summaries |= std::ptr::eq(shape, &SUMMARY);
    let mut cost = 0_usize;
    if depth > MAX_DEPTH {
        return cost;
    }
    while let Some(key) = varint(&mut bytes) {
        let skip = match key & 7 {
            0 => varint(&mut bytes).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut bytes),
            5 => Some(4),
            _ => None,
        };
        let field = skip.and_then(|skip| usize::try_from(skip).ok()).and_then(|skip| bytes.split_at_checked(skip));
        let Some((field, rest)) = field else { break };
        bytes = rest;
        if key & 7 == 2
            && let Some((_, inner)) = shape.fields.iter().find(|(number, _)| *number == key >> 3)
        {
            let below = walk(inner, field, depth + 1, has_summaries);
            cost = cost.saturating_add(inner.bytes).saturating_add(below);
        }
    }
    cost
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// How deep in an OTLP/JSON document its spans and log records are: an object and a list for the
/// request, its resources and its scopes, then the object itself.
const ITEM_DEPTH: usize = 7;

/// How deep the points of its metrics are: below the metric there are its data and a list.
const POINT_DEPTH: usize = ITEM_DEPTH + 3;

/// About how many bytes an OTLP/JSON document of a signal takes while it is decoded. Objects and lists
/// are told apart by their depth alone: what is above the items takes less than an item does, and what
/// is below takes no more than the largest thing that may be there.
#[must_use]
pub fn json_cost(signal: Signal, bytes: &[u8]) -> usize {
    let (item_depth, item, below, number) = match signal {
        Signal::Traces => (ITEM_DEPTH, json::SPAN_BYTES, json::LINK_BYTES.max(json::PAIR_BYTES), 0),
        Signal::Metrics => {
            (POINT_DEPTH, json::POINT_BYTES, json::EXEMPLAR_BYTES.max(json::PAIR_BYTES), json::NUMBER_BYTES)
        }
        Signal::Logs => (ITEM_DEPTH, json::RECORD_BYTES, json::PAIR_BYTES, 0),
    };
    // Lists of numbers have nothing else that tells how long they are.
    let mut cost = json_size(bytes, |depth| if depth <= item_depth { item } else { below }, |_| number);
    if signal == Signal::Metrics && may_have_summaries(bytes) {
        cost = cost.saturating_add(SUMMARY_ROOM_BYTES);
    }
    cost
}

/// About how many bytes a list of Zipkin's spans takes while it is decoded: in the list are objects, and in
/// those are lists and objects of texts.
pub(super) fn zipkin_cost(bytes: &[u8]) -> usize {
    const SPAN_DEPTH: usize = 2;
    json_size(
        bytes,
        |depth| if depth <= SPAN_DEPTH { zipkin::SPAN_BYTES } else { zipkin::ANNOTATION_BYTES },
        |depth| if depth > SPAN_DEPTH { zipkin::TAG_BYTES } else { 0 },
    )
}

/// The bytes of a document, of its objects and lists and of its commas, each by how deep it is.
fn json_size(bytes: &[u8], container: impl Fn(usize) -> usize, comma: impl Fn(usize) -> usize) -> usize {
    let (mut size, mut depth) = (bytes.len(), 0_usize);
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => skip_string(&mut rest),
            b'{' | b'[' => {
                depth += 1;
                size = size.saturating_add(container(depth));
            }
            b',' => size = size.saturating_add(comma(depth)),
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    size
}

/// Whether the document may hold summaries; an escape may hide the key.
fn may_have_summaries(document: &[u8]) -> bool {
    let holds = |what: &[u8]| document.windows(what.len()).any(|window| window == what);
    holds(b"\"quantileValues\"") || holds(b"\\u")
}

fn skip_string(rest: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => drop(rest.next()),
            b'"' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::{ArrayValue, any_value};
    use prost::Message as _;

    use super::*;

    const MANY: usize = 1_000;

    fn request(span: otlp::Span, spans: usize) -> Vec<u8> {
        let scope_spans = vec![otlp::ScopeSpans { spans: vec![span; spans], ..otlp::ScopeSpans::default() }];
        let resource_spans = vec![otlp::ResourceSpans { scope_spans, ..otlp::ResourceSpans::default() }];
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    }

    #[test]
    fn what_is_small_on_the_wire_and_large_in_memory_is_seen() {
        let list = any_value::Value::ArrayValue(ArrayValue { values: vec![AnyValue::default(); MANY] });
        let nested = KeyValue { value: Some(AnyValue { value: Some(list) }), ..KeyValue::default() };
        let inside = |span| request(span, 1);
        let cases = [
            ("spans", request(otlp::Span::default(), MANY), size_of::<Span>()),
            (
                "attributes",
                inside(otlp::Span { attributes: vec![KeyValue::default(); MANY], ..otlp::Span::default() }),
                size_of::<(String, Value)>(),
            ),
            (
                "events",
                inside(otlp::Span { events: vec![Default::default(); MANY], ..otlp::Span::default() }),
                size_of::<Event>(),
            ),
            (
                "links",
                inside(otlp::Span { links: vec![Default::default(); MANY], ..otlp::Span::default() }),
                size_of::<Link>(),
            ),
            ("values", inside(otlp::Span { attributes: vec![nested], ..otlp::Span::default() }), size_of::<Value>()),
        ];
        for (what, bytes, each) in cases {
            let cost = protobuf_cost(Signal::Traces, &bytes);
            assert!(cost > MANY * each && bytes.len() < 3 * MANY, "{what}: {} bytes cost {cost}", bytes.len());
        }
    }

    #[test]
    fn json_is_seen_whichever_way_its_objects_are_written() {
        for empty in ["{}", "[]"] {
            let spans = vec![empty; MANY].join(",");
            let document = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#);
            assert_eq!(super::super::traces_from_json(document.as_bytes()).unwrap().batch[0].span_count(), MANY);
            assert!(json_cost(Signal::Traces, document.as_bytes()) > MANY * size_of::<Span>(), "{empty}");
        }
        let text = format!(r#"{{"a":"{}\\"[[["}}"#, "[{".repeat(MANY));
        assert!(
            json_cost(Signal::Traces, text.as_bytes()) < 2 * text.len() + 2 * json::SPAN_BYTES,
            "text is only text"
        );
    }

    #[test]
    fn damaged_bytes_have_a_cost_and_no_end_but_theirs() {
        for bytes in
            [&b"\x0a"[..], b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\xff\xff\xff", b"\x0a\x7f\x12", b"\x0b"]
        {
            assert_eq!(protobuf_cost(Signal::Traces, bytes), bytes.len());
        }
    }
}
