//! Metrics and logs go the way of traces: what is good is kept, what is bad is refused with a reason and
//! counted, over each protocol.

use std::sync::Arc;

use pitviper_ingest::Limits;
use pitviper_ingest::receivers::otlp;
use pitviper_model::{Signal, SpanId, TraceId};
use pitviper_store::embedded::EmbeddedConfig;
use pitviper_store::{ExceptionsQuery, LogsQuery, MetricPointsQuery, MetricSeriesQuery, StepValue, Store, TimeRange};
use pitviper_wire::decode::logs_service::ExportLogsServiceRequest;
use pitviper_wire::decode::logs_service::logs_service_client::LogsServiceClient;
use pitviper_wire::decode::metrics_service::ExportMetricsServiceRequest;
use pitviper_wire::decode::metrics_service::metrics_service_client::MetricsServiceClient;
use prost::Message as _;
use tokio::io::AsyncWriteExt as _;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic_types::StatusExt as _;

use crate::grpc::{call_body, framed, never_ending};
use crate::house::{House, JSON, PROTOBUF, deflate, gzip};

const BOTH: [Signal; 2] = [Signal::Metrics, Signal::Logs];
const SECOND_NS: u64 = 1_795_224_367_000_000_000;

fn resource() -> &'static str {
    r#"{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]}"#
}

