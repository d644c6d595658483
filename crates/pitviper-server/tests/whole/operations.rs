//! Running the server: doctor, backup, export and import, its figures, its own traces, a full disk.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use serde_json::Value;

use crate::support::{Request, Server, command, export, failed, now_ns, number, request, run, send, span, text};

const TRACE: [u8; 16] = [7; 16];
const TRACE_TEXT: &str = "07070707070707070707070707070707";

fn argument(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn printed(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Spans with all that a span can have.
fn rich(spans: u64) -> Vec<opentelemetry_proto::tonic::trace::v1::Span> {
    let start = now_ns();
    (1..=spans)
        .map(|id| {
            let mut rich = span(TRACE, id, if id == 1 { 0 } else { 1 }, "GET /", 2, start + id, 1_000_000 + id);
            rich.attributes = vec![text("user", "ada \"x\" é"), number("items", -5)];
            rich.events.push(Event {
                time_unix_nano: start,
                name: "exception".to_owned(),
                attributes: vec![text("exception.type", "ValueError")],
                dropped_attributes_count: 1,
            });
            rich.links.push(Link { trace_id: vec![9; 16], span_id: vec![9; 8], ..Default::default() });
            if id % 3 == 0 { failed(rich, "no") } else { rich }
        })
        .collect()
}

/// All spans of the trace as the API shows them, sorted.
fn spans_of(server: &Server) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut path = format!("/api/v1/traces/{TRACE_TEXT}/spans");
    loop {
        let answer = server.get(&path).json();
        rows.extend(answer["data"].as_array().unwrap().iter().cloned());
        match &answer["meta"]["next"] {
            Value::String(cursor) => path = format!("/api/v1/traces/{TRACE_TEXT}/spans?cursor={cursor}"),
            _ => break,
        }
    }
    rows.sort_by_key(|row| row["span_id"].as_str().unwrap().to_owned());
    rows
}

/// The value of a metric's first sample with this beginning.
#[track_caller]
fn figure(metrics: &str, beginning: &str) -> f64 {
    let line = metrics.lines().find(|line| line.starts_with(beginning));
    let line = line.unwrap_or_else(|| panic!("no {beginning} in {metrics}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn the_doctor_looks_repairs_and_says_so_with_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let nothing = run(&["doctor", "--data-dir", argument(&data)], &[]);
    assert_eq!(nothing.status.code(), Some(2), "{}", printed(&nothing));
    let server = Server::start(dir.path());
    assert_eq!(server.export(&request("shop", rich(30))).status, 200);
    let looked = run(&["doctor", "--data-dir", argument(&data), "--repair"], &[]);
    assert_eq!(looked.status.code(), Some(1), "{}", printed(&looked));
    assert!(printed(&looked).contains("a server has the directory open"), "{}", printed(&looked));
    assert!(server.stop().success());
    let healthy = run(&["doctor", "--data-dir", argument(&data), "--deep"], &[]);
    assert_eq!(healthy.status.code(), Some(0), "{}", printed(&healthy));
    assert!(printed(&healthy).starts_with("healthy: 4 segments"), "{}", printed(&healthy));
    let segments = || std::fs::read_dir(data.join("segments")).unwrap().map(|entry| entry.unwrap().path());
    for path in segments().filter(|path| path.extension().unwrap() == "parquet") {
        std::fs::write(path, b"PAR1").unwrap();
    }
    let damaged = run(&["doctor", "--data-dir", argument(&data)], &[]);
    assert_eq!(damaged.status.code(), Some(2), "{}", printed(&damaged));
    assert!(printed(&damaged).contains("cannot be read") && printed(&damaged).contains("--repair"));
    let repaired = run(&["doctor", "--data-dir", argument(&data), "--repair"], &[]);
    assert_eq!(repaired.status.code(), Some(0), "{}", printed(&repaired));
    assert!(printed(&repaired).contains("lost     spans: 30 rows, starting between"), "{}", printed(&repaired));
    assert!(Server::start(dir.path()).stop().success());
}

#[test]
fn a_backup_of_a_server_under_load_holds_what_was_acknowledged_before() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let (acknowledged, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let client = std::thread::spawn({
        let (address, acknowledged, stop) = (server.otlp_http.clone(), acknowledged.clone(), stop.clone());
        move || {
            for id in 1.. {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                let sent = vec![span(TRACE, id, 0, "GET /", 2, now_ns(), 1_000)];
                assert_eq!(export(&address, &request("shop", sent)).unwrap().status, 200);
                acknowledged.store(id, Ordering::Release);
            }
        }
    });
    let mut backups = Vec::new();
    for number in 0..3 {
        std::thread::sleep(Duration::from_millis(100));
        let home = dir.path().join(format!("backup-{number}"));
        std::fs::create_dir(&home).unwrap();
        let before = acknowledged.load(Ordering::Acquire);
        let (from, to) = (dir.path().join("data"), home.join("data"));
        let output = run(&["backup", "--data-dir", argument(&from), "--to", argument(&to)], &[]);
        assert!(output.status.success(), "{}", printed(&output));
        let again = run(&["backup", "--data-dir", argument(&from), "--to", argument(&to)], &[]);
        assert!(!again.status.success() && printed(&again).contains("is there already"), "{}", printed(&again));
        backups.push((home, before));
    }
    stop.store(true, Ordering::Release);
    client.join().unwrap();
    assert!(acknowledged.load(Ordering::Acquire) > 10);
    assert!(server.stop().success());
    for (home, before) in backups {
        let restored = Server::start(&home);
        let ids: Vec<u64> = spans_of(&restored)
            .iter()
            .map(|row| u64::from_str_radix(row["span_id"].as_str().unwrap(), 16).unwrap())
            .collect();
        let distinct: BTreeSet<u64> = ids.iter().copied().collect();
        assert!((1..=before).all(|id| distinct.contains(&id)), "{before} acknowledged, {} there", distinct.len());
        assert_eq!(restored.get("/api/v1/meta").data()["spans_stored"], distinct.len(), "none is there twice");
        assert!(restored.stop().success());
    }
}

#[test]
fn what_is_exported_comes_back_the_same_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    assert_eq!(server.export(&request("shop", rich(700))).status, 200);
    assert_eq!(server.export(&request("other", vec![span([8; 16], 1, 0, "job", 1, now_ns(), 5)])).status, 200);
    let expected = spans_of(&server);
    assert_eq!(expected.len(), 700);
    let data = dir.path().join("data");
    for format in ["otlp-json", "otlp", "parquet"] {
        let file = dir.path().join(format!("spans.{format}"));
        let to = argument(&file);
        // The server runs, so this reads a copy and removes it.
        let output = run(&["export", "--data-dir", argument(&data), "--format", format, "--to", to], &[]);
        assert!(output.status.success() && printed(&output).contains(": 701 spans"), "{}", printed(&output));
        let left = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(!left.into_iter().any(|name| name.to_string_lossy().contains("export")));
        let refused = run(&["export", "--data-dir", argument(&data), "--format", format, "--to", to], &[]);
        assert!(!refused.status.success() && printed(&refused).contains("is there already"), "{}", printed(&refused));

        let home = dir.path().join(format!("from-{format}"));
        std::fs::create_dir(&home).unwrap();
        let other = Server::start(&home);
        let url = format!("http://{}", other.otlp_http);
        for said in [": 701 spans stored, 0 rejected, 0 places", "was imported before"] {
            let output = run(&["import", to, "--to", &url], &[]);
            assert!(output.status.success() && printed(&output).contains(said), "{}", printed(&output));
        }
        assert_eq!(spans_of(&other), expected, "{format}");
        assert_eq!(other.get("/api/v1/meta").data()["spans_stored"], 701);
        assert!(other.stop().success());

        // Without a server: into a directory, and through the same ingest.
        let home = dir.path().join(format!("into-{format}"));
        let into = home.join("data");
        std::fs::create_dir(&home).unwrap();
        let output = run(&["import", to, "--data-dir", argument(&into)], &[]);
        assert!(output.status.success(), "{}", printed(&output));
        let other = Server::start(&home);
        assert_eq!(spans_of(&other), expected, "{format}");
        let services = other.get("/api/v1/services?from=now-1h&to=now%2B1h").data();
        assert_eq!(services.as_array().unwrap().len(), 2, "the metrics are there as well: {services}");
        assert!(other.stop().success());
    }
}

#[test]
fn an_export_takes_a_query_and_a_range() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    assert_eq!(server.export(&request("shop", rich(4_500))).status, 200);
    assert!(server.stop().success());
    let data = dir.path().join("data");
    let count = |arguments: &[&str], name: &str| {
        let file = dir.path().join(name);
        let all = [&["export", "--data-dir", argument(&data), "--format", "otlp-json"], arguments].concat();
        let output = run(&[&all[..], &["--to", argument(&file)]].concat(), &[]);
        (output.status.success(), printed(&output))
    };
    for (arguments, spans) in [
        // More than one page of a search.
        (vec!["--query", "service:shop"], 4_500),
        (vec!["--query", "status:error"], 1_500),
        (vec!["--query", "status:error", "--until", "now-1h"], 0),
        (vec!["--from", "now-1h"], 4_500),
        (vec!["--until", "now-1h"], 0),
    ] {
        let (is_done, text) = count(&arguments, &format!("{}.json", arguments.join("").replace(':', "")));
        assert!(is_done && text.contains(&format!(": {spans} spans")), "{arguments:?}: {text}");
    }
    for (arguments, said) in [
        (vec!["--query", "status:"], "--query"),
        (vec!["--query", "{service:a} >> {service:b}"], "no relations"),
        (vec!["--from", "yesterday"], "not a time"),
        (vec!["--from", "now", "--until", "now-1h"], "before"),
    ] {
        let (is_done, text) = count(&arguments, "refused.json");
        assert!(!is_done && text.contains(said), "{arguments:?}: {text}");
    }
}

#[test]
fn an_import_reports_bad_lines_and_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let file = dir.path().join("spans.json");
    let line = |id: u64| {
        format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"{TRACE_TEXT}","spanId":"{id:016x}","name":"n","startTimeUnixNano":"{}"}}]}}]}}]}}"#,
            now_ns()
        )
    };
    let lines = [line(1), "{\"resourceSpans\":[".to_owned(), String::new(), line(2), line(0)];
    std::fs::write(&file, lines.join("\n")).unwrap();
    let url = format!("http://{}/", server.http);
    let output = run(&["import", argument(&file), "--to", &url], &[]);
    let said = printed(&output);
    assert!(!output.status.success() && said.contains("line 2: "), "{said}");
    assert!(said.contains(": 2 spans stored, 1 rejected, 1 places not readable"), "{said}");
    // As if it had been cut short after the first two.
    let beside = dir.path().join("spans.json.imported");
    let mut checkpoint: Value = serde_json::from_slice(&std::fs::read(&beside).unwrap()).unwrap();
    checkpoint["is_done"] = false.into();
    checkpoint["items"] = 2.into();
    std::fs::write(&beside, checkpoint.to_string()).unwrap();
    let again = run(&["import", argument(&file), "--to", &url], &[]);
    assert!(printed(&again).contains("going on after 2 requests"), "{}", printed(&again));
    assert_eq!(server.get("/api/v1/meta").data()["spans_stored"], 3, "only what followed was sent again");
    assert_eq!(spans_of(&server).len(), 2, "and a span is seen once");
    let cut = dir.path().join("cut.otlp");
    std::fs::write(&cut, [0, 0, 0, 9, 1]).unwrap();
    let refused = run(&["import", argument(&cut), "--to", &url], &[]);
    assert!(!refused.status.success() && printed(&refused).contains("message 1 is cut short"), "{}", printed(&refused));
    std::fs::write(&cut, [255; 9]).unwrap();
    let refused = run(&["import", argument(&cut), "--to", &url], &[]);
    assert!(printed(&refused).contains("more than 134217728"), "{}", printed(&refused));
}

