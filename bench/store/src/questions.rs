//! The questions people ask, each with a check of its answer where the generator knows it.

mod views;

use std::time::{Duration, Instant};

use anyhow::ensure;
use pitviper_model::TraceId;
use pitviper_store::filter::{Filter, TextField, TextMatch};
use pitviper_store::{Dimension, MetricsQuery, Order, Search, SpanScope, Store, TimeRange};

use crate::generate::{self, Dice, GIANT_EVERY, GIANT_SPANS, ORDER_EVERY, Plan};
use crate::load::start_of;

const MINUTE_NS: i64 = 60 * 1_000_000_000;
const HOUR_NS: i64 = 60 * MINUTE_NS;
const LOOKUPS: u64 = 200;
const REPEATS: usize = 15;

/// How long a question took.
#[derive(Debug)]
pub(crate) struct Timed {
    pub(crate) question: &'static str,
    pub(crate) first: Duration,
    pub(crate) p50: Duration,
    pub(crate) p95: Duration,
}

/// The data that is asked about.
pub(crate) struct Data {
    pub(crate) plan: Plan,
    pub(crate) traces: u64,
}

impl Data {
    fn all(&self) -> TimeRange {
        let start_ns = self.plan.start_ns as i64;
        TimeRange { start_ns, end_ns: start_ns + self.plan.span_of_time_ns as i64 }
    }

    /// The last hour, as dashboards ask for it.
    fn hour(&self) -> TimeRange {
        let end_ns = self.all().end_ns;
        TimeRange { start_ns: end_ns - HOUR_NS, end_ns }
    }

    fn start_of(&self, trace: u64) -> i64 {
        start_of(self.plan, self.traces, trace) as i64
    }
}

/// Asks everything, or one part of it.
pub(crate) async fn ask(store: &dyn Store, data: &Data, only: Option<&str>) -> anyhow::Result<Vec<Timed>> {
    let is_wanted = |part: &str| only.is_none_or(|only| only == part);
    let mut timed = Vec::new();
    if is_wanted("traces") {
        timed.extend(lookups(store, data).await?);
    }
    if is_wanted("metrics") {
        timed.extend(metrics(store, data).await?);
    }
    if is_wanted("searches") {
        timed.extend(searches(store, data).await?);
    }
    if is_wanted("views") {
        timed.extend(views::ask(store, data).await?);
    }
    Ok(timed)
}

/// One of the questions that are asked while spans are loaded, about the hour before an end.
pub(crate) async fn beside(store: &dyn Store, question: usize, end_ns: i64, trace: u64) -> anyhow::Result<()> {
    let range = TimeRange { start_ns: end_ns - HOUR_NS, end_ns };
    match question {
        0 => drop(store.metrics(&red(range, None, None, &[Dimension::Service])).await?),
        1 => {
            let filter = Filter::Text(TextField::Service, TextMatch::Equals(generate::service(3)));
            let search = Search { range, filter, order: Order::NewestFirst, limit: 50, after: None };
            drop(store.search_spans(&search).await?);
        }
        _ => {
            let found = store.trace(generate::trace_id(trace), 100_000).await?.total as u64;
            ensure!(found == generate::size(trace), "trace {trace} has {found} spans");
        }
    }
    Ok(())
}

/// Looks up random traces: hits and misses.
pub(crate) async fn lookups(store: &dyn Store, data: &Data) -> anyhow::Result<Vec<Timed>> {
    let mut timed = Vec::new();
    for question in ["a trace by its id", "the same traces again"] {
        let mut dice = Dice::new(7);
        let mut times = Vec::new();
        for _ in 0..LOOKUPS {
            let trace = dice.draw() % data.traces;
            let began = Instant::now();
            let found = store.trace(generate::trace_id(trace), 100_000).await?.total as u64;
            times.push(began.elapsed());
            ensure!(found == generate::size(trace), "trace {trace} has {found} spans");
        }
        timed.push(summary(question, times));
    }
    let mut dice = Dice::new(8);
    let mut times = Vec::new();
    for _ in 0..LOOKUPS {
        let began = Instant::now();
        let found = store.trace(TraceId(u128::from(dice.draw()).to_be_bytes()), 100).await?.total;
        times.push(began.elapsed());
        ensure!(found == 0, "an unknown trace has spans");
    }
    timed.push(summary("an unknown trace", times));
    let giant = GIANT_EVERY / 2;
    if giant < data.traces {
        let mut times = Vec::new();
        for _ in 0..5 {
            let began = Instant::now();
            let found = store.trace(generate::trace_id(giant), 100_000).await?.total as u64;
            times.push(began.elapsed());
            ensure!(found == GIANT_SPANS, "the giant has {found} spans");
        }
        timed.push(summary("a trace of 50,000 spans", times));
    }
    Ok(timed)
}

