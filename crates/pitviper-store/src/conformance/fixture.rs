//! Eight spans of two services in four traces, with something of everything.

use pitviper_model::{
    Attributes, Event, Link, Resource, Scope, Span, SpanId, SpanKind, Status, StatusCode, TraceId, Value,
};

use super::plain_metrics::metric_of;
use super::tables;
use crate::schema::{SpanMetricKey, SpanMetricsBuilder, SpansBuilder, WriteBatch};
use crate::store::{Red, Store, StoreError, StoredSpan};

pub(super) const SECOND: i64 = 1_000_000_000;
/// Start of the fixture; a multiple of the metric bucket.
pub(super) const T0: i64 = 1_700_000_000 * SECOND;

/// How the fixture is spread over the store's tiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Nothing is flushed.
    Hot,
    /// Everything is flushed at once.
    Flushed,
    /// Each write is flushed by itself.
    FlushedApart,
    /// The first half is flushed.
    Half,
    /// Each write is flushed by itself, and then they are put together.
    Compacted,
}

impl Layout {
    /// All layouts.
    pub const ALL: [Self; 5] = [Self::Hot, Self::Flushed, Self::FlushedApart, Self::Half, Self::Compacted];
}

/// Writes the fixture, one write a span, in an order that is not that of time.
///
/// # Errors
/// What the store says.
pub async fn fill(store: &dyn Store, layout: Layout) -> Result<(), StoreError> {
    let flush_each = matches!(layout, Layout::FlushedApart | Layout::Compacted);
    tables::fill(store, &tables::WRITES[..2], flush_each).await?;
    for (written, number) in [5, 2, 8, 1, 7, 3, 6, 4].into_iter().enumerate() {
        let flush = match layout {
            Layout::Hot | Layout::Flushed => false,
            Layout::FlushedApart | Layout::Compacted => true,
            Layout::Half => written == 4,
        };
        if flush {
            store.flush().await?;
        }
        store.append(write(&[number])).await?;
    }
    tables::fill(store, &tables::WRITES[2..], flush_each).await?;
    // A client that got no answer sends again.
    store.append(resend(&[2, 8])).await?;
    match layout {
        Layout::Flushed | Layout::FlushedApart => store.flush().await,
        Layout::Compacted => {
            store.flush().await?;
            store.compact().await
        }
        Layout::Hot | Layout::Half => Ok(()),
    }
}

fn write(numbers: &[u8]) -> WriteBatch {
    let mut metrics = SpanMetricsBuilder::new();
    for &number in numbers {
        let (key, red) = metric(number);
        metrics.append(&key, &red);
    }
    WriteBatch::new(rows(numbers), metrics)
}

fn resend(numbers: &[u8]) -> WriteBatch {
    WriteBatch::new(rows(numbers), SpanMetricsBuilder::new())
}

fn rows(numbers: &[u8]) -> SpansBuilder {
    let mut spans = SpansBuilder::with_capacity(numbers.len());
    for &number in numbers {
        let stored = stored(number);
        spans.append(&stored.resource, &stored.scope, &stored.span);
    }
    spans
}

/// The metrics that count a span of the fixture.
pub(super) fn metric(number: u8) -> (SpanMetricKey, Red) {
    let StoredSpan { span, resource, .. } = stored(number);
    metric_of(&span, &resource)
}

/// The id of a trace of the fixture.
pub(super) fn trace(number: u8) -> TraceId {
    TraceId([number; 16])
}

/// The id of a span of the fixture.
pub(super) fn span(number: u8) -> SpanId {
    SpanId([number; 8])
}

fn shop() -> Resource {
    let mut attributes: Attributes = [
        ("service.name", "shop"),
        ("service.version", "1.0"),
        ("deployment.environment.name", "prod"),
        ("host.name", "alpha"),
        ("team", "blue"),
    ]
    .into_iter()
    .collect();
    attributes.set("process.pid", 4711);
    Resource { attributes, ..Resource::default() }
}

