//! Durations against a limit by service and name.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{Int32Type, Int64Type};
use rustc_hash::FxHashMap;

use super::row_function::RowTest;
use crate::filter::DurationLimits;

/// `(service, name, duration_ns)`: whether the span took at least as long as its limit.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct SlowerThan {
    pub(super) limits: DurationLimits,
}

impl RowTest for SlowerThan {
    const NAME: &'static str = "slower_than";

    fn test(&self, columns: &[ArrayRef]) -> Vec<bool> {
        let (services, names) = (columns[0].as_dictionary::<Int32Type>(), columns[1].as_dictionary::<Int32Type>());
        let (service_texts, name_texts) = (services.values().as_string::<i32>(), names.values().as_string::<i32>());
        let durations = columns[2].as_primitive::<Int64Type>().values();
        // Each service and name of the batch is looked up once.
        let mut known: FxHashMap<(i32, i32), i64> = FxHashMap::default();
        let keys = services.keys().values().iter().zip(names.keys().values());
        keys.zip(durations)
            .map(|((&service, &name), &duration)| {
                let limit = || {
                    let limit = self.limits.get(service_texts.value(service as usize), name_texts.value(name as usize));
                    limit.unwrap_or(i64::MAX)
                };
                duration >= *known.entry((service, name)).or_insert_with(limit)
            })
            .collect()
    }
}
