//! Profiles that are pushed as pprof.

use std::io::Write as _;

use pitviper_ingest::{Limits, Subject};
use pitviper_model::{Frame, FrameId};
use pitviper_pprof::{Label, LabelValue, Profile, Sample, SampleType, write_pprof};
use pitviper_store::{ProfileDimension, ProfileQuery, Store as _, TimeRange};

use crate::house::House;

const SHOP: &str = "/v1/pprof?service.name=shop&deployment.environment.name=prod&service.version=1%2E2";
const NOW: u64 = 1_795_224_360_000_000_000;

fn profile(samples: usize) -> Profile {
    let text = |name: &str, value: String| Label { name: name.to_owned().into(), value: LabelValue::Text(value) };
    let sample = |number: usize| Sample {
        stack: 0,
        values: vec![10, 0],
        labels: vec![
            text("thread", format!("thread {number}")),
            text("span id", format!("{:016x}", number + 1)),
            text("state", "cpu".to_owned()),
        ],
    };
    let kind = |name: &str| SampleType { name: name.to_owned(), unit: "nanoseconds".to_owned() };
    let frame = |function: &str| Frame { function: function.to_owned(), in_app: true, ..Frame::default() };
    Profile {
        time_unix_nano: NOW,
        duration_ns: 1_000,
        types: vec![kind("cpu"), kind("wall")],
        frames: vec![frame("leaf"), frame("main")],
        stacks: vec![vec![0, 1]],
        samples: (0..samples).map(sample).collect(),
    }
}

#[tokio::test]
async fn a_profile_is_kept_however_it_is_compressed() {
    let house = House::open().await;
    let plain = write_pprof(&profile(2));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::bulk::compress(&plain, 1).unwrap();
    let twice = zstd::bulk::compress(&gzip, 1).unwrap();
    let sends: [(&str, &[u8]); 5] = [
        ("content-type: application/x-protobuf", &plain),
        ("content-type: application/x-www-form-urlencoded", &gzip),
        ("content-encoding: gzip", &gzip),
        ("x: y", &zstd),
        ("content-encoding: zstd", &twice),
    ];
    for (number, (headers, body)) in sends.into_iter().enumerate() {
        let answer = house.post_at(SHOP, headers, body).await;
        assert_eq!((answer.status, answer.text()), (200, "{}".to_owned()), "{number}");
        assert_eq!(house.outcome_of(Subject::Profiles, "stored", ""), 2 * (number as u64 + 1));
    }
    let query = ProfileQuery {
        service: Some("shop".to_owned()),
        environment: Some("prod".to_owned()),
        version: Some("1.2".to_owned()),
        group_by: vec![ProfileDimension::SampleType, ProfileDimension::State, ProfileDimension::Span],
        ..ProfileQuery::all(TimeRange { start_ns: NOW as i64 + 1_000, end_ns: NOW as i64 + 1_001 })
    };
    let found = house.store.profile(&query).await.unwrap();
    // What is sent again counts once.
    let rows: Vec<(String, i64)> = found.rows.iter().map(|row| (row.labels.join(" "), row.value)).collect();
    let of = |span: &str| (format!("cpu cpu {span}"), 10);
    assert_eq!(rows, [of("0000000000000001"), of("0000000000000002")]);
    let stacks = house.store.stacks(TimeRange::ALL, &[found.rows[0].stack]).await.unwrap();
    let frames: Vec<FrameId> = stacks[0].1.clone();
    let names = house.store.frames(TimeRange::ALL, &frames).await.unwrap();
    let names: Vec<&str> = names.iter().map(|(_, frame)| frame.function.as_str()).collect();
    assert_eq!(names, ["leaf", "main"]);
    assert_eq!(house.requests("pprof", "accepted", ""), 5);
    house.goes_on().await;
}

#[tokio::test]
async fn what_is_no_profile_is_refused_and_explained() {
    let house = House::open().await;
    let too_many = format!("/v1/pprof?{}", "a=b&".repeat(129));
    let many_samples = [0x12, 0].repeat(1_000_001);
    type Case<'a> = (&'a str, &'a str, &'a [u8], u16, &'a str, &'a str);
    let cases: [Case<'_>; 7] = [
        (SHOP, "", b"", 400, "bad_profile", "says no sample type"),
        (SHOP, "", b"not a profile", 400, "bad_profile", "not a profile"),
        (SHOP, "", &[0x1f, 0x8b, 8, 0, 1, 2], 400, "bad_encoding", "does not decompress"),
        (SHOP, "content-encoding: zstd", b"no", 400, "bad_encoding", "does not decompress"),
        (SHOP, "content-encoding: br", b"", 415, "unsupported_encoding", "br"),
        (&too_many, "", b"", 400, "bad_profile", "more than 128 parameters"),
        (SHOP, "", &many_samples, 413, "too_large", "more than 1000000 samples"),
    ];
    for (path, headers, body, status, reason, detail) in cases {
        let before = house.refused("pprof", reason);
        let headers = if headers.is_empty() { "x: y" } else { headers };
        let answer = house.post_at(path, headers, body).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        let problem: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
        assert_eq!((&problem["status"], &problem["code"]), (&status.into(), &reason.into()), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{problem}");
        assert_eq!(house.refused("pprof", reason), before + 1);
    }
    let answer = house.raw(b"GET /v1/pprof HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert_eq!((answer.status, house.refused("pprof", "method_not_allowed")), (405, 1));
    assert_eq!(house.rows("profile_samples"), 0);
    house.goes_on().await;
}

#[tokio::test]
async fn bombs_are_bounded_and_what_cannot_be_kept_is_told() {
    let limits = Limits { bytes_under_way: 16 * 1024 * 1024, ..Limits::default() };
    let house = House::with_limits(limits).await;
    let bomb = zstd::bulk::compress(&vec![0; 48 * 1024 * 1024], 3).unwrap();
    assert_eq!(house.post_at(SHOP, "x: y", &bomb).await.status, 429);
    // Few bytes that are much in memory: samples without stacks, each with its values.
    let mut wide = profile(0);
    wide.types = vec![wide.types[0].clone(); 60];
    wide.samples = vec![Sample { stack: 0, values: vec![1; 60], labels: Vec::new() }; 40_000];
    let answer = house.post_at(SHOP, "x: y", &write_pprof(&wide)).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
    let mut late = profile(1);
    late.samples[0].labels.push(Label { name: "end_timestamp_ns".into(), value: LabelValue::Number(i64::MAX) });
    let answer = house.post_at(SHOP, "x: y", &write_pprof(&late)).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("1 invalid_time"), "{}", answer.text());
    assert_eq!(house.outcome_of(Subject::Profiles, "rejected", "invalid_time"), 1);
    house.until("all room is given back", |house| house.ingest.figures().bytes_under_way == 0).await;
    house.goes_on().await;
}