#[test]
fn every_queue_and_stage_has_its_figures() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    for id in 0..5 {
        let sent = vec![span(TRACE, id + 1, 0, "GET /", 2, now_ns(), 1_000)];
        assert_eq!(server.export(&request("shop", sent)).status, 200);
    }
    assert_eq!(server.get("/api/v1/services?from=now-1h&to=now").status, 200);
    let metrics = server.get("/metrics").text();
    for (beginning, least, most) in [
        ("pitviper_store_commit_queue_writes ", 0.0, 0.0),
        ("pitviper_store_commit_wait_seconds_count ", 5.0, 5.0),
        ("pitviper_store_log_sync_seconds_count ", 1.0, 5.0),
        ("pitviper_store_log_sync_seconds_bucket{le=\"+Inf\"} ", 1.0, 5.0),
        ("pitviper_store_hot_rows ", 6.0, 10.0),
        ("pitviper_store_hot_age_seconds ", 0.0, 60.0),
        ("pitviper_store_hot_budget_bytes ", 268_435_456.0, 268_435_456.0),
        ("pitviper_store_flush_backlog_rows ", 0.0, 0.0),
        ("pitviper_store_flush_duration_seconds_count ", 0.0, 0.0),
        ("pitviper_store_flushed_rows_total ", 0.0, 0.0),
        ("pitviper_store_merge_backlog_segments ", 0.0, 0.0),
        ("pitviper_store_merge_duration_seconds_count ", 0.0, 0.0),
        ("pitviper_store_cache_bytes ", 0.0, 0.0),
        ("pitviper_store_cache_hits_total ", 0.0, 0.0),
        ("pitviper_store_cache_misses_total ", 0.0, 0.0),
        ("pitviper_store_disk_free_bytes ", 1e6, 1e18),
        ("pitviper_store_disk_size_bytes ", 1e6, 1e18),
        ("pitviper_store_disk_used_bytes ", 100.0, 1e9),
        ("pitviper_store_disk_reserve_bytes ", 268_435_456.0, 268_435_456.0),
        ("pitviper_store_disk_refusals_total ", 0.0, 0.0),
        ("pitviper_ingest_requests_under_way ", 0.0, 0.0),
        ("pitviper_ingest_bytes_under_way ", 0.0, 0.0),
        ("pitviper_ingest_budget_bytes ", 1e6, 1e10),
        ("pitviper_ingest_decode_seconds_count ", 5.0, 5.0),
        ("pitviper_ingest_append_seconds_count ", 5.0, 5.0),
        ("pitviper_questions_running{kind=\"/api/v1/services\"} ", 0.0, 0.0),
        ("pitviper_questions_waiting{kind=\"/api/v1/services\"} ", 0.0, 0.0),
        ("pitviper_questions_total{kind=\"/api/v1/services\",outcome=\"answered\"} ", 1.0, 1.0),
        ("pitviper_questions_total{kind=\"/api/v1/services\",outcome=\"timed_out\"} ", 0.0, 0.0),
        ("pitviper_question_duration_seconds_count{kind=\"/api/v1/services\"} ", 1.0, 1.0),
        ("pitviper_access_refusals_total{protocol=\"http\",reason=\"host\"} ", 0.0, 0.0),
        ("process_cpu_seconds_total ", 0.0, 1e4),
        ("process_resident_memory_bytes ", 1e6, 1e10),
        ("process_open_fds ", 5.0, 1e4),
    ] {
        let value = figure(&metrics, beginning);
        assert!((least..=most).contains(&value), "{beginning}{value} is not within {least} and {most}");
    }
    let sum = figure(&metrics, "pitviper_store_log_sync_seconds_sum ");
    assert!(sum > 0.0 && sum < 60.0, "{sum} seconds");
    // Every metric has its type before its samples, and a name that says its unit.
    for line in metrics.lines().filter(|line| line.starts_with("# TYPE ")) {
        let (name, kind) = line[7..].split_once(' ').unwrap();
        assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
        assert!(kind != "histogram" || name.ends_with("_seconds"), "{line}");
    }
}

