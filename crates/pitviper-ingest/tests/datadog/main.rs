//! The Datadog receiver on real sockets before a real store.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod bounds;
mod house;
mod packets;
mod profiles;
mod requests;
