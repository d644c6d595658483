//! Statements of databases as spans. What a statement says without its literals is
//! [`pitviper_wire::sql`]'s to know, for the server needs it too.

mod statements;

pub use pitviper_wire::sql::{Description, Dialect, MAX_STATEMENT_BYTES, describe};
pub use statements::Statements;