fn pay() -> Resource {
    let attributes = [("service.name", "pay"), ("deployment.environment", "staging")].into_iter().collect();
    Resource { attributes, dropped_attributes_count: 3, ..Resource::default() }
}

fn base(number: u8, trace_number: u8, parent: u8, name: &str, kind: SpanKind, start_ms: i64, duration_ms: u64) -> Span {
    let start = (T0 + start_ms * 1_000_000).cast_unsigned();
    Span {
        trace_id: trace(trace_number),
        span_id: span(number),
        parent_span_id: if parent == 0 { SpanId::INVALID } else { span(parent) },
        name: name.to_owned(),
        kind,
        start_time_unix_nano: start,
        end_time_unix_nano: start + duration_ms * 1_000_000,
        flags: 1,
        ..Span::default()
    }
}

/// A span of the fixture, 1 to 8.
pub(super) fn stored(number: u8) -> StoredSpan {
    use SpanKind::{Client, Consumer, Internal, Producer, Server};
    let (resource, mut span) = match number {
        1 => (shop(), base(1, 1, 0, "GET /cart", Server, 1_000, 100)),
        2 => (shop(), base(2, 1, 1, "SELECT cart", Client, 1_010, 20)),
        3 => (pay(), base(3, 1, 1, "POST /pay", Server, 1_050, 40)),
        4 => (shop(), base(4, 2, 0, "GET /home", Server, 2_000, 5)),
        5 => (shop(), base(5, 2, 4, "render", Internal, 2_001, 3)),
        6 => (pay(), base(6, 3, 0, "job", Consumer, 13_000, 1_000)),
        7 => (pay(), base(7, 3, 6, "send", Producer, 13_100, 100)),
        _ => (shop(), base(8, 4, 0, "GET /cart", Server, 14_000, 100)),
    };
    describe(number, &mut span);
    let scope = Scope { name: "flask".to_owned(), version: "3.1".to_owned(), ..Scope::default() };
    StoredSpan { span, resource: resource.into(), scope: scope.into() }
}

/// Details by number: each kind of value, and what a row can have besides attributes.
fn describe(number: u8, span: &mut Span) {
    let attributes = &mut span.attributes;
    match number {
        1 => {
            attributes.set("http.response.status_code", 200);
            attributes.set("user.id", "u1");
            attributes.set("url.full", "http://shop/cart?page=1");
        }
        2 => {
            attributes.set("db.system.name", "sqlite");
            attributes.set("db.query.text", "SELECT * FROM cart\nWHERE id = ?");
        }
        3 => {
            attributes.set("http.response.status_code", 402);
            attributes.set("amount", 12.5);
            span.status = Status { code: StatusCode::Error, message: "card declined".to_owned() };
            let details = [("exception.type", "CardError"), ("exception.message", "no \"funds\"")];
            span.events.push(Event {
                time_unix_nano: u64::MAX,
                name: "exception".to_owned(),
                attributes: details.into_iter().collect(),
                dropped_attributes_count: 2,
            });
            span.dropped_events_count = 1;
        }
        4 => {
            attributes.set("user.id", "u2");
            attributes.set("http.response.status_code", "200");
            span.status.code = StatusCode::Ok;
        }
        5 => {
            attributes.set("cached", true);
            attributes.set("team", "red");
            attributes.set("raw", Value::Bytes(vec![0, 171]));
            attributes.set("list", Value::Array(vec![1.into(), 2.5.into(), Value::Map(Attributes::default())]));
            span.dropped_attributes_count = 7;
        }
        6 => {
            span.trace_state = "vendor=1".to_owned();
            span.flags = 0x101;
            span.links.push(Link {
                trace_id: trace(1),
                span_id: self::span(1),
                trace_state: "a=b".to_owned(),
                attributes: [("why", "retry")].into_iter().collect(),
                dropped_attributes_count: 1,
                flags: 1,
            });
            span.dropped_links_count = 4;
        }
        7 => attributes.set("größe", "Übergroß"),
        _ => {
            attributes.set("user.id", "u1");
            attributes.set("amount", 12);
            span.status.code = StatusCode::Error;
        }
    }
}