/// A request with that many good items, as OTLP/JSON.
fn json(signal: Signal, items: usize) -> String {
    let item = |number: usize| match signal {
        Signal::Logs => format!(
            r#"{{"timeUnixNano":"{}","severityNumber":9,"body":{{"stringValue":"ü"}}}}"#,
            SECOND_NS + number as u64
        ),
        _ => format!(r#"{{"timeUnixNano":"{}","asInt":"{number}"}}"#, SECOND_NS + number as u64),
    };
    let items: Vec<String> = (1..=items).map(item).collect();
    let items = items.join(",");
    let resource = resource();
    match signal {
        Signal::Logs => {
            format!(r#"{{"resourceLogs":[{{"resource":{resource},"scopeLogs":[{{"logRecords":[{items}]}}]}}]}}"#)
        }
        _ => {
            let metric = format!(r#"{{"name":"queue.length","gauge":{{"dataPoints":[{items}]}}}}"#);
            format!(r#"{{"resourceMetrics":[{{"resource":{resource},"scopeMetrics":[{{"metrics":[{metric}]}}]}}]}}"#)
        }
    }
}

/// The same, as protobuf: fields of which the first has the number 1 and so on, by hand.
fn request(signal: Signal, items: usize) -> Vec<u8> {
    let field = |number: u8, inner: &[u8]| {
        let mut out = vec![number << 3 | 2];
        prost::encoding::encode_varint(inner.len() as u64, &mut out);
        out.extend_from_slice(inner);
        out
    };
    let fixed = |number: u8, value: u64| [&[number << 3 | 1][..], &value.to_le_bytes()].concat();
    let mut inner = Vec::new();
    for number in 1..=items as u64 {
        let item = match signal {
            Signal::Logs => {
                [fixed(1, SECOND_NS + number), vec![2 << 3, 9], field(5, &field(1, "ü".as_bytes()))].concat()
            }
            _ => field(1, &[fixed(3, SECOND_NS + number), fixed(6, number)].concat()),
        };
        inner.extend(if signal == Signal::Logs { field(2, &item) } else { item });
    }
    if signal == Signal::Metrics {
        inner = field(2, &[field(1, b"queue.length"), field(5, &inner)].concat());
    }
    let value = field(2, &field(1, b"shop"));
    let resource = field(1, &field(1, &[field(1, b"service.name"), value].concat()));
    field(1, &[resource, field(2, &inner)].concat())
}

fn path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    }
}

async fn call(house: &House, signal: Signal, headers: &[(&str, &str)], body: Vec<u8>) -> crate::grpc::Answer {
    let headers = [&[(":path", path(signal))], headers].concat();
    let body = http_body_util::Full::new(bytes::Bytes::from(body));
    call_body(house, &headers, tonic::body::Body::new(body)).await
}

#[tokio::test]
async fn every_good_form_is_kept() {
    let house = House::open().await;
    for signal in BOTH {
        let protobuf = format!("content-type: {PROTOBUF}");
        let answer = house.post_to(signal, &protobuf, &request(signal, 2)).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{}", answer.text());
        let answer = house.post_to(signal, &format!("content-type: {JSON}"), json(signal, 2).as_bytes()).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
        for (encoding, body) in [
            ("gzip", gzip(&request(signal, 2))),
            ("deflate", deflate(&request(signal, 2))),
            ("zstd", zstd::bulk::compress(&request(signal, 2), 1).unwrap()),
        ] {
            let headers = format!("{protobuf}\r\ncontent-encoding: {encoding}");
            assert_eq!(house.post_to(signal, &headers, &body).await.status, 200, "{encoding}");
            let answer = call(&house, signal, &[("grpc-encoding", encoding)], framed(1, &body)).await;
            assert_eq!((answer.status.code(), &answer.body[..]), (Code::Ok, &framed(0, b"")[..]), "{}", answer.status);
        }
        assert_eq!(house.post_to(signal, &protobuf, b"").await.status, 200, "a request without items");
        // Times are the same each time, and so are the items, but each was stored.
        assert_eq!(house.outcome_of(signal, "stored", ""), 16, "{signal:?}");
        assert_eq!(house.outcome_of(signal, "received", ""), 16, "{signal:?}");
    }
    assert_eq!((house.requests("otlp_http", "accepted", ""), house.requests("otlp_grpc", "accepted", "")), (12, 6));
    house.goes_on().await;
}

#[tokio::test]
async fn clients_of_the_services_are_answered() {
    let house = House::open().await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", house.grpc)).unwrap();
    let channel = channel.connect().await.unwrap();
    let metrics = ExportMetricsServiceRequest::decode(&*request(Signal::Metrics, 3)).unwrap();
    let mut bad = metrics.clone();
    bad.resource_metrics[0].scope_metrics[0].metrics[0].name.clear();
    let mut client = MetricsServiceClient::new(channel.clone()).send_compressed(CompressionEncoding::Gzip);
    assert_eq!(client.export(metrics).await.unwrap().into_inner().partial_success, None);
    let partial = client.export(bad).await.unwrap().into_inner().partial_success.unwrap();
    assert_eq!((partial.rejected_data_points, &*partial.error_message), (3, "rejected points: 3 missing_name"));

    let logs = ExportLogsServiceRequest::decode(&*request(Signal::Logs, 3)).unwrap();
    let mut bad = logs.clone();
    bad.resource_logs[0].scope_logs[0].log_records[1].time_unix_nano = u64::MAX;
    let mut client = LogsServiceClient::new(channel).send_compressed(CompressionEncoding::Zstd);
    assert_eq!(client.export(logs).await.unwrap().into_inner().partial_success, None);
    let partial = client.export(bad).await.unwrap().into_inner().partial_success.unwrap();
    assert_eq!((partial.rejected_log_records, &*partial.error_message), (1, "rejected log records: 1 invalid_time"));
    assert_eq!(house.outcome_of(Signal::Metrics, "rejected", "missing_name"), 3);
    assert_eq!(house.outcome_of(Signal::Logs, "rejected", "invalid_time"), 1);
    assert_eq!((house.rows("metric_points"), house.rows("logs")), (3, 5));
    house.goes_on().await;
}

#[tokio::test]
async fn partial_success_has_the_names_of_its_signal() {
    let house = House::open().await;
    let json_type = format!("content-type: {JSON}");
    let bad = json(Signal::Metrics, 2).replace(r#""asInt":"2""#, r#""later":1"#);
    let answer = house.post_to(Signal::Metrics, &json_type, bad.as_bytes()).await;
    let expected = r#"{"partialSuccess":{"errorMessage":"rejected points: 1 invalid_point","rejectedDataPoints":"1"}}"#;
    assert_eq!((answer.status, answer.text().as_str()), (200, expected));
    let bad = json(Signal::Logs, 1).replace(&format!("\"{}\"", SECOND_NS + 1), &format!("\"{}\"", u64::MAX));
    let answer = house.post_to(Signal::Logs, &json_type, bad.as_bytes()).await;
    let expected =
        r#"{"partialSuccess":{"errorMessage":"rejected log records: 1 invalid_time","rejectedLogRecords":"1"}}"#;
    assert_eq!((answer.status, answer.text().as_str()), (200, expected));
    house.goes_on().await;
}

/// What it is, headers, body; then the expected status and counted reason.
type Case = (&'static str, String, Vec<u8>, u16, &'static str);

#[tokio::test]
async fn bad_bodies_over_http_are_refused_with_a_reason() {
    let house = House::open().await;
    for signal in BOTH {
        let whole = request(signal, 3);
        let protobuf = format!("content-type: {PROTOBUF}");
        let json_type = format!("content-type: {JSON}");
        let gzipped = format!("{protobuf}\r\ncontent-encoding: gzip");
        let zeros = vec![0; otlp::MAX_DECOMPRESSED_BYTES + 1];
        let half = json(signal, 3);
        let wrong_type = half.replace(":[", ":7,\"x\":[");
        let cases: [Case; 10] = [
            ("garbage", protobuf.clone(), b"\xff\xff\xff\xff".to_vec(), 400, "bad_protobuf"),
            ("truncated", protobuf.clone(), whole[..whole.len() - 5].to_vec(), 400, "bad_protobuf"),
            ("json in the wrong coat", protobuf.clone(), json(signal, 1).into_bytes(), 400, "bad_protobuf"),
            ("half a document", json_type.clone(), half[..half.len() / 2].into(), 400, "bad_json"),
            ("wrong types", json_type.clone(), wrong_type.into_bytes(), 400, "bad_json"),
            ("text", String::from("content-type: text/plain"), whole.clone(), 415, "unsupported_media_type"),
            ("encoding", format!("{protobuf}\r\ncontent-encoding: lzma"), whole.clone(), 415, "unsupported_encoding"),
            ("cut gzip", gzipped.clone(), gzip(&whole)[..20].to_vec(), 400, "bad_encoding"),
            ("bomb", gzipped, gzip(&zeros), 413, "too_large"),
            ("too large", protobuf, vec![0; otlp::MAX_BODY_BYTES + 1], 413, "too_large"),
        ];
        for (what, headers, body, status, reason) in cases {
            let before = house.refused("otlp_http", reason);
            let answer = house.post_to(signal, &headers, &body).await;
            assert_eq!(answer.status, status, "{signal:?} {what}: {}", answer.text());
            assert_eq!(house.refused("otlp_http", reason), before + 1, "{signal:?} {what}");
        }
        let get = format!("GET /v1/{} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", signal.as_str());
        assert_eq!(house.raw(get.as_bytes()).await.status, 405);
        let head = format!("POST /v1/{} HTTP/1.1\r\nhost: a\r\n", signal.as_str());
        let head = format!("{head}content-type: {PROTOBUF}\r\ncontent-length: 1000\r\n\r\n");
        drop(house.begin(head.as_bytes()).await);
    }
    house.until("those that hung up are counted", |house| house.refused("otlp_http", "incomplete") == 2).await;
    assert_eq!((house.refused("otlp_http", "method_not_allowed"), house.outcome("received", "")), (2, 0));
    assert_eq!(house.all_requests(), 2 * 12);
    house.goes_on().await;
}

#[tokio::test]
async fn bad_bodies_over_grpc_are_refused_with_a_reason() {
    let house = House::open().await;
    for signal in BOTH {
        let whole = request(signal, 3);
        let zeros = vec![0; otlp::MAX_DECOMPRESSED_BYTES + 1];
        let gzipped: &[(&str, &str)] = &[("grpc-encoding", "gzip")];
        let mut short = framed(0, &whole);
        short.truncate(short.len() - 3);
        for (what, headers, body, code, reason) in [
            ("garbage", &[][..], framed(0, b"\xff\xff\xff\xff"), Code::InvalidArgument, "bad_protobuf"),
            ("truncated", &[], framed(0, &whole[..whole.len() - 5]), Code::InvalidArgument, "bad_protobuf"),
            ("early end", &[], short, Code::InvalidArgument, "incomplete"),
            ("no frame", &[], Vec::new(), Code::Internal, "bad_framing"),
            ("not gzip", gzipped, framed(1, &whole), Code::InvalidArgument, "bad_encoding"),
            ("bomb", gzipped, framed(1, &gzip(&zeros)), Code::ResourceExhausted, "too_large"),
            ("too large", &[], framed(0, &vec![0; otlp::MAX_BODY_BYTES + 1]), Code::ResourceExhausted, "too_large"),
        ] {
            let before = house.refused("otlp_grpc", reason);
            let answer = call(&house, signal, headers, body).await;
            assert_eq!(answer.status.code(), code, "{signal:?} {what}: {}", answer.status);
            assert_eq!(house.refused("otlp_grpc", reason), before + 1, "{signal:?} {what}");
        }
        let beginning = bytes::Bytes::from(framed(0, &whole)).slice(..10);
        let hangs_up = [(":path", path(signal))];
        let call = call_body(&house, &hangs_up, never_ending(beginning));
        assert!(tokio::time::timeout(std::time::Duration::from_millis(100), call).await.is_err());
    }
    house.until("those that hung up are counted", |house| house.refused("otlp_grpc", "incomplete") == 4).await;
    assert_eq!((house.all_requests(), house.outcome("received", "")), (2 * 8, 0));
    house.goes_on().await;
}

#[tokio::test]
async fn what_a_small_body_becomes_counts() {
    let house = House::open().await;
    let points = vec!["{}"; 2 * 1024 * 1024].join(",");
    let metrics = format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{points}]}}]}}]}}"#);
    let records = vec!["{}"; 2 * 1024 * 1024].join(",");
    let logs = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#);
    let counts = "1,".repeat(8 * 1024 * 1024 - 100);
    let buckets = format!(r#"{{"positive":{{"bucketCounts":[{counts}1]}}}}"#);
    let histogram = format!(r#"{{"name":"a","exponentialHistogram":{{"dataPoints":[{buckets}]}}}}"#);
    let buckets = format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{histogram}]}}]}}]}}"#);
    for (what, signal, body, status) in [
        ("points", Signal::Metrics, metrics, 413),
        ("records", Signal::Logs, logs, 413),
        // Some hundred megabytes: there is room for one, and one point is too large for an item.
        ("buckets", Signal::Metrics, buckets, 200),
    ] {
        let answer = house.post_to(signal, &format!("content-type: {JSON}"), body.as_bytes()).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
    }
    assert_eq!((house.refused("otlp_http", "too_large"), house.outcome("stored", "")), (2, 0));
    house.goes_on().await;
}

