//! Aggregates: one pass over the matching rows, adding up by group and step.
//!
//! Memory is bounded: groups times steps, kept numbers, remembered spans and traces each have a limit,
//! and the answer says when one was reached.

mod labels;

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type, UInt8Type};
use arrow::record_batch::RecordBatch;
use pitviper_model::{SpanId, StatusCode, TraceId};
use rustc_hash::{FxHashMap, FxHashSet};
use twox_hash::XxHash64;

use self::labels::{Labels, MISSING, UNKNOWN, column, columns};
use super::hot::Snapshot;
use super::search::{Engine, Visit};
use crate::questions::aggregate::{Aggregate, Aggregated, Exemplar, Exemplars, Group, Keep, Measure, Tally};
use crate::store::{StoreError, TimeRange};

/// Most groups times steps.
const MAX_CELLS: usize = 250_000;
/// Most numbers that are kept one by one, of all groups and steps.
const MAX_VALUES: usize = 2_000_000;
/// Most spans of which it is remembered that they were counted, so that one sent twice counts once.
const MAX_REMEMBERED: usize = 4_000_000;
/// Most traces, times the groups they have spans of, whose spans are counted.
const MAX_TRACES: usize = 1_000_000;

impl Engine {
    /// Figures of matching spans.
    pub(super) async fn aggregate(&self, snapshot: Snapshot, question: &Aggregate) -> Result<Aggregated, StoreError> {
        if question.group_by.len() > Aggregate::MAX_FIELDS {
            let message = format!("an aggregate is split by at most {} fields", Aggregate::MAX_FIELDS);
            return Err(StoreError::Engine(message));
        }
        let mut needed = vec!["start_ns", "trace_id", "span_id", "status"];
        match question.measure {
            Measure::Duration => needed.push("duration_ns"),
            Measure::Attribute(_) => needed.push("attrs_num"),
            Measure::SpansPerTrace => {}
        }
        for column in question.group_by.iter().flat_map(columns) {
            if !needed.contains(column) {
                needed.push(column);
            }
        }
        let sums = Sums::new(question.clone());
        self.visit_spans(snapshot, question.range, &question.filter, needed, sums).await
    }
}

/// A group's labels; those beyond the fields are missing.
type Key = [u32; Aggregate::MAX_FIELDS];

/// What stands for the groups that there was no room for.
const REST: usize = usize::MAX;

/// What a trace has of a group.
#[derive(Debug)]
struct OfTrace {
    spans: u64,
    failed: bool,
    first_ns: i64,
}

/// What was added up so far.
struct Sums {
    question: Arc<Aggregate>,
    keep: Keep,
    labels: Labels,
    max_groups: usize,
    groups: FxHashMap<Key, usize>,
    cells: FxHashMap<(usize, usize), Tally>,
    of_traces: FxHashMap<(usize, TraceId), OfTrace>,
    seen: FxHashSet<u64>,
    kept: usize,
    matched: u64,
    complete: bool,
}

impl Sums {
    fn new(question: Aggregate) -> Self {
        let max_groups = question.max_groups.min(MAX_CELLS / steps(&question).max(1)).max(1);
        Self {
            keep: question.keep,
            labels: Labels::new(max_groups.saturating_mul(question.group_by.len())),
            max_groups,
            question: Arc::new(question),
            groups: FxHashMap::default(),
            cells: FxHashMap::default(),
            of_traces: FxHashMap::default(),
            seen: FxHashSet::default(),
            kept: 0,
            matched: 0,
            complete: true,
        }
    }

    /// Whether the span was not counted yet, as far as that is remembered.
    fn is_new(&mut self, trace_id: &[u8], span_id: &[u8]) -> bool {
        let mut id = [0; 24];
        id[..16].copy_from_slice(trace_id);
        id[16..].copy_from_slice(span_id);
        let hash = XxHash64::oneshot(0, &id);
        if self.seen.len() < MAX_REMEMBERED {
            return self.seen.insert(hash);
        }
        self.complete = false;
        !self.seen.contains(&hash)
    }

    fn group(&mut self, key: Key) -> usize {
        if let Some(&group) = self.groups.get(&key) {
            return group;
        }
        if key.contains(&UNKNOWN) || self.groups.len() >= self.max_groups {
            return REST;
        }
        let group = self.groups.len();
        self.groups.insert(key, group);
        group
    }

    fn step(&self, start_ns: i64) -> usize {
        let from = self.question.range.start_ns;
        self.question.step_ns.map_or(0, |step| {
            let steps = (i128::from(start_ns) - i128::from(from)) / i128::from(step.max(1));
            usize::try_from(steps).unwrap_or(0)
        })
    }

    fn measure(&mut self, group: usize, failed: bool, exemplar: Exemplar) {
        let value = exemplar.value;
        let step = self.step(exemplar.start_ns);
        let keep = self.keep;
        let tally = self.cells.entry((group, step)).or_insert_with(|| Tally::keeping(keep));
        (tally.min, tally.max) =
            if tally.count == 0 { (value, value) } else { (tally.min.min(value), tally.max.max(value)) };
        tally.count += 1;
        tally.errors += u64::from(failed);
        tally.sum += value;
        if keep != Keep::Nothing {
            tally.distribution.record(value);
        }
        let stands_for_it = match self.question.exemplars {
            Exemplars::Nothing => false,
            Exemplars::Greatest => true,
            Exemplars::GreatestFailed => failed,
        };
        if stands_for_it {
            tally.offer(exemplar);
        }
        if keep == Keep::Values {
            self.kept += 1;
            if self.kept > MAX_VALUES {
                self.keep = Keep::Buckets;
                self.cells.values_mut().for_each(|tally| tally.distribution.blur());
            }
        }
    }

