//! `has:profile` and `fn:NAME`: from functions to the spans that ran them.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

use std::sync::Arc;

use pitviper_model::{Attributes, Frame, ProfileSample, Resource, Scope, Span, SpanId, SpanKind, Stack, TraceId};
use pitviper_query::views::{aggregate, complete, facets, search, trace};
use pitviper_store::Store;
use pitviper_store::conformance::metric_of;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_store::schema::{ProfilesBuilder, SpanMetricsBuilder, SpansBuilder, WriteBatch};
use serde_json::{Value, json};

/// 2026-11-21 01:20:00.
const START_S: u64 = 1_795_224_000;
const NOW_US: i64 = (START_S as i64 + 600) * 1_000_000;

/// Traces of a request and a call below it. The calls of the first two ran `parse`, the first one in
/// `Body.parse`; the third was sampled by a profiler that tells spans alone; the fourth by none.
const TRACES: u64 = 4;

fn ids(number: u64, is_call: bool) -> (TraceId, SpanId) {
    (TraceId(u128::from(number).to_be_bytes()), SpanId((number * 10 + u64::from(is_call)).to_be_bytes()))
}

fn resource() -> Resource {
    Resource { attributes: [("service.name", "shop")].into_iter().collect(), ..Resource::default() }
}

fn sample(ids: (TraceId, SpanId), functions: &[&str]) -> ProfileSample {
    let frame = |function: &&str| {
        let (function, file) = ((*function).to_owned(), "shop.py".to_owned());
        Frame { in_app: function != "serve", function, file, line: 7, library: String::new() }
    };
    ProfileSample {
        // A minute after the spans, as profilers tell at the end of a profile.
        time_unix_nano: (START_S + 60) * 1_000_000_000,
        sample_type: "cpu".to_owned(),
        unit: "nanoseconds".to_owned(),
        value: 10_000_000,
        stack: Arc::new(Stack::new(functions.iter().map(frame))),
        trace_id: ids.0,
        span_id: ids.1,
        thread: "main".to_owned(),
        labels: Attributes::default(),
    }
}

async fn store(dir: &tempfile::TempDir) -> Arc<EmbeddedStore> {
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).await.unwrap();
    let (mut rows, mut metrics) = (SpansBuilder::with_capacity(8), SpanMetricsBuilder::new());
    for number in 1..=TRACES {
        for is_call in [false, true] {
            let (trace_id, span_id) = ids(number, is_call);
            let start = (START_S + number) * 1_000_000_000;
            let span = Span {
                trace_id,
                span_id,
                parent_span_id: if is_call { ids(number, false).1 } else { SpanId::INVALID },
                name: if is_call { "call" } else { "GET /" }.to_owned(),
                kind: if is_call { SpanKind::Internal } else { SpanKind::Server },
                start_time_unix_nano: start,
                end_time_unix_nano: start + 5_000_000,
                ..Span::default()
            };
            let (key, red) = metric_of(&span, &resource());
            metrics.append(&key, &red);
            rows.append(&resource(), &Scope::default(), &span);
        }
    }
    let mut profiles = ProfilesBuilder::default();
    let alone = (TraceId::INVALID, ids(3, true).1);
    for sample in [
        sample(ids(1, true), &["Body.parse", "view", "serve"]),
        sample(ids(2, true), &["parse", "view", "serve"]),
        sample(ids(2, false), &["view", "serve"]),
        sample(alone, &["render", "view", "serve"]),
        sample((TraceId::INVALID, SpanId::INVALID), &["parse", "serve"]),
    ] {
        profiles.append(&resource(), &sample);
    }
    store.append(WriteBatch::new(rows, metrics).with_profiles(profiles)).await.unwrap();
    store
}

fn request<T: serde::de::DeserializeOwned>(mut fields: Value) -> T {
    let range = json!({ "from": (START_S * 1_000_000).to_string(), "to": ((START_S + 30) * 1_000_000).to_string() });
    fields.as_object_mut().unwrap().extend(range.as_object().unwrap().clone());
    serde_json::from_value(fields).unwrap()
}