#[test]
fn requests_without_the_token_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let token = "0123456789abcdef0123456789abcdef";
    let server = Server::start_with(dir.path(), &[], &[("PITVIPER_SERVER_TOKEN", token)]);
    assert_eq!(server.export(&request("shop", rich(1))).status, 401);
    assert_eq!(server.get("/api/v1/meta").status, 401);
    let ask = Request::get("/metrics").header("authorization", &format!("Bearer {token}"));
    let metrics = send(&server.http, &ask).unwrap().text();
    assert_eq!(figure(&metrics, "pitviper_access_refusals_total{protocol=\"http\",reason=\"token\"} "), 2.0);
    let file = dir.path().join("spans.json");
    std::fs::write(&file, "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{}]}]}]}\n").unwrap();
    let url = format!("http://{}", server.otlp_http);
    let refused = run(&["import", argument(&file), "--to", &url], &[]);
    assert!(!refused.status.success() && printed(&refused).contains("asks for a token"), "{}", printed(&refused));
    let taken = run(&["import", argument(&file), "--to", &url], &[("PITVIPER_SERVER_TOKEN", token)]);
    assert!(printed(&taken).contains("0 spans stored, 1 rejected"), "{}", printed(&taken));
}

#[test]
fn the_server_traces_itself_only_when_asked_to() {
    let dir = tempfile::tempdir().unwrap();
    let services = "/api/v1/services?from=now-1h&to=now%2B1h";
    let server = Server::start(dir.path());
    server.get(services);
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(server.get(services).data(), serde_json::json!([]), "off by default");
    assert!(!server.get("/metrics").text().contains("pitviper_self_trace"));
    assert!(server.stop().success());

    let server = Server::start_with(dir.path(), &["--self-trace"], &[]);
    server.get(services);
    let is_there = |answer: &crate::support::Answer| answer.data()[0]["name"] == "pitviper-server";
    server.wait_for(services, is_there);
    let find = serde_json::json!({
        "query": "service:pitviper-server name:question", "mode": "spans", "from": "now-1h", "to": "now+1h",
    });
    let is_root = |row: &serde_json::Value| row["name"].as_str().unwrap().contains(" /api/v1/");
    // A request's own span ends after its question's, and may come later.
    let spans = server.wait_until("a whole trace", || {
        let found = server.post("/api/v1/spans/search", &find).data();
        let trace = found[0]["trace_id"].as_str()?.to_owned();
        let spans = server.get(&format!("/api/v1/traces/{trace}/spans")).data();
        let spans = spans.as_array()?.clone();
        spans.iter().any(is_root).then_some(spans)
    });
    let root = spans.iter().find(|row| is_root(row)).unwrap();
    let question = spans.iter().find(|row| row["name"] == "question").unwrap();
    assert_eq!((&root["kind"], &question["parent_span_id"]), (&"server".into(), &root["span_id"]), "{spans:?}");
    assert!(!spans.iter().any(|row| row["name"].as_str().unwrap().contains("append")));
    assert_eq!(question["attributes"]["outcome"], "answered", "{question}");
    // One whose answer is told line by line says what it read and how it ended as well.
    let told = Request::post("/api/v1/spans/search", "application/json", find.to_string().as_bytes())
        .header("accept", "application/x-ndjson");
    assert_eq!(send(&server.http, &told).unwrap().header("content-type"), "application/x-ndjson");
    let of_told = serde_json::json!({
        "query": "service:pitviper-server name:question rows:>0", "mode": "spans", "from": "now-1h", "to": "now+1h",
    });
    let streamed = server.wait_until("a span of a search that was told", || {
        server.post("/api/v1/spans/search", &of_told).data().as_array()?.first().cloned()
    });
    let attributes = &streamed["attributes"];
    assert_eq!(
        (&attributes["outcome"], &attributes["http.route"]),
        (&"answered".into(), &"/api/v1/spans/search".into())
    );
    assert!(attributes["looked_at"].as_i64().unwrap() > 0 && attributes["waited_ms"].is_i64(), "{attributes}");
    let metrics = server.get("/metrics").text();
    assert!(figure(&metrics, "pitviper_self_trace_spans_total{outcome=\"kept\"} ") >= 2.0);
    assert_eq!(figure(&metrics, "pitviper_self_trace_spans_total{outcome=\"dropped\"} "), 0.0);
    // Left alone it comes to rest: storing its spans makes no spans.
    let kept = || figure(&server.get("/metrics").text(), "pitviper_self_trace_spans_total{outcome=\"kept\"} ");
    let before = kept();
    std::thread::sleep(Duration::from_millis(2_000));
    assert!(kept() - before <= 2.0, "only the two scrapes themselves");
    assert!(server.stop().success());
}

