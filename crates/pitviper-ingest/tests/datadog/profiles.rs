//! Profiles as ddtrace uploads them.

use std::io::Read as _;

use pitviper_ingest::{Limits, Subject};
use pitviper_store::{ProfileDimension, ProfileQuery, Store as _, TimeRange};

use crate::house::House;

pub(crate) const HEADERS: &str = "content-type: multipart/form-data; boundary=a-b\r\n";
pub(crate) const EVENT: &[u8] =
    br#"{"tags_profiler":"service:busy,env:test,runtime-id:7f,language:python","family":"python","version":"4"}"#;

/// A profile that ddtrace's profiler wrote.
fn profile() -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = &include_bytes!("../../../pitviper-pprof/tests/ddtrace.pprof.gz")[..];
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    zstd::bulk::compress(&bytes, 1).unwrap()
}

pub(crate) fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, content) in parts {
        out.extend(
            format!("--a-b\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\n\r\n").bytes(),
        );
        out.extend_from_slice(content);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"--a-b--\r\n");
    out
}

#[tokio::test]
async fn a_profile_of_ddtrace_is_kept_under_our_names() {
    let house = House::open(Limits::default()).await;
    let body = form(&[("event.json", EVENT), ("code-provenance.json", b"{}"), ("profile.pprof", &profile())]);
    let answer = house.send("POST", "/profiling/v1/input", HEADERS, &body).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
    assert_eq!(house.requests("profiles", "accepted", ""), 1);
    assert!(house.items(Subject::Profiles, "stored") > 100);
    let query = ProfileQuery {
        service: Some("busy".to_owned()),
        environment: Some("test".to_owned()),
        instance: Some("7f".to_owned()),
        by_stack: false,
        group_by: vec![ProfileDimension::SampleType, ProfileDimension::Unit],
        ..ProfileQuery::all(TimeRange::ALL)
    };
    let found = house.store.profile(&query).await.unwrap();
    let mut types: Vec<String> = found.rows.iter().map(|row| row.labels.join(" ")).collect();
    types.sort_unstable();
    assert_eq!(types, ["cpu nanoseconds", "exceptions count", "wall nanoseconds"]);
    let threads =
        ProfileQuery { sample_type: Some("wall".to_owned()), group_by: vec![ProfileDimension::Thread], ..query };
    let found = house.store.profile(&threads).await.unwrap();
    assert!(found.rows.iter().any(|row| row.labels == ["napper"] && row.value > 1_000_000_000), "{:?}", found.rows);
}

#[tokio::test]
async fn forms_without_a_profile_are_refused() {
    let house = House::open(Limits::default()).await;
    let good = profile();
    let cases: [(&str, Vec<u8>, u16, &str, &str); 7] = [
        ("content-type: application/json\r\n", b"{}".to_vec(), 415, "unsupported_media_type", "multipart"),
        ("content-type: multipart/form-data\r\n", form(&[]), 400, "bad_profile", "no boundary"),
        (HEADERS, b"--a-c".to_vec(), 400, "bad_profile", "boundary is not in the body"),
        (HEADERS, form(&[("profile.pprof", &good)]), 400, "bad_profile", "no part event.json"),
        (HEADERS, form(&[("event.json", b"{")]), 400, "bad_json", "event.json"),
        (HEADERS, form(&[("event.json", EVENT)]), 400, "bad_profile", "no part of it is a .pprof"),
        (HEADERS, form(&[("event.json", EVENT), ("profile.pprof", b"\x12")]), 400, "bad_profile", "not a profile"),
    ];
    for (headers, body, status, reason, message) in cases {
        let before = house.requests("profiles", "refused", reason);
        let answer = house.send("POST", "/profiling/v1/input", headers, &body).await;
        assert_eq!((answer.status, answer.body.contains(message)), (status, true), "{}", answer.body);
        assert_eq!(house.requests("profiles", "refused", reason), before + 1);
    }
    assert_eq!(house.items(Subject::Profiles, "received"), 0);
}