#[tokio::test]
async fn a_store_that_cannot_take_it_asks_the_sender_to_come_back() {
    let small = |config: &mut EmbeddedConfig| config.hot_bytes_limit = 256 * 1024;
    let house = House::with(small, Limits::default(), |store| store).await;
    for signal in BOTH {
        let answer = house.post_to(signal, &format!("content-type: {PROTOBUF}"), &request(signal, 50_000)).await;
        assert_eq!(answer.status, 429, "{signal:?}: {}", answer.text());
        assert_eq!(house.outcome_of(signal, "dropped", "store_unavailable"), 50_000);
    }
    assert_eq!(house.refused("otlp_http", "store_busy"), 2);
    house.goes_on().await;
    house.store.close().await.unwrap();
    for signal in BOTH {
        let answer = call(&house, signal, &[], framed(0, &request(signal, 4))).await;
        assert_eq!(answer.status.code(), Code::Unavailable, "{signal:?}: {}", answer.status);
        assert!(answer.status.get_details_retry_info().is_some());
        assert_eq!(house.outcome_of(signal, "dropped", "store_unavailable"), 50_004);
    }
}

#[tokio::test]
async fn points_and_records_are_found_as_they_were_sent() {
    let house = House::open().await;
    let json_type = format!("content-type: {JSON}");
    for signal in BOTH {
        assert_eq!(house.post_to(signal, &json_type, json(signal, 3).as_bytes()).await.status, 200);
    }
    let range = TimeRange { start_ns: SECOND_NS as i64, end_ns: SECOND_NS as i64 + 1_000 };
    let series = MetricSeriesQuery { range, service: Some("shop".into()), name: None, limit: 10 };
    let series = house.store.metric_series(&series).await.unwrap().series;
    assert_eq!((series.len(), series[0].metric.name.as_str()), (1, "queue.length"));
    let points = MetricPointsQuery { range, series: vec![series[0].id], step_ns: None };
    let steps = house.store.metric_points(&points).await.unwrap().steps;
    let expected = StepValue::Gauge { last: 3.0, sum: 6.0, min: 1.0, max: 3.0, count: 3 };
    assert_eq!((steps.len(), &steps[0].value), (1, &expected));

    let logs = LogsQuery {
        range,
        service: None,
        min_severity: Some(9),
        trace_id: None,
        body_contains: Some("ü".into()),
        attributes: Vec::new(),
        limit: 10,
        after: None,
    };
    let logs = house.store.logs(&logs).await.unwrap().rows;
    let times: Vec<u64> = logs.iter().map(|log| log.record.time_unix_nano - SECOND_NS).collect();
    assert_eq!((times, logs[0].resource.service()), (vec![3, 2, 1], "shop"));
}