#[test]
fn a_full_disk_is_said_and_reading_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    assert_eq!(server.export(&request("shop", rich(3))).status, 200);
    assert!(server.stop().success());
    // No disk has this much room.
    let server = Server::start_with(dir.path(), &["--disk-reserve", "9000000TB"], &[]);
    let refused = server.export(&request("shop", rich(3)));
    assert_eq!((refused.status, refused.header("retry-after")), (429, "5"));
    assert!(refused.text().contains("disk budget"), "{}", refused.text());
    assert_eq!(spans_of(&server).len(), 3);
    let metrics = server.get("/metrics").text();
    assert_eq!(figure(&metrics, "pitviper_store_disk_refusals_total "), 1.0);
    assert!(server.log().contains("the disk is full up to the reserve"), "{}", server.log());
    assert!(server.stop().success());
    let server = Server::start(dir.path());
    assert_eq!(server.export(&request("shop", rich(3))).status, 200);
}

#[test]
fn a_server_that_cannot_start_names_the_doctor() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    assert_eq!(server.export(&request("shop", rich(3))).status, 200);
    assert!(server.stop().success());
    for entry in std::fs::read_dir(dir.path().join("data/segments")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let data = dir.path().join("data");
    let ports = ["--http", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0"];
    let output =
        command().args(["serve", "--data-dir", argument(&data)]).args(ports).stdout(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    assert!(printed(&output).contains("pitviper-server doctor --data-dir"), "{}", printed(&output));
}
