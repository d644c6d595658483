//! The wire: OTLP, the contract between agent and server.
//!
//! [`encode`] writes protobuf bytes straight from calls, with no message objects in between; it is
//! all the agent needs. [`decode`] (feature `decode`) turns what anybody sends, protobuf or JSON,
//! into the model, within bounds, and [`export`] (the same feature) turns the model back into requests.
//! [`sql`] takes the literals out of statements, for whoever sends them and for whoever receives those of
//! clients that do not.
//!
//! Invariants:
//! - Without the feature `decode` there is no dependency but the model.
//! - Decoding never panics, and what it allocates is known before it begins.

#[cfg(feature = "decode")]
pub mod decode;
pub mod encode;
#[cfg(feature = "decode")]
pub mod export;
pub mod sql;
