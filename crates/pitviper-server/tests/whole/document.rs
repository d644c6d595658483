//! The OpenAPI document tells the truth: every route in it answers, and every answer has its shape.

use serde_json::{Value, json};

use crate::schema::check;
use crate::support::{Answer, Request, Server, failed, now_ns, request, send, span, text};

/// A request to each route, and one it refuses, by method and path.
fn requests(method: &str, path: &str) -> Vec<Request> {
    let trace = "07".repeat(16);
    let post = |path: &str, body: Value| Request::post(path, "application/json", body.to_string().as_bytes());
    match (method, path) {
        ("get", "/healthz" | "/metrics" | "/api/openapi.json" | "/api/v1/meta" | "/api/v1/first-span") => {
            vec![Request::get(path)]
        }
        ("get", "/api/v1/services") => vec![
            Request::get("/api/v1/services?from=now-5m&to=now&env=test&points=10"),
            Request::get("/api/v1/services?points=99999"),
        ],
        ("get", "/api/v1/services/{service}/operations") => vec![
            Request::get("/api/v1/services/flaskr/operations"),
            Request::get("/api/v1/services/nobody/operations"),
            Request::get("/api/v1/services/flaskr/operations?from=x"),
        ],
        ("get", "/api/v1/traces/{trace_id}") => vec![
            Request::get(&format!("/api/v1/traces/{trace}?shape=columns&max_spans=100")),
            Request::get(&format!("/api/v1/traces/{trace}?max_spans=1")),
            Request::get(&format!("/api/v1/traces/{}", "08".repeat(16))),
            Request::get("/api/v1/traces/8"),
        ],
        ("get", "/api/v1/traces/{trace_id}/spans") => vec![
            Request::get(&format!("/api/v1/traces/{trace}/spans")),
            Request::get(&format!("/api/v1/traces/{trace}/spans?ids=0000000000000001,0000000000000002")),
            Request::get(&format!("/api/v1/traces/{}/spans", "08".repeat(16))),
            Request::get(&format!("/api/v1/traces/{trace}/spans?ids=z")),
        ],
        ("get", "/api/v1/services/{service}/instances") => vec![
            Request::get("/api/v1/services/flaskr/instances"),
            Request::get("/api/v1/services/nobody/instances?from=now-5m&to=now"),
            Request::get("/api/v1/services/flaskr/instances?from=x"),
        ],
        ("get", "/api/v1/traces/{trace_id}/logs") => vec![
            Request::get(&format!("/api/v1/traces/{trace}/logs")),
            Request::get(&format!("/api/v1/traces/{}/logs?limit=5", "08".repeat(16))),
            Request::get(&format!("/api/v1/traces/{trace}/logs?cursor=z")),
        ],
        ("post", "/api/v1/logs/search") => vec![
            post(path, json!({})),
            post(path, json!({ "severity": "warn", "service": "nobody", "text": "a", "limit": 1 })),
            post(path, json!({ "severity": "loud" })),
        ],
        ("post", "/api/v1/metrics/query") => vec![
            post(path, json!({ "metric": "queue.length", "split": ["service"], "agg": "max" })),
            post(path, json!({ "metric": "nobody.has.it", "step": null })),
            post(path, json!({ "metric": "queue.length", "agg": "p95" })),
        ],
        ("get", "/api/v1/metrics/names") => vec![
            Request::get(path),
            Request::get("/api/v1/metrics/names?text=queue&service=nobody&limit=1"),
            Request::get("/api/v1/metrics/names?limit=0"),
        ],
        ("post", "/api/v1/series") => vec![
            post(
                path,
                json!({ "scope": { "service": "flaskr", "kind": "server" }, "queries": [{ "metric": "response_time", "agg": "p95" }, { "metric": "count" }] }),
            ),
            post(path, json!({ "queries": [] })),
        ],
        ("post", "/api/v1/spans/search") => vec![
            post(path, json!({ "query": "service:flaskr", "mode": "traces", "order": "-duration", "limit": 1 })),
            post(
                path,
                json!({ "query": "sevice:flaskr OR status:error", "mode": "spans", "from": "now-1h", "to": now_ns() / 1_000 + 1_000_000 }),
            ),
            post(path, json!({ "query": "duration:>5 is:rot" })),
            post(path, json!({ "query": "{is:root} > {db.system.name:/^sql/} | count() > 0" })),
        ],
        ("post", "/api/v1/aggregate") => vec![
            post(path, json!({ "metric": "duration", "agg": "p99.9", "split": ["service", "http.status"], "top": 1 })),
            post(path, json!({ "metric": "rate", "query": "service:flaskr", "step": null, "exemplars": 1 })),
            post(path, json!({ "metric": "nobody.has.it", "agg": "slowest:10%" })),
            post(path, json!({ "metric": "count", "from": 0, "to": 1_000_000, "step": "1s" })),
            post(path, json!({ "metric": "rate", "agg": "p95" })),
        ],
        ("post", "/api/v1/heatmap") => vec![
            post(path, json!({ "query": "service:flaskr" })),
            post(path, json!({ "query": "kind:server", "errors": true, "width": 10, "height": 5 })),
            post(path, json!({ "width": 0 })),
        ],
        ("post", "/api/v1/query/parse") => vec![
            post(path, json!({ "query": "{is:root} > {db.system.name:/^sql/} | count() > 0" })),
            post(path, json!({ "query": "sevice:x duration:>5 is:rot" })),
            post(path, json!({ "query": 5 })),
        ],
        ("post", "/api/v1/facets") => vec![
            post(
                path,
                json!({ "query": "service:flaskr", "from": "now-1h", "keys": ["name", "db.system.name"], "limit": 3 }),
            ),
            post(path, json!({ "query": "{is:root} > {db.system.name:*}" })),
            post(path, json!({ "query": "duration:5" })),
        ],
        ("get", "/api/v1/complete") => vec![
            Request::get("/api/v1/complete?query=service:&cursor=8&from=now-1h&to=now&limit=5"),
            Request::get("/api/v1/complete?query=%7Bis:root%7D+"),
            Request::get("/api/v1/complete?limit=0"),
        ],
        ("post", "/api/v1/sql") => vec![
            post(path, json!({ "query": "SELECT service, count(*) AS spans FROM spans GROUP BY service" })),
            post(path, json!({ "query": "SELECT name FROM spans ORDER BY name", "from": "now-1h", "limit": 1 })),
            post(path, json!({ "query": "SELECT nme FROM spans" })),
            post(path, json!({ "query": "DROP TABLE spans" })),
        ],
        ("post", "/api/v1/profiles/merge") => vec![
            post(path, json!({ "selection": { "service": "flaskr" } })),
            post(path, json!({ "selection": {}, "baseline": { "from": "now-2h", "to": "now-1h" }, "lines": false })),
            post(path, json!({ "selection": { "service": "nobody" }, "max_nodes": 1 })),
            post(path, json!({ "selection": { "trace_id": "7" } })),
        ],
        ("post", "/api/v1/profiles/functions") => vec![
            post(path, json!({ "selection": { "service": "flaskr" }, "search": "work", "limit": 5 })),
            post(path, json!({ "selection": {}, "baseline": { "service": "nobody" } })),
            post(path, json!({ "selection": {}, "limit": 0 })),
        ],
        ("post", "/api/v1/profiles/values") => vec![
            post(path, json!({})),
            post(path, json!({ "service": "nobody", "type": "wall", "from": "now-1h" })),
            post(path, json!({ "from": "x" })),
        ],
        ("post", "/api/v1/profiles/series") => vec![
            post(path, json!({ "selection": { "service": "flaskr" }, "split": "state", "buckets": 10 })),
            post(path, json!({ "selection": { "service": "nobody" } })),
            post(path, json!({ "selection": {}, "buckets": 0 })),
        ],
        ("post", "/api/v1/profiles/spans") => vec![
            post(path, json!({ "selection": { "service": "flaskr" }, "function": "work", "file": "/app.py" })),
            post(path, json!({ "selection": {}, "function": "nobody" })),
            post(path, json!({ "selection": {}, "function": "work", "limit": 0 })),
        ],
        ("post", "/api/v1/profiles/lines") => vec![
            post(path, json!({ "selection": { "service": "flaskr" }, "function": "work", "file": "/app.py" })),
            post(path, json!({ "selection": {}, "baseline": { "service": "nobody" }, "function": "work" })),
            post(path, json!({ "selection": {}, "function": "" })),
        ],
        ("post", "/api/v1/profiles/longest") => vec![
            post(path, json!({ "selection": { "service": "flaskr", "exclude_states": ["idle"] } })),
            post(path, json!({ "selection": { "type": "loop_block", "exception": "ValueError", "lock": "lock" } })),
            post(path, json!({ "selection": {}, "limit": 0 })),
        ],
        ("post", "/api/v1/profiles/export") => {
            let of = |format: &str| post(&format!("{path}?format={format}"), json!({ "selection": {} }));
            vec![of("speedscope"), of("pprof"), of("collapsed"), of("paper")]
        }
        ("get", "/api/v1/sql/views") => vec![Request::get(path)],
        ("get", "/api/v1/clients/settings") => vec![Request::get(path)],
        ("put", "/api/v1/clients/settings") => {
            let put = |body: Value| Request { method: "PUT", ..post(path, body) };
            let rule = json!({ "resource": "GET /health", "sample_rate": 0 });
            let setting = json!({ "service": "flaskr", "tags": { "team": "web" }, "log_injection": true });
            vec![
                put(json!([{ "sampling_rules": [rule], "sample_rate": 0.5, "tracing": true }, setting])),
                put(json!([{ "sample_rate": 2 }])),
            ]
        }
        other => panic!("{other:?} is documented and not tested here"),
    }
}

