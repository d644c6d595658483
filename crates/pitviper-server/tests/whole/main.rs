//! The real server binary, spoken to over the network.

mod access;
mod answers;
mod document;
mod kill;
mod lifecycle;
mod schema;
mod support;
