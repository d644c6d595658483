//! Metrics and logs: what either form says, once as protobuf and once as JSON, is the same in the model.
#![cfg(feature = "decode")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::metrics::v1::{exemplar, metric::Data, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use pitviper_model::{
    Attributes, ExponentialHistogramPoint, HistogramPoint, LogRecord, Metric, MetricKind, MetricPoint, Number,
    PointValue, RejectReason, Signal, SpanId, Temporality, TraceId, Value,
};
use pitviper_wire::decode::{
    logs_from_json, logs_from_protobuf, metrics_from_json, metrics_from_protobuf, protobuf_cost,
};
use prost::Message as _;

const TRACE: &str = "5b8efff798038103d269b633813fc60c";
const SPAN: &str = "eee19b7ec3c1b174";

fn text(text: &str) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(text.into())) }
}

fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.into(), value: Some(text(value)), ..KeyValue::default() }
}

fn service() -> Option<Resource> {
    Some(Resource { attributes: vec![pair("service.name", "shop")], ..Resource::default() })
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope { name: "lib".into(), version: "1".into(), ..InstrumentationScope::default() })
}

fn request(metrics: Vec<metrics::Metric>) -> Vec<u8> {
    let scope_metrics = vec![metrics::ScopeMetrics { scope: scope(), metrics, schema_url: "of/scope".into() }];
    let resource_metrics =
        vec![metrics::ResourceMetrics { resource: service(), scope_metrics, schema_url: "of/resource".into() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

fn metric(name: &str, data: Data) -> metrics::Metric {
    metrics::Metric {
        name: name.into(),
        unit: "ms".into(),
        description: "d".into(),
        data: Some(data),
        metadata: vec![],
    }
}

fn every_kind() -> Vec<metrics::Metric> {
    let exemplar = metrics::Exemplar {
        filtered_attributes: vec![pair("user", "ada")],
        time_unix_nano: 8,
        trace_id: TRACE.parse::<TraceId>().unwrap().0.into(),
        span_id: SPAN.parse::<SpanId>().unwrap().0.into(),
        value: Some(exemplar::Value::AsDouble(0.5)),
    };
    let without_value = metrics::Exemplar { value: None, ..exemplar.clone() };
    let number = metrics::NumberDataPoint {
        attributes: vec![pair("a", "b")],
        start_time_unix_nano: 5,
        time_unix_nano: 9,
        exemplars: vec![exemplar, without_value],
        flags: 0,
        value: Some(number_data_point::Value::AsInt(-7)),
    };
    let nothing = metrics::NumberDataPoint { flags: 1, exemplars: vec![], ..number.clone() };
    let no_value = metrics::NumberDataPoint { value: None, ..number.clone() };
    let histogram = metrics::HistogramDataPoint {
        time_unix_nano: 9,
        count: 6,
        sum: Some(4.5),
        min: Some(0.25),
        max: None,
        explicit_bounds: vec![1.0, 2.5],
        bucket_counts: vec![1, 2, 3],
        ..metrics::HistogramDataPoint::default()
    };
    let buckets = |offset| metrics::exponential_histogram_data_point::Buckets { offset, bucket_counts: vec![4, 0, 1] };
    let exponential = metrics::ExponentialHistogramDataPoint {
        time_unix_nano: 9,
        count: 13,
        scale: 3,
        zero_count: 3,
        zero_threshold: 1e-6,
        positive: Some(buckets(-2)),
        negative: Some(buckets(7)),
        ..metrics::ExponentialHistogramDataPoint::default()
    };
    let summary = metrics::SummaryDataPoint {
        attributes: vec![pair("a", "b")],
        start_time_unix_nano: 5,
        time_unix_nano: 9,
        count: 10,
        sum: 2.5,
        quantile_values: vec![
            metrics::summary_data_point::ValueAtQuantile { quantile: 0.5, value: 0.2 },
            metrics::summary_data_point::ValueAtQuantile { quantile: 0.99, value: 0.9 },
        ],
        flags: 0,
    };
    let sum = |aggregation_temporality, is_monotonic| {
        Data::Sum(metrics::Sum { data_points: vec![number.clone()], aggregation_temporality, is_monotonic })
    };
    vec![
        metric("gauge", Data::Gauge(metrics::Gauge { data_points: vec![number.clone(), nothing, no_value] })),
        metric("delta", sum(1, true)),
        metric("cumulative", sum(2, false)),
        metric(
            "histogram",
            Data::Histogram(metrics::Histogram { data_points: vec![histogram], aggregation_temporality: 1 }),
        ),
        metric(
            "exponential",
            Data::ExponentialHistogram(metrics::ExponentialHistogram {
                data_points: vec![exponential],
                aggregation_temporality: 2,
            }),
        ),
        metric("summary", Data::Summary(metrics::Summary { data_points: vec![summary] })),
        metrics::Metric { name: "later".into(), ..metrics::Metric::default() },
    ]
}

const EVERY_KIND: &str = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
"schemaUrl":"of/resource","scopeMetrics":[{"scope":{"name":"lib","version":"1"},"schemaUrl":"of/scope","metrics":[
{"name":"gauge","unit":"ms","description":"d","gauge":{"dataPoints":[
  {"attributes":[{"key":"a","value":{"stringValue":"b"}}],"startTimeUnixNano":"5","timeUnixNano":"9","asInt":"-7",
   "exemplars":[{"filteredAttributes":[{"key":"user","value":{"stringValue":"ada"}}],"timeUnixNano":8,"asDouble":0.5,
     "traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174"},{"timeUnixNano":8}]},
  {"attributes":[{"key":"a","value":{"stringValue":"b"}}],"startTimeUnixNano":"5","timeUnixNano":"9","asInt":-7,"flags":1},
  {"timeUnixNano":"9"}]}},
{"name":"delta","unit":"ms","description":"d","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[
  {"attributes":[{"key":"a","value":{"stringValue":"b"}}],"startTimeUnixNano":"5","timeUnixNano":"9","asInt":"-7",
   "exemplars":[{"filteredAttributes":[{"key":"user","value":{"stringValue":"ada"}}],"timeUnixNano":8,"asDouble":0.5,
     "traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174"}]}]}},
{"name":"cumulative","unit":"ms","description":"d","sum":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE","dataPoints":[
  {"attributes":[{"key":"a","value":{"stringValue":"b"}}],"startTimeUnixNano":"5","timeUnixNano":"9","asInt":"-7",
   "exemplars":[{"filteredAttributes":[{"key":"user","value":{"stringValue":"ada"}}],"timeUnixNano":8,"asDouble":0.5,
     "traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174"}]}]}},
{"name":"histogram","unit":"ms","description":"d","histogram":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA","dataPoints":[
  {"timeUnixNano":"9","count":"6","sum":4.5,"min":0.25,"max":null,"explicitBounds":[1,"2.5"],"bucketCounts":["1",2,"3"]}]}},
{"name":"exponential","unit":"ms","description":"d","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[
  {"timeUnixNano":"9","count":13,"scale":3,"zeroCount":"3","zeroThreshold":1e-6,
   "positive":{"offset":-2,"bucketCounts":[4,"0",1]},"negative":{"offset":7,"bucketCounts":["4","0","1"]}}]}},
{"name":"summary","unit":"ms","description":"d","summary":{"dataPoints":[
  {"attributes":[{"key":"a","value":{"stringValue":"b"}}],"startTimeUnixNano":"5","timeUnixNano":"9","count":"10","sum":2.5,
   "quantileValues":[{"quantile":0.5,"value":0.2},{"quantile":0.99,"value":0.9}]}]}},
{"name":"later","newKind":{}}]}]}]}"#;

