//! Which traces of a day stay.
//!
//! A trace is decided on from all of its spans in the segments that are thinned together. One that
//! has spans outside of them, before or after midnight or among what was kept before, stays in any
//! case, so that it is never cut in two. Spans of a trace that are more than [`MARGIN_NS`] away from
//! the day are not looked for.

use std::sync::Arc;

use arrow::array::{Array, AsArray, MapArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, UInt8Type};
use pitviper_model::{ExpHistogram, StatusCode};
use rustc_hash::{FxHashMap, FxHashSet};

use super::super::plan::DAY_NS;
use super::super::{Pace, engine};
use super::{Kept, Thinning, trace_hashes};
use crate::embedded::hot::Snapshot;
use crate::embedded::indexes::hash_attribute;
use crate::embedded::metrics::metrics;
use crate::embedded::page_index::Kind;
use crate::embedded::prune::Lookup;
use crate::embedded::segment::Segment;
use crate::schema::Table;
use crate::store::{Dimension, MetricsQuery, SpanScope, StoreError, TimeRange};

/// An operation with fewer spans in a day is rare, and its traces stay.
const RARE_BELOW_HITS: u64 = 50;
/// A span beyond this share of its operation's is slow.
const SLOW_QUANTILE: f64 = 0.99;
/// How far from the day other spans of its traces are looked for.
const MARGIN_NS: i64 = 3_600 * 1_000_000_000;
/// Most operations of which it is remembered what is slow. Beyond it the day is left whole.
const MAX_OPERATIONS: usize = 500_000;
/// Attributes with values that ask for a trace to be kept. The last two are Datadog's, as its clients' spans have it
/// here and as it is called where others pass it on.
const RULES: [(&str, &[&str]); 4] = [
    ("sampling.keep", &["true", "1"]),
    ("manual.keep", &["true", "1"]),
    ("sampling.priority", &["2", "2.0"]),
    ("_sampling_priority_v1", &["2", "2.0"]),
];
/// What is read of each span to decide.
const COLUMNS: [&str; 6] = ["start_ns", "duration_ns", "trace_id", "service", "name", "status"];