/// The numbers of the spans that a search finds, a call's ending in one.
async fn found(store: &dyn Store, query: &str) -> Vec<u64> {
    let request = request(json!({ "query": query, "mode": "spans", "order": "start" }));
    let answer = search::search(store, &request, NOW_US).await.unwrap();
    assert!(answer.meta.exact && answer.meta.warnings.is_empty(), "{query}: {:?}", answer.meta);
    let number = |row: &search::SearchRow| match row {
        search::SearchRow::Span(span) => u64::from_str_radix(&span.span_id, 16).unwrap(),
        search::SearchRow::Trace(_) => unreachable!("spans were asked for"),
    };
    let mut numbers: Vec<u64> = answer.data.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn functions_lead_to_the_spans_that_ran_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    for flushed in [false, true] {
        if flushed {
            store.flush().await.unwrap();
        }
        for (query, expected) in [
            ("has:profile", vec![11, 20, 21, 31]),
            ("-has:profile", vec![10, 30, 40, 41]),
            ("fn:parse", vec![11, 21]),
            ("fn:Body.parse", vec![11]),
            ("fn:Body.*", vec![11]),
            ("fn:/^(parse|render)$/", vec![21, 31]),
            ("fn:render", vec![31]),
            ("fn:nobody", vec![]),
            ("fn:view -fn:parse", vec![20, 31]),
            ("fn:parse name:call", vec![11, 21]),
            ("fn:view is:root", vec![20]),
            ("{is:root} > {fn:parse}", vec![11, 21]),
            ("{fn:view} > {fn:parse}", vec![21]),
            ("root.has:profile name:call", vec![21]),
            ("service:shop | count(fn:view) > 1", vec![20, 21]),
        ] {
            assert_eq!(found(&*store, query).await, expected, "{query}, flushed: {flushed}");
        }
    }
    let request = request(json!({ "query": "fn:parse", "mode": "traces" }));
    let answer = search::search(&*store, &request, NOW_US).await.unwrap();
    assert_eq!(answer.data.len(), 2);
}

#[tokio::test]
async fn figures_and_facets_are_of_the_sampled_spans() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let asked = request(json!({ "query": "fn:view", "metric": "count", "agg": null, "step": null }));
    let answer = aggregate::aggregate(&*store, &asked, NOW_US).await.unwrap();
    assert!(answer.meta.exact);
    assert_eq!(answer.data.series.len(), 1);
    assert_eq!(answer.data.series[0].total, Some(4.0));
    let asked = request(json!({ "query": "fn:view is:root" }));
    assert_eq!(facets::facets(&*store, &asked, NOW_US).await.unwrap().data.sample, 1);
}

#[tokio::test]
async fn functions_are_completed() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let cache = complete::FacetCache::default();
    for (query, expected) in [("fn:par", vec!["Body.parse", "parse"]), ("fn:se", vec!["serve", "Body.parse", "parse"])]
    {
        let asked = request(json!({ "query": query }));
        let answer = complete::complete(&*store, &cache, &asked, NOW_US).await.unwrap();
        let items: Vec<&str> = answer.data.items.iter().map(|item| item.insert.as_str()).collect();
        assert_eq!(items, expected, "{query}");
    }
}

#[tokio::test]
async fn a_trace_says_which_of_its_spans_were_sampled() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    for (number, expected) in [(1, [false, true]), (2, [true, true]), (3, [false, true]), (4, [false, false])] {
        let answer = trace::trace(&*store, ids(number, false).0, &trace::Request::default()).await.unwrap();
        let flagged: Vec<bool> = answer.data.flags.iter().map(|flags| flags & trace::FLAG_PROFILE != 0).collect();
        assert_eq!(flagged, expected, "{number}");
        assert!(answer.meta.exact);
    }
}
