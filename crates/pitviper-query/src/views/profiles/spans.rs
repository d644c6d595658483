//! From a function to the spans that ran it.

use std::collections::BTreeMap;

use pitviper_model::{SpanId, StackId, TraceId};
use pitviper_store::{ProfileDimension, ProfileQuery, Store};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::samples::Samples;
use super::selection::{Selection, wrong};
use crate::QueryError;
use crate::views::Answer;
use crate::views::aggregate::bounded;

/// Spans when the caller does not say.
const DEFAULT_LIMIT: u32 = 100;

/// Most spans of one answer.
const MAX_LIMIT: u32 = 5_000;

/// Which function, in which samples.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProfileSpansRequest)]
pub struct SpansRequest {
    /// Which samples.
    pub selection: Selection,
    /// The function's name, all of it.
    pub function: String,
    /// Only of this file.
    pub file: Option<String>,
    /// Most spans, at most 5000; 100 by default.
    pub limit: Option<u32>,
}

/// The spans that ran a function.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ProfileSpans)]
pub struct FunctionSpans {
    /// Those in which it took most.
    pub spans: Vec<FunctionSpan>,
    /// How many spans there are.
    pub count: usize,
    /// What was measured in it outside of any span.
    pub outside: i64,
    /// The unit of all values.
    pub unit: String,
}

/// A span that ran a function.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ProfileSpan)]
pub struct FunctionSpan {
    /// The trace; null where the profiler tells spans alone.
    #[schema(required)]
    pub trace_id: Option<String>,
    /// The span.
    pub span_id: String,
    /// What was measured in the function and what it called.
    pub value: i64,
    /// How many samples.
    pub samples: u64,
}

/// Which spans ran a function.
///
/// # Errors
/// When a parameter is not usable or the store fails.
pub async fn spans(
    store: &dyn Store,
    request: &SpansRequest,
    now_us: i64,
) -> Result<Answer<FunctionSpans>, QueryError> {
    if request.function.is_empty() {
        return Err(wrong("function", "is empty; name one as /api/v1/profiles/functions tells it".to_owned()));
    }
    let limit = bounded("limit", request.limit.unwrap_or(DEFAULT_LIMIT), 1, MAX_LIMIT)?;
    let window = request.selection.window(now_us)?;
    let samples = Samples::load(store, &[(&request.selection, window)]).await?;
    let mut meta = samples.meta(&window);
    let stacks = stacks_with(&samples, &request.function, request.file.as_deref());
    let mut sums: BTreeMap<(String, String), (i64, u64)> = BTreeMap::new();
    if !stacks.is_empty() {
        for query in request.selection.queries(store, &window).await? {
            let group_by = vec![ProfileDimension::Trace, ProfileDimension::Span];
            let query = ProfileQuery { by_stack: false, stacks: stacks.clone(), group_by, ..query };
            let found = store.profile(&query).await?;
            if found.left_out > 0 {
                meta.exact = false;
                meta.warnings.push(format!("{} spans are left out; choose a shorter range", found.left_out));
            }
            for row in found.rows {
                let [trace, span] = <[String; 2]>::try_from(row.labels).unwrap_or_default();
                let sum = sums.entry((trace, span)).or_default();
                *sum = (sum.0.saturating_add(row.value), sum.1 + row.samples);
            }
        }
    }
    let (no_trace, no_span) = (TraceId::INVALID.to_string(), SpanId::INVALID.to_string());
    let mut outside = 0_i64;
    let mut spans = Vec::new();
    for ((trace, span_id), (value, samples)) in sums {
        if span_id == no_span {
            outside = outside.saturating_add(value);
            continue;
        }
        let trace_id = Some(trace).filter(|trace| *trace != no_trace);
        spans.push(FunctionSpan { trace_id, span_id, value, samples });
    }
    spans.sort_by_key(|span| std::cmp::Reverse(span.value));
    let count = spans.len();
    spans.truncate(limit as usize);
    let data = FunctionSpans { spans, count, outside, unit: samples.unit };
    Ok(Answer { data, meta })
}

/// The stacks that a function is in.
fn stacks_with(samples: &Samples, function: &str, file: Option<&str>) -> Vec<StackId> {
    let is_it = samples.are_of(function, file);
    let has_it = |stack: &[u32]| stack.iter().any(|frame| is_it[*frame as usize]);
    samples.ids.iter().zip(&samples.stacks).filter(|(_, stack)| has_it(stack)).map(|(id, _)| *id).collect()
}
