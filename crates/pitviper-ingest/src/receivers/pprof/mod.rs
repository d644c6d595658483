//! Profiles as pprof: what our agent pushes, and anybody with `curl`.
//!
//! Source: google/pprof's `profile.proto`. `POST /v1/pprof?service.name=shop&…` with one profile as the
//! body; the query's parameters are the attributes of the process. The profile may be compressed as
//! `Content-Encoding` says, and by itself, as Go writes its files.

mod http;
mod take;

pub use http::router;
pub(super) use take::{decoded, unpacked};

/// Largest request body as it comes over the wire, in bytes.
pub const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// Largest profile once decompressed, in bytes.
pub const MAX_DECOMPRESSED_BYTES: usize = 128 * 1024 * 1024;

/// Most attributes of the process.
pub const MAX_ATTRIBUTES: usize = 128;
