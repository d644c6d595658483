//! Messages of every kind that is read, changed where they mean something: whatever comes of it is read or refused
//! within the room there is, and nothing panics.
#![cfg(feature = "decode")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/forms.rs"]
mod forms;
#[path = "support/protobuf.rs"]
mod protobuf;
#[path = "support/tree.rs"]
mod tree;

use pitviper_model::Signal;
use pitviper_wire::decode::datadog::stats::stats;
use pitviper_wire::decode::datadog::telemetry::telemetry;
use pitviper_wire::decode::datadog::{Sender, TracesVersion, traces};
use pitviper_wire::decode::{
    Telemetry, jaeger, json_cost, logs_from_json, metrics_from_json, profiles_from_json, protobuf_cost,
    traces_from_json, zipkin,
};
use pitviper_wire::export::{logs_to_protobuf, metrics_to_protobuf, traces_to_protobuf};
use proptest::prelude::*;

use self::forms::{read_json, write_json, write_msgpack};
use self::protobuf::{read_protobuf, write_protobuf};
use self::tree::{Tree, changes};

/// Room for what is made of a message.
const ROOM: usize = 16 * 1024 * 1024;

const TRACES: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},
    {"key":"list","value":{"arrayValue":{"values":[{"intValue":"1"},{"doubleValue":0.5},{"bytesValue":"AAE="},
    {"kvlistValue":{"values":[{"key":"b","value":{"boolValue":true}}]}}]}}}],"droppedAttributesCount":1},"schemaUrl":"r",
    "scopeSpans":[{"scope":{"name":"lib","version":"1"},"schemaUrl":"s","spans":[{"traceId":"02020202020202020202020202020202",
    "spanId":"0000000000000001","parentSpanId":"0000000000000002","traceState":"a=b","flags":257,"name":"GET /","kind":2,
    "startTimeUnixNano":"1795224360000000000","endTimeUnixNano":1795224360000000009,"droppedEventsCount":3,
    "events":[{"name":"exception","timeUnixNano":"1795224360000000001","attributes":[{"key":"exception.type",
    "value":{"stringValue":"KeyError"}}]}],"links":[{"traceId":"03030303030303030303030303030303","spanId":"0000000000000003",
    "attributes":[{"key":"k","value":{"stringValue":"v"}}]}],"status":{"code":2,"message":"m"}}]}]}]}"#;

const METRICS: &str = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
    "schemaUrl":"r","scopeMetrics":[{"scope":{"name":"lib"},"schemaUrl":"s","metrics":[
    {"name":"g","unit":"1","description":"d","gauge":{"dataPoints":[{"timeUnixNano":"9","asDouble":0.5,
     "exemplars":[{"timeUnixNano":"8","asInt":"3","traceId":"02020202020202020202020202020202","spanId":"0000000000000001",
     "filteredAttributes":[{"key":"k","value":{"stringValue":"v"}}]}]}]}},
    {"name":"s","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{"startTimeUnixNano":"5","timeUnixNano":"9",
     "asInt":"-7","flags":1,"attributes":[{"key":"a","value":{"stringValue":"b"}}]}]}},
    {"name":"h","histogram":{"aggregationTemporality":1,"dataPoints":[{"timeUnixNano":"9","count":"6","sum":4.5,"min":0.25,
     "max":2,"explicitBounds":[0.5,1],"bucketCounts":["1","2","3"]}]}},
    {"name":"e","exponentialHistogram":{"aggregationTemporality":1,"dataPoints":[{"timeUnixNano":"9","count":"6","sum":4.5,
     "scale":5,"zeroCount":"1","zeroThreshold":1e-9,"positive":{"offset":-3,"bucketCounts":["1","2"]},
     "negative":{"offset":2,"bucketCounts":["2"]}}]}},
    {"name":"q","summary":{"dataPoints":[{"timeUnixNano":"9","count":"6","sum":4.5,
     "quantileValues":[{"quantile":0.5,"value":1},{"quantile":1,"value":2}]}]}}]}]}]}"#;

const LOGS: &str = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
    "scopeLogs":[{"scope":{"name":"lib"},"logRecords":[{"timeUnixNano":"9","observedTimeUnixNano":"10","severityNumber":9,
    "severityText":"INFO","eventName":"e","flags":1,"traceId":"02020202020202020202020202020202","spanId":"0000000000000001",
    "body":{"kvlistValue":{"values":[{"key":"b","value":{"arrayValue":{"values":[{"stringValue":"x"}]}}}]}},
    "attributes":[{"key":"a","value":{"stringValue":"b"}}],"droppedAttributesCount":2}]}]}]}"#;