#[test]
fn every_documented_route_answers_as_documented() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let start = now_ns() - 1_000_000_000;
    let mut second = span([7; 16], 2, 1, "SELECT", 3, start + 10, 5_000);
    second.attributes = vec![text("db.system.name", "sqlite")];
    let spans = vec![
        failed(span([7; 16], 1, 0, "GET /", 2, start, 9_000_000), "no"),
        second,
        span([9; 16], 1, 0, "GET /", 2, start, 7),
    ];
    assert_eq!(server.export(&request("flaskr", spans)).status, 200);
    let resource = json!({ "attributes": [{ "key": "service.name", "value": { "stringValue": "flaskr" } }] });
    let times = json!({ "timeUnixNano": start.to_string() });
    let with = |more: Value| {
        let mut item = times.clone();
        item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        item
    };
    let record = with(json!({ "severityNumber": 9, "body": { "stringValue": "a" }, "traceId": "07".repeat(16) }));
    let logs = json!({ "resourceLogs": [{ "resource": resource, "scopeLogs": [{ "logRecords": [record] }] }] });
    let gauge = json!({ "name": "queue.length", "gauge": { "dataPoints": [with(json!({ "asInt": "7" }))] } });
    let metrics = json!({ "resourceMetrics": [{ "resource": resource, "scopeMetrics": [{ "metrics": [gauge] }] }] });
    for (path, body) in [("/v1/logs", logs), ("/v1/metrics", metrics)] {
        let export = Request::post(path, "application/json", body.to_string().as_bytes());
        assert_eq!(send(&server.http, &export).unwrap().text(), "{}");
    }

    let profile = Request::post("/v1/pprof?service.name=flaskr", "application/x-protobuf", &pprof());
    assert_eq!(send(&server.http, &profile).unwrap().text(), "{}");

    let document = server.get("/api/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut answered = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for (index, request) in requests(method, path).iter().enumerate() {
                let answer = send(&server.http, request).unwrap();
                let place = format!("{method} {} → {}", request.path, answer.status);
                if index == 0 {
                    assert_eq!(answer.status, 200, "{place}: {}", answer.text());
                }
                check_answer(&document, operation, &answer, &place);
                answered += 1;
            }
        }
    }
    assert!(answered >= 41, "{answered}");
}

