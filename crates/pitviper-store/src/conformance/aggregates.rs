//! Aggregates of the fixture's spans, worked out by hand.

use pitviper_model::SpanId;

use super::fixture::{SECOND, T0, span, trace};
use crate::filter::{Filter, TextField, TextMatch};
use crate::questions::aggregate::{
    Aggregate, Aggregated, Exemplar, Exemplars, Group, GroupField, Keep, Measure, Tally,
};
use crate::store::{Store, StoreError, TimeRange};

const MS: f64 = 1e6;

fn question(measure: Measure) -> Aggregate {
    Aggregate {
        range: TimeRange { start_ns: T0, end_ns: T0 + 20 * SECOND },
        step_ns: None,
        filter: Filter::All,
        measure,
        keep: Keep::Values,
        group_by: Vec::new(),
        max_groups: 10,
        exemplars: Exemplars::Greatest,
    }
}

/// A group's labels and steps.
type Shape<'a> = (Vec<Option<&'a str>>, Vec<(usize, u64, u64, f64)>);

/// Number of numbers, failures and sum of each step of each group.
fn shape(answer: &Aggregated) -> Vec<Shape<'_>> {
    let steps = |steps: &[(usize, Tally)]| {
        steps.iter().map(|(step, tally)| (*step, tally.count, tally.errors, tally.sum)).collect()
    };
    fn labels(group: &Group) -> Vec<Option<&str>> {
        group.labels.iter().map(Option::as_deref).collect()
    }
    answer.groups.iter().map(|group| (labels(group), steps(&group.steps))).collect()
}

pub(super) async fn aggregates(store: &dyn Store) -> Result<(), StoreError> {
    durations(store).await?;
    groups_and_steps(store).await?;
    attributes(store).await?;
    spans_per_trace(store).await?;
    bounds(store).await
}

/// Spans that a client sent twice count once: 2 and 8 are there twice.
async fn durations(store: &dyn Store) -> Result<(), StoreError> {
    let answer = store.aggregate(&question(Measure::Duration)).await?;
    assert_eq!((answer.matched, answer.complete, answer.values_are_exact), (8, true, true));
    assert!(answer.scanned >= 8);
    assert_eq!(shape(&answer), vec![(vec![], vec![(0, 8, 2, 1_368.0 * MS)])]);
    let tally = &answer.groups[0].steps[0].1;
    assert_eq!((tally.min, tally.max), (3.0 * MS, 1_000.0 * MS));
    // 3, 5, 20, 40, 100, 100, 100, 1000
    assert_eq!(tally.distribution.quantile(0.5), Some(40.0 * MS));
    assert_eq!(tally.distribution.quantile(0.75), Some(100.0 * MS));
    assert_eq!(tally.distribution.mean_of_largest(0.25), Some(550.0 * MS));
    let slowest = Exemplar { trace_id: trace(3), span_id: span(6), start_ns: T0 + 13 * SECOND, value: 1_000.0 * MS };
    assert_eq!(tally.exemplar, Some(slowest));

    let buckets = Aggregate { keep: Keep::Buckets, ..question(Measure::Duration) };
    let answer = store.aggregate(&buckets).await?;
    let distribution = &answer.groups[0].steps[0].1.distribution;
    assert_eq!((answer.values_are_exact, distribution.count(), distribution.histogram().count()), (false, 8, 8));
    let median = distribution.quantile(0.5).unwrap_or_default();
    assert!((median / (40.0 * MS) - 1.0).abs() < 0.011, "{median}");

    let failed = Aggregate { exemplars: Exemplars::GreatestFailed, ..question(Measure::Duration) };
    let answer = store.aggregate(&failed).await?;
    assert_eq!(answer.groups[0].steps[0].1.exemplar.map(|exemplar| exemplar.span_id), Some(span(8)));
    let nothing = Filter::Text(TextField::Service, TextMatch::Equals("nobody".to_owned()));
    let answer = store.aggregate(&Aggregate { filter: nothing, ..question(Measure::Duration) }).await?;
    assert_eq!((answer.groups, answer.matched, answer.complete), (vec![], 0, true));
    Ok(())
}

