//! The committed OpenAPI document, which the UI's types are generated from, is the one the code makes.

#[test]
fn the_committed_document_is_current() {
    let committed = include_str!("../openapi.json");
    let current = pitviper_api::routes::openapi_document().to_pretty_json().unwrap();
    assert!(
        committed.trim_end() == current.trim_end(),
        "openapi.json is out of date; run\n  cargo run --release -p pitviper-api --example openapi > crates/pitviper-api/openapi.json"
    );
}

#[test]
fn every_route_has_an_operation_id_of_its_own() {
    let document = serde_json::to_value(pitviper_api::routes::openapi_document()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let mut ids: Vec<&str> = paths
        .values()
        .flat_map(|path| path.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert!(count >= 12);
    assert_eq!(ids.len(), count, "{ids:?}");
    assert_eq!(document["openapi"], "3.1.0");
}
