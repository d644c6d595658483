//! Traces with layouts worked out by hand.

use std::sync::Arc;
use std::time::Instant;

use pitviper_model::{SpanId, SpanKind, StatusCode, TraceId};
use pitviper_store::{Trace, TraceSpan};
use proptest::prelude::*;

use super::{FLAG_CRITICAL, FLAG_ERROR, FLAG_MISSING_PARENT, FLAG_SKEW_CORRECTED, TraceColumns, columns};
use crate::views::services::ServiceKind;

/// 2026-11-21 01:26:07.000123.
const T0: i64 = 1_795_224_367_000_123_000;

fn id(number: u64) -> SpanId {
    SpanId(number.to_be_bytes())
}

/// A span of service `a`; times in nanoseconds after [`T0`], parent 0 for none.
fn span(number: u64, parent: u64, start: i64, duration: u64) -> TraceSpan {
    TraceSpan {
        span_id: id(number),
        parent_span_id: id(parent),
        service: "a".into(),
        name: format!("n{number}").into(),
        kind: SpanKind::Internal,
        status: StatusCode::Unset,
        start_ns: T0 + start,
        duration_ns: duration,
        db_system: None,
        detail: None,
    }
}

fn of(span: TraceSpan, service: &str, kind: SpanKind) -> TraceSpan {
    TraceSpan { service: service.into(), kind, ..span }
}

fn lay_out(spans: Vec<TraceSpan>) -> TraceColumns {
    let total = spans.len();
    columns(TraceId([7; 16]), &Trace { spans, total })
}

/// Numbers of the spans in display order.
fn order(columns: &TraceColumns) -> Vec<u64> {
    columns.id.iter().map(|id| u64::from_be_bytes(id.0.0)).collect()
}

#[test]
fn rows_come_depth_first_and_children_by_start() {
    let trace = lay_out(vec![
        span(1, 0, 0, 100),
        span(3, 1, 50, 40),
        span(2, 1, 10, 30),
        span(5, 3, 60, 10),
        span(4, 2, 15, 5),
        span(6, 99, 5, 10),
    ]);
    assert_eq!(order(&trace), [1, 2, 4, 3, 5, 6]);
    assert_eq!(trace.parent, [-1, 0, 1, 0, 3, -1]);
    assert_eq!(trace.depth, [0, 1, 2, 1, 2, 0]);
    assert_eq!(trace.start, [0, 10, 15, 50, 60, 5]);
    assert_eq!(trace.dur, [100, 30, 5, 40, 10, 10]);
    assert_eq!(trace.self_ns, [30, 25, 5, 30, 10, 10]);
    assert_eq!(trace.flags[5], FLAG_MISSING_PARENT);
    assert_eq!((trace.t0_us, trace.dur_ns, trace.n), (1_795_224_367_000_123, 100, 6));
    let names: Vec<&str> = trace.name.iter().map(|name| &*trace.strings[*name as usize].0).collect();
    assert_eq!(names, ["n1", "n2", "n4", "n3", "n5", "n6"]);
}

#[test]
fn self_time_counts_overlapping_children_once_and_async_ones_up_to_the_end() {
    let trace = lay_out(vec![
        span(1, 0, 0, 100),
        // Together these cover 10 to 60.
        span(2, 1, 10, 30),
        span(3, 1, 20, 40),
        span(4, 1, 25, 5),
        // Runs on after the parent's end: covers 90 to 100.
        span(5, 1, 90, 500),
        // Begins after the parent's end: covers nothing.
        span(6, 1, 200, 50),
    ]);
    assert_eq!(order(&trace), [1, 2, 3, 4, 5, 6]);
    assert_eq!(trace.self_ns, [40, 30, 40, 5, 500, 50]);
    assert_eq!(trace.dur_ns, 590);
}

#[test]
fn the_critical_path_is_what_was_waited_for() {
    let trace = lay_out(vec![
        span(1, 0, 0, 100),
        // Two at once: the one that ended last was waited for, and before it nothing but the root.
        span(2, 1, 10, 30),
        span(3, 1, 15, 35),
        span(4, 3, 20, 10),
        // Not waited for: ends after the root.
        span(5, 1, 60, 500),
        span(6, 1, 70, 20),
    ]);
    assert_eq!(order(&trace), [1, 2, 3, 4, 5, 6]);
    assert_eq!(
        trace.critical,
        [(0, 0, 15), (2, 15, 20), (3, 20, 30), (2, 30, 50), (0, 50, 70), (5, 70, 90), (0, 90, 100)]
    );
    let critical: Vec<bool> = trace.flags.iter().map(|flags| flags & FLAG_CRITICAL != 0).collect();
    assert_eq!(critical, [true, false, true, true, false, true]);
}

