//! The traces that are looked for, by their ids or, in segments that number their traces, by numbers.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::datatypes::UInt32Type;
use pitviper_model::TraceId;
use rustc_hash::FxHashSet;

use crate::schema::TRACE_NUMBER;

/// The traces that are looked for, as rows name them.
#[derive(Debug)]
pub(super) enum Wanted {
    Ids(Arc<FxHashSet<TraceId>>),
    Numbers(FxHashSet<u32>),
}

impl Wanted {
    /// By their ids.
    pub(super) fn of(ids: impl IntoIterator<Item = TraceId>) -> Self {
        Self::Ids(Arc::new(ids.into_iter().collect()))
    }

    /// The column that names them.
    pub(super) fn column(&self) -> &'static str {
        match self {
            Self::Ids(_) => "trace_id",
            Self::Numbers(_) => TRACE_NUMBER,
        }
    }

    /// Whether no row can belong to one of them.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Ids(ids) => ids.is_empty(),
            Self::Numbers(numbers) => numbers.is_empty(),
        }
    }

    /// Which rows belong to one of them, by their column.
    pub(super) fn mask(&self, traces: &dyn Array) -> BooleanArray {
        match self {
            Self::Ids(ids) => trace_mask(traces, ids),
            Self::Numbers(wanted) => {
                // Most look-ups are for one trace, and a comparison is far cheaper than a hash.
                let single = (wanted.len() == 1).then(|| wanted.iter().copied().next()).flatten();
                let numbers = traces.as_primitive::<UInt32Type>().values().iter();
                let is_wanted = |number| Some(single.map_or_else(|| wanted.contains(number), |only| *number == only));
                numbers.map(is_wanted).collect()
            }
        }
    }
}

/// Which rows belong to one of the traces.
pub(super) fn trace_mask(trace_ids: &dyn Array, wanted: &FxHashSet<TraceId>) -> BooleanArray {
    let ids = trace_ids.as_fixed_size_binary();
    let bytes = ids.value_data();
    let id_at = |row: usize| TraceId::from_slice(&bytes[row * 16..row * 16 + 16]).unwrap_or_default();
    // Most lookups are for one trace, and a comparison is far cheaper than a hash.
    let single = (wanted.len() == 1).then(|| wanted.iter().copied().next()).flatten();
    (0..ids.len())
        .map(|row| Some(single.map_or_else(|| wanted.contains(&id_at(row)), |only| id_at(row) == only)))
        .collect()
}
