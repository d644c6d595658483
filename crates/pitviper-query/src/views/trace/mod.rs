//! One trace as columns: what the waterfall draws, in the order it draws it.

mod critical;
mod forest;
mod legend;

use std::sync::Arc;
use std::time::Duration;

use pitviper_model::{SpanId, TraceId};
use pitviper_store::{SampledSpans, Store, TimeRange, Trace};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::{IntoParams, ToSchema};

use super::profiles::TOLD_LATER_NS;
use super::{Answer, Meta, Text};
use crate::QueryError;

pub(crate) use forest::{Ancestry, Forest};
pub use legend::LegendEntry;
pub(crate) use legend::legend;

/// Most spans of one answer, and how many there are when the caller does not say.
pub const MAX_SPANS: u32 = 50_000;

/// [`TraceColumns::flags`]: the span failed.
pub const FLAG_ERROR: u8 = 1;
/// [`TraceColumns::flags`]: the span is on the critical path.
pub const FLAG_CRITICAL: u8 = 2;
/// [`TraceColumns::flags`]: a profiler took samples in the span.
pub const FLAG_PROFILE: u8 = 16;
/// [`TraceColumns::flags`]: the span names a parent that is not here, or that is its own descendant.
pub const FLAG_MISSING_PARENT: u8 = 32;
/// [`TraceColumns::flags`]: the span's start was corrected, because the clocks of two services differ.
pub const FLAG_SKEW_CORRECTED: u8 = 64;

/// How much of a trace samples are looked for in, in nanoseconds, and for how long.
const SAMPLED_RANGE_NS: u64 = 3_600_000_000_000;
/// As clocks of services differ, samples may seem to be earlier.
const SAMPLED_BEFORE_NS: i64 = 10_000_000_000;
const SAMPLED_TIME: Duration = Duration::from_millis(100);

/// In which shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// One array for each property.
    Columns,
}

/// How much of the trace.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The shape of the answer; `columns` is the only one.
    #[param(inline)]
    pub shape: Option<Shape>,
    /// Most spans to answer with, at most 50000, which is the default. Of a larger trace those near
    /// the root's start are kept.
    pub max_spans: Option<u32>,
}

/// A span id that serialises as hex without an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HexId(pub SpanId);

impl Serialize for HexId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0u8; 16];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        serializer.serialize_str(std::str::from_utf8(&hex).expect("hex digits are ASCII"))
    }
}

/// How much of the trace is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Truncated {
    /// How many spans the trace has.
    pub total: usize,
}

/// A trace as columns. Every column has `n` rows, in display order: a span, then its children by
/// start, each with all that is below it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TraceColumns {
    /// The trace.
    pub trace_id: String,
    /// Start of the earliest span, in microseconds since the epoch.
    pub t0_us: i64,
    /// From the earliest start to the latest end, in nanoseconds.
    pub dur_ns: u64,
    /// How many rows there are.
    pub n: usize,
    /// Texts that the columns refer to by index.
    #[schema(value_type = Vec<String>)]
    pub strings: Vec<Text>,
    /// The services of the trace, in order of appearance.
    pub services: Vec<LegendEntry>,
    /// Span ids.
    #[schema(value_type = Vec<String>)]
    pub id: Vec<HexId>,
    /// Row of the parent; -1 for a root.
    pub parent: Vec<i32>,
    /// How many ancestors there are.
    pub depth: Vec<u32>,
    /// Index into `services`.
    pub svc: Vec<u32>,
    /// Index of the name in `strings`.
    pub name: Vec<u32>,
    /// Kind by its OTLP number: 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub kind: Vec<u8>,
    /// Start in nanoseconds after the trace's start.
    pub start: Vec<u64>,
    /// Duration in nanoseconds.
    pub dur: Vec<u64>,
    /// Nanoseconds of the duration in which no child was running.
    #[serde(rename = "self")]
    pub self_ns: Vec<u64>,
    /// 0 unset, 1 ok, 2 error.
    pub status: Vec<u8>,
    /// Sum of: 1 error, 2 on the critical path, 16 has samples of a profile, 32 missing parent, 64 start corrected for clock skew.
    pub flags: Vec<u8>,
    /// The critical path by time: row, and from and to in nanoseconds after the trace's start.
    #[schema(value_type = Vec<(u32, u64, u64)>)]
    pub critical: Vec<(u32, u64, u64)>,
    /// Index in `strings` of a short detail (statement, URL, exception); -1 when there is none.
    pub desc: Vec<i32>,
    /// Set when the trace has more spans than there are rows.
    #[schema(required)]
    pub truncated: Option<Truncated>,
}

