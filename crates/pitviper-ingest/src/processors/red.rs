//! Rate, errors, durations: counted before anything may thin the spans.

use pitviper_model::{Resource, ResourceSpans, Span, StatusCode};
use pitviper_store::Red;
use pitviper_store::schema::{MAX_START_TIME_UNIX_NANO, METRIC_BUCKET_NS, SpanMetricKey, SpanMetricsBuilder};
use pitviper_wire::decode::datadog::stats::CountedSpans;
use rustc_hash::FxHashMap;

/// Attributes that name the other end of a call, the most telling first.
const PEER: [&str; 5] = ["peer.service", "db.system.name", "messaging.system", "rpc.service", "server.address"];

/// Aggregates a request.
pub(crate) fn measure(batch: &[ResourceSpans]) -> SpanMetricsBuilder {
    let mut metrics = SpanMetricsBuilder::new();
    for resource_spans in batch {
        // Keys borrow from the spans, so that counting a span allocates nothing.
        let mut counted: FxHashMap<Key<'_>, Red> = FxHashMap::default();
        for span in resource_spans.scopes.iter().flat_map(|scope_spans| &scope_spans.spans) {
            observe(counted.entry(Key::of(span)).or_default(), span);
        }
        for (key, red) in &counted {
            metrics.append(&key.owned(&resource_spans.resource), red);
        }
    }
    metrics
}

/// What clients have counted themselves.
pub(crate) fn of_counted(counted: &[CountedSpans]) -> SpanMetricsBuilder {
    let mut metrics = SpanMetricsBuilder::new();
    for spans in counted.iter().filter(|spans| spans.hits > 0) {
        let key = SpanMetricKey {
            bucket_start_ns: bucket_start(spans.start_unix_nano),
            service: spans.service.clone(),
            environment: spans.environment.clone(),
            version: spans.version.clone(),
            name: spans.name.clone(),
            kind: spans.kind,
            is_root: spans.is_root,
            peer: spans.peer.clone(),
        };
        let red = Red {
            hits: spans.hits,
            errors: spans.errors,
            duration_sum_ns: spans.duration_sum_ns,
            duration_min_ns: spans.duration_min_ns,
            duration_max_ns: spans.duration_max_ns,
            durations: spans.durations.clone(),
        };
        metrics.append(&key, &red);
    }
    metrics
}

/// Start of the bucket a time lies in.
fn bucket_start(time_unix_nano: u64) -> i64 {
    let time = time_unix_nano.min(MAX_START_TIME_UNIX_NANO).cast_signed();
    time - time.rem_euclid(METRIC_BUCKET_NS)
}

#[derive(PartialEq, Eq, Hash)]
struct Key<'a> {
    bucket_start_ns: i64,
    name: &'a str,
    kind: pitviper_model::SpanKind,
    is_root: bool,
    peer: &'a str,
}

impl<'a> Key<'a> {
    fn of(span: &'a Span) -> Self {
        let calls_out = matches!(span.kind, pitviper_model::SpanKind::Client | pitviper_model::SpanKind::Producer);
        Self {
            bucket_start_ns: bucket_start(span.start_time_unix_nano),
            name: &span.name,
            kind: span.kind,
            is_root: !span.parent_span_id.is_valid(),
            peer: if calls_out { span.attributes.first_str(&PEER).unwrap_or_default() } else { "" },
        }
    }

    fn owned(&self, resource: &Resource) -> SpanMetricKey {
        SpanMetricKey {
            bucket_start_ns: self.bucket_start_ns,
            service: resource.service().to_owned(),
            environment: resource.environment().to_owned(),
            version: resource.version().to_owned(),
            name: self.name.to_owned(),
            kind: self.kind,
            is_root: self.is_root,
            peer: self.peer.to_owned(),
        }
    }
}

fn observe(red: &mut Red, span: &Span) {
    let duration = span.duration_nano();
    red.duration_min_ns = if red.hits == 0 { duration } else { red.duration_min_ns.min(duration) };
    red.duration_max_ns = red.duration_max_ns.max(duration);
    red.hits += 1;
    red.errors += u64::from(span.status.code == StatusCode::Error);
    red.duration_sum_ns += duration;
    red.durations.record(duration);
}