/// What was decided.
pub(super) enum Decision {
    /// The traces that stay, by their hash.
    Keep(FxHashMap<u64, Kept>),
    /// It would take too much memory to decide; of what there is too much.
    TooMuch(&'static str),
}

/// Decides on the traces of the segments, which are all there are to thin of a day.
pub(super) fn decide(
    snapshot: &Snapshot,
    targets: &[Arc<Segment>],
    day: TimeRange,
    thinning: &Thinning,
    pace: &mut Pace<'_>,
) -> Result<Decision, StoreError> {
    let Some(outside) = traces_outside(snapshot, targets, day, thinning.max_traces, pace)? else {
        return Ok(Decision::TooMuch("traces around it"));
    };
    let mut operations = Operations { snapshot, days: FxHashMap::default(), count: 0 };
    let mut kept = FxHashMap::<u64, Kept>::default();
    let keep = |kept: &mut FxHashMap<u64, Kept>, hash: u64, reason: Kept| {
        kept.entry(hash).and_modify(|known| *known = reason.min(*known)).or_insert(reason);
        kept.len() + outside.len() <= thinning.max_traces
    };
    for target in targets {
        for batch in target.reader(Some(&COLUMNS), None, None)? {
            let batch = batch.map_err(engine)?;
            let rows = Columns::new(&batch);
            let mut last = (usize::MAX, 0, Operation::default());
            for (row, hash) in trace_hashes(rows.trace_ids).enumerate() {
                let day = rows.starts[row].div_euclid(DAY_NS);
                // Rows of one operation follow each other.
                if !(last.0 < row && last.1 == day && rows.is_same_operation(last.0, row)) {
                    let Some(found) = operations.find(day, rows.service(row), rows.name(row))? else {
                        return Ok(Decision::TooMuch("operations"));
                    };
                    last = (row, day, found);
                }
                let reason = reason(&rows, row, last.2)
                    .or_else(|| outside.contains(&hash).then_some(Kept::Crossing))
                    .or_else(|| thinning.stays(hash).then_some(Kept::Share));
                if reason.is_some_and(|reason| !keep(&mut kept, hash, reason)) {
                    return Ok(Decision::TooMuch("traces"));
                }
            }
            pace.rest()?;
        }
        for hash in traces_by_rule(target)? {
            if !keep(&mut kept, hash, Kept::Rule) {
                return Ok(Decision::TooMuch("traces"));
            }
        }
    }
    Ok(Decision::Keep(kept))
}

/// Why a trace stays because of this span alone.
fn reason(rows: &Columns<'_>, row: usize, operation: Operation) -> Option<Kept> {
    let duration = rows.durations[row].max(0).cast_unsigned();
    if rows.statuses[row] == StatusCode::Error as u8 {
        Some(Kept::Error)
    } else if duration > 0 && operation.slow_above.is_some_and(|slow| ExpHistogram::bucket_index(duration) > slow) {
        Some(Kept::Slow)
    } else {
        (operation.hits < RARE_BELOW_HITS).then_some(Kept::Rare)
    }
}

/// Traces with spans in or near the day that are not in the segments; `None` when they are too many.
fn traces_outside(
    snapshot: &Snapshot,
    targets: &[Arc<Segment>],
    day: TimeRange,
    max_traces: usize,
    pace: &mut Pace<'_>,
) -> Result<Option<FxHashSet<u64>>, StoreError> {
    let near =
        TimeRange { start_ns: day.start_ns.saturating_sub(MARGIN_NS), end_ns: day.end_ns.saturating_add(MARGIN_NS) };
    let mut traces = FxHashSet::default();
    let mut add = |batch: &RecordBatch| {
        let starts = column(batch, "start_ns").as_primitive::<Int64Type>().values();
        let ids = column(batch, "trace_id").as_fixed_size_binary().value_data();
        let is_near = |start: &i64| (near.start_ns..near.end_ns).contains(start);
        traces.extend(trace_hashes(ids).zip(starts).filter(|(_, start)| is_near(start)).map(|(hash, _)| hash));
        traces.len() <= max_traces
    };
    for batch in snapshot.hot_rows(Table::Spans, near) {
        if !add(batch) {
            return Ok(None);
        }
    }
    let others = snapshot.segments_in(Table::Spans, near);
    for segment in others.filter(|segment| targets.iter().all(|target| target.row.file != segment.row.file)) {
        for batch in segment.reader(Some(&["start_ns", "trace_id"]), None, None)? {
            if !add(&batch.map_err(engine)?) {
                return Ok(None);
            }
            pace.rest()?;
        }
    }
    Ok(Some(traces))
}

/// The traces of a segment that an attribute asks to keep. The index of attributes leaves few pages
/// to look at.
fn traces_by_rule(segment: &Segment) -> Result<FxHashSet<u64>, StoreError> {
    let value = |key: &str, text: &str| Lookup::Value(Kind::Attributes, hash_attribute(key, text));
    let lookup =
        Lookup::Any(RULES.iter().flat_map(|(key, texts)| texts.iter().map(move |text| value(key, text))).collect());
    let rows = lookup.rows(&*segment.open()?);
    let mut traces = FxHashSet::default();
    for batch in segment.reader(Some(&["trace_id", "attrs"]), rows, None)? {
        let batch = batch.map_err(engine)?;
        let attributes = column(&batch, "attrs").as_map();
        let ids = column(&batch, "trace_id").as_fixed_size_binary().value_data();
        let asks = trace_hashes(ids).enumerate().filter(|(row, _)| asks_to_keep(attributes, *row));
        traces.extend(asks.map(|(_, hash)| hash));
    }
    Ok(traces)
}

fn asks_to_keep(attributes: &MapArray, row: usize) -> bool {
    let (keys, values) = (attributes.keys().as_string::<i32>(), attributes.values().as_string::<i32>());
    let offsets = attributes.value_offsets();
    (offsets[row] as usize..offsets[row + 1] as usize)
        .any(|at| RULES.iter().any(|(key, texts)| keys.value(at) == *key && texts.contains(&values.value(at))))
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> &'a dyn Array {
    batch.column_by_name(name).expect("the column was asked for").as_ref()
}

/// The columns that are decided by.
struct Columns<'a> {
    starts: &'a [i64],
    durations: &'a [i64],
    trace_ids: &'a [u8],
    statuses: &'a [u8],
    /// Service and name, as distinct texts and which each row has.
    texts: [(&'a arrow::array::StringArray, &'a [i32]); 2],
}

