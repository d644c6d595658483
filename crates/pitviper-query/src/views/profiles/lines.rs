//! The lines of a function: which of them took how much.

use std::collections::BTreeMap;

use pitviper_store::Store;
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::samples::Samples;
use super::selection::{Selection, wrong};
use crate::QueryError;
use crate::views::Answer;

/// Most lines of one answer.
const MAX_LINES: usize = 5_000;

/// Which function, in which samples.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProfileLinesRequest)]
pub struct LinesRequest {
    /// Which samples.
    pub selection: Selection,
    /// Samples to compare them with.
    pub baseline: Option<Selection>,
    /// The function's name, all of it.
    pub function: String,
    /// Only of this file.
    pub file: Option<String>,
}

/// The lines of a function that samples were taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ProfileLines)]
pub struct LinesData {
    /// The lines by file and number. Their text is not known here.
    pub lines: Vec<LineData>,
    /// What was measured in the function alone.
    #[serde(rename = "self")]
    pub own: i64,
    /// What was measured in it and what it called; of calls of itself once.
    pub total: i64,
    /// The sum of all values of the selection, in the function or not.
    pub whole: i64,
    /// The same of the baseline, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline_whole: Option<i64>,
    /// The unit of all values.
    pub unit: String,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ProfileLine)]
pub struct LineData {
    /// Its file.
    pub file: String,
    /// Its number, from one; zero when the profiler does not tell it.
    pub line: u32,
    /// What was measured in it alone.
    #[serde(rename = "self")]
    pub own: i64,
    /// What was measured in it and what it called.
    pub total: i64,
    /// How many samples it is in.
    pub samples: u64,
    /// `self` of the baseline, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_base: Option<i64>,
    /// `total` of the baseline, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_base: Option<i64>,
}

/// Which lines of a function samples are in.
///
/// # Errors
/// When a parameter is not usable or the store fails.
pub async fn lines(store: &dyn Store, request: &LinesRequest, now_us: i64) -> Result<Answer<LinesData>, QueryError> {
    if request.function.is_empty() {
        return Err(wrong("function", "is empty; name one as /api/v1/profiles/functions tells it".to_owned()));
    }
    let window = request.selection.window(now_us)?;
    let mut selections = vec![(&request.selection, window)];
    if let Some(baseline) = &request.baseline {
        selections.push((baseline, baseline.window(now_us)?));
    }
    let samples = Samples::load(store, &selections).await?;
    let mut meta = samples.meta(&window);
    let mut data = of_function(&samples, &request.function, request.file.as_deref());
    if data.lines.len() > MAX_LINES {
        meta.exact = false;
        meta.warnings.push(format!("{} lines are left out; name the file", data.lines.len() - MAX_LINES));
        data.lines.truncate(MAX_LINES);
    }
    Ok(Answer { data, meta })
}

fn of_function(samples: &Samples, function: &str, file: Option<&str>) -> LinesData {
    let has_baseline = samples.sums.len() > 1;
    let is_it = samples.are_of(function, file);
    let mut data = LinesData {
        lines: Vec::new(),
        own: 0,
        total: 0,
        whole: samples.sums[0].total,
        baseline_whole: samples.sums.get(1).map(|sums| sums.total),
        unit: samples.unit.clone(),
    };
    let mut by_line: BTreeMap<(&str, u32), LineData> = BTreeMap::new();
    let mut seen: FxHashSet<(&str, u32)> = FxHashSet::default();
    for (side, sums) in samples.sums.iter().take(2).enumerate() {
        for (stack, value, count) in &sums.rows {
            seen.clear();
            for (depth, place) in samples.stacks[*stack].iter().map(|place| *place as usize).enumerate() {
                if !is_it[place] {
                    continue;
                }
                let frame = &samples.frames[place];
                let key = (frame.file.as_str(), frame.line);
                let line = by_line.entry(key).or_insert_with(|| LineData {
                    file: frame.file.clone(),
                    line: frame.line,
                    own: 0,
                    total: 0,
                    samples: 0,
                    self_base: has_baseline.then_some(0),
                    total_base: has_baseline.then_some(0),
                });
                let is_first = seen.is_empty();
                if seen.insert(key) {
                    let total = if side == 0 { Some(&mut line.total) } else { line.total_base.as_mut() };
                    add(total, *value);
                    line.samples += if side == 0 { *count } else { 0 };
                }
                if depth == 0 {
                    add(if side == 0 { Some(&mut line.own) } else { line.self_base.as_mut() }, *value);
                }
                if side == 0 && is_first {
                    data.total = data.total.saturating_add(*value);
                }
                if side == 0 && depth == 0 {
                    data.own = data.own.saturating_add(*value);
                }
            }
        }
    }
    data.lines = by_line.into_values().collect();
    data
}

fn add(sum: Option<&mut i64>, value: i64) {
    if let Some(sum) = sum {
        *sum = sum.saturating_add(value);
    }
}

#[cfg(test)]
mod tests {
    use pitviper_model::Frame;

    use super::*;
    use crate::views::profiles::samples::Sums;

    #[test]
    fn a_line_counts_once_a_stack_and_alone_where_it_is_innermost() {
        let frame = |function: &str, line| Frame { function: function.to_owned(), line, ..Frame::default() };
        let rows = |rows: Vec<(usize, i64, u64)>| {
            let total = rows.iter().map(|row| row.1).sum();
            Sums { rows, total, ..Sums::default() }
        };
        let samples = Samples {
            frames: vec![frame("f", 1), frame("f", 2), frame("g", 9)],
            // f:1 alone; g called from f:2; f:2 called from f:1, twice; g alone.
            stacks: vec![vec![0], vec![2, 1], vec![1, 0, 1], vec![2]],
            sums: vec![rows(vec![(0, 10, 1), (1, 5, 2), (2, 1, 1), (3, 100, 9)]), rows(vec![(0, 7, 1)])],
            ..Samples::default()
        };
        let data = of_function(&samples, "f", None);
        let told: Vec<_> = data.lines.iter().map(|line| (line.line, line.own, line.total, line.samples)).collect();
        assert_eq!(told, [(1, 10, 11, 2), (2, 1, 6, 3)]);
        assert_eq!((data.own, data.total, data.whole, data.baseline_whole), (11, 16, 116, Some(7)));
        let base: Vec<_> = data.lines.iter().map(|line| (line.self_base, line.total_base)).collect();
        assert_eq!(base, [(Some(7), Some(7)), (Some(0), Some(0))]);
        assert!(of_function(&samples, "f", Some("other.py")).lines.is_empty());
    }
}
