//! The API over HTTP, in process: what is done for every request, and routes with more to them than the
//! whole server's tests show.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

mod aggregate;
mod complete;
mod guard;
mod leaving;
mod search;
mod sql;
mod support;
mod telemetry;
