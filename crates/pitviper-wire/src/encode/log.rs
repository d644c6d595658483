//! Log records.

use pitviper_model::{SpanId, TraceId, Value};

use super::attributes::{AttributeList, Scalar, put_scalar, put_value};
use super::protobuf::{put_bytes, put_fixed32, put_fixed64, put_message, put_text, put_uint};

// Field numbers of LogRecord.
const TIME: u8 = 1;
const SEVERITY_NUMBER: u8 = 2;
const SEVERITY_TEXT: u8 = 3;
const BODY: u8 = 5;
const ATTRIBUTES: u8 = 6;
const DROPPED_ATTRIBUTES: u8 = 7;
const FLAGS: u8 = 8;
const TRACE_ID: u8 = 9;
const SPAN_ID: u8 = 10;
const OBSERVED_TIME: u8 = 11;
const EVENT_NAME: u8 = 12;
/// `log_records` in ScopeLogs.
const LOG_RECORDS: u8 = 2;

/// What a log record says.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// Nothing.
    None,
    /// Text.
    Text(&'a str),
    /// Anything.
    Value(&'a Value),
}

/// A log record without its attributes.
#[derive(Debug, Clone, Copy)]
pub struct LogHead<'a> {
    /// When it happened, in nanoseconds since the Unix epoch; zero when not known.
    pub time_unix_nano: u64,
    /// When it was seen, in nanoseconds since the Unix epoch.
    pub observed_time_unix_nano: u64,
    /// From 1 (trace) over 9 (info) and 17 (error) to 24; zero when not said.
    pub severity_number: u8,
    /// The severity in the words of its source; empty when not said.
    pub severity_text: &'a str,
    /// What it says.
    pub body: Body<'a>,
    /// The name of the kind of event it is; empty for most.
    pub event_name: &'a str,
    /// The trace it was written in; invalid for none.
    pub trace_id: TraceId,
    /// The span it was written in; invalid for none.
    pub span_id: SpanId,
    /// The W3C trace flags.
    pub flags: u32,
}

/// Appends a log record as one entry of `ScopeLogs.log_records`.
pub fn append_log_record(out: &mut Vec<u8>, head: &LogHead<'_>, attributes: &AttributeList) {
    put_message(out, LOG_RECORDS, |out| {
        if head.time_unix_nano != 0 {
            put_fixed64(out, TIME, head.time_unix_nano);
        }
        put_fixed64(out, OBSERVED_TIME, head.observed_time_unix_nano);
        put_uint(out, SEVERITY_NUMBER, u64::from(head.severity_number));
        put_text(out, SEVERITY_TEXT, head.severity_text);
        match head.body {
            Body::None => {}
            Body::Text(text) => put_message(out, BODY, |out| put_scalar(out, Scalar::Str(text))),
            Body::Value(value) => put_message(out, BODY, |out| put_value(out, value)),
        }
        attributes.append_as(out, ATTRIBUTES, DROPPED_ATTRIBUTES);
        if head.flags != 0 {
            put_fixed32(out, FLAGS, head.flags);
        }
        if head.trace_id.is_valid() {
            put_bytes(out, TRACE_ID, &head.trace_id.0);
        }
        if head.span_id.is_valid() {
            put_bytes(out, SPAN_ID, &head.span_id.0);
        }
        put_text(out, EVENT_NAME, head.event_name);
    });
}
