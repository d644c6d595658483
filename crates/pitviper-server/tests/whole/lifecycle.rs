//! Starting, failing to start, and stopping.

use std::net::TcpListener;
use std::time::Duration;

use crate::support::{Request, Server, now_ns, request, run, send, span};

#[test]
fn a_port_in_use_is_named_with_its_flag() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--http", "--otlp-http", "--otlp-grpc"] {
        let mut arguments = vec!["serve", "--data-dir", data.to_str().unwrap()];
        for other in ["--http", "--otlp-http", "--otlp-grpc"] {
            arguments.extend([other, if other == flag { &address } else { "127.0.0.1:0" }]);
        }
        let refused = run(&arguments, &[]);
        let message = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{message}");
        assert!(message.contains(&format!("{flag} {address}: the port is in use")), "{message}");
    }
}

#[test]
fn a_directory_in_use_or_unusable_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let free = ["--http", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0"];
    let data = dir.path().join("data");
    let second = run(&[&["serve", "--data-dir", data.to_str().unwrap()][..], &free].concat(), &[]);
    let message = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1), "{message}");
    assert!(message.contains("in use by another pitviper-server"), "{message}");
    assert_eq!(server.get("/healthz").status, 200);

    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let unusable = run(&[&["serve", "--data-dir", file.to_str().unwrap()][..], &free].concat(), &[]);
    let message = String::from_utf8(unusable.stderr).unwrap();
    assert!(message.contains(&format!("--data-dir {}", file.display())), "{message}");
}

#[test]
fn wrong_arguments_say_what_is_right() {
    let wrong = run(&["serve", "--http", "4390"], &[]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("127.0.0.1:4390"));
    let wrong = run(&["serve", "--log-level", "a=b=c"], &[]);
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("--log-level"));
    let homeless = run(&["serve"], &[("HOME", ""), ("XDG_DATA_HOME", "")]);
    let message = String::from_utf8(homeless.stderr).unwrap();
    assert!(message.contains("--data-dir"), "{message}");
    let help = String::from_utf8(run(&["serve", "--help"], &[]).stdout).unwrap();
    for flag in
        ["--data-dir", "--http", "--otlp-http", "--otlp-grpc", "--token-file", "--ready-file", "PITVIPER_SERVER_HTTP"]
    {
        assert!(help.contains(flag), "{flag}");
    }
}

#[test]
fn sigterm_finishes_what_is_under_way_and_exits_zero() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--log-format", "json"], &[]);
    // A client that waits for the first span must not hold the server up.
    let address = server.http.clone();
    let waiting = std::thread::spawn(move || send(&address, &Request::get("/api/v1/first-span")));
    std::thread::sleep(Duration::from_millis(200));
    let started = std::time::Instant::now();
    let log = dir.path().join("server.log");
    assert!(server.stop().success());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(waiting.join().unwrap().unwrap().status, 200);
    for line in std::fs::read_to_string(log).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("every line of the log is JSON");
        assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
    }
}

#[test]
fn sigint_stops_too_and_nothing_acknowledged_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    for n in 0..5u8 {
        let spans = vec![span([n + 1; 16], 1, 0, "GET /", 2, now_ns(), 5)];
        assert_eq!(server.export(&request("a", spans)).status, 200);
    }
    server.signal("-INT");
    assert!(server.stop().success());
    let server = Server::start(dir.path());
    assert_eq!(server.get("/api/v1/meta").data()["spans_stored"], 5);
}
