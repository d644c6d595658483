//! Which spans of one trace a query means, once it is known where each of its conditions holds.

use pitviper_model::SpanId;
use pitviper_store::questions::keys::SpanKey;
use pitviper_store::questions::kin::Kin;
use rustc_hash::FxHashMap;

use super::holding::has;
use crate::search::{Aggregate, Pipe, Relation, SpanSet};
use crate::views::trace::Ancestry;

/// The spans of a trace and how they hang together.
pub(super) struct Kinship<'a> {
    pub(super) spans: &'a [Kin],
    ancestry: Ancestry,
}

/// For each span of the trace, whether it belongs to a set.
type Members = Vec<bool>;

impl<'a> Kinship<'a> {
    pub(super) fn new(spans: &'a [Kin]) -> Self {
        Self { spans, ancestry: Ancestry::of(spans) }
    }

    /// For a set that relates no spans, which need not be all of the trace.
    pub(super) fn unrelated(spans: &'a [Kin]) -> Self {
        Self { spans, ancestry: Ancestry { parents: Vec::new(), downwards: Vec::new() } }
    }

    /// The spans of the set. `holding` has for each of the set's conditions, from left to right,
    /// where it holds, and is used up.
    pub(super) fn members(&self, set: &SpanSet, holding: &mut impl Iterator<Item = Members>) -> Members {
        match set {
            SpanSet::Matching(_) => holding.next().unwrap_or_default(),
            SpanSet::Related(left, relation, _) => {
                let left = self.members(left, holding);
                let related = self.related(&left, *relation);
                let mut right = holding.next().unwrap_or_default();
                right.iter_mut().zip(related).for_each(|(member, related)| *member &= related);
                right
            }
            SpanSet::All(parts) | SpanSet::Any(parts) => {
                let parts: Vec<Members> = parts.iter().map(|part| self.members(part, holding)).collect();
                let is_empty = |part: &Members| !part.contains(&true);
                let mut union = vec![false; self.spans.len()];
                if matches!(set, SpanSet::All(_)) && parts.iter().any(is_empty) {
                    return union;
                }
                for part in parts {
                    union.iter_mut().zip(part).for_each(|(member, other)| *member |= other);
                }
                union
            }
        }
    }

    /// Spans that are so related to one of the left ones.
    fn related(&self, left: &Members, relation: Relation) -> Members {
        let mut related = vec![false; self.spans.len()];
        match relation {
            Relation::Child => {
                for (span, parent) in self.ancestry.parents.iter().enumerate() {
                    related[span] = parent.is_some_and(|parent| left[parent]);
                }
            }
            Relation::Parent => {
                for (span, parent) in self.ancestry.parents.iter().enumerate() {
                    if let Some(parent) = parent.filter(|_| left[span]) {
                        related[parent] = true;
                    }
                }
            }
            Relation::Descendant => {
                for &span in &self.ancestry.downwards {
                    related[span] = self.ancestry.parents[span].is_some_and(|parent| left[parent] || related[parent]);
                }
            }
            Relation::Ancestor => {
                for &span in self.ancestry.downwards.iter().rev() {
                    if let Some(parent) = self.ancestry.parents[span].filter(|_| left[span] || related[span]) {
                        related[parent] = true;
                    }
                }
            }
            Relation::Sibling => {
                // By the parent's id: children of a parent that is missing are siblings all the same.
                let mut families: FxHashMap<SpanId, usize> = FxHashMap::default();
                for (span, _) in self.spans.iter().zip(left).filter(|(_, is_left)| **is_left) {
                    *families.entry(span.parent_span_id).or_default() += 1;
                }
                for (place, span) in self.spans.iter().enumerate().filter(|(_, span)| span.parent_span_id.is_valid()) {
                    let family = families.get(&span.parent_span_id).copied().unwrap_or(0);
                    related[place] = family > usize::from(left[place]);
                }
            }
        }
        related
    }
}

/// What a function is of, where that is not every matching span's duration.
pub(super) enum Of<'a> {
    /// The durations of these spans.
    Durations(&'a [SpanKey]),
    /// These numbers.
    Numbers(&'a FxHashMap<SpanId, f64>),
}

/// Whether the function compares as the pipe says.
pub(super) fn holds(pipe: &Pipe, matching: &[&Kin], of: Option<&Of<'_>>) -> bool {
    let number = |span: &&&Kin| match of {
        Some(Of::Numbers(numbers)) => numbers.get(&span.span_id).copied(),
        Some(Of::Durations(spans)) => has(spans, span.span_id).then_some(span.duration_ns as f64),
        None => Some(span.duration_ns as f64),
    };
    let numbers: Vec<f64> = matching.iter().filter_map(|span| number(&span)).collect();
    let count = numbers.len();
    let sum: f64 = numbers.iter().sum();
    let value = match pipe.aggregate {
        Aggregate::Count => Some(count as f64),
        Aggregate::Sum => Some(sum),
        Aggregate::Average => (count > 0).then(|| sum / count as f64),
        Aggregate::Longest => numbers.into_iter().reduce(f64::max),
        Aggregate::Shortest => numbers.into_iter().reduce(f64::min),
    };
    value.is_some_and(|value| pipe.comparison.holds(value, pipe.value.0))
}