const PROFILES: &str = r#"{"dictionary":{"mappingTable":[{},{"filenameStrindex":5,"attributeIndices":[1]}],
    "locationTable":[{},{"mappingIndex":1,"lines":[{"functionIndex":1,"line":"7"}]},{"address":"4660"}],
    "functionTable":[{},{"nameStrindex":3,"filenameStrindex":4}],"linkTable":[{},{"traceId":"02020202020202020202020202020202",
    "spanId":"0000000000000001"}],"stringTable":["","cpu","nanoseconds","parse","/srv/shop.py","thread.name"],
    "attributeTable":[{},{"keyStrindex":5,"value":{"stringValue":"worker"}}],
    "stackTable":[{},{"locationIndices":[1,2]}]},"resourceProfiles":[{"resource":{"attributes":[{"key":"service.name",
    "value":{"stringValue":"shop"}}]},"scopeProfiles":[{"profiles":[{"sampleType":{"typeStrindex":1,"unitStrindex":2},
    "samples":[{"stackIndex":1,"attributeIndices":[1],"linkIndex":1,"values":["5","6"],"timestampsUnixNano":["258","259"]}],
    "timeUnixNano":"1","durationNano":"2"}]}]}]}"#;

const ZIPKIN: &str = r#"[{"traceId":"00000000000000aa","id":"0000000000000001","parentId":"0000000000000002","kind":"CLIENT",
    "name":"get","timestamp":1795224360000000,"duration":9,"shared":true,"debug":true,
    "localEndpoint":{"serviceName":"shop","ipv4":"127.0.0.1","port":80},
    "remoteEndpoint":{"serviceName":"pay","ipv6":"::1","port":81},
    "annotations":[{"timestamp":1795224360000001,"value":"sent"}],"tags":{"http.status_code":"500","error":"e"}}]"#;

const TELEMETRY: &str = r#"{"runtime_id":"7f","application":{"service_name":"shop","env":"prod","runtime_name":"CPython",
    "runtime_version":"3.12.4"},"host":{"hostname":"h"},"request_type":"message-batch","payload":[
    {"request_type":"app-dependencies-loaded","payload":{"dependencies":[{"name":"flask","version":"3.1.0"}]}},
    {"request_type":"app-client-configuration-change","payload":{"configuration":[{"name":"DD_ENV","value":"prod"},
    {"name":"DD_API_KEY","value":"x"},{"name":"n","value":1.5},{"name":"l","value":[1,{"a":null}]}]}},
    {"request_type":"app-integrations-change","payload":{"integrations":[{"name":"flask","version":"3.1.0","enabled":true}]}}]}"#;

const V04: &str = r#"[[{"service":"shop","name":"flask.request","resource":"GET /","type":"web","trace_id":7,"span_id":1,
    "parent_id":2,"start":1795224360000000000,"duration":9,"error":1,"meta":{"_dd.p.tid":"6b00f59800000000","env":"prod",
    "http.url":"http://u:p@h/?q=1","error.type":"builtins.KeyError","error.message":"m","error.stack":"at f",
    "_dd.span_links":"[{\"trace_id\":\"02020202020202020202020202020202\",\"span_id\":\"0000000000000001\"}]",
    "events":"[{\"name\":\"e\",\"time_unix_nano\":5,\"attributes\":{\"a\":[1,\"b\"]}}]","component":"flask",
    "_dd.base_service":"shop"},"metrics":{"_dd.top_level":1,"_sampling_priority_v1":1,"process_id":42.5},
    "span_links":[{"trace_id":3,"trace_id_high":4,"span_id":5,"attributes":{"k":"v"},"tracestate":"a=b","flags":1}],
    "span_events":[{"time_unix_nano":5,"name":"e","attributes":{"k":{"type":4,"array_value":{"values":[{"type":0,
    "string_value":"x"},{"type":2,"int_value":3}]}}}}],"meta_struct":{"s":"x"}},
    {"service":"postgres","name":"postgres.query","resource":"SELECT 1 FROM t WHERE a = 'b'","type":"sql","trace_id":7,
    "span_id":8,"parent_id":1,"start":1795224360000000001,"duration":2,"meta":{"span.kind":"client","out.host":"db"}}]]"#;

const V05: &str = r#"[["","shop","flask.request","GET /","web","env","prod","_dd.span_links","[{\"trace_id\":\"1\"}]","process_id"],
    [[[1,2,3,7,1,0,1795224360000000000,9,1,{"5":6,"7":8},{"9":42.5},4]]]]"#;