#[test]
fn every_kind_of_metric_is_read() {
    let decoded = metrics_from_protobuf(&request(every_kind())).unwrap();
    assert_eq!(metrics_from_json(EVERY_KIND.as_bytes()).unwrap(), decoded);
    assert_eq!(decoded.rejected, [RejectReason::InvalidPoint, RejectReason::UnknownMetricKind]);
    let of = &decoded.batch[0];
    assert_eq!((of.resource.service(), of.resource.schema_url.as_str()), ("shop", "of/resource"));
    let scope = &of.scopes[0].scope;
    assert_eq!((scope.name.as_str(), scope.version.as_str(), scope.schema_url.as_str()), ("lib", "1", "of/scope"));
    assert_eq!(of.point_count(), 2 + 1 + 1 + 1 + 1 + 4);

    let found = |name: &str| of.scopes[0].metrics.iter().find(|found| found.metric.name == name).unwrap();
    let metric = |name: &str, kind, temporality, is_monotonic| Metric {
        name: name.into(),
        unit: "ms".into(),
        description: "d".into(),
        kind,
        temporality,
        is_monotonic,
    };
    use MetricKind::{ExponentialHistogram, Gauge, Histogram, Sum};
    use Temporality::{Cumulative, Delta, Unspecified};
    for expected in [
        metric("gauge", Gauge, Unspecified, false),
        metric("delta", Sum, Delta, true),
        metric("cumulative", Sum, Cumulative, false),
        metric("histogram", Histogram, Delta, false),
        metric("exponential", ExponentialHistogram, Cumulative, false),
        metric("summary", Gauge, Unspecified, false),
        Metric { unit: "1".into(), ..metric("summary_count", Sum, Cumulative, true) },
        metric("summary_sum", Sum, Cumulative, true),
    ] {
        assert_eq!(found(&expected.name).metric, expected);
    }
    let attributes: Attributes = [("a", "b")].into_iter().collect();
    let (of_point, point) = &found("gauge").points[0];
    assert_eq!((of_point, point.start_time_unix_nano, point.time_unix_nano), (&attributes, 5, 9));
    assert_eq!(point.value, PointValue::Number(Number::Int(-7)));
    assert_eq!(point.exemplars.len(), 1, "one without a value says nothing");
    let exemplar = &point.exemplars[0];
    assert_eq!((exemplar.trace_id.to_string(), exemplar.span_id.to_string()), (TRACE.into(), SPAN.into()));
    assert_eq!((exemplar.time_unix_nano, exemplar.value), (8, Number::Double(0.5)));
    assert_eq!(exemplar.filtered_attributes.get_str("user"), Some("ada"));
    assert_eq!(found("gauge").points[1].1.value, PointValue::Nothing, "whatever else it holds");
}

