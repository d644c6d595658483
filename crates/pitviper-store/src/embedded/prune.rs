//! Which rows of a segment a filter needs to look at, as its page indexes know.

use std::ops::Range;

use super::indexes::{hash_attribute, hash_trace};
use super::page_index::Kind;
use super::segment::OpenSegment;
use crate::filter::{Filter, TextField, TextMatch};

/// Rows in order, no two ranges overlapping.
pub(super) type Rows = Vec<Range<u64>>;

/// The rows that may match; `None` when the indexes cannot tell.
pub(super) fn rows(segment: &OpenSegment, filter: &Filter) -> Option<Rows> {
    match filter {
        Filter::Trace(trace) => segment.find(Kind::Traces, hash_trace(*trace)),
        Filter::Traces(traces) => segment.rows_with(traces),
        // A span without the attribute has the empty text.
        Filter::Text(TextField::Attribute(key), TextMatch::Equals(text)) if !text.is_empty() => {
            segment.find(Kind::Attributes, hash_attribute(key, text))
        }
        Filter::And(parts) => {
            parts.iter().filter_map(|part| rows(segment, part)).reduce(|left, right| intersect(&left, &right))
        }
        Filter::Or(parts) => {
            let parts = parts.iter().map(|part| rows(segment, part)).collect::<Option<Vec<_>>>()?;
            Some(union(parts.into_iter().flatten().collect()))
        }
        _ => None,
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
