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

/// Whether the function compares as the pipe says. `of` has the spans it is of, when that is not all
/// of the matching ones.
pub(super) fn holds(pipe: &Pipe, matching: &[&Kin], of: Option<&[SpanKey]>) -> bool {
    let durations = || {
        let counted = matching.iter().filter(|span| of.is_none_or(|of| has(of, span.span_id)));
        counted.map(|span| span.duration_ns)
    };
    let count = durations().count();
    let sum = durations().map(u128::from).sum::<u128>() as f64;
    let value = match pipe.aggregate {
        Aggregate::Count => Some(count as f64),
        Aggregate::Sum => Some(sum),
        Aggregate::Average => (count > 0).then(|| sum / count as f64),
        Aggregate::Longest => durations().max().map(|duration| duration as f64),
        Aggregate::Shortest => durations().min().map(|duration| duration as f64),
    };
    value.is_some_and(|value| pipe.comparison.holds(value, pipe.value.0))
}
