//! Running a store: what the doctor finds and mends, backups while it is used, and a disk that fills up.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod backup;
mod disk;
mod doctor;
mod rebuild;
#[path = "../support/mod.rs"]
mod support;
