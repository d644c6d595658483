//! The Datadog receiver on real sockets before a real store.

mod house;
mod packets;
mod requests;