#[test]
fn the_other_side_of_a_call_was_waited_for_even_when_it_ends_late() {
    let trace =
        lay_out(vec![of(span(1, 0, 0, 100), "a", SpanKind::Client), of(span(2, 1, 20, 90), "b", SpanKind::Server)]);
    assert_eq!(trace.critical, [(0, 0, 20), (1, 20, 100)]);
    assert_eq!(trace.flags, [FLAG_CRITICAL, FLAG_CRITICAL]);
    assert_eq!(trace.self_ns, [20, 90]);
}

#[test]
fn clocks_of_two_services_are_brought_together() {
    let trace = lay_out(vec![
        of(span(1, 0, 0, 100), "a", SpanKind::Client),
        // Starts 1000 before its parent: moved into the middle, 1020 later, with all below it.
        of(span(2, 1, -1_000, 60), "b", SpanKind::Server),
        of(span(3, 2, -990, 10), "b", SpanKind::Internal),
        // Longer than its parent: moved to its start.
        of(span(4, 1, -7, 300), "c", SpanKind::Consumer),
        // Asynchronous work of another service that starts later: left alone.
        of(span(5, 1, 150, 40), "d", SpanKind::Consumer),
    ]);
    assert_eq!(order(&trace), [1, 4, 2, 3, 5]);
    assert_eq!(trace.start, [0, 0, 20, 30, 150]);
    assert_eq!(trace.t0_us, 1_795_224_367_000_123);
    let corrected: Vec<bool> = trace.flags.iter().map(|flags| flags & FLAG_SKEW_CORRECTED != 0).collect();
    assert_eq!(corrected, [false, true, true, false, false]);
}

#[test]
fn a_late_answer_means_clocks_differ() {
    let trace =
        lay_out(vec![of(span(1, 0, 0, 100), "a", SpanKind::Client), of(span(2, 1, 5_000, 50), "b", SpanKind::Server)]);
    assert_eq!(trace.start, [0, 25]);
    assert_eq!(trace.dur_ns, 100);
}

#[test]
fn circles_are_cut_at_their_earliest_span() {
    let trace =
        lay_out(vec![span(1, 3, 30, 5), span(2, 1, 10, 5), span(3, 2, 20, 5), span(4, 4, 0, 5), span(5, 3, 40, 1)]);
    assert_eq!(order(&trace), [4, 2, 3, 1, 5]);
    assert_eq!(trace.parent, [-1, -1, 1, 2, 2]);
    assert_eq!(trace.flags[0] & FLAG_MISSING_PARENT, FLAG_MISSING_PARENT);
    assert_eq!(trace.flags[1] & FLAG_MISSING_PARENT, FLAG_MISSING_PARENT);
    assert_eq!(trace.flags[2], 0);
}

#[test]
fn the_legend_names_each_service_once() {
    let statement: Arc<str> = "SELECT 1".into();
    let database = TraceSpan { db_system: Some("sqlite".into()), detail: Some(statement), ..span(3, 1, 20, 30) };
    let trace = lay_out(vec![
        of(span(1, 0, 0, 100), "web", SpanKind::Server),
        of(span(2, 1, 0, 10), "web", SpanKind::Internal),
        of(database, "proxy", SpanKind::Client),
        TraceSpan { status: StatusCode::Error, ..of(span(4, 1, 60, 5), "jobs", SpanKind::Consumer) },
        of(span(5, 1, 70, 5), "misc", SpanKind::Client),
    ]);
    let legend: Vec<(&str, ServiceKind, u64)> = trace
        .services
        .iter()
        .map(|entry| (&*trace.strings[entry.name as usize].0, entry.kind, entry.self_ns))
        .collect();
    assert_eq!(
        legend,
        [
            ("web", ServiceKind::Web, 60),
            ("proxy", ServiceKind::Db, 30),
            ("jobs", ServiceKind::Worker, 5),
            ("misc", ServiceKind::Custom, 5)
        ]
    );
    assert_eq!(trace.svc, [0, 0, 1, 2, 3]);
    assert_eq!(trace.desc[0], -1);
    assert_eq!(&*trace.strings[trace.desc[2] as usize].0, "SELECT 1");
    assert_eq!(trace.flags[3] & FLAG_ERROR, FLAG_ERROR);
    assert_eq!(trace.status[3], 2);
    // FNV-1a of "a" is 0xe40c292c.
    assert_eq!(super::legend::color("a"), 0xe40c_292c % 20);
}

