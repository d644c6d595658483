//! What is sent is found again, everywhere, at once, and after a restart.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use serde_json::{Value, json};

use crate::support::{Request, Server, failed, now_ns, number, request, send, span, text};

const MS: u64 = 1_000_000;
const TRACE: [u8; 16] = [0x4b; 16];
const TRACE_HEX: &str = "4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b";

/// The trace of a request that runs a statement and calls another service, and ten short ones.
fn send_sample(server: &Server) -> u64 {
    let start = now_ns() - 5_000 * MS;
    let mut statement = span(TRACE, 2, 1, "INSERT post", 3, start + 10 * MS, 30 * MS);
    statement.attributes = vec![text("db.system.name", "sqlite"), text("db.query.text", "INSERT INTO post VALUES (?)")];
    let mut root = failed(span(TRACE, 1, 0, "POST /create", 2, start, 200 * MS), "mail server away");
    root.attributes = vec![text("http.request.method", "POST"), number("http.response.status_code", 500)];
    let call = span(TRACE, 3, 1, "POST", 3, start + 50 * MS, 100 * MS);
    assert_eq!(server.export(&request("flaskr", vec![root, statement, call])).status, 200);
    let notify = span(TRACE, 4, 3, "POST /notify", 2, start + 60 * MS, 80 * MS);
    assert_eq!(server.export(&request("notifications", vec![notify])).status, 200);
    let short = (0..10u8).map(|n| span([n + 1; 16], 1, 0, "GET /", 2, start + u64::from(n) * MS, 2 * MS)).collect();
    assert_eq!(server.export(&request("flaskr", short)).status, 200);
    start
}

#[test]
fn spans_are_found_at_once_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let start = send_sample(&server);
    // The answer to the export means the spans can be queried; a second is what users are promised.
    let path = format!("/api/v1/traces/{TRACE_HEX}");
    let took = server.wait_for(&path, |answer| answer.status == 200 && answer.json()["data"]["n"] == 4);
    assert!(took < Duration::from_secs(1), "{took:?}");
    check(&server, start);
    assert!(server.stop().success());

    let server = Server::start(dir.path());
    check(&server, start);
    assert!(server.stop().success());
}

fn check(server: &Server, start: u64) {
    check_trace(&server.get(&format!("/api/v1/traces/{TRACE_HEX}?shape=columns")).data(), start);
    check_details(server, start);
    check_services(&server.get("/api/v1/services?from=now-15m&points=30").json());
    check_operations(&server.get("/api/v1/services/flaskr/operations?from=now-15m").data());
    check_series(server);
    check_search(server);
    check_pages(server);
    check_aggregates(server);
    let meta = server.get("/api/v1/meta").data();
    assert_eq!((&meta["spans_stored"], &meta["first_span"], &meta["auth"]), (&json!(14), &json!(true), &json!(false)));
    assert_eq!(meta["endpoints"]["otlp_http"], format!("http://{}", server.otlp_http));
    assert_eq!(server.get("/healthz").text(), "ok");
}

