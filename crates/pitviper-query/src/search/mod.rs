//! The search language.
//!
//! ```text
//! service:flaskr name:"POST /create" duration:>100ms -status:ok (user.role:author OR is:error) timeout
//! ```
//!
//! Terms side by side must all hold; `OR`, `NOT` or a leading `-`, and parentheses combine them. A
//! term is `field:value`, `field:*` (has the field), `field:>100ms`, `field:[1 TO 5]`,
//! `field:(a OR b)`, `field:/pattern/`, or a bare word that is looked for in the name, the service, the status message
//! and the attribute values. `root.` in front asks the trace's root, and `slowest:10%` for spans among the
//! slowest of their service and name; `has:profile` for spans that a profiler took samples in, and `fn:NAME` for
//! those with samples of a function. `*` in a value stands for any run of characters; between quotes, or
//! after a backslash, characters mean themselves. Field names that are not reserved are attribute
//! keys; `@` in front says so where a key has a reserved name.
//!
//! Conditions in braces can be related, and a trace's matching spans judged together:
//!
//! ```text
//! {service:flaskr} >> {db.system.name:sqlite duration:>10ms} | count() > 50
//! ```
//!
//! Invariants:
//! - No input panics or nests deeper than [`MAX_DEPTH`].
//! - Printing a parsed query gives text that parses to the same query.
//! - Error ranges count UTF-16 code units, as editors in a browser do.

mod analysis;
mod ast;
mod compile;
mod error;
#[cfg(test)]
mod hostile_tests;
mod lexer;
mod parser;
mod place;
mod print;
mod tokens;
mod units;

pub use analysis::{Analysis, Chip, ChipKind, QueryToken};
pub use ast::{
    Aggregate, Comparison, Expr, Field, Matcher, Measured, Number, Pipe, Query, Relation, Sampled, SampledSpans,
    Slowest, SpanSet, Text,
};
pub(crate) use compile::{condition_filter, condition_filter_of_roots, group_field};
pub(crate) use error::distance;
pub use error::{Fix, SyntaxError, SyntaxErrors};
pub(crate) use place::{Expects, Place, Subject, TermPlace, ValuePlace, error_count};
pub use tokens::TokenKind;

pub(crate) use parser::combine;

/// Longest query text, in bytes.
pub const MAX_QUERY_BYTES: usize = 8_192;
/// Deepest nesting of parentheses.
pub const MAX_DEPTH: usize = 64;
/// Most terms of one query, values of a group counted each.
pub const MAX_TERMS: usize = 512;
/// Most regular expressions of one query; each costs memory while it runs.
pub const MAX_PATTERNS: usize = 16;
/// Most conditions in braces of one query; each is a search of its own.
pub const MAX_SPAN_SETS: usize = 8;
/// Most functions behind bars of one query.
pub const MAX_PIPES: usize = 8;
