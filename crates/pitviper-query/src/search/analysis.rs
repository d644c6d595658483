//! What an editor wants to know of a query while it is written: its pieces, all of its errors, its
//! canonical form, and the terms that can be taken out one by one.

use serde::Serialize;
use utoipa::ToSchema;

use super::ast::{Expr, Query};
use super::error::{RawError, SyntaxError};
use super::parser::{Parsed, locate, parse};
use super::tokens::TokenKind;
use super::{MAX_QUERY_BYTES, combine};

/// Most chips of one query: more do not fit a screen, and each carries a query of its own.
const MAX_CHIPS: usize = 64;

/// What a query is made of. All ranges count UTF-16 code units.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Analysis {
    /// Its pieces, by position; between them is white space.
    pub tokens: Vec<QueryToken>,
    /// All that is wrong with it, by position; empty when it can be asked.
    pub errors: Vec<SyntaxError>,
    /// Remarks on what is valid and yet probably not meant.
    pub warnings: Vec<String>,
    /// The same query as it is usually written; null when it has errors.
    #[schema(required)]
    pub canonical: Option<String>,
    /// Its terms and functions, at most 64; none when it has errors.
    pub chips: Vec<Chip>,
}

/// A piece of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct QueryToken {
    /// What it is.
    pub kind: TokenKind,
    /// Where it begins.
    pub from: usize,
    /// Where it ends, exclusive.
    pub to: usize,
}

/// A part of a query that can be taken out.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Chip {
    /// What it is.
    pub kind: ChipKind,
    /// Which condition the term belongs to, or which function it is, counted from zero.
    pub index: usize,
    /// Where it begins.
    pub from: usize,
    /// Where it ends, exclusive.
    pub to: usize,
    /// The part as it is usually written.
    pub text: String,
    /// The query without it, as it is usually written.
    pub without: String,
}

/// What a chip is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChipKind {
    /// A term of a condition, joined to its other terms by *and*.
    Term,
    /// A function behind a bar.
    Pipe,
}

impl Analysis {
    /// Takes a text apart, whatever it is. A text beyond the limit has an error and no pieces.
    #[must_use]
    pub fn of(text: &str) -> Self {
        if text.len() > MAX_QUERY_BYTES {
            let errors = vec![RawError::too_long(text).locate(text)];
            return Self { tokens: Vec::new(), errors, warnings: Vec::new(), canonical: None, chips: Vec::new() };
        }
        let mut parsed = parse(text);
        let units = Units::new(text);
        let tokens = std::mem::take(&mut parsed.tokens);
        let tokens = tokens
            .into_iter()
            .map(|((from, to), kind)| QueryToken { kind, from: units.at(from), to: units.at(to) })
            .collect();
        let is_right = parsed.errors.is_empty();
        Self {
            tokens,
            warnings: if is_right { parsed.query.warnings() } else { Vec::new() },
            canonical: is_right.then(|| parsed.query.to_string()),
            chips: if is_right { chips(&parsed, &units) } else { Vec::new() },
            errors: locate(parsed.errors, text),
        }
    }
}

fn chips(parsed: &Parsed, units: &Units) -> Vec<Chip> {
    let mut chips = Vec::new();
    for (index, terms) in parsed.terms.iter().enumerate() {
        for (at, ((from, to), term)) in terms.iter().enumerate().take(MAX_CHIPS) {
            let others = terms.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, (_, term))| term.clone());
            let mut without = parsed.query.clone();
            without.spans.replace(index, combine(others.collect(), Expr::And));
            let (from, to) = (units.at(*from), units.at(*to));
            let text = term_text(term);
            chips.push(Chip { kind: ChipKind::Term, index, from, to, text, without: without.to_string() });
        }
    }
    for (index, (from, to)) in parsed.pipes.iter().enumerate() {
        let mut without = parsed.query.clone();
        let pipe = without.pipes.remove(index).to_string();
        let (from, to) = (units.at(*from), units.at(*to));
        chips.push(Chip { kind: ChipKind::Pipe, index, from, to, text: pipe, without: without.to_string() });
    }
    chips.truncate(MAX_CHIPS);
    chips
}

fn term_text(term: &Expr) -> String {
    let query = Query { spans: super::SpanSet::Matching(Some(term.clone())), pipes: Vec::new() };
    query.to_string()
}

/// Counts UTF-16 code units.
struct Units(Vec<usize>);

impl Units {
    fn new(text: &str) -> Self {
        let mut before = vec![0; text.len() + 1];
        let mut units = 0;
        for (at, character) in text.char_indices() {
            units += character.len_utf16();
            before[at + 1..=at + character.len_utf8()].fill(units);
        }
        Self(before)
    }

    /// The units before a place in bytes.
    fn at(&self, byte: usize) -> usize {
        self.0.get(byte).or(self.0.last()).copied().unwrap_or(0)
    }
}
