//! From functions to the spans that ran them: frames by name, stacks with one of these frames, samples
//! of one of these stacks.

use std::ops::ControlFlow;
use std::time::Instant;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use pitviper_model::{SpanId, TraceId};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Scan, column, days};
use crate::embedded::hot::Snapshot;
use crate::embedded::manifest::Table;
use crate::embedded::scan::matches_wildcard;
use crate::filter::TextMatch;
use crate::questions::{FunctionName, FunctionNames, Sampled, SampledSpans};
use crate::store::{StoreError, TimeRange};

/// Bytes of the id of a frame or a stack.
const ID_BYTES: usize = 16;

type Ids = FxHashSet<[u8; ID_BYTES]>;

/// Which spans were sampled.
pub(in crate::embedded) fn sampled(snapshot: &Snapshot, question: &SampledSpans) -> Result<Sampled, StoreError> {
    let clock = Clock { began: Instant::now(), time: question.time };
    let mut answer = Sampled { complete: true, ..Sampled::default() };
    let stacks = match &question.function {
        None => None,
        Some(wanted) => {
            let (frames, has_all_frames) = frames_named(snapshot, question.range, wanted, clock)?;
            let (stacks, has_all_stacks) = stacks_with(snapshot, question.range, &frames, clock)?;
            answer.complete = has_all_frames && has_all_stacks;
            Some(stacks)
        }
    };
    if question.limit == 0 || stacks.as_ref().is_some_and(Ids::is_empty) {
        return Ok(answer);
    }
    let wanted: FxHashSet<[u8; 8]> = question.span_ids.iter().map(|id| id.0).collect();
    let mut spans: FxHashSet<(TraceId, SpanId)> = FxHashSet::default();
    let scan = Scan::new(Table::ProfileSamples, question.range, None);
    let is_whole = scan.read_while(snapshot, &["time_ns", "stack", "trace_id", "span_id"], |batch| {
        let times = column(batch, "time_ns").as_primitive::<Int64Type>().values();
        let [stack, trace, span] =
            ["stack", "trace_id", "span_id"].map(|name| column(batch, name).as_fixed_size_binary());
        for row in 0..batch.num_rows() {
            let Ok(span_id) = <[u8; 8]>::try_from(span.value(row)) else { continue };
            let passes = (question.range.start_ns..question.range.end_ns).contains(&times[row])
                && span_id != SpanId::INVALID.0
                && (wanted.is_empty() || wanted.contains(&span_id))
                && stacks.as_ref().is_none_or(|stacks| is_one_of(stacks, stack.value(row)));
            if !passes {
                continue;
            }
            let key = (TraceId::from_slice(trace.value(row)).unwrap_or_default(), SpanId(span_id));
            if spans.len() >= question.limit && !spans.contains(&key) {
                return Ok(ControlFlow::Break(()));
            }
            spans.insert(key);
        }
        Ok(clock.flow())
    })?;
    answer.complete &= is_whole;
    answer.spans = spans.into_iter().collect();
    answer.spans.sort_unstable();
    Ok(answer)
}

/// How long it may take.
#[derive(Clone, Copy)]
struct Clock {
    began: Instant,
    time: std::time::Duration,
}

impl Clock {
    fn flow(self) -> ControlFlow<()> {
        if self.began.elapsed() < self.time { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

fn is_one_of(ids: &Ids, id: &[u8]) -> bool {
    <[u8; ID_BYTES]>::try_from(id).is_ok_and(|id| ids.contains(&id))
}

/// The frames of functions so named, and whether these are all.
fn frames_named(
    snapshot: &Snapshot,
    range: TimeRange,
    wanted: &TextMatch,
    clock: Clock,
) -> Result<(Ids, bool), StoreError> {
    let mut frames = Ids::default();
    let scan = Scan::new(Table::Frames, days(range), None);
    let is_whole = scan.read_while(snapshot, &["frame", "function"], |batch| {
        let (ids, names) =
            (column(batch, "frame").as_fixed_size_binary(), column(batch, "function").as_string::<i32>());
        let named = (0..batch.num_rows()).filter(|row| is_named(wanted, names.value(*row)));
        frames.extend(named.filter_map(|row| <[u8; ID_BYTES]>::try_from(ids.value(row)).ok()));
        Ok(clock.flow())
    })?;
    Ok((frames, is_whole))
}

fn is_named(wanted: &TextMatch, name: &str) -> bool {
    match wanted {
        TextMatch::Equals(wanted) => {
            name.strip_suffix(wanted.as_str()).is_some_and(|before| before.is_empty() || before.ends_with('.'))
        }
        TextMatch::Wildcard(pattern) => matches_wildcard(pattern, name),
        TextMatch::Regex(pattern) => pattern.is_match(name),
    }
}

/// The stacks that have one of the frames, and whether these are all.
fn stacks_with(snapshot: &Snapshot, range: TimeRange, frames: &Ids, clock: Clock) -> Result<(Ids, bool), StoreError> {
    let mut stacks = Ids::default();
    if frames.is_empty() {
        return Ok((stacks, true));
    }
    let scan = Scan::new(Table::Stacks, days(range), None);
    let is_whole = scan.read_while(snapshot, &["stack", "frames"], |batch| {
        let (ids, of_stacks) =
            (column(batch, "stack").as_fixed_size_binary(), column(batch, "frames").as_binary::<i32>());
        let has_one = |row: &usize| of_stacks.value(*row).chunks(ID_BYTES).any(|frame| is_one_of(frames, frame));
        let found = (0..batch.num_rows()).filter(has_one);
        stacks.extend(found.filter_map(|row| <[u8; ID_BYTES]>::try_from(ids.value(row)).ok()));
        Ok(clock.flow())
    })?;
    Ok((stacks, is_whole))
}

/// Names of functions, in order.
pub(in crate::embedded) fn function_names(
    snapshot: &Snapshot,
    question: &FunctionNames,
) -> Result<Vec<FunctionName>, StoreError> {
    let clock = Clock { began: Instant::now(), time: question.time };
    let contains = question.contains.to_lowercase();
    let mut names: FxHashMap<String, bool> = FxHashMap::default();
    let scan = Scan::new(Table::Frames, days(question.range), None);
    scan.read_while(snapshot, &["function", "in_app"], |batch| {
        let (functions, in_app) = (column(batch, "function").as_string::<i32>(), column(batch, "in_app").as_boolean());
        for row in 0..batch.num_rows() {
            let name = functions.value(row);
            if let Some(known) = names.get_mut(name) {
                *known |= in_app.value(row);
            } else if name.to_lowercase().contains(&contains) {
                if names.len() >= question.limit {
                    return Ok(ControlFlow::Break(()));
                }
                names.insert(name.to_owned(), in_app.value(row));
            }
        }
        Ok(clock.flow())
    })?;
    let mut names: Vec<FunctionName> = names.into_iter().map(|(name, in_app)| FunctionName { name, in_app }).collect();
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_whole_or_the_last_part() {
        let equals = |wanted: &str, name: &str| is_named(&TextMatch::Equals(wanted.to_owned()), name);
        assert!(equals("create", "create") && equals("create", "Blog.create"));
        assert!(equals("Blog.create", "shop.Blog.create"));
        assert!(!equals("create", "recreate") && !equals("create", "create.inner") && !equals("reate", "create"));
        let wildcard = |pattern: &str, name: &str| is_named(&TextMatch::Wildcard(pattern.to_owned()), name);
        assert!(wildcard("Blog.*", "Blog.create") && !wildcard("create*", "Blog.create"));
    }
}
