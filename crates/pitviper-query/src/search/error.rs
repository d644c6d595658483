//! What is wrong with a query, where, and what to write instead.

use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

use super::MAX_QUERY_BYTES;

/// Text that puts an error right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fix {
    /// What to put in place of the error's range.
    pub replace: String,
}

/// One thing that is wrong with a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SyntaxError {
    /// Where it begins, in UTF-16 code units.
    pub from: usize,
    /// Where it ends, in UTF-16 code units, exclusive.
    pub to: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
}

/// All that is wrong with a query, by position; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxErrors(pub Vec<SyntaxError>);

impl fmt::Display for SyntaxErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{} (at {})", error.message, error.from)?;
        }
        Ok(())
    }
}

impl std::error::Error for SyntaxErrors {}

/// An error with its range still in bytes.
#[derive(Debug)]
pub(super) struct RawError {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) message: String,
    pub(super) fix: Option<String>,
}

impl RawError {
    pub(super) fn new(range: (usize, usize), message: impl Into<String>) -> Self {
        Self { from: range.0, to: range.1, message: message.into(), fix: None }
    }

    pub(super) fn too_long(text: &str) -> Self {
        Self::new((0, text.len()), format!("the query is longer than {MAX_QUERY_BYTES} bytes"))
    }

    pub(super) fn fix(mut self, replace: impl Into<String>) -> Self {
        self.fix = Some(replace.into());
        self
    }

    /// Counts the range in UTF-16 code units of `text`.
    pub(super) fn locate(self, text: &str) -> SyntaxError {
        let units = |bytes: usize| text[..bytes].encode_utf16().count();
        SyntaxError {
            from: units(self.from),
            to: units(self.to),
            message: self.message,
            fix: self.fix.map(|replace| Fix { replace }),
        }
    }
}

/// The choice most like what was written, when it is like enough to be meant.
pub(super) fn nearest<'a>(written: &str, choices: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// How many letters may differ.
    const MAX_DISTANCE: usize = 2;
    choices
        .into_iter()
        .map(|choice| (distance(written, choice), choice))
        .filter(|(distance, choice)| *distance <= MAX_DISTANCE && *distance < choice.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, choice)| choice)
}

/// How many letters to insert, delete or replace to get from one to the other (Levenshtein). Texts
/// much longer than any choice are not compared.
pub(crate) fn distance(left: &str, right: &str) -> usize {
    /// Longer than every reserved word.
    const MAX_BYTES: usize = 24;
    if left.len() > MAX_BYTES || right.len() > MAX_BYTES {
        return usize::MAX;
    }
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, left) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (at, right) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
