//! The search language.
//!
//! ```text
//! service:flaskr name:"POST /create" duration:>100ms -status:ok (user.role:author OR is:error) timeout
//! ```
//!
//! Terms side by side must all hold; `OR`, `NOT` or a leading `-`, and parentheses combine them. A
//! term is `field:value`, `field:*` (has the field), `field:>100ms`, `field:[1 TO 5]`,
//! `field:(a OR b)`, or a bare word that is looked for in the name, the service, the status message
//! and the attribute values. `*` in a value stands for any run of characters; between quotes, or
//! after a backslash, characters mean themselves. Field names that are not reserved are attribute
//! keys; `@` in front says so where a key has a reserved name.
//!
//! Invariants:
//! - No input panics or nests deeper than [`MAX_DEPTH`].
//! - Printing a parsed query gives text that parses to the same query.
//! - Error ranges count UTF-16 code units, as editors in a browser do.

mod ast;
mod compile;
mod error;
mod lexer;
mod parser;
mod print;
mod units;

pub use ast::{Comparison, Expr, Field, Matcher, Number, Query, Text};
pub use error::{Fix, SyntaxError, SyntaxErrors};

/// Longest query text, in bytes.
pub const MAX_QUERY_BYTES: usize = 8_192;
/// Deepest nesting of parentheses.
pub const MAX_DEPTH: usize = 64;
/// Most terms of one query, values of a group counted each.
pub const MAX_TERMS: usize = 512;
