//! Writing OTLP: the model as the export requests of all signals, protobuf or JSON.
//!
//! For files and for passing telemetry on; the agent writes its own in [`crate::encode`]. What
//! [`crate::decode`] makes of it is what went in.

mod json;
mod protobuf;

pub use json::{logs_to_json, metrics_to_json, traces_to_json};
pub use protobuf::{logs_to_protobuf, metrics_to_protobuf, traces_to_protobuf};

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pitviper_model::{
        Attributes, Event, Exemplar, ExponentialBuckets, ExponentialHistogramPoint, HistogramPoint, Link, LogRecord,
        Metric, MetricKind, MetricPoint, MetricPoints, Number, PointValue, Resource, ResourceLogs, ResourceMetrics,
        ResourceSpans, Scope, ScopeLogs, ScopeMetrics, ScopeSpans, Span, SpanId, SpanKind, Status, StatusCode,
        Temporality, TraceId, Value,
    };
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::decode::{
        logs_from_json, logs_from_protobuf, metrics_from_json, metrics_from_protobuf, traces_from_json,
        traces_from_protobuf,
    };

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<String>().prop_map(Value::String),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_filter("equal to itself", |number| !number.is_nan()).prop_map(Value::Double),
            proptest::collection::vec(any::<u8>(), 0..9).prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                proptest::collection::vec((any::<String>(), inner), 0..3)
                    .prop_map(|pairs| Value::Map(Attributes(pairs))),
            ]
        })
    }

    fn attributes() -> impl Strategy<Value = Attributes> {
        proptest::collection::vec((any::<String>(), value()), 0..4).prop_map(Attributes)
    }

    prop_compose! {
        fn span()(
            ids in any::<([u8; 16], [u8; 8], [u8; 8])>(),
            texts in any::<(String, String, String)>(),
            numbers in any::<(u64, u64, u32, u32, u32, u32, u64)>(),
            kind in 0usize..5,
            status in 0i32..3,
            own in attributes(),
            of_event in attributes(),
            of_link in attributes(),
        ) -> Span {
            Span {
                trace_id: TraceId(ids.0),
                span_id: SpanId(ids.1),
                parent_span_id: SpanId(ids.2),
                trace_state: texts.0.clone(),
                flags: numbers.2,
                name: texts.1,
                kind: SpanKind::ALL[kind],
                start_time_unix_nano: numbers.0,
                end_time_unix_nano: numbers.1,
                attributes: own,
                dropped_attributes_count: numbers.3,
                events: vec![Event {
                    time_unix_nano: numbers.6,
                    name: texts.2.clone(),
                    attributes: of_event,
                    dropped_attributes_count: numbers.4,
                }],
                dropped_events_count: numbers.4,
                links: vec![Link {
                    trace_id: TraceId(ids.0),
                    span_id: SpanId(ids.2),
                    trace_state: texts.0,
                    attributes: of_link,
                    dropped_attributes_count: numbers.5,
                    flags: numbers.2,
                }],
                dropped_links_count: numbers.5,
                status: Status { code: StatusCode::from_otlp(status), message: texts.2 },
            }
        }
    }

    prop_compose! {
        fn record()(
            ids in any::<([u8; 16], [u8; 8])>(),
            times in any::<[u64; 2]>(),
            texts in any::<[String; 2]>(),
            body in option::of(value()),
            severity in 0u8..=24,
            numbers in any::<[u32; 2]>(),
            own in attributes(),
        ) -> LogRecord {
            LogRecord {
                time_unix_nano: times[0],
                observed_time_unix_nano: times[1],
                severity_number: severity,
                severity_text: texts[0].clone(),
                body,
                event_name: texts[1].clone(),
                attributes: own,
                dropped_attributes_count: numbers[0],
                trace_id: TraceId(ids.0),
                span_id: SpanId(ids.1),
                flags: numbers[1],
            }
        }
    }

    fn double() -> impl Strategy<Value = f64> {
        any::<f64>().prop_filter("equal to itself", |number| !number.is_nan())
    }

    fn number() -> impl Strategy<Value = Number> {
        prop_oneof![any::<i64>().prop_map(Number::Int), double().prop_map(Number::Double)]
    }

    fn buckets() -> impl Strategy<Value = ExponentialBuckets> {
        let counts = proptest::collection::vec(any::<u64>(), 0..4);
        (any::<i32>(), counts).prop_map(|(offset, counts)| ExponentialBuckets { offset, counts })
    }

    /// A value that goes with the kind of metric.
    fn point_value(kind: MetricKind) -> BoxedStrategy<PointValue> {
        let figures = || [option::of(double()), option::of(double()), option::of(double())];
        let list = || proptest::collection::vec(any::<u64>(), 0..4);
        match kind {
            MetricKind::Gauge | MetricKind::Sum => number().prop_map(PointValue::Number).boxed(),
            MetricKind::Histogram => (any::<u64>(), figures(), proptest::collection::vec(double(), 0..4), list())
                .prop_map(|(count, [sum, min, max], bounds, counts)| {
                    PointValue::Histogram(HistogramPoint { count, sum, min, max, bounds, counts })
                })
                .boxed(),
            MetricKind::ExponentialHistogram => {
                let zero = (any::<i32>(), any::<u64>(), double());
                (any::<u64>(), figures(), zero, buckets(), buckets())
                    .prop_map(|(count, [sum, min, max], (scale, zero_count, zero_threshold), positive, negative)| {
                        PointValue::ExponentialHistogram(ExponentialHistogramPoint {
                            count,
                            sum,
                            min,
                            max,
                            scale,
                            zero_count,
                            zero_threshold,
                            positive,
                            negative,
                        })
                    })
                    .boxed()
            }
        }
    }

    fn points() -> impl Strategy<Value = MetricPoints> {
        let metric = (any::<[String; 3]>(), 0usize..4, 0i32..3, any::<bool>());
        metric.prop_flat_map(|([name, unit, description], kind, temporality, is_monotonic)| {
            let kind = MetricKind::ALL[kind];
            let exemplar = (any::<u64>(), number(), any::<([u8; 16], [u8; 8])>(), attributes()).prop_map(
                |(time_unix_nano, value, ids, filtered_attributes)| Exemplar {
                    time_unix_nano,
                    value,
                    trace_id: TraceId(ids.0),
                    span_id: SpanId(ids.1),
                    filtered_attributes,
                },
            );
            let exemplars = proptest::collection::vec(exemplar, 0..2);
            let point = (any::<[u64; 2]>(), any::<u32>(), point_value(kind), exemplars, attributes()).prop_map(
                |(times, flags, value, exemplars, own)| {
                    // The lowest flag says that nothing was recorded.
                    let value = if flags & 1 == 0 { value } else { PointValue::Nothing };
                    let [start_time_unix_nano, time_unix_nano] = times;
                    (own, MetricPoint { start_time_unix_nano, time_unix_nano, flags, value, exemplars })
                },
            );
            let metric = Metric {
                name,
                unit,
                description,
                kind,
                // Only where they mean something are they sent.
                temporality: if kind == MetricKind::Gauge {
                    Temporality::Unspecified
                } else {
                    Temporality::from_otlp(temporality)
                },
                is_monotonic: kind == MetricKind::Sum && is_monotonic,
            };
            proptest::collection::vec(point, 0..3)
                .prop_map(move |points| MetricPoints { metric: metric.clone(), points })
        })
    }

    proptest! {
        #[test]
        fn log_records_read_as_they_were(records in proptest::collection::vec(record(), 1..4), of_resource in attributes()) {
            let resource = Resource { attributes: of_resource, dropped_attributes_count: 1, schema_url: "r".into() };
            let scope = Scope { name: "lib".into(), schema_url: "s".into(), ..Scope::default() };
            let scopes = vec![ScopeLogs { scope: Arc::new(scope), records }];
            let batch = vec![ResourceLogs { resource: Arc::new(resource), scopes }];
            prop_assert_eq!(&logs_from_json(logs_to_json(&batch).as_bytes()).unwrap().batch, &batch);
            prop_assert!(!logs_to_json(&batch).contains('\n'), "a request is one line");
            prop_assert_eq!(&logs_from_protobuf(&logs_to_protobuf(&batch)).unwrap().batch, &batch);
        }

        #[test]
        fn points_of_metrics_read_as_they_were(metrics in proptest::collection::vec(points(), 1..4), of_scope in attributes()) {
            let scope = Scope { name: "lib".into(), attributes: of_scope, ..Scope::default() };
            let scopes = vec![ScopeMetrics { scope: Arc::new(scope), metrics }];
            let batch = vec![ResourceMetrics { resource: Arc::default(), scopes }];
            let json = metrics_from_json(metrics_to_json(&batch).as_bytes()).unwrap();
            prop_assert_eq!((&json.batch, json.rejected.len()), (&batch, 0));
            prop_assert!(!metrics_to_json(&batch).contains('\n'), "a request is one line");
            let protobuf = metrics_from_protobuf(&metrics_to_protobuf(&batch)).unwrap();
            prop_assert_eq!((&protobuf.batch, protobuf.rejected.len()), (&batch, 0));
        }

        #[test]
        fn what_is_written_reads_as_it_was(spans in proptest::collection::vec(span(), 1..4), of_resource in attributes(), of_scope in attributes()) {
            let batch = vec![ResourceSpans {
                resource: Arc::new(Resource { attributes: of_resource, dropped_attributes_count: 9, schema_url: "r".into() }),
                scopes: vec![ScopeSpans {
                    scope: Arc::new(Scope { name: "lib".into(), version: "1".into(), attributes: of_scope, schema_url: "s".into() }),
                    spans,
                }],
            }];
            let json = traces_from_json(traces_to_json(&batch).as_bytes()).unwrap();
            prop_assert_eq!(&json.batch, &batch);
            prop_assert!(!traces_to_json(&batch).contains('\n'), "a request is one line");
            let protobuf = traces_from_protobuf(&traces_to_protobuf(&batch)).unwrap();
            prop_assert_eq!(&protobuf.batch, &batch);
            prop_assert!(json.rejected.is_empty() && protobuf.rejected.is_empty());
        }
    }

    #[test]
    fn numbers_json_has_no_form_for_come_back() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let attributes = Attributes(vec![("number".into(), Value::Double(number))]);
            let resource = Arc::new(Resource { attributes, ..Resource::default() });
            let text = traces_to_json(&[ResourceSpans { resource, scopes: Vec::new() }]);
            let back = traces_from_json(text.as_bytes()).unwrap();
            let found = back.batch[0].resource.attributes.get("number").and_then(Value::as_f64).unwrap();
            assert!(found == number || found.is_nan() && number.is_nan(), "{text}");
        }
    }
}
