//! What the views make of several questions to the store: a search for related spans, facets, and
//! what is offered while somebody types.

use std::time::Instant;

use anyhow::ensure;
use pitviper_query::views::complete::FacetCache;
use pitviper_query::views::{aggregate, complete, facets, heatmap, search};
use pitviper_store::{Store, TimeRange};
use serde_json::{Value, json};

use super::{Data, REPEATS, Timed, summary};

pub(super) async fn ask(store: &dyn Store, data: &Data) -> anyhow::Result<Vec<Timed>> {
    let mut timed = related(store, data).await?;
    timed.extend(figures(store, data).await?);
    timed.push(facets_of_an_hour(store, data).await?);
    timed.extend(completions(store, data).await?);
    Ok(timed)
}

fn over(range: TimeRange, mut request: Value) -> Value {
    request["from"] = json!((range.start_ns / 1_000).to_string());
    request["to"] = json!((range.end_ns / 1_000).to_string());
    request
}

fn now_us(data: &Data) -> i64 {
    data.all().end_ns / 1_000
}

async fn related(store: &dyn Store, data: &Data) -> anyhow::Result<Vec<Timed>> {
    let mut timed = Vec::new();
    for (question, range, query) in [
        (
            "a slow statement below a service, last hour",
            data.hour(),
            "{service:accounts} >> {db.system.name:postgresql duration:>500ms}",
        ),
        ("a call below a rare user, all of the time", data.all(), "{user.id:user-150000} >> {kind:client}"),
        ("traces with many statements, last hour", data.hour(), "service:web | count(db.system.name:postgresql) > 20"),
    ] {
        let request: search::Request = serde_json::from_value(over(range, json!({ "query": query })))?;
        let mut times = Vec::new();
        for _ in 0..REPEATS {
            let began = Instant::now();
            let answer = search::search(store, &request, now_us(data)).await?;
            times.push(began.elapsed());
            ensure!(range != data.hour() || !answer.data.is_empty(), "{question}: no answer");
        }
        timed.push(summary(question, times));
    }
    Ok(timed)
}

async fn figures(store: &dyn Store, data: &Data) -> anyhow::Result<Vec<Timed>> {
    let mut timed = Vec::new();
    for (question, range, request) in [
        ("heatmap of a service, last hour", data.hour(), json!({ "query": "service:accounts" })),
        ("heatmap of a service, all of the time", data.all(), json!({ "query": "service:accounts" })),
        ("heatmap of what an attribute chooses, last hour", data.hour(), json!({ "query": "db.system.name:redis" })),
    ] {
        let request: heatmap::Request = serde_json::from_value(over(range, request))?;
        let mut times = Vec::new();
        for _ in 0..REPEATS {
            let began = Instant::now();
            let answer = heatmap::heatmap(store, &request, now_us(data)).await?;
            times.push(began.elapsed());
            ensure!(answer.data.counts.iter().sum::<u64>() > 0, "{question}: no answer");
        }
        timed.push(summary(question, times));
    }
    let question = "p95 of a service by route, last hour";
    let request =
        json!({ "metric": "response_time", "agg": "p95", "split": ["http.route"], "query": "service:accounts" });
    let request: aggregate::Request = serde_json::from_value(over(data.hour(), request))?;
    let mut times = Vec::new();
    for _ in 0..REPEATS {
        let began = Instant::now();
        let answer = aggregate::aggregate(store, &request, now_us(data)).await?;
        times.push(began.elapsed());
        ensure!(!answer.data.series.is_empty(), "{question}: no answer");
    }
    timed.push(summary(question, times));
    Ok(timed)
}

async fn facets_of_an_hour(store: &dyn Store, data: &Data) -> anyhow::Result<Timed> {
    let request: facets::Request = serde_json::from_value(over(data.hour(), json!({ "query": "service:accounts" })))?;
    let mut times = Vec::new();
    for _ in 0..REPEATS {
        let began = Instant::now();
        let answer = facets::facets(store, &request, now_us(data)).await?;
        times.push(began.elapsed());
        ensure!(!answer.data.keys.is_empty(), "no facets");
    }
    Ok(summary("facets of a service, last hour", times))
}

/// Keystrokes, each the first of its kind: nothing is remembered from the one before.
async fn completions(store: &dyn Store, data: &Data) -> anyhow::Result<Vec<Timed>> {
    let mut timed = Vec::new();
    for (question, query) in [
        ("completion: a key", "ht"),
        ("completion: a key beside a service", "service:accounts ht"),
        ("completion: values of a key", "db.system.name:"),
        ("completion: values beside an attribute", "user.id:user-150000 http.route:"),
        ("completion: a value by its beginning", "user.id:user-1500"),
    ] {
        let request = json!({ "query": query });
        let request: complete::Request = serde_json::from_value(over(data.hour(), request))?;
        let mut times = Vec::new();
        for _ in 0..REPEATS {
            let cache = FacetCache::default();
            let began = Instant::now();
            let answer = complete::complete(store, &cache, &request, now_us(data)).await?;
            times.push(began.elapsed());
            ensure!(question.ends_with("attribute") || !answer.data.items.is_empty(), "{question}: nothing is offered");
        }
        timed.push(summary(question, times));
    }
    Ok(timed)
}
