//! Log records.

use std::fmt::Write as _;

use pitviper_model::{LogRecord, ResourceLogs, ScopeLogs};

use super::{attributes, list, resource, schema_url, scope, text, value};

/// An `ExportLogsServiceRequest` document of these records, without a line break.
#[must_use]
pub fn logs_to_json(batch: &[ResourceLogs]) -> String {
    let mut out = String::from("{\"resourceLogs\":");
    list(batch, &mut out, |logs, out| {
        resource(&logs.resource, out);
        out.push_str(",\"scopeLogs\":");
        list(&logs.scopes, out, scope_logs);
        schema_url(&logs.resource.schema_url, out);
        out.push('}');
    });
    out.push('}');
    out
}

fn scope_logs(logs: &ScopeLogs, out: &mut String) {
    scope(&logs.scope, out);
    out.push_str(",\"logRecords\":");
    list(&logs.records, out, record);
    schema_url(&logs.scope.schema_url, out);
    out.push('}');
}

fn record(record: &LogRecord, out: &mut String) {
    let _ = write!(
        out,
        "{{\"timeUnixNano\":\"{}\",\"observedTimeUnixNano\":\"{}\",\"severityNumber\":{},\"severityText\":",
        record.time_unix_nano, record.observed_time_unix_nano, record.severity_number
    );
    text(&record.severity_text, out);
    if let Some(body) = &record.body {
        out.push_str(",\"body\":");
        value(body, out);
    }
    out.push_str(",\"eventName\":");
    text(&record.event_name, out);
    out.push_str(",\"attributes\":");
    attributes(&record.attributes, out);
    let _ = write!(out, ",\"droppedAttributesCount\":{},\"flags\":{}", record.dropped_attributes_count, record.flags);
    if record.trace_id.is_valid() {
        let _ = write!(out, ",\"traceId\":\"{}\"", record.trace_id);
    }
    if record.span_id.is_valid() {
        let _ = write!(out, ",\"spanId\":\"{}\"", record.span_id);
    }
    out.push('}');
}