fn check_trace(trace: &Value, start: u64) {
    let strings = trace["strings"].as_array().unwrap();
    let texts = |column: &str| -> Vec<&str> {
        trace[column]
            .as_array()
            .unwrap()
            .iter()
            .map(|index| strings[index.as_u64().unwrap() as usize].as_str().unwrap())
            .collect()
    };
    assert_eq!(texts("name"), ["POST /create", "INSERT post", "POST", "POST /notify"]);
    assert_eq!(trace["trace_id"], TRACE_HEX);
    assert_eq!(trace["t0_us"], start / 1_000);
    assert_eq!(trace["dur_ns"], 200 * MS);
    assert_eq!(trace["id"], json!(["0000000000000001", "0000000000000002", "0000000000000003", "0000000000000004"]));
    assert_eq!(trace["parent"], json!([-1, 0, 0, 2]));
    assert_eq!(trace["depth"], json!([0, 1, 1, 2]));
    assert_eq!(trace["kind"], json!([2, 3, 3, 2]));
    assert_eq!(trace["start"], json!([0, 10 * MS, 50 * MS, 60 * MS]));
    assert_eq!(trace["dur"], json!([200 * MS, 30 * MS, 100 * MS, 80 * MS]));
    assert_eq!(trace["self"], json!([70 * MS, 30 * MS, 20 * MS, 80 * MS]));
    assert_eq!(trace["status"], json!([2, 0, 0, 0]));
    assert_eq!(trace["flags"], json!([3, 2, 2, 2]));
    assert_eq!(trace["svc"], json!([0, 0, 0, 1]));
    let services: Vec<(&str, &str, u64)> = trace["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|service| {
            let name = strings[service["name"].as_u64().unwrap() as usize].as_str().unwrap();
            (name, service["kind"].as_str().unwrap(), service["self_ns"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(services, [("flaskr", "web", 120 * MS), ("notifications", "web", 80 * MS)]);
    let expected = json!([
        [0, 0, 10 * MS],
        [1, 10 * MS, 40 * MS],
        [0, 40 * MS, 50 * MS],
        [2, 50 * MS, 60 * MS],
        [3, 60 * MS, 140 * MS],
        [2, 140 * MS, 150 * MS],
        [0, 150 * MS, 200 * MS]
    ]);
    assert_eq!(trace["critical"], expected);
    let statement = strings[trace["desc"][1].as_u64().unwrap() as usize].as_str().unwrap();
    assert_eq!(statement, "INSERT INTO post VALUES (?)");
    assert_eq!(trace["truncated"], Value::Null);
}

fn check_details(server: &Server, start: u64) {
    let all = server.get(&format!("/api/v1/traces/{TRACE_HEX}/spans")).data();
    assert_eq!(all.as_array().unwrap().len(), 4);
    let some = server.get(&format!("/api/v1/traces/{TRACE_HEX}/spans?ids=0000000000000001")).data();
    let root = &some[0];
    assert_eq!(some.as_array().unwrap().len(), 1);
    assert_eq!(root["parent_span_id"], Value::Null);
    assert_eq!(
        (&root["service"], &root["kind"], &root["status"]),
        (&json!("flaskr"), &json!("server"), &json!("error"))
    );
    assert_eq!(root["status_message"], "mail server away");
    assert_eq!(root["start_us"], start / 1_000);
    assert_eq!(root["attributes"], json!({ "http.request.method": "POST", "http.response.status_code": 500 }));
    assert_eq!(root["resource"]["service.version"], "2.1.0");
    assert_eq!(root["scope"], json!({ "name": "pitviper.flask", "version": "3.1.0" }));
}

fn check_services(answer: &Value) {
    let services = answer["data"].as_array().unwrap();
    let names: Vec<&str> = services.iter().map(|service| service["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["flaskr", "notifications"]);
    let flaskr = &services[0];
    assert_eq!((&flaskr["hits"], &flaskr["errors"], &flaskr["kind"]), (&json!(11), &json!(1), &json!("web")));
    assert_eq!((&flaskr["lang"], &flaskr["framework"]), (&json!("python 3.11.7"), &json!("flask 3.1.0")));
    assert_eq!(
        (&flaskr["env"], &flaskr["version"], &flaskr["instances"]),
        (&json!(["test"]), &json!(["2.1.0"]), &json!(1))
    );
    let p50 = flaskr["p50"]["v"].as_f64().unwrap();
    assert!((p50 / 2e6 - 1.0).abs() < 0.012, "{p50}");
    let points = flaskr["rps"]["s"].as_array().unwrap();
    let step_s = answer["meta"]["step_ms"].as_f64().unwrap() / 1e3;
    let span_s = (answer["meta"]["to"].as_f64().unwrap() - answer["meta"]["from"].as_f64().unwrap()) / 1e6;
    assert_eq!(points.len() as f64, span_s / step_s);
    let rates = points.iter().filter_map(Value::as_f64).filter(|rate| *rate > 0.0).count();
    assert!((1..=2).contains(&rates), "{points:?}");
    assert!((flaskr["err"]["v"].as_f64().unwrap() - 1.0 / 11.0).abs() < 1e-9);
    assert!(flaskr["last_seen_us"].as_i64().unwrap() > 0);
}

fn check_operations(operations: &Value) {
    let rows: Vec<(&str, &str, bool, u64)> = operations
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let text = |key: &str| row[key].as_str().unwrap();
            (text("name"), text("kind"), row["entry"].as_bool().unwrap(), row["hits"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("POST /create", "server", true, 1),
            ("GET /", "server", true, 10),
            ("POST", "client", false, 1),
            ("INSERT post", "client", false, 1)
        ]
    );
    let create = &operations[0];
    assert_eq!(
        (&create["max"], &create["total_ns"], &create["err"]),
        (&json!(200 * MS), &json!(200 * MS), &json!(1.0))
    );
    assert!((create["share"].as_f64().unwrap() - 200.0 / 220.0).abs() < 1e-9);
    assert_eq!(operations[2]["share"], Value::Null);
}

fn check_series(server: &Server) {
    let query = json!({
        "scope": { "service": "flaskr", "operation": "GET /" },
        "queries": [{ "metric": "response_time", "agg": "max" }, { "metric": "count" }, { "metric": "failure_rate" }, { "metric": "throughput" }],
        "from": "now-10m", "max_points": 60
    });
    let answer = server.post("/api/v1/series", &query).data();
    let names: Vec<&str> =
        answer["series"].as_array().unwrap().iter().map(|series| series["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["response_time max", "count", "failure_rate", "throughput"]);
    let values = |index: usize| answer["series"][index]["v"].as_array().unwrap().iter().filter_map(Value::as_f64);
    assert_eq!(values(0).fold(0.0, f64::max), 2e6);
    assert_eq!(values(1).sum::<f64>(), 10.0);
    assert_eq!(values(2).sum::<f64>(), 0.0);
    assert_eq!(answer["t"].as_array().unwrap().len(), answer["series"][0]["v"].as_array().unwrap().len());
    let wrong = server.post("/api/v1/series", &json!({ "queries": [{ "metric": "speed" }] }));
    assert!(wrong.problem(400, "bad_request")["detail"].as_str().unwrap().contains("response_time"));
}

fn check_search(server: &Server) {
    let found = |query: &str| -> Vec<String> {
        let answer =
            server.post("/api/v1/spans/search", &json!({ "query": query, "mode": "spans", "limit": 100 })).data();
        let mut names: Vec<String> =
            answer.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect();
        names.dedup();
        names
    };
    assert_eq!(found("service:notifications"), ["POST /notify"]);
    assert_eq!(found("name:\"POST /create\""), ["POST /create"]);
    assert_eq!(found("duration:>90ms -is:root"), ["POST"]);
    assert_eq!(found("status:error"), ["POST /create"]);
    assert_eq!(found("http.response.status_code:500"), ["POST /create"]);
    assert_eq!(found("http.response.status_code:>=500 http.request.method:(GET OR POST)"), ["POST /create"]);
    assert_eq!(found("db.query.text:*into\\ post*"), Vec::<String>::new());
    assert_eq!(found("db.query.text:*INTO\\ post*"), ["INSERT post"]);
    assert_eq!(found("\"into POST\""), ["INSERT post"]);
    assert_eq!(found("db.system.name:*"), ["INSERT post"]);
    assert_eq!(found("kind:client service:flaskr env:test version:2.1.0"), ["POST", "INSERT post"]);
    assert_eq!(found("is:entry (name:*notify* OR duration:[150ms TO 1s])"), ["POST /notify", "POST /create"]);
    assert_eq!(found(&format!("trace:{TRACE_HEX} span:0000000000000004")), ["POST /notify"]);
    assert_eq!(found("nothing-has-this"), Vec::<String>::new());
    assert_eq!(found("http.status:5xx name:/^POST.+create$/"), ["POST /create"]);
    assert_eq!(found("{service:flaskr is:root} >> {service:notifications}"), ["POST /notify"]);
    assert_eq!(found("{service:notifications} < {}"), ["POST"]);
    assert_eq!(found("{is:root} | count(db.system.name:*) > 0"), Vec::<String>::new());
    assert_eq!(found("| count(db.system.name:*) > 0").len(), 4);

    let query = json!({ "query": "db.system.name:sqlite", "from": "now-5m" });
    let traces = server.post("/api/v1/spans/search", &query).data();
    let row = &traces[0];
    assert_eq!(traces.as_array().unwrap().len(), 1);
    assert_eq!((&row["trace_id"], &row["spans"], &row["errors"]), (&json!(TRACE_HEX), &json!(4), &json!(1)));
    let root = json!({ "service": "flaskr", "name": "POST /create", "kind": "server", "status": "error" });
    assert_eq!(row["root"], root);
    assert_eq!((&row["matched"], &row["matched_count"]), (&json!(["0000000000000002"]), &json!(1)));
    assert_eq!(row["services"], json!([["flaskr", 0.6], ["notifications", 0.4]]));

    let query =
        json!({ "query": "{name:\"POST /create\"} > {kind:client} | sum(duration) >= 130ms", "from": "now-5m" });
    let answer = server.post("/api/v1/spans/search", &query).json();
    assert_eq!((&answer["meta"]["complete"], &answer["meta"]["next"]), (&json!(true), &Value::Null));
    assert_eq!(answer["data"][0]["matched"], json!(["0000000000000003", "0000000000000002"]));
    assert_eq!((&answer["data"][0]["matched_count"], &answer["data"][1]), (&json!(2), &Value::Null));

    let parsed = server.post("/api/v1/query/parse", &json!({ "query": "a  service:x is:rot" })).data();
    assert_eq!(parsed["errors"][0]["fix"], json!({ "replace": "root" }));
    assert_eq!((&parsed["canonical"], parsed["tokens"].as_array().unwrap().len()), (&Value::Null, 5));
    let parsed = server.post("/api/v1/query/parse", &json!({ "query": "a  service:x" })).data();
    assert_eq!((&parsed["canonical"], &parsed["errors"]), (&json!("a service:x"), &json!([])));
    assert_eq!(
        parsed["chips"][1],
        json!({ "kind": "term", "index": 0, "from": 3, "to": 12, "text": "service:x", "without": "a" })
    );

    let problem =
        server.post("/api/v1/spans/search", &json!({ "query": "a duration:>5parsec" })).problem(400, "query.syntax");
    assert_eq!((&problem["errors"][0]["from"], &problem["errors"][0]["to"]), (&json!(12), &json!(19)));
}

/// Walks all pages of both modes in all orders, as JSON and as lines.
/// What came over the wire is counted by the metrics and by the spans alike.
fn check_aggregates(server: &Server) {
    for (query, source) in [("service:flaskr", "metrics"), ("service:flaskr http.request.method:*", "spans")] {
        let body = json!({ "metric": "duration", "agg": "max", "split": ["name"], "query": query, "step": null });
        let answer = server.post("/api/v1/aggregate", &body).json();
        assert_eq!((&answer["meta"]["source"], &answer["meta"]["exact"]), (&json!(source), &json!(true)), "{query}");
        let first = &answer["data"]["series"][0];
        assert_eq!((&first["labels"]["name"], &first["total"]), (&json!("POST /create"), &json!(200.0 * MS as f64)));
    }
    let body = json!({ "metric": "errors", "split": ["service"], "step": null });
    let answer = server.post("/api/v1/aggregate", &body).json();
    let series = answer["data"]["series"].as_array().unwrap();
    let errors: Vec<_> =
        series.iter().map(|series| (series["labels"]["service"].as_str(), series["total"].as_f64())).collect();
    assert_eq!(errors, [(Some("flaskr"), Some(1.0)), (Some("notifications"), Some(0.0))]);
    let map = server.post("/api/v1/heatmap", &json!({ "query": "" })).json();
    assert_eq!((&map["data"]["total"], &map["data"]["failed"]), (&json!(14), &json!(1)));
    let found =
        server.post("/api/v1/spans/search", &json!({ "query": "root.status:error kind:client", "mode": "spans" }));
    assert_eq!(found.json()["data"].as_array().map(Vec::len), Some(2));
}

fn check_pages(server: &Server) {
    for (mode, total) in [("spans", 14), ("traces", 11)] {
        for order in ["-start", "start", "-duration"] {
            let mut seen = Vec::new();
            let mut cursor = Value::Null;
            loop {
                let query = json!({ "mode": mode, "order": order, "limit": 4, "cursor": cursor });
                let plain = server.post("/api/v1/spans/search", &query).json();
                let lines = Request::post("/api/v1/spans/search", "application/json", query.to_string().as_bytes())
                    .header("accept", "application/x-ndjson");
                let lines = send(&server.http, &lines).unwrap().text();
                let mut lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
                let end = lines.pop().unwrap();
                assert_eq!((&end["type"], &end["next"]), (&json!("end"), &plain["meta"]["next"]));
                // On a busy machine it may be told how far the search came.
                lines.retain(|line| line["type"] != "progress");
                let rows = plain["data"].as_array().unwrap();
                assert_eq!(lines.len(), rows.len());
                assert!(lines.iter().all(|line| line["type"] == "row"));
                for row in rows {
                    let key = (row["start_us"].as_i64().or(row["t0_us"].as_i64()), row["dur_ns"].as_u64());
                    seen.push((row["trace_id"].to_string(), row["span_id"].to_string(), key));
                }
                cursor = plain["meta"]["next"].clone();
                if cursor.is_null() {
                    break;
                }
            }
            let values: Vec<i64> = seen
                .iter()
                .map(|(_, _, (start, duration))| match order {
                    "start" => start.unwrap(),
                    "-start" => -start.unwrap(),
                    _ => -(duration.unwrap() as i64),
                })
                .collect();
            if mode == "spans" {
                assert!(values.is_sorted(), "{mode} {order}: {values:?}");
            }
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), total, "{mode} {order}: {seen:?}");
        }
    }
    let foreign = server.post("/api/v1/spans/search", &json!({ "cursor": "sn.1.2.3" }));
    foreign.problem(400, "bad_request");
}

#[test]
fn otlp_arrives_over_grpc_and_json_and_on_the_main_port() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = TraceServiceClient::connect(format!("http://{}", server.otlp_grpc)).await.unwrap();
        let spans = vec![span([1; 16], 1, 0, "over grpc", 2, now_ns(), MS)];
        let answer = client.export(request("a", spans)).await.unwrap().into_inner();
        assert_eq!(answer.partial_success.map_or(0, |partial| partial.rejected_spans), 0);
    });
    let json_request = json!({ "resourceSpans": [{
        "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "b" } }] },
        "scopeSpans": [{ "spans": [{
            "traceId": "02020202020202020202020202020202", "spanId": "0000000000000001", "name": "as json", "kind": 2,
            "startTimeUnixNano": now_ns().to_string(), "endTimeUnixNano": (now_ns() + MS).to_string()
        }] }]
    }] });
    assert_eq!(server.post("/v1/traces", &json_request).status, 200);
    let spans = vec![span([3; 16], 1, 0, "on the main port", 2, now_ns(), MS)];
    let body = prost::Message::encode_to_vec(&request("c", spans));
    let answer = send(&server.http, &Request::post("/v1/traces", "application/x-protobuf", &body)).unwrap();
    assert_eq!(answer.status, 200);

    let services = server.get("/api/v1/services?from=now-1m&to=now%2B1m").data();
    let names: Vec<&str> =
        services.as_array().unwrap().iter().map(|service| service["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    for (trace, name) in [("01", "over grpc"), ("02", "as json"), ("03", "on the main port")] {
        let trace = server.get(&format!("/api/v1/traces/{}", trace.repeat(16))).data();
        assert_eq!(trace["strings"][trace["name"][0].as_u64().unwrap() as usize], name);
    }
}

#[test]
fn every_received_span_has_one_counted_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let good = span([1; 16], 1, 0, "GET /", 2, now_ns(), MS);
    let without_id = span([2; 16], 0, 0, "GET /", 2, now_ns(), MS);
    let answer = server.export(&request("a", vec![good, without_id]));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let broken = Request::post("/v1/traces", "application/x-protobuf", b"\xff\xff\xff");
    assert_eq!(send(&server.otlp_http, &broken).unwrap().status, 400);
    let unknown = Request::post("/v1/traces", "text/csv", b"a,b");
    assert_eq!(send(&server.otlp_http, &unknown).unwrap().status, 415);
    let metrics = server.get("/metrics").text();
    let spans = "pitviper_spans_total{transport=\"otlp_http_protobuf\",";
    for line in [
        format!("{spans}outcome=\"received\",reason=\"\"}} 2"),
        format!("{spans}outcome=\"stored\",reason=\"\"}} 1"),
        format!("{spans}outcome=\"rejected\",reason=\"invalid_span_id\"}} 1"),
        "pitviper_ingest_requests_total{signal=\"traces\",transport=\"otlp_http\",outcome=\"accepted\",reason=\"\"} 1".to_owned(),
        "pitviper_ingest_requests_total{signal=\"traces\",transport=\"otlp_http\",outcome=\"refused\",reason=\"bad_protobuf\"} 1".to_owned(),
        "pitviper_ingest_requests_total{signal=\"traces\",transport=\"otlp_http\",outcome=\"refused\",reason=\"unsupported_media_type\"} 1".to_owned(),
        "pitviper_store_spans 1".to_owned(),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn a_waiting_client_hears_of_the_first_span() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let address = server.http.clone();
    let waiting = std::thread::spawn(move || send(&address, &Request::get("/api/v1/first-span")).unwrap());
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(server.export(&request("flaskr", vec![span(TRACE, 1, 0, "GET /", 2, now_ns(), MS)])).status, 200);
    let events = waiting.join().unwrap();
    assert_eq!(events.header("content-type"), "text/event-stream");
    let text = events.text();
    assert!(text.starts_with("event: waiting\ndata: {\"spans_stored\":0}\n\n"), "{text}");
    let last = text.trim_end().rsplit("event: first_span\ndata: ").next().unwrap();
    let expected = json!({ "service": "flaskr", "name": "GET /", "trace_id": TRACE_HEX });
    assert_eq!(serde_json::from_str::<Value>(last).unwrap(), expected, "{text}");
    // Whoever asks later hears it at once.
    assert!(server.get("/api/v1/first-span").text().starts_with("event: first_span"));
}

#[test]
fn answers_are_compressed_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let plain = server.get("/api/openapi.json").body;
    for encoding in ["gzip", "br", "zstd"] {
        let answer =
            send(&server.http, &Request::get("/api/openapi.json").header("accept-encoding", encoding)).unwrap();
        assert_eq!((answer.status, answer.header("content-encoding")), (200, encoding));
        assert!(answer.body.len() * 3 < plain.len(), "{encoding}: {} of {}", answer.body.len(), plain.len());
        if encoding == "gzip" {
            let mut unpacked = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&answer.body[..]), &mut unpacked).unwrap();
            assert_eq!(unpacked, plain);
        }
    }
}

