//! Measures the embedded store by itself: `cargo run --release -p pitviper-store --example measure`.
//!
//! A million spans, eight to a trace, with the attributes of a small web shop: rows, log, flush,
//! size on disk and lookups, on an empty directory below the system's temporary one.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use pitviper_model::{Attributes, Resource, Scope, Span, SpanId, SpanKind, TraceId};
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_store::filter::{Filter, TextField, TextMatch};
use pitviper_store::schema::{SpanMetricsBuilder, SpansBuilder, WriteBatch};
use pitviper_store::{Order, Search, Store, StoreError, TimeRange};

const SPANS: u64 = 1_000_000;
const SPANS_A_TRACE: u64 = 8;
const SPANS_A_WRITE: u64 = 500;
const CLIENTS: u64 = 16;
const START_NS: u64 = 1_700_000_000_000_000_000;
const LOOKUPS: u64 = 200;

/// A small generator with good bits, so that ids look like real ones.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn trace_id(trace: u64) -> TraceId {
    TraceId((u128::from(mix(trace)) << 64 | u128::from(mix(!trace))).to_be_bytes())
}

fn span(number: u64) -> Span {
    let trace = number / SPANS_A_TRACE;
    let place = number % SPANS_A_TRACE;
    let random = mix(number.wrapping_mul(31));
    let id = |number: u64| SpanId(mix(number ^ 0x5555).to_be_bytes());
    let mut attributes = Attributes::default();
    let route = mix(trace) % 40;
    let (name, kind) = match place {
        0 => {
            attributes.set("http.request.method", "GET");
            attributes.set("http.route", format!("/shop/{route}/<id>"));
            attributes.set("url.path", format!("/shop/{route}/{}", random % 1_000_000));
            attributes.set("http.response.status_code", 200);
            attributes.set("user.id", format!("user-{}", random % 50_000));
            attributes.set("client.address", format!("10.0.{}.{}", random % 256, random / 256 % 256));
            (format!("GET /shop/{route}/<id>"), SpanKind::Server)
        }
        1..=5 => {
            attributes.set("db.system.name", "postgresql");
            attributes.set("db.query.text", format!("SELECT * FROM item_{place} WHERE shop_id = ? AND id = ?"));
            attributes.set("db.response.returned_rows", i64::try_from(random % 100).unwrap_or_default());
            (format!("SELECT item_{place}"), SpanKind::Client)
        }
        _ => {
            attributes.set("template.name", format!("page_{place}.html"));
            ("render".to_owned(), SpanKind::Internal)
        }
    };
    let start = START_NS + trace * 1_000_000 + place * 10_000;
    Span {
        trace_id: trace_id(trace),
        span_id: id(number),
        parent_span_id: if place == 0 { SpanId::INVALID } else { id(number - place) },
        name,
        kind,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 10_000 + random % 50_000_000,
        attributes,
        flags: 1,
        ..Span::default()
    }
}

fn write(number: u64) -> (Duration, WriteBatch) {
    let mut resource = Resource::default();
    resource.attributes.set("service.name", format!("service-{}", number % 20));
    resource.attributes.set("service.version", "1.2.3");
    resource.attributes.set("deployment.environment.name", "prod");
    resource.attributes.set("host.name", "host-1");
    resource.attributes.set("process.pid", 4711);
    let scope = Scope { name: "shop".to_owned(), version: "1".to_owned(), ..Scope::default() };
    let spans: Vec<Span> = (number * SPANS_A_WRITE..(number + 1) * SPANS_A_WRITE).map(span).collect();
    let began = Instant::now();
    let mut builder = SpansBuilder::with_capacity(spans.len());
    for span in &spans {
        builder.append(&resource, &scope, span);
    }
    let batch = WriteBatch::new(builder, SpanMetricsBuilder::new());
    (began.elapsed(), batch)
}

