//! Which spans a profiler took samples in, for `has:profile` and `fn:NAME`.

use std::time::Duration;

use pitviper_model::TraceId;
use pitviper_store::filter::{KnownSpans, TextMatch};
use pitviper_store::{SampledSpans as Question, Store, TimeRange};

use super::profiles::TOLD_LATER_NS;
use crate::QueryError;
use crate::search::{Expr, Query, Sampled, SampledSpans, Text};

/// Most spans that are known for one term: 12 MB.
const MAX_SPANS: usize = 500_000;

/// How long samples are looked at for one term; what is under way then is finished.
const TIME: Duration = Duration::from_secs(5);

/// Fills in the spans of every `has:profile` and `fn:…` of the query: of samples that were taken in the range,
/// or are told shortly after it. Where there are too many, those of the newest samples.
pub(super) async fn resolve(store: &dyn Store, query: &mut Query, range: TimeRange) -> Result<(), QueryError> {
    let mut functions: Vec<Option<Text>> = Vec::new();
    query.terms(&mut |term| {
        if let Expr::Sampled(Sampled { function, .. }) = term
            && !functions.contains(function)
        {
            functions.push(function.clone());
        }
    });
    for function in functions {
        let spans = of_function(store, function.as_ref(), range).await?;
        query.terms_mut(&mut |term| {
            if let Expr::Sampled(sampled) = term
                && sampled.function == function
            {
                sampled.spans = spans.clone();
            }
        });
    }
    Ok(())
}

async fn of_function(store: &dyn Store, function: Option<&Text>, range: TimeRange) -> Result<SampledSpans, QueryError> {
    let question = Question {
        range: TimeRange { end_ns: range.end_ns.saturating_add(TOLD_LATER_NS), ..range },
        function: function.map(|text| match text {
            Text::Literal(name) => TextMatch::Equals(name.clone()),
            Text::Wildcard(pattern) => TextMatch::Wildcard(pattern.clone()),
            Text::Regex(pattern) => TextMatch::Regex(pattern.clone()),
        }),
        span_ids: Vec::new(),
        limit: MAX_SPANS,
        time: TIME,
    };
    let found = store.sampled_spans(&question).await?;
    let (alone, of_traces): (Vec<_>, Vec<_>) =
        found.spans.into_iter().partition(|(trace_id, _)| *trace_id == TraceId::INVALID);
    Ok(SampledSpans {
        known: KnownSpans::new(of_traces),
        ids: alone.into_iter().map(|(_, span_id)| span_id).collect(),
        complete: found.complete,
    })
}