#[test]
fn bad_requests_get_problems_and_the_server_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.get("/api/v1/nothing").problem(404, "not_found");
    server.get("/api/v1/traces/abc").problem(400, "bad_request");
    server.get(&format!("/api/v1/traces/{TRACE_HEX}")).problem(404, "not_found");
    server.get(&format!("/api/v1/traces/{TRACE_HEX}/spans")).problem(404, "not_found");
    server.get(&format!("/api/v1/traces/{TRACE_HEX}?max_spans=0")).problem(400, "bad_request");
    server.get("/api/v1/services?from=yesterday").problem(400, "bad_request");
    server.get("/api/v1/services?from=now&to=now-1h").problem(400, "bad_request");
    server.get("/api/v1/services?points=x").problem(400, "bad_request");
    server.get("/api/v1/services?colour=red").problem(400, "bad_request");
    let wrong_method = server.post("/api/v1/services", &json!({}));
    wrong_method.problem(405, "method_not_allowed");
    assert_eq!(wrong_method.header("allow"), "GET,HEAD");
    server.post("/api/v1/spans/search", &json!({ "limit": 1_001 })).problem(400, "bad_request");
    server.post("/api/v1/spans/search", &json!({ "mode": "services" })).problem(400, "bad_request");
    server.post("/api/v1/spans/search", &json!({ "query": "x".repeat(300_000) })).problem(413, "too_large");
    server.post("/api/v1/spans/search", &json!({ "query": "(".repeat(9_000) })).problem(400, "query.syntax");
    let not_json = Request::post("/api/v1/spans/search", "text/plain", b"{}");
    send(&server.http, &not_json).unwrap().problem(415, "unsupported_media_type");
    let broken = Request::post("/api/v1/series", "application/json", b"{\"queries\":");
    send(&server.http, &broken).unwrap().problem(400, "bad_request");
    let named = Request::get("/api/v1/nothing").header("x-request-id", "my-own-id");
    assert_eq!(send(&server.http, &named).unwrap().problem(404, "not_found")["request_id"], "my-own-id");

    let metrics = server.get("/metrics").text();
    for line in [
        "pitviper_http_requests_total{method=\"GET\",route=\"/api/v1/services\",status=\"400\"} 4",
        "pitviper_store_spans 0",
        "# TYPE process_resident_memory_bytes gauge",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert_eq!(server.get("/healthz").text(), "ok");
}
