//! Keys of all spans for which a condition holds: one scan of the condition's columns and the ids.

use std::time::Instant;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use pitviper_model::{SpanId, TraceId};

use super::hot::Snapshot;
use super::scan::{Interrupt, Scan};
use crate::questions::keys::{Keys, Matched, SpanKey};
use crate::store::StoreError;

const COLUMNS: [&str; 4] = ["trace_id", "span_id", "start_ns", "duration_ns"];
/// What clients sent twice is taken out when keys are this share over the limit, and at the end.
const ROOM_AS_SHARE: usize = 4;

/// The keys of all matching spans, up to the bounds of the question.
pub(super) fn keys(snapshot: &Snapshot, question: &Keys, interrupt: &Interrupt) -> Result<Matched, StoreError> {
    let began = Instant::now();
    let scan = Scan::new(snapshot, question.range, &question.filter, interrupt)?;
    let rows = scan.rows();
    if question.limit == 0 {
        return Ok(Matched { keys: Vec::new(), complete: rows == 0, rows });
    }
    let mut found = Found { keys: Vec::new(), limit: question.limit };
    let is_over = || began.elapsed() >= question.time;
    let is_all = scan.each_until(&COLUMNS, |batch| Ok(found.add(batch)), is_over)?;
    let fits = found.fits();
    Ok(Matched { keys: found.keys, complete: is_all && fits, rows })
}

/// Keys found so far.
struct Found {
    keys: Vec<SpanKey>,
    limit: usize,
}

impl Found {
    /// Adds rows; whether there is room for more.
    fn add(&mut self, batch: &RecordBatch) -> bool {
        let column = |name: &str| batch.column_by_name(name).expect("the column was read");
        let (traces, spans) = (column("trace_id").as_fixed_size_binary(), column("span_id").as_fixed_size_binary());
        let number = |name: &str| column(name).as_primitive::<Int64Type>().values();
        let (starts, durations) = (number("start_ns"), number("duration_ns"));
        self.keys.extend((0..batch.num_rows()).map(|row| SpanKey {
            trace_id: TraceId::from_slice(traces.value(row)).unwrap_or_default(),
            span_id: SpanId::from_slice(spans.value(row)).unwrap_or_default(),
            start_ns: starts[row],
            duration_ns: durations[row].cast_unsigned(),
        }));
        self.keys.len() <= self.limit.saturating_add(self.limit / ROOM_AS_SHARE) || self.fits()
    }

    /// Puts them in order, each once, and cuts them to the limit; whether that left all.
    fn fits(&mut self) -> bool {
        self.keys.sort_unstable_by_key(|key| (key.trace_id, key.span_id));
        self.keys.dedup_by_key(|key| (key.trace_id, key.span_id));
        let fits = self.keys.len() <= self.limit;
        self.keys.truncate(self.limit);
        fits
    }
}
