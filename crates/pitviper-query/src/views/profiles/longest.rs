//! What took longest at a time: where an event loop was blocked, a lock was waited for, memory was collected.

use std::collections::BTreeMap;

use pitviper_model::Frame;
use pitviper_store::Store;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::samples::Samples;
use super::selection::Selection;
use crate::QueryError;
use crate::views::Answer;
use crate::views::aggregate::bounded;

/// Places when the caller does not say.
const DEFAULT_LIMIT: u32 = 50;

/// Most places of one answer.
const MAX_LIMIT: u32 = 1_000;

/// In which samples.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProfileLongestRequest)]
pub struct LongestRequest {
    /// Which samples.
    pub selection: Selection,
    /// Most places, at most 1000; 50 by default.
    pub limit: Option<u32>,
}

/// Where most was measured at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ProfileLongest)]
pub struct LongestData {
    /// The places, the one with the largest value of one sample first.
    pub places: Vec<LongPlace>,
    /// How many places there are.
    pub count: usize,
    /// The sum of all values.
    pub total: i64,
    /// The unit of all values.
    pub unit: String,
}

/// A place in the application's own code, and what it was doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ProfilePlace)]
pub struct LongPlace {
    /// The innermost function of the application's own code; the outermost function where there is none.
    #[serde(rename = "fn")]
    pub function: String,
    /// Its file.
    pub file: String,
    /// The line that was running; zero when not known.
    pub line: u32,
    /// Whether it is the application's own code.
    pub in_app: bool,
    /// The innermost function, which the place called; the same where it called none.
    pub inner: String,
    /// The largest value of one sample; where several were told as one, their mean.
    pub longest: i64,
    /// The sum of the values.
    pub total: i64,
    /// How many samples.
    pub samples: u64,
}

/// Where most was measured at a time.
///
/// # Errors
/// When a parameter is not usable or the store fails.
pub async fn longest(
    store: &dyn Store,
    request: &LongestRequest,
    now_us: i64,
) -> Result<Answer<LongestData>, QueryError> {
    let limit = bounded("limit", request.limit.unwrap_or(DEFAULT_LIMIT), 1, MAX_LIMIT)?;
    let window = request.selection.window(now_us)?;
    let samples = Samples::load(store, &[(&request.selection, window)]).await?;
    let mut places = places(&samples);
    let count = places.len();
    places.truncate(limit as usize);
    let data = LongestData { places, count, total: samples.sums[0].total, unit: samples.unit.clone() };
    Ok(Answer { data, meta: samples.meta(&window) })
}

fn places(samples: &Samples) -> Vec<LongPlace> {
    let mut by_place: BTreeMap<(u32, &str), LongPlace> = BTreeMap::new();
    for (stack, value, count) in &samples.sums[0].rows {
        let frames = &samples.stacks[*stack];
        let (Some(inner), Some(outer)) = (frames.first(), frames.last()) else { continue };
        let own = frames.iter().find(|place| samples.frames[**place as usize].in_app).unwrap_or(outer);
        let inner = samples.frames[*inner as usize].function.as_str();
        let Frame { function, file, line, in_app, .. } = &samples.frames[*own as usize];
        let place = by_place.entry((*own, inner)).or_insert_with(|| LongPlace {
            function: function.clone(),
            file: file.clone(),
            line: *line,
            in_app: *in_app,
            inner: inner.to_owned(),
            longest: 0,
            total: 0,
            samples: 0,
        });
        place.longest = place.longest.max(samples.sums[0].largest.get(stack).copied().unwrap_or_default());
        place.total = place.total.saturating_add(*value);
        place.samples += count;
    }
    let mut places: Vec<LongPlace> = by_place.into_values().collect();
    places.sort_by_key(|place| std::cmp::Reverse((place.longest, place.total)));
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::profiles::samples::Sums;

    #[test]
    fn a_place_is_the_innermost_own_code_with_what_it_called() {
        let frame = |function: &str, in_app| Frame { function: function.to_owned(), in_app, ..Frame::default() };
        let samples = Samples {
            frames: vec![frame("handler", true), frame("dumps", false), frame("run", false), frame("main", true)],
            stacks: vec![vec![1, 0, 2, 3], vec![0, 2, 3], vec![1, 2]],
            sums: vec![Sums {
                rows: vec![(0, 50, 5), (1, 40, 1), (2, 9, 1)],
                largest: [(0, 30), (1, 40), (2, 9)].into_iter().collect(),
                ..Sums::default()
            }],
            ..Samples::default()
        };
        let told: Vec<_> = places(&samples)
            .into_iter()
            .map(|place| (place.function, place.inner, place.longest, place.total, place.samples))
            .collect();
        let text = str::to_owned;
        let expected = [
            (text("handler"), text("handler"), 40, 40, 1),
            (text("handler"), text("dumps"), 30, 50, 5),
            (text("run"), text("dumps"), 9, 9, 1),
        ];
        assert_eq!(told, expected);
    }
}
