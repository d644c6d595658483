//! Cursors as text. They are opaque to callers, and say which list they belong to, so that a cursor
//! of another order is refused instead of leading nowhere.

use pitviper_store::{Cursor, StoredSpan};

use super::{Mode, RowOrder};
use crate::QueryError;

fn list(mode: Mode, order: RowOrder) -> &'static str {
    match (mode, order) {
        (Mode::Traces, RowOrder::NewestFirst) => "tn",
        (Mode::Traces, RowOrder::OldestFirst) => "to",
        (Mode::Traces, RowOrder::SlowestFirst) => "ts",
        (Mode::Spans, RowOrder::NewestFirst) => "sn",
        (Mode::Spans, RowOrder::OldestFirst) => "so",
        (Mode::Spans, RowOrder::SlowestFirst) => "ss",
    }
}

pub(super) fn print(cursor: Cursor, mode: Mode, order: RowOrder) -> String {
    format!("{}.{}.{}.{}", list(mode, order), cursor.value, cursor.trace_id, cursor.span_id)
}

pub(super) fn parse(text: &str, mode: Mode, order: RowOrder) -> Result<Cursor, QueryError> {
    let parts: Vec<&str> = text.splitn(4, '.').collect();
    let cursor = match parts[..] {
        [of, value, trace_id, span_id] if of == list(mode, order) => {
            match (value.parse(), trace_id.parse(), span_id.parse()) {
                (Ok(value), Ok(trace_id), Ok(span_id)) => Some(Cursor { value, trace_id, span_id }),
                _ => None,
            }
        }
        _ => None,
    };
    cursor.ok_or_else(|| QueryError::Parameter {
        parameter: "cursor",
        message: "is not a cursor of this list; take it from `meta.next` of the same search, mode and order".to_owned(),
    })
}

/// The cursor of a page that ends with this span.
pub(super) fn of_span(stored: &StoredSpan, order: RowOrder) -> Cursor {
    let span = &stored.span;
    let value = match order {
        RowOrder::NewestFirst | RowOrder::OldestFirst => span.start_time_unix_nano,
        RowOrder::SlowestFirst => span.duration_nano(),
    };
    Cursor { value: i64::try_from(value).unwrap_or(i64::MAX), trace_id: span.trace_id, span_id: span.span_id }
}

#[cfg(test)]
mod tests {
    use pitviper_model::{SpanId, TraceId};

    use super::*;

    #[test]
    fn a_cursor_is_of_one_list() {
        let cursor = Cursor { value: -7, trace_id: TraceId([1; 16]), span_id: SpanId([2; 8]) };
        let text = print(cursor, Mode::Spans, RowOrder::OldestFirst);
        assert_eq!(parse(&text, Mode::Spans, RowOrder::OldestFirst).unwrap(), cursor);
        assert!(parse(&text, Mode::Spans, RowOrder::NewestFirst).is_err());
        assert!(parse(&text, Mode::Traces, RowOrder::OldestFirst).is_err());
        for wrong in ["", "so", "so.x.y.z", "so.1.01.02", "so.1.2.3.4.5"] {
            assert!(parse(wrong, Mode::Spans, RowOrder::OldestFirst).is_err(), "{wrong}");
        }
    }
}