#[test]
fn distributions_are_read_whole() {
    let decoded = metrics_from_protobuf(&request(every_kind())).unwrap();
    let metrics = &decoded.batch[0].scopes[0].metrics;
    let points = |name: &str| &metrics.iter().find(|found| found.metric.name == name).unwrap().points;
    let histogram = HistogramPoint {
        count: 6,
        sum: Some(4.5),
        min: Some(0.25),
        max: None,
        bounds: vec![1.0, 2.5],
        counts: vec![1, 2, 3],
    };
    assert_eq!(points("histogram")[0].1.value, PointValue::Histogram(histogram));
    let PointValue::ExponentialHistogram(ExponentialHistogramPoint {
        count,
        scale,
        zero_count,
        positive,
        negative,
        ..
    }) = &points("exponential")[0].1.value
    else {
        panic!("{:?}", points("exponential"));
    };
    assert_eq!((*count, *scale, *zero_count), (13, 3, 3));
    assert_eq!((positive.offset, &positive.counts, negative.offset), (-2, &vec![4, 0, 1], 7));

    let quantiles: Vec<(&str, &PointValue)> = points("summary")
        .iter()
        .map(|(attributes, point)| (attributes.get_str("quantile").unwrap(), &point.value))
        .collect();
    let double = |number| PointValue::Number(Number::Double(number));
    assert_eq!(quantiles, [("0.5", &double(0.2)), ("0.99", &double(0.9))]);
    let (attributes, count) = &points("summary_count")[0];
    assert_eq!((attributes.len(), &count.value), (1, &PointValue::Number(Number::Int(10))));
    assert_eq!((count.start_time_unix_nano, count.time_unix_nano), (5, 9));
    assert_eq!(points("summary_sum")[0].1, MetricPoint { value: double(2.5), ..count.clone() });
}

#[test]
fn copies_that_a_summary_asks_for_are_bounded_and_foreseen() {
    let quantile = metrics::summary_data_point::ValueAtQuantile { quantile: 0.5, value: 0.2 };
    let point = |quantiles| metrics::SummaryDataPoint {
        attributes: vec![pair("a", &"x".repeat(64 * 1024))],
        time_unix_nano: 9,
        quantile_values: vec![quantile; quantiles],
        ..metrics::SummaryDataPoint::default()
    };
    let of = |data_points| request(vec![metric("bomb", Data::Summary(metrics::Summary { data_points }))]);
    let bomb = of(vec![point(3), point(100_000), point(3)]);
    let decoded = metrics_from_protobuf(&bomb).unwrap();
    assert_eq!((decoded.rejected, decoded.batch[0].point_count()), (vec![RejectReason::TooLarge], 2 * (3 + 2)));
    let small = of(vec![point(1)]);
    assert!(protobuf_cost(Signal::Metrics, &small) > 32 * 1024 * 1024);
}

