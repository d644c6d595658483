//! Which rows of a segment a filter needs to look at, as its page indexes know.

use std::ops::Range;

use pitviper_model::TraceId;

use super::indexes::{hash_attribute, hash_key, hash_trace};
use super::open_segment::OpenSegment;
use super::page_index::Kind;
use crate::filter::{Filter, NumberField, TextField, TextMatch};

/// Rows in order, no two ranges overlapping.
pub(super) type Rows = Vec<Range<u64>>;

/// Of more traces than this the pages are not looked up: they lie nearly everywhere.
const MAX_TRACES_LOOKED_UP: usize = 4_096;

/// What a filter asks of page indexes, worked out once for all segments.
#[derive(Debug)]
pub(super) enum Lookup {
    /// The pages of one value, by its hash.
    Value(Kind, u64),
    /// The pages of an attribute's key, by its hash.
    Key(u64),
    All(Vec<Lookup>),
    Any(Vec<Lookup>),
}

impl Lookup {
    /// What the indexes can tell of a filter; `None` when they can tell nothing.
    pub(super) fn of(filter: &Filter) -> Option<Self> {
        match filter {
            Filter::Trace(trace) => Some(Self::of_traces([trace])),
            Filter::Traces(traces) if traces.len() <= MAX_TRACES_LOOKED_UP => Some(Self::of_traces(traces)),
            // A span without the attribute has the empty text.
            Filter::Text(TextField::Attribute(key), TextMatch::Equals(text)) if !text.is_empty() => {
                Some(Self::Value(Kind::Attributes, hash_attribute(key, text)))
            }
            // What has no such attribute fits no pattern and no range.
            Filter::Text(TextField::Attribute(key), TextMatch::Wildcard(_) | TextMatch::Regex(_))
            | Filter::Exists(TextField::Attribute(key))
            | Filter::Number(NumberField::Attribute(key), _) => Some(Self::Key(hash_key(key))),
            Filter::And(parts) => {
                let parts: Vec<Self> = parts.iter().filter_map(Self::of).collect();
                (!parts.is_empty()).then_some(Self::All(parts))
            }
            Filter::Or(parts) => parts.iter().map(Self::of).collect::<Option<_>>().map(Self::Any),
            _ => None,
        }
    }

    /// The spans of these traces.
    pub(super) fn of_traces<'a>(traces: impl IntoIterator<Item = &'a TraceId>) -> Self {
        Self::Any(traces.into_iter().map(|trace| Self::Value(Kind::Traces, hash_trace(*trace))).collect())
    }

    /// The rows of a segment that may match; `None` when its indexes cannot tell.
    pub(super) fn rows(&self, segment: &OpenSegment) -> Option<Rows> {
        match self {
            Self::Value(kind, hash) => segment.find(*kind, *hash),
            Self::Key(hash) => segment.find_key(*hash),
            Self::All(parts) => {
                parts.iter().filter_map(|part| part.rows(segment)).reduce(|left, right| intersect(&left, &right))
            }
            Self::Any(parts) => {
                let parts = parts.iter().map(|part| part.rows(segment)).collect::<Option<Vec<_>>>()?;
                Some(union(parts.into_iter().flatten().collect()))
            }
        }
    }
}

/// Ranges in any order as rows in order.
pub(super) fn union(mut ranges: Vec<Range<u64>>) -> Rows {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut rows: Rows = Vec::with_capacity(ranges.len());
    for range in ranges {
        match rows.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => rows.push(range),
        }
    }
    rows
}

/// The rows that are in both.
pub(super) fn intersect(left: &Rows, right: &Rows) -> Rows {
    let (mut at_left, mut at_right) = (0, 0);
    let mut rows = Vec::new();
    while let (Some(one), Some(other)) = (left.get(at_left), right.get(at_right)) {
        let (start, end) = (one.start.max(other.start), one.end.min(other.end));
        if start < end {
            rows.push(start..end);
        }
        if one.end <= other.end {
            at_left += 1;
        } else {
            at_right += 1;
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ranges() -> impl Strategy<Value = Vec<Range<u64>>> {
        prop::collection::vec((0u64..50, 0u64..10).prop_map(|(start, length)| start..start + length), 0..12)
    }

    fn set(ranges: &[Range<u64>]) -> BTreeSet<u64> {
        ranges.iter().cloned().flatten().collect()
    }

    proptest! {
        #[test]
        fn sets_of_rows_are_joined_and_cut(left in ranges(), right in ranges()) {
            let (left, right) = (union(left.clone()), union(right));
            prop_assert_eq!(set(&intersect(&left, &right)), &set(&left) & &set(&right));
            let both = union(left.iter().chain(&right).cloned().collect());
            prop_assert_eq!(set(&both), &set(&left) | &set(&right));
            prop_assert!(both.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}
