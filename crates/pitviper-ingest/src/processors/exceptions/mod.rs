//! Exceptions: what spans and log records tell of them, one by one.
//!
//! Source: OpenTelemetry semantic conventions, "Exceptions on spans" and "Exceptions in logs".

mod fingerprint;

use pitviper_model::{
    Attributes, Event, ExceptionEvent, LogRecord, Resource, ResourceLogs, ResourceSpans, Span, StatusCode, Value,
};
use pitviper_store::schema::{ExceptionsBuilder, MAX_START_TIME_UNIX_NANO};

use fingerprint::fingerprint;

/// The event of a span that tells of an exception.
const EVENT_NAME: &str = "exception";

const TYPE: &str = "exception.type";
const MESSAGE: &str = "exception.message";
const STACKTRACE: &str = "exception.stacktrace";
const ESCAPED: &str = "exception.escaped";

/// The exceptions that spans recorded.
pub(crate) fn of_spans(batch: &[ResourceSpans]) -> ExceptionsBuilder {
    let mut rows = ExceptionsBuilder::default();
    for resource_spans in batch {
        for span in resource_spans.scopes.iter().flat_map(|scope_spans| &scope_spans.spans) {
            for event in span.events.iter().filter(|event| event.name == EVENT_NAME) {
                append(&mut rows, &resource_spans.resource, of_event(span, event));
            }
        }
    }
    rows
}

/// The exceptions that log records carry.
pub(crate) fn of_records(batch: &[ResourceLogs]) -> ExceptionsBuilder {
    let mut rows = ExceptionsBuilder::default();
    for resource_logs in batch {
        for record in resource_logs.scopes.iter().flat_map(|scope_logs| &scope_logs.records) {
            append(&mut rows, &resource_logs.resource, of_record(record));
        }
    }
    rows
}

fn append(rows: &mut ExceptionsBuilder, resource: &Resource, exception: Option<ExceptionEvent>) {
    if let Some(exception) = exception {
        rows.append(resource, &exception);
    }
}

fn of_event(span: &Span, event: &Event) -> Option<ExceptionEvent> {
    // An event whose time is none happened when its span began, as far as anybody knows.
    let is_time = (1..=MAX_START_TIME_UNIX_NANO).contains(&event.time_unix_nano);
    let handled = match escaped(&event.attributes) {
        Some(true) => Some(false),
        // Clients say `false` of everything they recorded before the span ended, also of what made it fail.
        _ if span.status.code == StatusCode::Error => None,
        escaped => escaped.map(|_| true),
    };
    Some(ExceptionEvent {
        time_unix_nano: if is_time { event.time_unix_nano } else { span.start_time_unix_nano },
        trace_id: span.trace_id,
        span_id: span.span_id,
        handled,
        ..read(&event.attributes)?
    })
}

fn of_record(record: &LogRecord) -> Option<ExceptionEvent> {
    Some(ExceptionEvent {
        time_unix_nano: record.best_time_unix_nano(),
        trace_id: record.trace_id,
        span_id: record.span_id,
        handled: escaped(&record.attributes).map(|escaped| !escaped),
        ..read(&record.attributes)?
    })
}

/// What attributes say of an exception; nothing when they name neither type nor message.
fn read(attributes: &Attributes) -> Option<ExceptionEvent> {
    let text = |key: &str| attributes.get(key).map(Value::to_text).unwrap_or_default();
    let (exception_type, message, stacktrace) = (text(TYPE), text(MESSAGE), text(STACKTRACE));
    if exception_type.is_empty() && message.is_empty() {
        return None;
    }
    let rest = attributes.0.iter().filter(|(key, _)| ![TYPE, MESSAGE, STACKTRACE, ESCAPED].contains(&key.as_str()));
    Some(ExceptionEvent {
        fingerprint: fingerprint(&exception_type, &message, &stacktrace),
        exception_type,
        message,
        stacktrace,
        attributes: Attributes(rest.cloned().collect()),
        ..ExceptionEvent::default()
    })
}

/// Whether it left the block that recorded it. Some clients send text.
fn escaped(attributes: &Attributes) -> Option<bool> {
    match attributes.get(ESCAPED)? {
        Value::Bool(escaped) => Some(*escaped),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use pitviper_model::{SpanId, Status, TraceId};

    use super::*;

    fn attributes(more: &[(&str, Value)]) -> Attributes {
        let mut attributes: Attributes =
            [(TYPE, "ValueError"), (MESSAGE, "bad"), (STACKTRACE, "at f")].into_iter().collect();
        more.iter().for_each(|(key, value)| attributes.set(*key, value.clone()));
        attributes
    }

    #[test]
    fn an_event_becomes_an_exception() {
        let event = |attributes| Event { time_unix_nano: 7, name: EVENT_NAME.into(), attributes, ..Event::default() };
        let span = |code| Span {
            trace_id: TraceId([1; 16]),
            span_id: SpanId([2; 8]),
            start_time_unix_nano: 5,
            status: Status { code, ..Status::default() },
            ..Span::default()
        };
        let found = of_event(&span(StatusCode::Unset), &event(attributes(&[("own", 1.into())]))).unwrap();
        let expected = ExceptionEvent {
            time_unix_nano: 7,
            exception_type: "ValueError".into(),
            message: "bad".into(),
            stacktrace: "at f".into(),
            fingerprint: fingerprint("ValueError", "bad", "at f"),
            trace_id: TraceId([1; 16]),
            span_id: SpanId([2; 8]),
            handled: None,
            attributes: [("own", 1)].into_iter().collect(),
        };
        assert_eq!(found, expected);
        let handled =
            |escaped: Value, code| of_event(&span(code), &event(attributes(&[(ESCAPED, escaped)]))).unwrap().handled;
        assert_eq!(handled(true.into(), StatusCode::Error), Some(false));
        assert_eq!(handled("True".into(), StatusCode::Unset), Some(false));
        assert_eq!(handled("False".into(), StatusCode::Unset), Some(true));
        assert_eq!(handled(false.into(), StatusCode::Error), None);
        let late = Event { time_unix_nano: u64::MAX, ..event(attributes(&[])) };
        assert_eq!(of_event(&span(StatusCode::Unset), &late).unwrap().time_unix_nano, 5);
        assert_eq!(of_event(&span(StatusCode::Unset), &event(Attributes::default())), None);
    }

    #[test]
    fn a_record_with_an_exception_becomes_one() {
        let record = LogRecord {
            observed_time_unix_nano: 9,
            attributes: attributes(&[]),
            trace_id: TraceId([1; 16]),
            ..LogRecord::default()
        };
        let found = of_record(&record).unwrap();
        assert_eq!((found.time_unix_nano, found.trace_id, found.handled), (9, TraceId([1; 16]), None));
        assert_eq!(of_record(&LogRecord { body: Some("ValueError".into()), ..LogRecord::default() }), None);
    }
}
