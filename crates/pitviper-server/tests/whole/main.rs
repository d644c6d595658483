//! The real server binary, spoken to over the network.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

mod access;
mod answers;
mod document;
mod kill;
mod leaving;
mod lifecycle;
mod operations;
mod records;
mod schema;
mod support;
