//! The first spans of an order, kept while pages are read.

use std::collections::BTreeMap;

use pitviper_model::{SpanId, TraceId};

use super::Place;
use crate::store::Order;

/// The place of a span in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::embedded) struct Key {
    pub(in crate::embedded) value: i64,
    pub(in crate::embedded) trace_id: TraceId,
    pub(in crate::embedded) span_id: SpanId,
}

impl Key {
    /// Compares so that what the order puts first is less.
    pub(in crate::embedded) fn cmp_in(&self, order: Order, other: &Self) -> std::cmp::Ordering {
        let values = rank(order, self.value).cmp(&rank(order, other.value));
        values.then(self.trace_id.cmp(&other.trace_id)).then(self.span_id.cmp(&other.span_id))
    }
}

/// A value so that what the order puts first is less.
pub(super) fn rank(order: Order, value: i64) -> i64 {
    match order {
        Order::OldestFirst => value,
        // The complement turns the order round without leaving the numbers there are.
        Order::NewestFirst | Order::SlowestFirst => !value,
    }
}

/// The column an order sorts by.
pub(super) fn value_column(order: Order) -> &'static str {
    match order {
        Order::NewestFirst | Order::OldestFirst => "start_ns",
        Order::SlowestFirst => "duration_ns",
    }
}

/// The first so many keys behind another, and where their rows lie. What a client sent twice is there
/// once.
#[derive(Debug)]
pub(super) struct Top {
    pub(super) order: Order,
    limit: usize,
    after: Option<(i64, TraceId, SpanId)>,
    found: BTreeMap<(i64, TraceId, SpanId), Place>,
}

impl Top {
    pub(super) fn new(order: Order, after: Option<Key>, limit: usize) -> Self {
        let after = after.map(|key| (rank(order, key.value), key.trace_id, key.span_id));
        Self { order, limit, after, found: BTreeMap::new() }
    }

    /// The ranks that may still enter, both ends inside; `None` when none can.
    pub(super) fn open_ranks(&self) -> Option<(i64, i64)> {
        let low = self.after.map_or(i64::MIN, |(rank, ..)| rank);
        let high = match self.found.last_key_value() {
            _ if self.limit == 0 => return None,
            // Among equals the ids decide.
            Some(((rank, ..), _)) if self.found.len() >= self.limit => *rank,
            _ => i64::MAX,
        };
        (low <= high).then_some((low, high))
    }

    /// How many were found so far.
    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    pub(super) fn offer(&mut self, key: Key, place: Place) {
        let key = (rank(self.order, key.value), key.trace_id, key.span_id);
        if self.after.is_some_and(|after| key <= after) {
            return;
        }
        self.found.entry(key).or_insert(place);
        if self.found.len() > self.limit {
            self.found.pop_last();
        }
    }

    /// What was found before a rank, in order.
    pub(super) fn before(&self, edge: i64) -> Vec<(Key, Place)> {
        let found = self.found.range(..(edge, TraceId::INVALID, SpanId::INVALID));
        found.map(|(ranked, place)| (self.key(*ranked), *place)).collect()
    }

    pub(super) fn into_sorted(self) -> Vec<(Key, Place)> {
        self.found.iter().map(|(ranked, place)| (self.key(*ranked), *place)).collect()
    }

    fn key(&self, (ranked, trace_id, span_id): (i64, TraceId, SpanId)) -> Key {
        Key { value: rank(self.order, ranked), trace_id, span_id }
    }
}
