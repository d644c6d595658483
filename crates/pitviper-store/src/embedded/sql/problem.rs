//! What the engine says of a statement, as a problem with a place in the statement.

use std::error::Error;
use std::ops::Range;

use datafusion::common::{Column, DataFusionError, SchemaError, Span};
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::Location;

use crate::questions::sql::{MAX_NESTING, SqlError, SqlProblem};
use crate::store::StoreError;

/// Longest message taken over from the engine, in bytes.
const MAX_MESSAGE_BYTES: usize = 1_000;
/// Columns named in a message, at most.
const MAX_NAMED_COLUMNS: usize = 12;

/// A statement, to find places in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a>(pub(super) &'a str);

impl Text<'_> {
    /// All of it.
    pub(super) fn whole(&self) -> Range<usize> {
        0..self.0.len()
    }

    /// A problem with all of it.
    pub(super) fn problem(&self, message: String) -> SqlProblem {
        SqlProblem { range: self.whole(), message, suggestion: None }
    }

    /// The character at a place that is counted in lines and columns from one.
    pub(super) fn at(&self, place: Location) -> Range<usize> {
        self.character(place.line, place.column)
    }

    fn character(&self, line: u64, column: u64) -> Range<usize> {
        if line == 0 || column == 0 {
            return self.whole();
        }
        let lines = usize::try_from(line - 1).unwrap_or(usize::MAX);
        let mut starts = std::iter::once(0).chain(self.0.match_indices('\n').map(|(at, _)| at + 1));
        let Some(start) = starts.nth(lines) else { return self.0.len()..self.0.len() };
        let columns = usize::try_from(column - 1).unwrap_or(usize::MAX);
        let mut characters = self.0[start..].char_indices().skip(columns);
        match characters.next() {
            Some((at, character)) => start + at..start + at + character.len_utf8(),
            None => self.0.len()..self.0.len(),
        }
    }

    fn span(&self, span: Span) -> Range<usize> {
        let start = self.character(span.start.line, span.start.column).start;
        let end = self.character(span.end.line, span.end.column).start;
        start..end.max(start)
    }

    /// What the parser says.
    pub(super) fn parser_problem(&self, error: &ParserError) -> SqlProblem {
        match error {
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => self.placed(message),
            ParserError::RecursionLimitExceeded => {
                self.problem(format!("the statement nests parentheses and queries deeper than {MAX_NESTING}"))
            }
        }
    }

    /// What is said while a statement is read.
    pub(super) fn parsing_problem(&self, error: &DataFusionError) -> SqlProblem {
        match root(error) {
            DataFusionError::SQL(error, _) => self.parser_problem(error),
            other => self.placed(&other.message()),
        }
    }

    /// A message that may end by saying where.
    fn placed(&self, message: &str) -> SqlProblem {
        let found = message.rsplit_once(" at Line: ").and_then(|(before, place)| {
            let (line, column) = place.split_once(", Column: ")?;
            Some((before, self.character(line.trim().parse().ok()?, column.trim().parse().ok()?)))
        });
        match found {
            Some((before, range)) => SqlProblem { range, ..self.problem(short(before)) },
            None => self.problem(short(message)),
        }
    }

    /// What the engine says while it plans or answers.
    pub(super) fn error(&self, error: &DataFusionError) -> SqlError {
        let place = error.diagnostic().and_then(|diagnostic| diagnostic.span).map(|span| self.span(span));
        match root(error) {
            DataFusionError::ResourcesExhausted(_) => SqlError::Memory,
            DataFusionError::External(inner) => match from_store(&**inner) {
                Some(error) => SqlError::Store(error),
                None => SqlError::Statement(self.problem(short(&inner.to_string()))),
            },
            DataFusionError::SchemaError(inner, _) => SqlError::Statement(self.schema_problem(inner, place)),
            DataFusionError::IoError(_) | DataFusionError::ExecutionJoin(_) => {
                tracing::error!(%error, "a statement failed");
                SqlError::Store(StoreError::Engine(short(&error.strip_backtrace())))
            }
            other => {
                let message = other.message();
                // The rest is advice about how functions may be called, and lists of them.
                let message = message.split("\n\nBacktrace").next().unwrap_or_default();
                let suggestion = message.rsplit_once("Did you mean '").and_then(|(_, rest)| rest.split_once('\''));
                SqlError::Statement(SqlProblem {
                    range: place.unwrap_or_else(|| self.whole()),
                    message: short(message),
                    suggestion: suggestion.map(|(meant, _)| meant.to_owned()),
                })
            }
        }
    }

    fn schema_problem(&self, error: &SchemaError, place: Option<Range<usize>>) -> SqlProblem {
        let SchemaError::FieldNotFound { field, valid_fields } = error else {
            return SqlProblem {
                range: place.unwrap_or_else(|| self.whole()),
                message: short(&error.to_string()),
                suggestion: None,
            };
        };
        let names: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
        let meant = nearest(&field.name, names.iter().copied());
        let hint = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                let some: Vec<&str> = names.iter().copied().take(MAX_NAMED_COLUMNS).collect();
                let more = if names.len() > some.len() { ", and more" } else { "" };
                format!("there are {}{more}", some.join(", "))
            }
        };
        SqlProblem {
            range: self.column_range(field).or(place).unwrap_or_else(|| self.whole()),
            message: format!("there is no column `{}`; {hint}", field.flat_name()),
            suggestion: meant.map(str::to_owned),
        }
    }

    fn column_range(&self, column: &Column) -> Option<Range<usize>> {
        column.spans.first().map(|span| self.span(span)).filter(|range| !range.is_empty())
    }
}