fn red(range: TimeRange, step_ns: Option<i64>, service: Option<String>, group_by: &[Dimension]) -> MetricsQuery {
    MetricsQuery {
        range,
        step_ns,
        service,
        environment: None,
        name: None,
        kind: None,
        scope: SpanScope::Entry,
        group_by: group_by.to_vec(),
    }
}

async fn metrics(store: &dyn Store, data: &Data) -> anyhow::Result<Vec<Timed>> {
    let service = || Some(generate::service(3));
    let mut timed = Vec::new();
    for (question, query) in [
        ("all services, last hour", red(data.hour(), None, None, &[Dimension::Service])),
        ("all services, all of the time", red(data.all(), None, None, &[Dimension::Service])),
        ("a service by minute, last hour", red(data.hour(), Some(MINUTE_NS), service(), &[])),
        ("a service by half hour, all of the time", red(data.all(), Some(30 * MINUTE_NS), service(), &[])),
        ("operations of a service, last hour", red(data.hour(), None, service(), &[Dimension::Name])),
        ("operations of a service, all of the time", red(data.all(), None, service(), &[Dimension::Name])),
    ] {
        let mut times = Vec::new();
        for _ in 0..REPEATS {
            let began = Instant::now();
            let rows = store.metrics(&query).await?;
            times.push(began.elapsed());
            ensure!(!rows.is_empty(), "{question}: no answer");
        }
        timed.push(summary(question, times));
    }
    Ok(timed)
}

async fn searches(store: &dyn Store, data: &Data) -> anyhow::Result<Vec<Timed>> {
    let attribute =
        |key: &str, value: String| Filter::Text(TextField::Attribute(key.to_owned()), TextMatch::Equals(value));
    let service = |number| Filter::Text(TextField::Service, TextMatch::Equals(generate::service(number)));
    let order = data.traces / 2 / ORDER_EVERY * ORDER_EVERY;
    let rare_user = generate::user(150_000);
    let mut timed = Vec::new();
    for (question, range, filter, ordering, expected) in [
        ("newest 50 spans", data.all(), Filter::All, Order::NewestFirst, Some(50)),
        ("newest 50 of a service", data.all(), service(3), Order::NewestFirst, Some(50)),
        ("slowest 50 of a service, last hour", data.hour(), service(3), Order::SlowestFirst, Some(50)),
        ("slowest 50 of a service, all of the time", data.all(), service(3), Order::SlowestFirst, Some(50)),
        ("slowest 50 spans, all of the time", data.all(), Filter::All, Order::SlowestFirst, Some(50)),
        (
            "an order id that stands in one trace",
            data.all(),
            attribute("order.id", generate::order(order)),
            Order::NewestFirst,
            Some(1),
        ),
        ("a rare user", data.all(), attribute("user.id", rare_user.clone()), Order::NewestFirst, None),
        (
            "a rare user in a service",
            data.all(),
            Filter::And(vec![service(0), attribute("user.id", rare_user)]),
            Order::NewestFirst,
            None,
        ),
        (
            "a word in any text, last hour",
            data.hour(),
            Filter::FullText("deadlock".to_owned()),
            Order::NewestFirst,
            None,
        ),
        (
            "a word that stands nowhere, all of the time",
            data.all(),
            Filter::FullText("xyzzy".to_owned()),
            Order::NewestFirst,
            Some(0),
        ),
    ] {
        let search = Search { range, filter, order: ordering, limit: 50, after: None };
        let mut times = Vec::new();
        for _ in 0..REPEATS {
            let began = Instant::now();
            let found = store.search_spans(&search).await?.len();
            times.push(began.elapsed());
            ensure!(expected.is_none_or(|expected| expected == found), "{question}: {found} spans");
            if times.iter().sum::<Duration>() > Duration::from_secs(20) {
                break;
            }
        }
        timed.push(summary(question, times));
    }
    ensure!(data.start_of(order) >= data.all().start_ns, "the order lies in the data");
    Ok(timed)
}

/// Orders times.
pub(crate) fn summary(question: &'static str, mut times: Vec<Duration>) -> Timed {
    let first = times[0];
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    Timed { question, first, p50: at(50), p95: at(95) }
}