/// A pprof with one sample: 5 ns of CPU time in `work`, line 3 of /app.py.
fn pprof() -> Vec<u8> {
    fn message(field: u8, body: &[u8]) -> Vec<u8> {
        [&[field << 3 | 2, body.len() as u8], body].concat()
    }
    let strings = ["", "cpu", "nanoseconds", "work", "/app.py"];
    [
        message(1, &[1 << 3, 1, 2 << 3, 2]),
        message(2, &[message(1, &[1]), message(2, &[5])].concat()),
        message(4, &[vec![1 << 3, 1], message(4, &[1 << 3, 1, 2 << 3, 3])].concat()),
        message(5, &[1 << 3, 1, 2 << 3, 3, 4 << 3, 4]),
        strings.iter().flat_map(|text| message(6, text.as_bytes())).collect(),
    ]
    .concat()
}

fn check_answer(document: &Value, operation: &Value, answer: &Answer, place: &str) {
    assert!(!answer.header("x-request-id").is_empty(), "{place}");
    assert!(answer.header("server-timing").starts_with("total;dur="), "{place}");
    assert!(answer.header("content-security-policy").starts_with("default-src 'self'"), "{place}");
    let content = &operation["responses"][answer.status.to_string()]["content"];
    let content = content.as_object().unwrap_or_else(|| panic!("{place} is not documented"));
    let given = answer.header("content-type");
    let (media_type, media) = content
        .iter()
        .find(|(media_type, _)| given.starts_with(media_type.as_str()))
        .unwrap_or_else(|| panic!("{place}: {given} is not documented"));
    if media_type.ends_with("json") {
        check(document, &media["schema"], &answer.json(), "answer").unwrap_or_else(|wrong| panic!("{place}: {wrong}"));
    }
}