impl<'a> Columns<'a> {
    fn new(batch: &'a RecordBatch) -> Self {
        let text = |name: &str| {
            let dictionary = column(batch, name).as_dictionary::<Int32Type>();
            (dictionary.values().as_string::<i32>(), &**dictionary.keys().values())
        };
        Self {
            starts: column(batch, "start_ns").as_primitive::<Int64Type>().values(),
            durations: column(batch, "duration_ns").as_primitive::<Int64Type>().values(),
            trace_ids: column(batch, "trace_id").as_fixed_size_binary().value_data(),
            statuses: column(batch, "status").as_primitive::<UInt8Type>().values(),
            texts: [text("service"), text("name")],
        }
    }

    fn service(&self, row: usize) -> &'a str {
        self.texts[0].0.value(self.texts[0].1[row] as usize)
    }

    fn name(&self, row: usize) -> &'a str {
        self.texts[1].0.value(self.texts[1].1[row] as usize)
    }

    fn is_same_operation(&self, left: usize, right: usize) -> bool {
        self.texts.iter().all(|(_, keys)| keys[left] == keys[right])
    }
}

/// What is usual for an operation in a day.
#[derive(Debug, Clone, Copy, Default)]
struct Operation {
    hits: u64,
    /// The histogram's bucket beyond which a span is slow; `None` when nothing is known.
    slow_above: Option<i16>,
}

/// Operations by service and name.
type OperationsOfDay = FxHashMap<Box<str>, FxHashMap<Box<str>, Operation>>;

/// What is usual, from the metrics of the days that are asked about. A span without metrics is of a
/// rare operation.
struct Operations<'a> {
    snapshot: &'a Snapshot,
    days: FxHashMap<i64, OperationsOfDay>,
    count: usize,
}

impl Operations<'_> {
    /// `None` when there are too many to remember.
    fn find(&mut self, day: i64, service: &str, name: &str) -> Result<Option<Operation>, StoreError> {
        if !self.days.contains_key(&day) {
            let start_ns = day.saturating_mul(DAY_NS);
            let query = MetricsQuery {
                range: TimeRange { start_ns, end_ns: start_ns.saturating_add(DAY_NS) },
                step_ns: None,
                service: None,
                environment: None,
                name: None,
                kind: None,
                scope: SpanScope::All,
                group_by: vec![Dimension::Service, Dimension::Name],
            };
            let mut operations = OperationsOfDay::default();
            for row in metrics(self.snapshot, &query)? {
                let [service, name] = <[String; 2]>::try_from(row.labels).unwrap_or_default();
                let usual = row.red.durations.quantile(SLOW_QUANTILE).filter(|usual| *usual >= 1.0);
                let slow_above = usual.map(|usual| ExpHistogram::bucket_index(usual as u64));
                let operation = Operation { hits: row.red.hits, slow_above };
                operations.entry(service.into()).or_default().insert(name.into(), operation);
                self.count += 1;
                if self.count > MAX_OPERATIONS {
                    return Ok(None);
                }
            }
            self.days.insert(day, operations);
        }
        let found = self.days.get(&day).and_then(|services| services.get(service)).and_then(|names| names.get(name));
        Ok(Some(found.copied().unwrap_or_default()))
    }
}