/// One trace.
///
/// # Errors
/// [`QueryError::NotFound`] when the trace is not known; also when a parameter is not usable or the
/// store fails.
pub async fn trace(
    store: &dyn Store,
    trace_id: TraceId,
    request: &Request,
) -> Result<Answer<TraceColumns>, QueryError> {
    let limit = request.max_spans.unwrap_or(MAX_SPANS);
    if !(1..=MAX_SPANS).contains(&limit) {
        let message = format!("has to be between 1 and {MAX_SPANS}");
        return Err(QueryError::Parameter { parameter: "max_spans", message });
    }
    let trace = store.trace(trace_id, limit as usize).await?;
    if trace.spans.is_empty() {
        return Err(QueryError::NotFound { what: format!("trace {trace_id}") });
    }
    let mut data = columns(trace_id, &trace);
    let mut meta = Meta { exact: data.truncated.is_none(), ..Meta::default() };
    if !flag_sampled(store, &mut data).await? {
        meta.exact = false;
        meta.warnings.push("samples of profiles were not looked for everywhere: the trace takes too long".to_owned());
    }
    Ok(Answer { data, meta })
}

/// Flags the spans that samples of profiles were taken in; whether all samples were looked at.
async fn flag_sampled(store: &dyn Store, data: &mut TraceColumns) -> Result<bool, QueryError> {
    let start_ns = data.t0_us.saturating_mul(1_000).saturating_sub(SAMPLED_BEFORE_NS);
    let length_ns = data.dur_ns.min(SAMPLED_RANGE_NS);
    let later_ns = TOLD_LATER_NS + SAMPLED_BEFORE_NS;
    let end_ns = start_ns.saturating_add_unsigned(length_ns).saturating_add(later_ns);
    let question = SampledSpans {
        range: TimeRange { start_ns, end_ns },
        function: None,
        span_ids: data.id.iter().map(|id| id.0).collect(),
        limit: data.n,
        time: SAMPLED_TIME,
    };
    let found = store.sampled_spans(&question).await?;
    let sampled: FxHashSet<SpanId> = found.spans.into_iter().map(|(_, span_id)| span_id).collect();
    for (flags, _) in data.flags.iter_mut().zip(&data.id).filter(|(_, id)| sampled.contains(&id.0)) {
        *flags |= FLAG_PROFILE;
    }
    Ok(found.complete && length_ns == data.dur_ns)
}

/// Lays out a trace.
#[must_use]
pub fn columns(trace_id: TraceId, trace: &Trace) -> TraceColumns {
    let spans = &trace.spans;
    let forest = Forest::grow(spans);
    let self_ns = forest.self_times();
    let critical = forest.critical_path();
    let mut strings = Strings::default();
    let (services, svc) = legend(spans, &forest, &self_ns, &mut strings);

    let rows = || forest.rows.iter();
    let span = |row: &forest::Row| &spans[row.span as usize];
    let t0 = forest.start_ns;
    let offset = |time: i64| time.saturating_sub(t0).max(0).cast_unsigned();
    let mut flags: Vec<u8> = rows().map(|row| row.flags).collect();
    for segment in &critical {
        flags[segment.row as usize] |= FLAG_CRITICAL;
    }
    TraceColumns {
        trace_id: trace_id.to_string(),
        t0_us: t0.div_euclid(1_000),
        dur_ns: offset(forest.end_ns),
        n: spans.len(),
        services,
        id: rows().map(|row| HexId(span(row).span_id)).collect(),
        parent: rows().map(|row| row.parent.map_or(-1, |parent| parent as i32)).collect(),
        depth: rows().map(|row| row.depth).collect(),
        svc,
        name: rows().map(|row| strings.index(&span(row).name)).collect(),
        kind: rows().map(|row| span(row).kind as u8).collect(),
        start: rows().map(|row| offset(row.start_ns)).collect(),
        dur: rows().map(|row| span(row).duration_ns).collect(),
        self_ns,
        status: rows().map(|row| span(row).status as u8).collect(),
        flags,
        critical: critical
            .iter()
            .map(|segment| (segment.row, offset(segment.from_ns), offset(segment.to_ns)))
            .collect(),
        desc: rows().map(|row| span(row).detail.as_ref().map_or(-1, |detail| strings.index(detail) as i32)).collect(),
        strings: strings.texts,
        truncated: (trace.total > spans.len()).then_some(Truncated { total: trace.total }),
    }
}

/// Distinct texts and their places.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    texts: Vec<Text>,
    places: FxHashMap<Arc<str>, u32>,
}

impl Strings {
    pub(crate) fn text(&self, index: u32) -> Text {
        self.texts[index as usize].clone()
    }

    pub(crate) fn index(&mut self, text: &Arc<str>) -> u32 {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = u32::try_from(self.texts.len()).expect("a trace has at most three texts for each of its spans");
        self.texts.push(Text(Arc::clone(text)));
        self.places.insert(Arc::clone(text), place);
        place
    }
}

#[cfg(test)]
mod tests;