#[test]
fn log_records_are_read_whole() {
    let record = logs::LogRecord {
        time_unix_nano: 5,
        observed_time_unix_nano: 6,
        severity_number: 17,
        severity_text: "ERROR".into(),
        body: Some(text("card refused")),
        attributes: vec![pair("a", "b")],
        dropped_attributes_count: 2,
        flags: 1,
        trace_id: TRACE.parse::<TraceId>().unwrap().0.into(),
        span_id: SPAN.parse::<SpanId>().unwrap().0.into(),
        event_name: "payment.refused".into(),
    };
    let list = any_value::Value::KvlistValue(opentelemetry_proto::tonic::common::v1::KeyValueList {
        values: vec![pair("card", "visa")],
    });
    let odd = logs::LogRecord {
        severity_number: 99,
        body: Some(AnyValue { value: Some(list) }),
        trace_id: vec![1; 3],
        span_id: vec![0; 8],
        ..logs::LogRecord::default()
    };
    let empty = logs::LogRecord { body: Some(AnyValue::default()), ..logs::LogRecord::default() };
    let log_records = vec![record, odd, empty];
    let scope_logs = vec![logs::ScopeLogs { scope: scope(), log_records, schema_url: "of/scope".into() }];
    let resource_logs = vec![logs::ResourceLogs { resource: service(), scope_logs, schema_url: "of/resource".into() }];
    let decoded = logs_from_protobuf(&ExportLogsServiceRequest { resource_logs }.encode_to_vec()).unwrap();
    let document = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
        "schemaUrl":"of/resource","scopeLogs":[{"scope":{"name":"lib","version":"1"},"schemaUrl":"of/scope","logRecords":[
        {"timeUnixNano":"5","observedTimeUnixNano":6,"severityNumber":"SEVERITY_NUMBER_ERROR","severityText":"ERROR",
         "body":{"stringValue":"card refused"},"attributes":[{"key":"a","value":{"stringValue":"b"}}],
         "droppedAttributesCount":2,"flags":1,"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174",
         "eventName":"payment.refused"},
        {"severityNumber":-1,"body":{"kvlistValue":{"values":[{"key":"card","value":{"stringValue":"visa"}}]}},
         "traceId":"01","spanId":"0000000000000000"},
        {"body":{}}]}]}]}"#;
    assert_eq!(logs_from_json(document.as_bytes()).unwrap(), decoded);
    assert!(decoded.rejected.is_empty());
    let of = &decoded.batch[0];
    assert_eq!((of.resource.schema_url.as_str(), of.scopes[0].scope.schema_url.as_str()), ("of/resource", "of/scope"));
    let expected = LogRecord {
        time_unix_nano: 5,
        observed_time_unix_nano: 6,
        severity_number: 17,
        severity_text: "ERROR".into(),
        body: Some("card refused".into()),
        event_name: "payment.refused".into(),
        attributes: [("a", "b")].into_iter().collect(),
        dropped_attributes_count: 2,
        trace_id: TRACE.parse().unwrap(),
        span_id: SPAN.parse().unwrap(),
        flags: 1,
    };
    let body = Value::Map([("card", "visa")].into_iter().collect());
    let odd = LogRecord { body: Some(body), ..LogRecord::default() };
    assert_eq!(of.scopes[0].records, [expected, odd, LogRecord::default()]);
}

#[test]
fn what_a_metric_takes_in_memory_is_seen() {
    const MANY: usize = 1_000;
    let gauge = |points| Data::Gauge(metrics::Gauge { data_points: vec![points; MANY] });
    let counts = vec![0; MANY];
    let buckets = Some(metrics::exponential_histogram_data_point::Buckets { offset: 0, bucket_counts: counts });
    let point = metrics::ExponentialHistogramDataPoint { positive: buckets, ..Default::default() };
    let exponential = metrics::ExponentialHistogram { data_points: vec![point], ..Default::default() };
    let bytes = request(vec![metric("a", gauge(metrics::NumberDataPoint::default()))]);
    assert!(protobuf_cost(Signal::Metrics, &bytes) > MANY * size_of::<MetricPoint>());
    let bytes = request(vec![metric("a", Data::ExponentialHistogram(exponential))]);
    assert!(bytes.len() < 2 * MANY && protobuf_cost(Signal::Metrics, &bytes) > MANY * size_of::<u64>());
    let bytes = request(vec![metrics::Metric::default(); MANY]);
    assert!(protobuf_cost(Signal::Metrics, &bytes) > MANY * size_of::<Metric>());
    let record = logs::ScopeLogs { log_records: vec![logs::LogRecord::default(); MANY], ..Default::default() };
    let of_resource = logs::ResourceLogs { scope_logs: vec![record], ..Default::default() };
    let bytes = ExportLogsServiceRequest { resource_logs: vec![of_resource] }.encode_to_vec();
    assert!(protobuf_cost(Signal::Logs, &bytes) > MANY * size_of::<LogRecord>());
}

#[test]
fn damaged_metrics_are_read_or_refused() {
    let (protobuf, json) = (request(every_kind()), EVERY_KIND.as_bytes().to_vec());
    for changed in [0, 1, 0x7f, 0x80, 0xff, b'{', b'"', b'9'] {
        for at in 0..protobuf.len() {
            let mut damaged = protobuf.clone();
            damaged[at] = changed;
            let _ = (protobuf_cost(Signal::Metrics, &damaged), metrics_from_protobuf(&damaged));
            let _ = metrics_from_protobuf(&protobuf[..at]);
        }
        for at in (0..json.len()).step_by(7) {
            let mut damaged = json.clone();
            damaged[at] = changed;
            let _ = metrics_from_json(&damaged);
        }
    }
}
