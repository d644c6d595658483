//! A client that closes its connection takes its question along.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{PATIENCE, Server, now_ns, request, span};

/// Takes far longer than a question may.
const ENDLESS: &str = "SELECT count(*) FROM spans a CROSS JOIN spans b CROSS JOIN spans c CROSS JOIN spans d";

/// A figure of the questions in SQL.
fn figure(server: &Server, name: &str, labels: &str) -> f64 {
    let beginning = format!("{name}{{kind=\"/api/v1/sql\"{labels}}} ");
    let metrics = server.get("/metrics").text();
    metrics.lines().find_map(|line| line.strip_prefix(&beginning)).map_or(0.0, |value| value.parse().unwrap())
}

#[track_caller]
fn wait_for(server: &Server, name: &str, labels: &str, expect: f64) {
    let began = Instant::now();
    while (figure(server, name, labels) - expect).abs() > 0.0 {
        assert!(began.elapsed() < PATIENCE, "{name}{labels} did not become {expect}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_closed_connection_ends_its_question() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let spans = (1..=2_000).map(|id| span([7; 16], id, 0, "GET /", 2, now_ns(), 1_000)).collect();
    assert_eq!(server.export(&request("shop", spans)).status, 200);
    let body = json!({ "query": ENDLESS, "from": "now-1h", "to": "now+1h" }).to_string();
    let mut client = TcpStream::connect(&server.http).unwrap();
    let head = format!(
        "POST /api/v1/sql HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        server.http,
        body.len()
    );
    client.write_all(format!("{head}{body}").as_bytes()).unwrap();
    wait_for(&server, "pitviper_questions_running", "", 1.0);
    drop(client);
    wait_for(&server, "pitviper_questions_running", "", 0.0);
    assert!((figure(&server, "pitviper_questions_total", ",outcome=\"cancelled\"") - 1.0).abs() < f64::EPSILON);
}