async fn groups_and_steps(store: &dyn Store) -> Result<(), StoreError> {
    let by_service = Aggregate {
        step_ns: Some(10 * SECOND),
        group_by: vec![GroupField::Service, GroupField::Environment],
        ..question(Measure::Duration)
    };
    let answer = store.aggregate(&by_service).await?;
    let expect = vec![
        (vec![Some("pay"), Some("staging")], vec![(0, 1, 1, 40.0 * MS), (1, 2, 0, 1_100.0 * MS)]),
        (vec![Some("shop"), Some("prod")], vec![(0, 4, 0, 128.0 * MS), (1, 1, 1, 100.0 * MS)]),
    ];
    assert_eq!(shape(&answer), expect);

    let by_kind = Aggregate { group_by: vec![GroupField::Kind, GroupField::Status], ..by_service.clone() };
    let answer = store.aggregate(&Aggregate { step_ns: None, filter: Filter::IsEntry, ..by_kind }).await?;
    let expect = vec![
        (vec![Some("consumer"), Some("unset")], vec![(0, 1, 0, 1_000.0 * MS)]),
        (vec![Some("server"), Some("error")], vec![(0, 2, 2, 140.0 * MS)]),
        (vec![Some("server"), Some("ok")], vec![(0, 1, 0, 5.0 * MS)]),
        (vec![Some("server"), Some("unset")], vec![(0, 1, 0, 100.0 * MS)]),
    ];
    assert_eq!(shape(&answer), expect);

    // The span's attribute comes before that of its resource; what is neither is a group as well.
    let by_team = Aggregate {
        step_ns: None,
        group_by: vec![GroupField::Attribute("team".to_owned()), GroupField::Version, GroupField::Host],
        ..by_service.clone()
    };
    let answer = store.aggregate(&by_team).await?;
    let expect = vec![
        (vec![None, None, None], vec![(0, 3, 1, 1_140.0 * MS)]),
        (vec![Some("blue"), Some("1.0"), Some("alpha")], vec![(0, 4, 1, 225.0 * MS)]),
        (vec![Some("red"), Some("1.0"), Some("alpha")], vec![(0, 1, 0, 3.0 * MS)]),
    ];
    assert_eq!(shape(&answer), expect);

    let by_status = Aggregate {
        step_ns: None,
        filter: Filter::Exists(TextField::Attribute("http.response.status_code".to_owned())),
        group_by: vec![GroupField::Attribute("http.response.status_code".to_owned()), GroupField::Name],
        ..by_service
    };
    let answer = store.aggregate(&by_status).await?;
    let expect = vec![
        (vec![Some("200"), Some("GET /cart")], vec![(0, 1, 0, 100.0 * MS)]),
        (vec![Some("200"), Some("GET /home")], vec![(0, 1, 0, 5.0 * MS)]),
        (vec![Some("402"), Some("POST /pay")], vec![(0, 1, 1, 40.0 * MS)]),
    ];
    assert_eq!(shape(&answer), expect);
    Ok(())
}

async fn attributes(store: &dyn Store) -> Result<(), StoreError> {
    let answer = store.aggregate(&question(Measure::Attribute("amount".to_owned()))).await?;
    assert_eq!((answer.matched, shape(&answer)), (8, vec![(vec![], vec![(0, 2, 2, 24.5)])]));
    let tally = &answer.groups[0].steps[0].1;
    assert_eq!((tally.min, tally.max, tally.distribution.quantile(0.5)), (12.0, 12.5, Some(12.0)));
    assert_eq!(tally.exemplar.map(|exemplar| (exemplar.span_id, exemplar.value)), Some((span(3), 12.5)));
    // A status that came as text is not a number.
    let answer = store.aggregate(&question(Measure::Attribute("http.response.status_code".to_owned()))).await?;
    assert_eq!(shape(&answer), vec![(vec![], vec![(0, 2, 1, 602.0)])]);
    Ok(())
}

async fn spans_per_trace(store: &dyn Store) -> Result<(), StoreError> {
    let answer = store.aggregate(&question(Measure::SpansPerTrace)).await?;
    // Traces of 3, 2, 2 and 1 spans; the first and the last have a span that failed.
    assert_eq!((answer.matched, shape(&answer)), (8, vec![(vec![], vec![(0, 4, 2, 8.0)])]));
    let tally = &answer.groups[0].steps[0].1;
    assert_eq!((tally.min, tally.max, tally.distribution.quantile(0.5)), (1.0, 3.0, Some(2.0)));
    let most = Exemplar { trace_id: trace(1), span_id: SpanId::INVALID, start_ns: T0 + SECOND, value: 3.0 };
    assert_eq!(tally.exemplar, Some(most));
    let by_service = Aggregate {
        step_ns: Some(10 * SECOND),
        group_by: vec![GroupField::Service],
        ..question(Measure::SpansPerTrace)
    };
    let answer = store.aggregate(&by_service).await?;
    let expect = vec![
        (vec![Some("pay")], vec![(0, 1, 1, 1.0), (1, 1, 0, 2.0)]),
        (vec![Some("shop")], vec![(0, 2, 0, 4.0), (1, 1, 1, 1.0)]),
    ];
    assert_eq!(shape(&answer), expect);
    Ok(())
}

/// Beyond the bound on groups nothing is lost.
async fn bounds(store: &dyn Store) -> Result<(), StoreError> {
    let by_name = Aggregate { group_by: vec![GroupField::Name], max_groups: 3, ..question(Measure::Duration) };
    let answer = store.aggregate(&by_name).await?;
    assert_eq!(answer.groups.len(), 3);
    let (mut count, mut sum) = (0, 0.0);
    let in_groups = answer.groups.iter().flat_map(|group| &group.steps);
    for (_, tally) in in_groups.chain(&answer.rest) {
        count += tally.count;
        sum += tally.sum;
    }
    assert_eq!((count, sum, answer.rest.len(), answer.complete), (8, 1_368.0 * MS, 1, true));
    let field = GroupField::Service;
    let too_many = Aggregate { group_by: vec![field; Aggregate::MAX_FIELDS + 1], ..question(Measure::Duration) };
    assert!(store.aggregate(&too_many).await.is_err());
    Ok(())
}