async fn append(store: &EmbeddedStore, batch: &WriteBatch) -> Result<(), StoreError> {
    loop {
        match store.append(batch.clone()).await {
            Err(StoreError::Busy { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
            other => return other.map(|_| ()),
        }
    }
}

async fn lookups(store: &EmbeddedStore, when: &str) -> Result<(), StoreError> {
    let mut times = Vec::new();
    for lookup in 0..LOOKUPS {
        let trace = mix(lookup) % (SPANS / SPANS_A_TRACE);
        let began = Instant::now();
        assert_eq!(store.trace(trace_id(trace), 100).await?.total as u64, SPANS_A_TRACE);
        times.push(began.elapsed());
    }
    times.sort_unstable();
    let at = |share: usize| times[times.len() * share / 100].as_secs_f64() * 1e3;
    println!("trace by id, {when}: p50 {:.2} ms, p95 {:.2} ms", at(50), at(95));
    Ok(())
}

async fn searches(store: &EmbeddedStore) -> Result<(), StoreError> {
    let equals = |field, text: &str| Filter::Text(field, TextMatch::Equals(text.to_owned()));
    let user = || equals(TextField::Attribute("user.id".to_owned()), "user-4242");
    let service = || equals(TextField::Service, "service-7");
    for (what, filter, order) in [
        ("newest 50 of all", Filter::All, Order::NewestFirst),
        ("newest 50 of a service", service(), Order::NewestFirst),
        ("slowest 50 of a service", service(), Order::SlowestFirst),
        ("attribute", user(), Order::NewestFirst),
        ("attribute and service", Filter::And(vec![service(), user()]), Order::NewestFirst),
        ("full text", Filter::FullText("item_3".to_owned()), Order::NewestFirst),
    ] {
        let search = Search { range: TimeRange::ALL, filter, order, limit: 50, after: None };
        store.search_spans(&search).await?;
        let began = Instant::now();
        let spans = store.search_spans(&search).await?.len();
        let spans_time = began.elapsed();
        let began = Instant::now();
        let traces = store.search_traces(&search).await?.len();
        println!("search {what}: {spans} spans in {spans_time:.1?}, {traces} traces in {:.1?}", began.elapsed());
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let config = EmbeddedConfig { flush_after_ms: 3_600_000, ..EmbeddedConfig::new(dir.path()) };
    let store = EmbeddedStore::open(config).await?;
    let mut building = Duration::ZERO;
    let mut batches = Vec::new();
    for number in 0..SPANS / SPANS_A_WRITE {
        let (time, batch) = write(number);
        building += time;
        batches.push(batch);
    }
    println!("rows: {} ns a span", building.as_nanos() as u64 / SPANS);
    let batches = Arc::new(batches);
    let began = Instant::now();
    let clients = (0..CLIENTS).map(|client| {
        let (store, batches) = (Arc::clone(&store), Arc::clone(&batches));
        tokio::spawn(async move {
            for batch in batches.iter().skip(client as usize).step_by(CLIENTS as usize) {
                append(&store, batch).await?;
            }
            Ok::<(), StoreError>(())
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await??;
    }
    let stats = store.stats();
    println!(
        "append with fsync and flushes beside it: {:.0} spans/s, {} syncs, {} flushes, {} refusals, hot {} B a span",
        SPANS as f64 / began.elapsed().as_secs_f64(),
        stats.wal_syncs,
        stats.flushes,
        stats.busy_rejections,
        stats.hot_bytes / stats.hot_spans.max(1),
    );
    lookups(&store, "hot and segments").await?;
    let hot = store.stats().hot_spans;
    let began = Instant::now();
    store.flush().await?;
    let flushed = hot.max(1);
    println!("flush: {} ns a span for {hot} spans", began.elapsed().as_nanos() as u64 / flushed);
    let stats = store.stats();
    println!("disk: {} B a span in {} segments", stats.segment_bytes / stats.spans, stats.segments);
    lookups(&store, "segments").await?;
    searches(&store).await?;
    let began = Instant::now();
    store.resources(TimeRange::ALL).await?;
    let first = began.elapsed();
    let began = Instant::now();
    store.resources(TimeRange::ALL).await?;
    println!("resources: {first:.1?} first, {:.1?} then", began.elapsed());
    store.close().await?;
    Ok(())
}