#[tokio::test]
async fn exceptions_of_spans_and_records_are_kept() {
    let house = Arc::new(House::open().await);
    let attributes = r#"[{"key":"exception.type","value":{"stringValue":"ValueError"}},
        {"key":"exception.message","value":{"stringValue":"bad"}},{"key":"user","value":{"stringValue":"ada"}}]"#;
    let resource = resource().replace(']', r#",{"key":"service.version","value":{"stringValue":"1.2"}}]"#);
    let event = format!(r#"{{"name":"exception","timeUnixNano":"{}","attributes":{attributes}}}"#, SECOND_NS + 5);
    let ids = format!(r#""traceId":"{}","spanId":"{}""#, TraceId([1; 16]), SpanId([2; 8]));
    let span =
        format!(r#"{{{ids},"name":"a","startTimeUnixNano":"{SECOND_NS}","events":[{event},{{"name":"other"}}]}}"#);
    let spans = format!(r#"{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#);
    let record = format!(r#"{{{ids},"timeUnixNano":"{}","attributes":{attributes}}}"#, SECOND_NS + 7);
    let logs = format!(
        r#"{{"resourceLogs":[{{"resource":{resource},"scopeLogs":[{{"logRecords":[{record},{{"timeUnixNano":"5"}}]}}]}}]}}"#
    );
    let json_type = format!("content-type: {JSON}");
    assert_eq!(house.post(&json_type, spans.as_bytes()).await.status, 200);
    assert_eq!(house.post_to(Signal::Logs, &json_type, logs.as_bytes()).await.status, 200);
    let query = ExceptionsQuery {
        range: TimeRange::ALL,
        service: Some("shop".into()),
        fingerprint: None,
        trace_id: Some(TraceId([1; 16])),
        limit: 10,
        after: None,
    };
    let found = house.store.exceptions(&query).await.unwrap().rows;
    let times: Vec<u64> = found.iter().map(|row| row.event.time_unix_nano - SECOND_NS).collect();
    assert_eq!((times, house.rows("exceptions")), (vec![7, 5], 2));
    for row in &found {
        assert_eq!((row.event.exception_type.as_str(), row.event.message.as_str()), ("ValueError", "bad"));
        assert_eq!((row.event.span_id, row.resource.version()), (SpanId([2; 8]), "1.2"));
        assert_eq!((row.event.attributes.len(), row.event.attributes.get_str("user")), (1, Some("ada")));
        assert_eq!(row.event.fingerprint, found[0].event.fingerprint);
    }
    house.goes_on().await;
}

#[tokio::test]
async fn a_sender_of_many_at_once_is_served() {
    let house = Arc::new(House::open().await);
    let senders: Vec<_> = (0..8)
        .map(|number| {
            let house = Arc::clone(&house);
            tokio::spawn(async move {
                let signal = BOTH[number % 2];
                for _ in 0..10 {
                    let answer =
                        house.post_to(signal, &format!("content-type: {PROTOBUF}"), &request(signal, 20)).await;
                    assert_eq!(answer.status, 200, "{}", answer.text());
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    assert_eq!(BOTH.map(|signal| house.outcome_of(signal, "stored", "")), [800, 800]);
    // A connection that breaks in the middle of a body changes nothing.
    let mut stream = house.begin(b"POST /v1/logs HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n").await;
    let _ = stream.write_all(b"x").await;
    house.goes_on().await;
}
