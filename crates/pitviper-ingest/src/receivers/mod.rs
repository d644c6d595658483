//! The protocols that are understood, one folder each.

pub mod otlp;