const STATS: &str = r#"{"Hostname":"h","Env":"prod","Version":"1.2","Stats":[{"Start":1795224360000000000,"Duration":10000000000,
    "Stats":[{"Service":"shop","Name":"flask.request","Resource":"GET /","HTTPStatusCode":500,"Type":"web","Hits":3,"Errors":1,
    "Duration":900,"OkSummary":"SKETCH","ErrorSummary":"","TopLevelHits":3,"SpanKind":"server","PeerTags":["db.system:postgres"],
    "IsTraceRoot":1}]}]}"#;

/// A sketch of a thousand values: its mapping, and two stores.
fn sketch() -> Tree {
    let double = |number: f64| Tree::Text(number.to_le_bytes().to_vec());
    let number = Tree::Number;
    let mapping = Tree::Map(vec![(number(9), double(1.015_625)), (number(17), double(1338.5))]);
    let bin = Tree::Map(vec![(number(8), number(2_400)), (number(17), double(3.0))]);
    let store = Tree::Map(vec![(number(10), bin), (number(18), double(7.0)), (number(24), number(2_600))]);
    Tree::Map(vec![(number(10), mapping), (number(18), store), (number(33), double(1.0))])
}

/// The tree with bytes in the place of a text.
fn replaced(tree: Tree, text: &[u8], with: &[u8]) -> Tree {
    match tree {
        Tree::Text(found) if found == text => Tree::Text(with.to_vec()),
        Tree::List(items) => Tree::List(items.into_iter().map(|item| replaced(item, text, with)).collect()),
        Tree::Map(pairs) => {
            Tree::Map(pairs.into_iter().map(|(name, value)| (name, replaced(value, text, with))).collect())
        }
        other => other,
    }
}

fn json_of(tree: &Tree) -> String {
    let mut out = String::new();
    write_json(tree, &mut out);
    out
}

fn msgpack_of(tree: &Tree) -> Vec<u8> {
    let mut out = Vec::new();
    write_msgpack(tree, &mut out);
    out
}

fn protobuf_of(tree: &Tree) -> Vec<u8> {
    let mut out = Vec::new();
    write_protobuf(tree, &mut out);
    out
}

/// Requests of each signal, as protobuf.
fn requests() -> [(Signal, Vec<u8>); 3] {
    [
        (Signal::Traces, traces_to_protobuf(&traces_from_json(TRACES.as_bytes()).unwrap().batch)),
        (Signal::Metrics, metrics_to_protobuf(&metrics_from_json(METRICS.as_bytes()).unwrap().batch)),
        (Signal::Logs, logs_to_protobuf(&logs_from_json(LOGS.as_bytes()).unwrap().batch)),
    ]
}

fn with_sketch(sketch: &[u8]) -> Tree {
    replaced(read_json(STATS), b"SKETCH", sketch)
}

