//! OTLP, Zipkin and Jaeger over real sockets into a real store: what is good is kept, what is bad is refused with a
//! reason, counted, and forgotten.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod bounds;
mod foreign;
mod grpc;
mod house;
mod http;
mod limits;
mod panics;
mod profiles;
mod signals;
