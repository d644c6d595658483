//! `kill -9` at any moment: what was acknowledged is there afterwards, and nothing is there twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Server, export, now_ns, request, span};

/// How often the server is killed.
const KILLS: u64 = 20;
/// Clients that send at the same time.
const CLIENTS: u64 = 4;
/// Spans of one request.
const BATCH: u64 = 20;
/// Most requests of one client in one round, so that the test ends on any machine.
const MAX_REQUESTS: u64 = 400;

/// What one client sent in one round: its trace, and the span ids by outcome.
struct Sent {
    trace: [u8; 16],
    acknowledged: Vec<u64>,
    unanswered: Vec<u64>,
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_there_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut sent = Vec::new();
    for round in 0..KILLS {
        sent.extend(one_round(dir.path(), round));
    }
    let acknowledged: usize = sent.iter().map(|client| client.acknowledged.len()).sum();
    // Otherwise this test would show nothing.
    assert!(acknowledged >= 1_000, "only {acknowledged} spans were acknowledged");

    let server = Server::start(dir.path());
    let mut distinct = 0;
    for client in &sent {
        let found = span_ids(&server, client.trace);
        let counts: BTreeMap<u64, usize> = found.iter().fold(BTreeMap::new(), |mut counts, id| {
            *counts.entry(*id).or_default() += 1;
            counts
        });
        assert!(counts.values().all(|count| *count == 1), "a span of {:?} is there twice", client.trace);
        let lost: Vec<&u64> = client.acknowledged.iter().filter(|id| !counts.contains_key(id)).collect();
        assert!(lost.is_empty(), "{} acknowledged spans of {:?} are lost", lost.len(), client.trace);
        // A request that got no answer may have become durable, as a whole.
        let known: BTreeSet<u64> = client.acknowledged.iter().chain(&client.unanswered).copied().collect();
        assert!(counts.keys().all(|id| known.contains(id)));
        assert_eq!(counts.len() as u64 % BATCH, 0, "a request became durable in part");
        distinct += counts.len() as u64;
    }
    // Answers show a span once even when it is stored twice; the store's own count does not.
    assert_eq!(server.get("/api/v1/meta").data()["spans_stored"], distinct);
    let services = server.get("/api/v1/services?from=now-1h&to=now%2B1h").data();
    assert_eq!(services[0]["hits"], distinct, "the metrics count every span once");
    assert!(server.stop().success());
}

/// Starts the server, sends as fast as it takes, and kills it. In every fourth round the server has
/// been told to stop just before, so that it is killed while it moves data into segments.
fn one_round(dir: &Path, round: u64) -> Vec<Sent> {
    let server = Server::start(dir);
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let address = server.otlp_http.clone();
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || send_until(&address, round, client, &stop))
        })
        .collect();
    // Different moments in different rounds, the same ones in every run.
    std::thread::sleep(Duration::from_millis(150 + round * 67 % 400));
    if round % 4 == 3 {
        server.signal("-TERM");
        std::thread::sleep(Duration::from_millis(round * 13 % 60));
    }
    server.kill();
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().map(|client| client.join().unwrap()).collect()
}

fn send_until(address: &str, round: u64, client: u64, stop: &AtomicBool) -> Sent {
    let mut trace = [0; 16];
    trace[..8].copy_from_slice(&(round + 1).to_be_bytes());
    trace[8..].copy_from_slice(&(client + 1).to_be_bytes());
    let mut sent = Sent { trace, acknowledged: Vec::new(), unanswered: Vec::new() };
    for number in 0..MAX_REQUESTS {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let ids: Vec<u64> = (number * BATCH + 1..=(number + 1) * BATCH).collect();
        let spans = ids.iter().map(|id| span(trace, *id, 0, "GET /", 2, now_ns(), 1_000_000)).collect();
        match export(address, &request("killed", spans)) {
            Ok(answer) if answer.status == 200 => sent.acknowledged.extend(ids),
            // Refused: nothing of it was kept, so it counts as not sent at all.
            Ok(answer) => assert!(matches!(answer.status, 429 | 503), "{}: {}", answer.status, answer.text()),
            Err(_) => {
                sent.unanswered.extend(ids);
                break;
            }
        }
    }
    sent
}

/// The ids of all spans of a trace, page by page.
fn span_ids(server: &Server, trace: [u8; 16]) -> Vec<u64> {
    let trace: String = trace.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut ids = Vec::new();
    let mut path = format!("/api/v1/traces/{trace}/spans");
    loop {
        let answer = server.get(&path);
        if answer.status == 404 {
            return ids;
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        for row in answer["data"].as_array().unwrap() {
            ids.push(u64::from_str_radix(row["span_id"].as_str().unwrap(), 16).unwrap());
        }
        match &answer["meta"]["next"] {
            Value::String(cursor) => path = format!("/api/v1/traces/{trace}/spans?cursor={cursor}"),
            _ => return ids,
        }
    }
}
