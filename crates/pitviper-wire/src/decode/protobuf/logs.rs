//! Log records.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1 as otlp;
use pitviper_model::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message;

use super::{attributes, resource, scope, span_id, trace_id, value};
use crate::decode::{DecodeError, Decoded, severity};

/// Reads an `ExportLogsServiceRequest`.
///
/// # Errors
/// When the bytes are not that message.
pub fn logs_from_protobuf(bytes: &[u8]) -> Result<Decoded<ResourceLogs>, DecodeError> {
    let request = ExportLogsServiceRequest::decode(bytes)?;
    let batch = request
        .resource_logs
        .into_iter()
        .map(|logs| ResourceLogs {
            resource: resource(logs.resource, logs.schema_url),
            scopes: logs
                .scope_logs
                .into_iter()
                .map(|logs| ScopeLogs {
                    scope: scope(logs.scope, logs.schema_url),
                    records: logs.log_records.into_iter().map(record).collect(),
                })
                .collect(),
        })
        .collect();
    Ok(Decoded { batch, rejected: Vec::new() })
}

/// Ids that are none mean a record outside of any trace.
fn record(sent: otlp::LogRecord) -> LogRecord {
    LogRecord {
        time_unix_nano: sent.time_unix_nano,
        observed_time_unix_nano: sent.observed_time_unix_nano,
        severity_number: severity(sent.severity_number),
        severity_text: sent.severity_text,
        body: sent.body.filter(|body| body.value.is_some()).map(value),
        event_name: sent.event_name,
        attributes: attributes(sent.attributes),
        dropped_attributes_count: sent.dropped_attributes_count,
        trace_id: trace_id(&sent.trace_id),
        span_id: span_id(&sent.span_id),
        flags: sent.flags,
    }
}
