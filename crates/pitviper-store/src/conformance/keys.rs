//! Keys and kin of the fixture's spans, worked out by hand.

use std::time::Duration;

use pitviper_model::{SpanId, TraceId};

use super::fixture::{SECOND, T0, span, trace};
use crate::filter::{Filter, TextField, TextMatch};
use crate::questions::keys::{Keys, SpanKey};
use crate::questions::kin::{Families, Family, Kin};
use crate::store::{Store, StoreError, TimeRange};

const MS: i64 = 1_000_000;

fn question(filter: Filter) -> Keys {
    let range = TimeRange { start_ns: T0, end_ns: T0 + 20 * SECOND };
    Keys { range, filter, limit: 100, time: Duration::from_secs(60) }
}

fn key(number: u8, trace_number: u8, start_ms: i64, duration_ms: i64) -> SpanKey {
    SpanKey {
        trace_id: trace(trace_number),
        span_id: span(number),
        start_ns: T0 + start_ms * MS,
        duration_ns: (duration_ms * MS).cast_unsigned(),
    }
}

/// Spans that a client sent twice have one key: 2 and 8 are there twice.
pub(super) async fn keys(store: &dyn Store) -> Result<(), StoreError> {
    let found = store.keys(&question(Filter::All)).await?;
    let all = [
        key(1, 1, 1_000, 100),
        key(2, 1, 1_010, 20),
        key(3, 1, 1_050, 40),
        key(4, 2, 2_000, 5),
        key(5, 2, 2_001, 3),
        key(6, 3, 13_000, 1_000),
        key(7, 3, 13_100, 100),
        key(8, 4, 14_000, 100),
    ];
    assert_eq!((found.keys.as_slice(), found.complete), (all.as_slice(), true));
    assert!(found.rows >= 8);

    let shop = Filter::Text(TextField::Service, TextMatch::Equals("shop".to_owned()));
    let found = store.keys(&question(shop.clone())).await?;
    let of_shop = [0, 1, 3, 4, 7].map(|place| all[place]);
    assert_eq!((found.keys.as_slice(), found.complete), (of_shop.as_slice(), true));
    let of_traces = Filter::And(vec![Filter::Traces(vec![trace(4), trace(2), trace(99)]), shop.clone()]);
    let found = store.keys(&question(of_traces)).await?;
    assert_eq!((found.keys, found.complete), (vec![all[3], all[4], all[7]], true));
    let range = TimeRange { start_ns: all[1].start_ns, end_ns: all[3].start_ns };
    let found = store.keys(&Keys { range, ..question(Filter::All) }).await?;
    assert_eq!((found.keys, found.complete), (all[1..3].to_vec(), true));

    // What fits exactly is all, though rows are more; one less is not.
    let found = store.keys(&Keys { limit: 8, ..question(Filter::All) }).await?;
    assert_eq!((found.keys.as_slice(), found.complete), (all.as_slice(), true));
    let found = store.keys(&Keys { limit: 7, ..question(Filter::All) }).await?;
    assert_eq!((found.keys.len(), found.complete), (7, false));
    assert!(found.keys.iter().all(|key| all.contains(key)) && found.keys.is_sorted_by_key(|key| key.trace_id));
    let found = store.keys(&Keys { limit: 0, ..question(Filter::All) }).await?;
    assert!(found.keys.is_empty() && !found.complete && found.rows >= 8);
    let found = store.keys(&Keys { time: Duration::ZERO, ..question(Filter::All) }).await?;
    assert_eq!((found.keys, found.complete), (vec![], false));
    let nothing = Filter::And(vec![shop, Filter::Trace(trace(3))]);
    let found = store.keys(&question(nothing)).await?;
    assert_eq!((found.keys, found.complete), (vec![], true));
    Ok(())
}

pub(super) async fn families(store: &dyn Store) -> Result<(), StoreError> {
    let kin = |key: SpanKey, parent_span_id: SpanId| Kin {
        span_id: key.span_id,
        parent_span_id,
        start_ns: key.start_ns,
        duration_ns: key.duration_ns,
    };
    let first = Family {
        spans: vec![
            kin(key(1, 1, 1_000, 100), SpanId::INVALID),
            kin(key(2, 1, 1_010, 20), span(1)),
            kin(key(3, 1, 1_050, 40), span(1)),
        ],
        total: 3,
    };
    let second =
        Family { spans: vec![kin(key(4, 2, 2_000, 5), SpanId::INVALID), kin(key(5, 2, 2_001, 3), span(4))], total: 2 };
    let ask = async |trace_ids: &[TraceId], limit_per_trace: usize, limit: usize| {
        store.families(&Families { trace_ids: trace_ids.to_vec(), limit_per_trace, limit }).await
    };
    let several = [trace(2), trace(99), trace(1), trace(2)];
    let both = vec![(trace(2), second), (trace(1), first.clone())];
    assert_eq!(ask(&several, 100, 100).await?, Some(both));
    assert_eq!(ask(&several, 100, 3).await?, None);
    // A trace by itself is told whatever its size, but for its own limit.
    assert_eq!(ask(&[trace(1)], 100, 1).await?, Some(vec![(trace(1), first.clone())]));
    let cut = Family { spans: first.spans[..2].to_vec(), total: 3 };
    assert_eq!(ask(&[trace(1)], 2, 100).await?, Some(vec![(trace(1), cut)]));
    assert_eq!(ask(&[trace(99)], 100, 100).await?, Some(vec![]));
    assert_eq!(ask(&[], 100, 100).await?, Some(vec![]));
    Ok(())
}
