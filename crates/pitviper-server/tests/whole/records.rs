//! Log records and points of metrics, exported and imported: the same questions have the same answers.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Answer, Request, Server, now_ns, run, send};

fn argument(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn printed(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn post(server: &Server, path: &str, body: &Value) -> Answer {
    send(&server.otlp_http, &Request::post(path, "application/json", body.to_string().as_bytes())).unwrap()
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn resource(service: &str) -> Value {
    json!({ "attributes": [text("service.name", service), text("service.instance.id", "i1")] })
}

/// Records of each kind of body, some of them of a trace, one an exception.
fn logs(start: u64) -> Value {
    let record = |number: u64| {
        let body = match number % 3 {
            0 => json!({ "stringValue": format!("paid {number} \"é\"\n") }),
            1 => json!({ "kvlistValue": { "values": [text("card", "visa")] } }),
            _ => json!({ "doubleValue": 0.1 }),
        };
        let mut attributes = vec![text("user", "ada"), json!({ "key": "n", "value": { "intValue": number } })];
        if number == 7 {
            attributes.extend([text("exception.type", "ValueError"), text("exception.message", "no")]);
        }
        json!({
            "timeUnixNano": (start + number).to_string(), "observedTimeUnixNano": (start + 2 * number).to_string(),
            "severityNumber": 1 + number % 24, "severityText": "W", "body": body, "eventName": "payment",
            "attributes": attributes, "droppedAttributesCount": 1, "flags": 1,
            "traceId": if number.is_multiple_of(2) { "07070707070707070707070707070707" } else { "" },
            "spanId": if number.is_multiple_of(2) { "0000000000000009" } else { "" },
        })
    };
    let records: Vec<Value> = (0..700).map(record).collect();
    let scope = json!({ "name": "shop.pay", "version": "1" });
    json!({ "resourceLogs": [{ "resource": resource("shop"), "scopeLogs": [{ "scope": scope, "logRecords": records }] }] })
}

/// A metric of each kind.
fn metrics(start: u64) -> Value {
    let times = |number: u64| (start.to_string(), (start + number * 1_000_000_000).to_string());
    let point = |number: u64, mut value: Value| {
        let (from, time) = times(number);
        let exemplar = json!({
            "timeUnixNano": time, "asDouble": 0.3, "traceId": "07070707070707070707070707070707",
            "spanId": "0000000000000009", "filteredAttributes": [text("user", "ada")],
        });
        let own = json!({
            "startTimeUnixNano": from, "timeUnixNano": time, "attributes": [text("route", &format!("/{}", number % 3))],
            "exemplars": [exemplar],
        });
        value.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        value
    };
    let points =
        |value: fn(u64) -> Value| -> Vec<Value> { (0..300).map(|number| point(number, value(number))).collect() };
    let histogram = |number: u64| {
        json!({
            "count": "6", "sum": 30.5, "min": 0.5, "max": number, "bucketCounts": ["1", "2", "3"], "explicitBounds": [1, 10],
        })
    };
    let exponential = |number: u64| {
        json!({
            "count": "9", "sum": 12, "min": -2, "max": number, "scale": 3, "zeroCount": "1", "zeroThreshold": 0.001,
            "positive": { "offset": -4, "bucketCounts": ["1", "4"] }, "negative": { "offset": 2, "bucketCounts": ["3"] },
        })
    };
    let metrics = json!([
        { "name": "memory", "unit": "By", "description": "how much", "gauge": { "dataPoints": points(|n| json!({ "asInt": n.to_string() })) } },
        { "name": "heat", "unit": "1", "gauge": { "dataPoints": points(|n| json!({ "asDouble": n as f64 / 3.0 })) } },
        { "name": "requests", "unit": "1", "sum": {
            "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": points(|n| json!({ "asInt": (5 * n).to_string() })),
        } },
        { "name": "queue", "unit": "1", "sum": {
            "aggregationTemporality": 1, "isMonotonic": false, "dataPoints": points(|n| json!({ "asDouble": n as f64 - 3.5 })),
        } },
        { "name": "took", "unit": "s", "histogram": { "aggregationTemporality": 1, "dataPoints": points(histogram) } },
        { "name": "size", "unit": "By", "exponentialHistogram": { "aggregationTemporality": 2, "dataPoints": points(exponential) } },
    ]);
    json!({ "resourceMetrics": [{ "resource": resource("shop"), "scopeMetrics": [{ "scope": { "name": "m" }, "metrics": metrics }] }] })
}

/// What is asked of both, with the answers.
fn answers(server: &Server, start: u64) -> Vec<Value> {
    let (from, to) = (start / 1_000 - 1_000_000, start / 1_000 + 400_000_000);
    let ask = |path: &str, mut body: Value| {
        (body["from"], body["to"]) = (from.into(), to.into());
        let answer = server.post(path, &body);
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text());
        answer.data()
    };
    let mut found = vec![ask("/api/v1/logs/search", json!({ "limit": 1_000 }))];
    for statement in [
        "SELECT * FROM logs ORDER BY time",
        "SELECT * FROM exceptions ORDER BY time",
        "SELECT * FROM metrics ORDER BY name, series, time",
        "SELECT DISTINCT name, series, unit, description, scope, attributes, resource_attributes FROM metric_series ORDER BY series",
    ] {
        found.push(ask("/api/v1/sql", json!({ "query": statement, "limit": 5_000 })));
    }
    for (metric, agg) in
        [("memory", "avg"), ("heat", "max"), ("requests", "rate"), ("queue", "sum"), ("took", "p95"), ("size", "p50")]
    {
        found.push(ask("/api/v1/metrics/query", json!({ "metric": metric, "agg": agg, "split": ["route"] })));
    }
    found
}

#[test]
fn records_and_points_come_back_the_same_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let start = now_ns() - 600_000_000_000;
    assert_eq!(post(&server, "/v1/logs", &logs(start)).status, 200);
    assert_eq!(post(&server, "/v1/metrics", &metrics(start)).status, 200);
    let expected = answers(&server, start);
    assert_eq!(expected[0].as_array().unwrap().len(), 700);
    assert_eq!(expected[2]["rows"].as_array().unwrap().len(), 1, "an exception: {}", expected[2]);
    assert_eq!(expected[3]["rows"].as_array().unwrap().len(), 1_800);
    let data = dir.path().join("data");
    for format in ["otlp-json", "otlp", "parquet"] {
        let export = |signal: &str, to: &Path| {
            let to = ["--format", format, "--to", argument(to)];
            run(&[&["export", "--data-dir", argument(&data), "--signal", signal][..], &to[..]].concat(), &[])
        };
        let files = [("logs", "700 log records"), ("metrics", "1800 points of metrics")].map(|(signal, said)| {
            let file = dir.path().join(format!("{signal}.{format}"));
            let output = export(signal, &file);
            assert!(output.status.success() && printed(&output).contains(said), "{}", printed(&output));
            (signal, file, said)
        });
        for to_server in [true, false] {
            let home = dir.path().join(format!("{format}-{to_server}"));
            std::fs::create_dir(&home).unwrap();
            let running = to_server.then(|| Server::start(&home));
            let into = home.join("data");
            let url = running.as_ref().map(|server| format!("http://{}", server.otlp_http));
            let target = url.as_ref().map_or(["--data-dir", argument(&into)], |url| ["--to", url]);
            for (signal, file, said) in &files {
                let begin = ["import", argument(file), "--signal", signal];
                let output = run(&[&begin[..], &target[..]].concat(), &[]);
                let said = format!("{said} stored, 0 rejected, 0 places");
                assert!(output.status.success() && printed(&output).contains(&said), "{}", printed(&output));
            }
            let server = running.unwrap_or_else(|| Server::start(&home));
            let found = answers(&server, start);
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found, expected, "{format}, to a server: {to_server}");
            }
            assert!(server.stop().success());
        }
    }
    let refused = run(
        &[
            "export",
            "--data-dir",
            argument(&data),
            "--signal",
            "logs",
            "--query",
            "a:b",
            "--format",
            "otlp",
            "--to",
            "x",
        ],
        &[],
    );
    assert!(!refused.status.success() && printed(&refused).contains("export log records without it"));
}