#[test]
fn a_cut_trace_says_how_much_there_was() {
    let trace = columns(TraceId([1; 16]), &Trace { spans: vec![span(1, 0, 0, 1)], total: 9 });
    assert_eq!(trace.truncated.map(|truncated| truncated.total), Some(9));
    let json = serde_json::to_value(&trace).unwrap();
    assert_eq!(json["id"][0], "0000000000000001");
    assert_eq!(json["self"][0], 1);
    assert_eq!(json["truncated"]["total"], 9);
    assert_eq!(json["critical"], serde_json::json!([[0, 0, 1]]));
}

#[test]
fn fifty_thousand_spans_in_one_chain_or_flat_are_quick() {
    const SPANS: u64 = 50_000;
    let chain: Vec<_> = (1..=SPANS).map(|n| span(n, n - 1, n as i64, 2 * (SPANS - n) + 1)).collect();
    let flat: Vec<_> =
        (1..=SPANS).map(|n| span(n, u64::from(n > 1), n as i64 * 10, if n == 1 { 1_000_000 } else { 15 })).collect();
    let circle: Vec<_> = (1..=SPANS).map(|n| span(n, n % SPANS + 1, n as i64, 5)).collect();
    for (name, spans) in [("chain", chain), ("flat", flat), ("circle", circle)] {
        let started = Instant::now();
        let trace = lay_out(spans);
        let took = started.elapsed();
        assert_eq!(trace.n, 50_000, "{name}");
        assert_eq!(order(&trace).len(), 50_000, "{name}");
        // A hundred times what it takes, and far below what anything quadratic would.
        assert!(took.as_secs() < 5, "{name} took {took:?}");
        println!("{name}: {took:?}");
    }
}

proptest! {
    #[test]
    fn any_parents_and_times_give_every_span_one_row(
        spans in proptest::collection::vec((0u64..24, -50i64..50, 0u64..60, 0u8..3, 0usize..5), 0..20)
    ) {
        let spans: Vec<TraceSpan> = spans
            .into_iter()
            .enumerate()
            .map(|(index, (parent, start, duration, service, kind))| {
                of(span(index as u64 + 1, parent, start, duration), &service.to_string(), SpanKind::ALL[kind])
            })
            .collect();
        let count = spans.len();
        let trace = lay_out(spans);
        let mut ids = order(&trace);
        ids.sort_unstable();
        prop_assert_eq!(ids, (1..=count as u64).collect::<Vec<_>>());
        for row in 0..count {
            prop_assert!(trace.parent[row] < row as i32, "a parent comes before its children");
            prop_assert!(trace.self_ns[row] <= trace.dur[row]);
            prop_assert!(trace.start[row] + trace.dur[row] <= trace.dur_ns);
            let parent = trace.parent[row];
            prop_assert_eq!(trace.depth[row], if parent < 0 { 0 } else { trace.depth[parent as usize] + 1 });
        }
        // The path has no gap, no overlap, and spans the root from start to end.
        for pair in trace.critical.windows(2) {
            prop_assert_eq!(pair[0].2, pair[1].1);
        }
        for (row, from, to) in &trace.critical {
            prop_assert!(from < to && *row < count as u32);
        }
    }

    #[test]
    fn extreme_times_do_not_overflow(start in any::<i64>(), duration in any::<u64>(), other in any::<i64>()) {
        let mut a = span(1, 0, 0, duration);
        a.start_ns = start;
        let mut b = of(span(2, 1, 0, duration), "b", SpanKind::Server);
        b.start_ns = other;
        prop_assert_eq!(lay_out(vec![a, b]).n, 2);
    }
}