/// How many spans there are.
fn take_traces(version: TracesVersion, bytes: &[u8]) -> usize {
    let read = traces(version, bytes, &Sender::default(), ROOM, |_| true);
    read.map_or(0, |read| read.decoded.batch.iter().map(pitviper_model::ResourceSpans::span_count).sum())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_documents_of_otlp(changes in changes()) {
        for (signal, document) in [(Signal::Traces, TRACES), (Signal::Metrics, METRICS), (Signal::Logs, LOGS)] {
            let changed = json_of(&read_json(document).changed(&changes));
            if json_cost(signal, changed.as_bytes()) <= ROOM {
                let _ = Telemetry::from_json(signal, changed.as_bytes());
            }
        }
    }

    #[test]
    fn hostile_messages_of_otlp(changes in changes()) {
        for (signal, request) in requests() {
            let changed = protobuf_of(&read_protobuf(&request).unwrap().changed(&changes));
            if protobuf_cost(signal, &changed) <= ROOM {
                let _ = Telemetry::from_protobuf(signal, &changed);
            }
        }
    }

    #[test]
    fn hostile_documents_of_profiles(changes in changes()) {
        let changed = json_of(&read_json(PROFILES).changed(&changes));
        let mut granted = 0;
        let written = profiles_from_json(changed.as_bytes(), ROOM, |step| {
            granted += step;
            true
        });
        if let Ok(written) = written {
            prop_assert!(2 * written.len() <= granted, "{} bytes of {granted}", written.len());
            let is_message = written.is_empty() || read_protobuf(&written).is_some();
            prop_assert!(is_message, "{changed}");
        }
    }

    #[test]
    fn hostile_documents_of_others(changes in changes()) {
        let changed = |document: &str| json_of(&read_json(document).changed(&changes));
        let _ = zipkin::spans(changed(ZIPKIN).as_bytes(), ROOM, |_| true);
        let _ = telemetry(changed(TELEMETRY).as_bytes(), ROOM, |_| true);
    }

    #[test]
    fn hostile_spans_of_datadog(changes in changes()) {
        take_traces(TracesVersion::V04, &msgpack_of(&read_json(V04).changed(&changes)));
        take_traces(TracesVersion::V05, &msgpack_of(&read_json(V05).changed(&changes)));
    }

    #[test]
    fn hostile_statistics_of_datadog(of_stats in changes(), of_sketch in changes()) {
        let changed = with_sketch(&protobuf_of(&sketch().changed(&of_sketch))).changed(&of_stats);
        let _ = stats(&msgpack_of(&changed), ROOM, |_| true);
        // Whole but for the sketch, so that this is what is read.
        let _ = stats(&msgpack_of(&with_sketch(&protobuf_of(&sketch().changed(&of_sketch)))), ROOM, |_| true);
    }

    #[test]
    fn hostile_tables_of_strings(strings in 0..3_000_usize, length in 0..3_000_usize, spans in 0..3_000_usize, at: u32) {
        // One long text, and spans that all name it: few bytes that would be many.
        let mut table = vec![Tree::Text(Vec::new()), Tree::Text(vec![b'a'; length])];
        table.resize(strings + 2, Tree::Text(b"s".to_vec()));
        let name = Tree::Number(u64::from(at) % (strings as u64 + 3));
        let meta = Tree::Map(vec![(name.clone(), Tree::Number(1)); 20]);
        let numbers = [1, 1, 1, 7, 1, 0, 1_795_224_360_000_000_000, 9, 0].map(Tree::Number);
        let span = Tree::List(numbers.into_iter().chain([meta, Tree::Map(Vec::new()), Tree::Number(1)]).collect());
        let body = Tree::List(vec![Tree::List(table), Tree::List(vec![Tree::List(vec![span; spans])])]);
        let mut granted = 0;
        let read = traces(TracesVersion::V05, &msgpack_of(&body), &Sender::default(), ROOM, |step| {
            granted += step;
            true
        });
        prop_assert!(granted <= ROOM);
        if let Ok(read) = read {
            let held: usize = read.decoded.batch.iter().flat_map(|of| &of.scopes).map(|scope| scope.spans.len()).sum();
            prop_assert!(held <= spans);
        }
    }

    #[test]
    fn hostile_structures_of_thrift(bytes in proptest::collection::vec(any::<u8>(), 0..40), times in 1..500_usize) {
        let _ = jaeger::spans(&bytes.repeat(times), ROOM, |_| true);
    }
}

#[test]
fn the_messages_are_messages_before_they_are_changed() {
    for (signal, request) in requests() {
        let read = read_protobuf(&request).unwrap();
        assert_eq!(protobuf_of(&read), request, "{signal:?}");
        let is_good = match Telemetry::from_protobuf(signal, &request).unwrap() {
            Telemetry::Traces(of) => of.batch[0].span_count() == 1 && of.rejected.is_empty(),
            Telemetry::Metrics(of) => of.batch[0].point_count() >= 5 && of.rejected.is_empty(),
            Telemetry::Logs(of) => of.batch.len() == 1 && of.rejected.is_empty(),
        };
        assert!(is_good, "{signal:?}");
    }
    assert!(profiles_from_json(PROFILES.as_bytes(), ROOM, |_| true).unwrap().len() > 200);
    assert_eq!(zipkin::spans(ZIPKIN.as_bytes(), ROOM, |_| true).unwrap().batch.len(), 1);
    let said = telemetry(TELEMETRY.as_bytes(), ROOM, |_| true).unwrap();
    assert_eq!((said.libraries.len(), said.integrations.0.len()), (1, 1));
    assert_eq!(take_traces(TracesVersion::V04, &msgpack_of(&read_json(V04))), 2);
    assert_eq!(take_traces(TracesVersion::V05, &msgpack_of(&read_json(V05))), 1);
    let read = stats(&msgpack_of(&with_sketch(&protobuf_of(&sketch()))), ROOM, |_| true).unwrap();
    assert_eq!((read.counted.len(), read.damaged), (1, 0));
}
