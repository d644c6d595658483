//! What Datadog's clients send, read into the model: each version says the same, and nothing strangers send
//! makes the reader panic or take more room than there is.
#![cfg(feature = "decode")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use pitviper_model::{ResourceSpans, Span, SpanKind, StatusCode, Value};
use pitviper_wire::decode::RoomError;
use pitviper_wire::decode::datadog::stats::stats;
use pitviper_wire::decode::datadog::telemetry::telemetry;
use pitviper_wire::decode::datadog::{Sender, Traces, TracesError, TracesVersion, dogstatsd, traces};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use self::support::changed;

/// MessagePack, written by hand.
#[derive(Debug, Clone, PartialEq)]
enum Pack {
    Int(i64),
    Float(f64),
    Text(&'static str),
    Long(String),
    List(Vec<Pack>),
    Map(Vec<(Pack, Pack)>),
}

use Pack::{Float, Int, List, Long, Map, Text};

impl Pack {
    fn write(&self, out: &mut Vec<u8>) {
        let head = |out: &mut Vec<u8>, byte, length: usize| {
            out.push(byte);
            out.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
        };
        match self {
            Int(number) => {
                out.push(0xd3);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Float(number) => {
                out.push(0xcb);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Text(text) => {
                head(out, 0xdb, text.len());
                out.extend_from_slice(text.as_bytes());
            }
            Long(text) => {
                head(out, 0xdb, text.len());
                out.extend_from_slice(text.as_bytes());
            }
            List(values) => {
                head(out, 0xdd, values.len());
                values.iter().for_each(|value| value.write(out));
            }
            Map(pairs) => {
                head(out, 0xdf, pairs.len());
                pairs.iter().for_each(|(key, value)| {
                    key.write(out);
                    value.write(out);
                });
            }
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }
}

fn map<const N: usize>(pairs: [(&'static str, Pack); N]) -> Pack {
    Map(pairs.into_iter().map(|(key, value)| (Text(key), value)).collect())
}

/// A span: texts, ids, times, whether it failed, texts and numbers of it.
struct Sent {
    texts: [&'static str; 4],
    ids: [i64; 3],
    times: [i64; 2],
    error: i64,
    meta: Vec<(&'static str, &'static str)>,
    metrics: Vec<(&'static str, f64)>,
}

/// A request of Flask, a statement it sent, and what failed in it.
fn chunk() -> Vec<Sent> {
    let failure = [("error.type", "builtins.ValueError"), ("error.message", "bad card"), ("error.stack", "at f")];
    vec![
        Sent {
            texts: ["shop", "flask.request", "GET /pay/<id>", "web"],
            ids: [-2, 1, 0],
            times: [1_795_224_367_000_000_000, 9_000],
            error: 1,
            meta: [
                ("_dd.p.tid", "6b00f59800000000"),
                ("_dd.p.dm", "-0"),
                ("runtime-id", "7f"),
                ("env", "prod"),
                ("version", "1.2"),
                ("language", "python"),
                ("component", "flask"),
                ("span.kind", "server"),
                ("http.status_code", "500"),
                ("http.method", "GET"),
                ("own", "kept"),
            ]
            .into_iter()
            .chain(failure)
            .collect(),
            metrics: vec![("process_id", 42.0), ("_dd.top_level", 1.0), ("_sampling_priority_v1", 1.0)],
        },
        Sent {
            texts: ["shop", "pay", "pay", ""],
            ids: [-2, 2, 1],
            times: [1_795_224_367_000_001_000, 5_000],
            error: 1,
            meta: failure.to_vec(),
            metrics: vec![],
        },
        Sent {
            texts: ["postgres", "postgres.query", "SELECT * FROM card WHERE number = '4111'", "sql"],
            ids: [-2, 3, 2],
            times: [1_795_224_367_000_002_000, 1_000],
            error: 0,
            meta: vec![
                ("_dd.base_service", "shop"),
                ("_dd.svc_src", "postgres"),
                ("component", "psycopg"),
                ("span.kind", "client"),
                ("db.system", "postgresql"),
                ("out.host", "db.local"),
                (
                    "_dd.span_links",
                    r#"[{"trace_id":"6b00f598000000000000000000000007","span_id":"0000000000000008","attributes":{"why":"x"},"flags":1}]"#,
                ),
                ("events", r#"[{"name":"retry","time_unix_nano":1795224367000002500,"attributes":{"n":2}}]"#),
            ],
            metrics: vec![("network.destination.port", 5432.0), ("db.row_count", 1.0), ("_dd.measured", 1.0)],
        },
    ]
}

fn v04(chunks: &[Vec<Sent>]) -> Vec<u8> {
    let span = |sent: &Sent| {
        let mut pairs = vec![
            (Text("service"), Text(sent.texts[0])),
            (Text("name"), Text(sent.texts[1])),
            (Text("resource"), Text(sent.texts[2])),
            (Text("trace_id"), Int(sent.ids[0])),
            (Text("span_id"), Int(sent.ids[1])),
            (Text("start"), Int(sent.times[0])),
            (Text("duration"), Int(sent.times[1])),
            (Text("later"), List(vec![Map(vec![(Text("unknown"), Int(1))])])),
            (Text("meta"), Map(sent.meta.iter().map(|(key, value)| (Text(key), Text(value))).collect())),
            (Text("metrics"), Map(sent.metrics.iter().map(|(key, value)| (Text(key), Float(*value))).collect())),
        ];
        // What says nothing is left out, as clients do it.
        if sent.ids[2] != 0 {
            pairs.push((Text("parent_id"), Int(sent.ids[2])));
        }
        if sent.error != 0 {
            pairs.push((Text("error"), Int(sent.error)));
        }
        if !sent.texts[3].is_empty() {
            pairs.push((Text("type"), Text(sent.texts[3])));
        }
        Map(pairs)
    };
    List(chunks.iter().map(|chunk| List(chunk.iter().map(span).collect())).collect()).bytes()
}

fn v05(chunks: &[Vec<Sent>]) -> Vec<u8> {
    let mut table: Vec<&'static str> = vec![""];
    let mut number = |text: &'static str| {
        let place = table.iter().position(|known| *known == text).unwrap_or_else(|| {
            table.push(text);
            table.len() - 1
        });
        Int(place as i64)
    };
    let mut span = |sent: &Sent| {
        let mut fields: Vec<Pack> = sent.texts[..3].iter().map(|text| number(text)).collect();
        fields.extend(sent.ids.map(Int));
        fields.extend(sent.times.map(Int));
        fields.push(Int(sent.error));
        fields.push(Map(sent.meta.iter().map(|(key, value)| (number(key), number(value))).collect()));
        fields.push(Map(sent.metrics.iter().map(|(key, value)| (number(key), Float(*value))).collect()));
        fields.push(number(sent.texts[3]));
        List(fields)
    };
    let chunks = List(chunks.iter().map(|chunk| List(chunk.iter().map(&mut span).collect())).collect());
    let table = List(table.into_iter().map(Text).collect());
    List(vec![table, chunks]).bytes()
}

fn sender() -> Sender {
    Sender {
        language: "python".into(),
        language_version: "3.12.1".into(),
        interpreter: "CPython".into(),
        tracer_version: "4.16.0".into(),
        ..Sender::default()
    }
}

fn read(version: TracesVersion, bytes: &[u8]) -> Result<Traces, TracesError> {
    traces(version, bytes, &sender(), usize::MAX, |_| true)
}

fn spans(batch: &[ResourceSpans]) -> Vec<&Span> {
    let mut spans: Vec<&Span> = batch.iter().flat_map(|of| &of.scopes).flat_map(|scope| &scope.spans).collect();
    spans.sort_by_key(|span| span.start_time_unix_nano);
    spans
}

#[test]
fn both_versions_say_the_same() {
    let sent = [chunk(), chunk()];
    let old = read(TracesVersion::V04, &v04(&sent)).unwrap();
    assert_eq!(old, read(TracesVersion::V05, &v05(&sent)).unwrap());
    assert_eq!(spans(&old.decoded.batch).len(), 6);
}

#[test]
fn a_trace_is_one_of_opentelemetry() {
    let read = read(TracesVersion::V05, &v05(&[chunk()])).unwrap();
    let batch = &read.decoded.batch;
    let [one] = &batch[..] else { panic!("one process: {batch:?}") };
    let resource = &one.resource;
    assert_eq!((resource.service(), resource.environment(), resource.version()), ("shop", "prod", "1.2"));
    let texts = ["service.instance.id", "process.runtime.name", "process.runtime.version", "telemetry.sdk.language"];
    assert_eq!(texts.map(|key| resource.attributes.get_str(key).unwrap()), ["7f", "cpython", "3.12.1", "python"]);
    assert_eq!(resource.attributes.get("process.pid"), Some(&Value::Int(42)));
    let scopes: Vec<&str> = one.scopes.iter().map(|scope| scope.scope.name.as_str()).collect();
    assert_eq!(scopes, ["ddtrace.flask", "ddtrace", "ddtrace.psycopg"]);

    let [request, pay, query] = spans(batch)[..] else { panic!("{batch:?}") };
    assert_eq!(request.trace_id.to_string(), "6b00f59800000000fffffffffffffffe");
    assert_eq!((request.trace_id, pay.trace_id), (pay.trace_id, query.trace_id));
    assert_eq!((pay.parent_span_id, query.parent_span_id), (request.span_id, pay.span_id));
    assert!(!request.parent_span_id.is_valid());
    assert_eq!((request.name.as_str(), request.kind), ("GET /pay/<id>", SpanKind::Server));
    assert_eq!(request.attributes.get("http.response.status_code"), Some(&Value::Int(500)));
    assert_eq!(request.attributes.get_str("http.request.method"), Some("GET"));
    assert_eq!(request.attributes.get_str("operation.name"), Some("flask.request"));
    assert_eq!(request.attributes.get_str("own"), Some("kept"));
    assert_eq!((request.status.code, request.status.message.as_str()), (StatusCode::Error, "bad card"));
    assert_eq!(request.attributes.get_str("error.type"), Some("ValueError"));
    assert_eq!(request.duration_nano(), 9_000);

    assert!(request.events.is_empty(), "the exception happened below");
    let [event] = &pay.events[..] else { panic!("{pay:?}") };
    let told = ["exception.type", "exception.message", "exception.stacktrace"];
    assert_eq!(told.map(|key| event.attributes.get_str(key).unwrap()), ["ValueError", "bad card", "at f"]);

    assert_eq!((query.name.as_str(), query.kind), ("SELECT card", SpanKind::Client));
    assert_eq!(query.attributes.get_str("db.query.text"), Some("SELECT * FROM card WHERE number = ?"));
    assert_eq!(query.attributes.get_str("db.system.name"), Some("postgresql"));
    assert_eq!(query.attributes.get_str("server.address"), Some("db.local"));
    assert_eq!(query.attributes.get("server.port"), Some(&Value::Int(5432)));
    assert_eq!(query.attributes.get_str("datadog.service"), Some("postgres"));
    assert!(!format!("{query:?}").contains("4111"), "literals are not stored: {query:?}");
    let [link] = &query.links[..] else { panic!("{query:?}") };
    assert_eq!(link.trace_id.to_string(), "6b00f598000000000000000000000007");
    assert_eq!((link.span_id.to_string().as_str(), link.flags), ("0000000000000008", 1));
    assert_eq!(link.attributes.get_str("why"), Some("x"));
    assert_eq!((query.events[0].name.as_str(), query.events[0].attributes.get("n")), ("retry", Some(&Value::Int(2))));
}

#[test]
fn version_04_has_links_events_and_structures_of_its_own() {
    let tagged = |kind, value| map([("type", Int(0)), (kind, value)]);
    let values = List(vec![tagged("int_value", Int(1)), tagged("int_value", Int(2))]);
    let list = map([("type", Int(4)), ("array_value", map([("values", values)]))]);
    let event = map([
        ("time_unix_nano", Int(5)),
        ("name", Text("seen")),
        ("attributes", map([("who", tagged("string_value", Text("ada"))), ("all", list)])),
    ]);
    let link = map([
        ("trace_id", Int(7)),
        ("trace_id_high", Int(1)),
        ("span_id", Int(8)),
        ("tracestate", Text("dd=s:1")),
        ("flags", Int(i64::from(0x8000_0001_u32))),
        ("attributes", map([("why", Text("x"))])),
    ]);
    let inner = map([("a", List(vec![Int(1), Text("b")]))]).bytes();
    let mut bytes = Vec::new();
    // One chunk of one span whose `meta_struct` is bytes within the message.
    bytes.extend_from_slice(b"\x91\x91\x86");
    for (key, value) in [
        ("trace_id", Int(7)),
        ("span_id", Int(2)),
        ("start", Int(5)),
        ("span_events", List(vec![event])),
        ("span_links", List(vec![link])),
    ] {
        Text(key).write(&mut bytes);
        value.write(&mut bytes);
    }
    Text("meta_struct").write(&mut bytes);
    bytes.extend_from_slice(b"\x81\xa3own\xc4");
    bytes.push(u8::try_from(inner.len()).unwrap());
    bytes.extend_from_slice(&inner);
    let read = read(TracesVersion::V04, &bytes).unwrap();
    let span = spans(&read.decoded.batch)[0];
    assert_eq!(span.events[0].attributes.get_str("who"), Some("ada"));
    assert_eq!(span.events[0].attributes.get("all"), Some(&Value::Array(vec![1.into(), 2.into()])));
    assert_eq!(span.links[0].trace_id.to_string(), "00000000000000010000000000000007");
    assert_eq!((span.links[0].flags, span.links[0].trace_state.as_str()), (1, "dd=s:1"));
    assert_eq!(span.attributes.get("own").unwrap().to_text(), r#"{"a":[1,"b"]}"#);
}

#[test]
fn what_a_client_counts_itself_is_told_apart() {
    let counting = Sender { computed_stats: true, ..sender() };
    let read = traces(TracesVersion::V05, &v05(&[chunk()]), &counting, usize::MAX, |_| true).unwrap();
    let names = |batch: &[ResourceSpans]| spans(batch).iter().map(|span| span.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&read.decoded.batch), ["pay"]);
    assert_eq!(names(&read.counted), ["GET /pay/<id>", "SELECT card"]);
}

#[test]
fn what_sampling_decided_against_is_told_apart() {
    let names = |batch: &[ResourceSpans]| spans(batch).iter().map(|span| span.name.clone()).collect::<Vec<_>>();
    let sent = |priority: Option<f64>| {
        let mut chunk = chunk();
        chunk[0].metrics.retain(|(name, _)| *name != "_sampling_priority_v1");
        chunk[0].metrics.extend(priority.map(|priority| ("_sampling_priority_v1", priority)));
        chunk[1].metrics.push(("_dd.span_sampling.mechanism", 8.0));
        v05(&[chunk])
    };
    let all = ["GET /pay/<id>", "pay", "SELECT card"];
    for (priority, kept, left) in [
        (None, &all[..], &[][..]),
        (Some(2.0), &all, &[]),
        (Some(1.0), &all, &[]),
        // One is kept by a rule for single spans.
        (Some(0.0), &all[1..2], &["GET /pay/<id>", "SELECT card"]),
        (Some(-1.0), &all[1..2], &["GET /pay/<id>", "SELECT card"]),
    ] {
        let read = read(TracesVersion::V05, &sent(priority)).unwrap();
        let mut found = names(&read.decoded.batch);
        found.sort_by_key(|name| all.iter().position(|other| other == name));
        assert_eq!((found.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), read.discarded), (kept, 0));
        assert_eq!(names(&read.sampled_out), left, "{priority:?}");
    }
    let counting = Sender { computed_stats: true, ..sender() };
    let read = traces(TracesVersion::V05, &sent(Some(0.0)), &counting, usize::MAX, |_| true).unwrap();
    assert_eq!((names(&read.decoded.batch), names(&read.counted)), (vec!["pay".to_owned()], vec![]));
    assert_eq!((read.sampled_out.len(), read.discarded), (0, 2));
}

#[test]
fn an_exception_that_is_handed_on_happened_once() {
    let mut sent = chunk();
    let handler = Sent {
        texts: ["shop", "flask.handle_exception", "", ""],
        ids: [-2, 4, 1],
        meta: sent[1].meta.clone(),
        metrics: vec![],
        ..sent.remove(1)
    };
    sent.push(handler);
    sent.insert(1, chunk().remove(1));
    let read = read(TracesVersion::V04, &v04(&[sent])).unwrap();
    let told: Vec<_> = spans(&read.decoded.batch)
        .into_iter()
        .filter(|span| span.events.iter().any(|event| event.name == "exception"))
        .collect();
    assert_eq!(told.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["pay"]);
}

#[test]
fn a_service_that_a_user_named_is_one() {
    let mut sent = chunk();
    sent[2].meta.retain(|(key, _)| *key != "_dd.svc_src");
    sent[2].meta.push(("_dd.svc_src", "m"));
    let read = read(TracesVersion::V04, &v04(&[sent])).unwrap();
    let services: Vec<&str> = read.decoded.batch.iter().map(|of| of.resource.service()).collect();
    assert_eq!(services, ["shop", "postgres"]);
}

#[test]
fn a_string_named_often_takes_room_each_time() {
    let long = "x".repeat(100_000);
    let span = |_| {
        let mut fields: Vec<Pack> = vec![Int(1); 3];
        fields.extend([1, 2, 0, 5, 6, 0].map(Int));
        fields.extend([Map(vec![(Int(1), Int(1))]), Map(vec![]), Int(0)]);
        List(fields)
    };
    let spans: Vec<Pack> = (0..1_000).map(span).collect();
    let bytes = List(vec![List(vec![Text(""), Long(long)]), List(vec![List(spans)])]).bytes();
    assert!(bytes.len() < 300_000, "{}", bytes.len());
    let mut granted = 0;
    let read = traces(TracesVersion::V05, &bytes, &sender(), 50_000_000, |step| {
        granted += step;
        true
    });
    assert_eq!(read, Err(TracesError::Room(RoomError::TooLarge { limit: 50_000_000 })));
    assert!(granted <= 50_000_000);
}

/// A payload of statistics with one group.
fn statistics(kind: &'static str, peer_tags: Vec<Pack>) -> Vec<u8> {
    let group = map([
        ("Service", Text("postgres")),
        ("Name", Text("postgres.query")),
        ("Resource", Text("SELECT * FROM card WHERE number = 7")),
        ("Type", Text("sql")),
        ("SpanKind", Text(kind)),
        ("Hits", Int(1)),
        ("Errors", Int(1)),
        ("Duration", Int(1_234_567)),
        ("PeerTags", List(peer_tags)),
        ("IsTraceRoot", Int(2)),
        ("HTTPStatusCode", Int(0)),
    ]);
    let bucket = map([("Start", Int(1_795_224_360_000_000_000)), ("Duration", Int(10)), ("Stats", List(vec![group]))]);
    map([("Env", Text("prod")), ("Version", Text("1.2")), ("Stats", List(vec![bucket])), ("Sequence", Int(1))]).bytes()
}

#[test]
fn statistics_are_named_as_spans_are() {
    let tags = vec![Text("_dd.base_service:shop"), Text("db.system:postgres")];
    let read = stats(&statistics("client", tags), usize::MAX, |_| true).unwrap();
    let [of] = &read.counted[..] else { panic!("{read:?}") };
    assert_eq!((of.service.as_str(), of.environment.as_str(), of.version.as_str()), ("shop", "prod", "1.2"));
    assert_eq!((of.name.as_str(), of.kind, of.peer.as_str()), ("SELECT card", SpanKind::Client, "postgresql"));
    assert_eq!((of.hits, of.errors, of.duration_sum_ns, of.duration_min_ns), (1, 1, 1_234_567, 1_234_567));
    assert_eq!((of.durations.count(), of.is_root), (1, false));
}

/// Looks at bytes in every way there is, with little room.
fn take(bytes: &[u8]) {
    const LIMIT: usize = 8 * 1024 * 1024;
    for version in [TracesVersion::V04, TracesVersion::V05] {
        let _ = traces(version, bytes, &sender(), LIMIT, |_| true);
    }
    let _ = (stats(bytes, LIMIT, |_| true), telemetry(bytes, LIMIT, |_| true));
    dogstatsd::lines(bytes).for_each(drop);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        take(&bytes);
    }

    #[test]
    fn hostile_changes_are_read_or_refused(changes in vec((any::<Index>(), any::<u8>()), 1..6), cut: Index) {
        for whole in [v04(&[chunk()]), v05(&[chunk()]), statistics("client", vec![])] {
            let bytes = changed(whole, &changes);
            take(&bytes);
            take(&bytes[..cut.index(bytes.len())]);
        }
    }

    #[test]
    fn hostile_nesting_is_bounded(unit in select(vec![&b"\x91"[..], b"\x81\xa1a", b"\x92\x90", b"\xdd\0\0\0\x01", b"[", b"{\"payload\":"]), times in 1..5_000usize) {
        take(&unit.repeat(times));
    }
}