/// What went wrong at the bottom.
fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(inner),
        DataFusionError::Shared(inner) => root(inner),
        DataFusionError::Collection(errors) => errors.first().map_or(error, root),
        DataFusionError::ArrowError(inner, _) => match &**inner {
            arrow::error::ArrowError::ExternalError(inner) => {
                inner.downcast_ref::<DataFusionError>().map_or(error, root)
            }
            _ => error,
        },
        other => other,
    }
}

/// What the store said while rows were read. It cannot be taken out of a shared error, so its kind is
/// made anew.
fn from_store(error: &(dyn Error + 'static)) -> Option<StoreError> {
    error.downcast_ref::<StoreError>().map(|error| match error {
        StoreError::Closed => StoreError::Closed,
        other => StoreError::Engine(other.to_string()),
    })
}

fn short(message: &str) -> String {
    let message = message.trim();
    message[..message.floor_char_boundary(MAX_MESSAGE_BYTES)].to_owned()
}

/// The choice most like what was written, when it is like enough to be meant.
pub(super) fn nearest<'a>(written: &str, choices: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Letters that may differ, at most; of short names a third.
    const MAX_DISTANCE: usize = 3;
    let written = written.to_lowercase();
    let limit = (written.chars().count() / 3).clamp(1, MAX_DISTANCE);
    let near = choices
        .into_iter()
        .map(|choice| (datafusion::common::utils::datafusion_strsim::levenshtein(&written, choice), choice));
    near.filter(|(distance, _)| *distance <= limit).min_by_key(|(distance, _)| *distance).map(|(_, choice)| choice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_in_lines_and_columns() {
        let text = Text("SELECT é,\n  x");
        assert_eq!(text.character(1, 1), 0..1);
        assert_eq!(text.character(1, 8), 7..9);
        assert_eq!(text.character(2, 3), 13..14);
        assert_eq!(text.character(2, 9), 14..14);
        assert_eq!(text.character(9, 1), 14..14);
        assert_eq!(text.character(0, 0), 0..14);
    }

    #[test]
    fn names_that_are_near_are_meant() {
        assert_eq!(nearest("Servic", ["service", "name"]), Some("service"));
        assert_eq!(nearest("span", ["spans", "span_metrics"]), Some("spans"));
        assert_eq!(nearest("users", ["spans", "span_metrics"]), None);
        assert_eq!(nearest("x", ["name", "kind"]), None);
    }
}
