//! OTLP: OpenTelemetry's protocol, which our own agent speaks too.
//!
//! Source: OpenTelemetry Protocol specification 1.x. Traces, metrics and logs over HTTP (`POST
//! /v1/traces` and so on, protobuf and JSON) and over gRPC; profiles, which are a development version, where
//! they are asked for.

mod decode;
mod frame;
mod grpc;
mod http;
mod profiles;
mod success;

pub use grpc::{GrpcReceiver, GrpcSignal, Logs, Metrics, Profiles, Traces, grpc};
pub use http::router;
pub use profiles::profiles_router;

/// Largest request body as it comes over the wire, in bytes.
pub const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Largest request body once decompressed, in bytes.
pub const MAX_DECOMPRESSED_BYTES: usize = 64 * 1024 * 1024;
