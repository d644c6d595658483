//! The functions in which most was measured.

use pitviper_store::Store;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::samples::Samples;
use super::selection::Selection;
use super::tree::{Functions, OfFunction, by_function};
use crate::QueryError;
use crate::views::Answer;
use crate::views::aggregate::bounded;

/// Functions when the caller does not say.
const DEFAULT_LIMIT: u32 = 200;

/// Most functions of one answer.
const MAX_LIMIT: u32 = 10_000;

/// Of which samples, and which functions.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProfileFunctionsRequest)]
pub struct FunctionsRequest {
    /// Which samples.
    pub selection: Selection,
    /// Samples to compare them with.
    pub baseline: Option<Selection>,
    /// Most functions, at most 10000; 200 by default.
    pub limit: Option<u32>,
    /// Only functions with this in their name, file or package, in capitals or not.
    pub search: Option<String>,
}

/// The functions of samples.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ProfileFunctions)]
pub struct FunctionsData {
    /// Those in which most was measured; with a baseline those that differ most.
    pub functions: Vec<FunctionData>,
    /// How many functions there are.
    pub count: usize,
    /// The sum of all values.
    pub total: i64,
    /// The sum of all values of the baseline, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline_total: Option<i64>,
    /// How many samples.
    pub samples: u64,
    /// The unit of all values.
    pub unit: String,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ProfileFunction)]
pub struct FunctionData {
    /// Its name.
    #[serde(rename = "fn")]
    pub function: String,
    /// Its file.
    pub file: String,
    /// The line of it that most was measured in.
    pub line: u32,
    /// The package; empty when it is the application's or not known.
    pub pkg: String,
    /// Whether it is the application's own code.
    pub in_app: bool,
    /// What was measured in it alone.
    #[serde(rename = "self")]
    pub own: i64,
    /// What was measured in it and what it called; of calls of itself once.
    pub total: i64,
    /// `self` of the baseline, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_base: Option<i64>,
    /// `total` of the baseline, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_base: Option<i64>,
    /// How many samples it is in.
    pub samples: u64,
}

/// Which functions samples are in.
///
/// # Errors
/// When a parameter is not usable or the store fails.
pub async fn functions(
    store: &dyn Store,
    request: &FunctionsRequest,
    now_us: i64,
) -> Result<Answer<FunctionsData>, QueryError> {
    let limit = bounded("limit", request.limit.unwrap_or(DEFAULT_LIMIT), 1, MAX_LIMIT)?;
    let window = request.selection.window(now_us)?;
    let mut selections = vec![(&request.selection, window)];
    if let Some(baseline) = &request.baseline {
        selections.push((baseline, baseline.window(now_us)?));
    }
    let samples = Samples::load(store, &selections).await?;
    let data = ranked(&samples, request.search.as_deref().unwrap_or_default(), limit as usize);
    Ok(Answer { data, meta: samples.meta(&window) })
}

fn ranked(samples: &Samples, search: &str, limit: usize) -> FunctionsData {
    let functions = Functions::of(samples, false);
    let measured = by_function(samples, &functions);
    let has_baseline = samples.sums.len() > 1;
    let search = search.to_lowercase();
    let is_wanted = |place: usize| {
        let frame = &functions.frames[place];
        let texts = [&frame.function, &frame.file, &frame.library];
        search.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(&search))
    };
    let mut order: Vec<usize> = (0..functions.frames.len()).filter(|place| is_wanted(*place)).collect();
    let weight = |of: &OfFunction| {
        let differ = |[value, base]: [i64; 2]| if has_baseline { value.abs_diff(base) } else { value.unsigned_abs() };
        (differ(of.own), differ(of.total))
    };
    order.sort_by(|left, right| {
        let name = |place: usize| (&functions.frames[place].function, &functions.frames[place].file);
        weight(&measured[*right]).cmp(&weight(&measured[*left])).then_with(|| name(*left).cmp(&name(*right)))
    });
    let count = order.len();
    order.truncate(limit);
    let told = |place: usize| {
        let (frame, of) = (&functions.frames[place], &measured[place]);
        FunctionData {
            function: frame.function.clone(),
            file: frame.file.clone(),
            line: frame.line,
            pkg: frame.library.clone(),
            in_app: frame.in_app,
            own: of.own[0],
            total: of.total[0],
            self_base: has_baseline.then_some(of.own[1]),
            total_base: has_baseline.then_some(of.total[1]),
            samples: of.samples,
        }
    };
    FunctionsData {
        functions: order.into_iter().map(told).collect(),
        count,
        total: samples.sums[0].total,
        baseline_total: samples.sums.get(1).map(|sums| sums.total),
        samples: samples.sums[0].samples,
        unit: samples.unit.clone(),
    }
}