    fn count_in_trace(&mut self, group: usize, trace_id: TraceId, failed: bool, start_ns: i64) {
        let is_full = self.of_traces.len() >= MAX_TRACES;
        if let Some(of_trace) = self.of_traces.get_mut(&(group, trace_id)) {
            of_trace.spans += 1;
            of_trace.failed |= failed;
            of_trace.first_ns = of_trace.first_ns.min(start_ns);
        } else if is_full {
            self.complete = false;
        } else {
            self.of_traces.insert((group, trace_id), OfTrace { spans: 1, failed, first_ns: start_ns });
        }
    }
}

impl Visit for Sums {
    type Answer = Aggregated;

    fn batch(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let starts = column(batch, "start_ns").as_primitive::<Int64Type>().values();
        let traces = column(batch, "trace_id").as_fixed_size_binary();
        let spans = column(batch, "span_id").as_fixed_size_binary();
        let statuses = column(batch, "status").as_primitive::<UInt8Type>().values();
        let question = Arc::clone(&self.question);
        let labels: Vec<Vec<u32>> = question.group_by.iter().map(|field| self.labels.of_rows(field, batch)).collect();
        let numbers = Numbers::of(&question.measure, batch);
        for row in 0..batch.num_rows() {
            if !self.is_new(traces.value(row), spans.value(row)) {
                continue;
            }
            self.matched += 1;
            let Some(value) = numbers.at(row) else { continue };
            let mut key = [MISSING; Aggregate::MAX_FIELDS];
            for (place, labels) in key.iter_mut().zip(&labels) {
                *place = labels[row];
            }
            let group = self.group(key);
            let failed = statuses[row] == StatusCode::Error as u8;
            let trace_id = TraceId::from_slice(traces.value(row)).unwrap_or_default();
            if question.measure == Measure::SpansPerTrace {
                self.count_in_trace(group, trace_id, failed, starts[row]);
            } else {
                let span_id = SpanId::from_slice(spans.value(row)).unwrap_or_default();
                self.measure(group, failed, Exemplar { trace_id, span_id, start_ns: starts[row], value });
            }
        }
        Ok(())
    }

    fn finish(mut self, scanned: u64) -> Aggregated {
        for ((group, trace_id), of) in std::mem::take(&mut self.of_traces) {
            let value = of.spans as f64;
            let exemplar = Exemplar { trace_id, span_id: SpanId::INVALID, start_ns: of.first_ns, value };
            self.measure(group, of.failed, exemplar);
        }
        let values_are_exact = self.keep == self.question.keep && self.keep != Keep::Buckets;
        let fields = self.question.group_by.len();
        let mut groups: Vec<Group> = vec![Group { labels: Vec::new(), steps: Vec::new() }; self.groups.len()];
        for (key, group) in &self.groups {
            groups[*group].labels = key[..fields].iter().map(|label| self.labels.text(*label)).collect();
        }
        let mut rest = Vec::new();
        for ((group, step), tally) in self.cells {
            groups.get_mut(group).map_or(&mut rest, |group| &mut group.steps).push((step, tally));
        }
        for steps in groups.iter_mut().map(|group| &mut group.steps).chain([&mut rest]) {
            steps.sort_unstable_by_key(|(step, _)| *step);
        }
        groups.sort_unstable_by(|left, right| left.labels.cmp(&right.labels));
        Aggregated { groups, rest, matched: self.matched, scanned, complete: self.complete, values_are_exact }
    }
}

/// How many steps the question has.
fn steps(question: &Aggregate) -> usize {
    let TimeRange { start_ns, end_ns } = question.range;
    question.step_ns.map_or(1, |step| {
        let steps = (i128::from(end_ns) - i128::from(start_ns)) / i128::from(step.max(1)) + 1;
        usize::try_from(steps).unwrap_or(usize::MAX)
    })
}

/// The numbers of a batch's rows.
enum Numbers<'a> {
    Durations(&'a [i64]),
    Attribute { key: &'a str, keys: &'a arrow::array::StringArray, values: &'a [f64], offsets: &'a [i32] },
    One,
}

impl<'a> Numbers<'a> {
    fn of(measure: &'a Measure, batch: &'a RecordBatch) -> Self {
        match measure {
            Measure::Duration => Self::Durations(column(batch, "duration_ns").as_primitive::<Int64Type>().values()),
            Measure::SpansPerTrace => Self::One,
            Measure::Attribute(key) => {
                let map = column(batch, "attrs_num").as_map();
                let keys = map.keys().as_string::<i32>();
                let values = map.values().as_primitive::<Float64Type>().values();
                Self::Attribute { key, keys, values, offsets: map.value_offsets() }
            }
        }
    }

    fn at(&self, row: usize) -> Option<f64> {
        match self {
            Self::Durations(durations) => Some(durations[row] as f64),
            Self::One => Some(1.0),
            Self::Attribute { key, keys, values, offsets } => {
                let entries = offsets[row] as usize..offsets[row + 1] as usize;
                // Of a repeated key the last value counts.
                let at = entries.rev().find(|&at| keys.value(at) == *key)?;
                Some(values[at]).filter(|value| value.is_finite())
            }
        }
    }
}
