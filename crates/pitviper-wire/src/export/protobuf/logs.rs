//! Log records.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1 as otlp;
use pitviper_model::{LogRecord, ResourceLogs};
use prost::Message as _;

use super::{any, attributes, resource, scope};

/// An `ExportLogsServiceRequest` of these records.
#[must_use]
pub fn logs_to_protobuf(batch: &[ResourceLogs]) -> Vec<u8> {
    let resource_logs = batch.iter().map(|logs| otlp::ResourceLogs {
        resource: Some(resource(&logs.resource)),
        scope_logs: logs
            .scopes
            .iter()
            .map(|logs| otlp::ScopeLogs {
                scope: Some(scope(&logs.scope)),
                log_records: logs.records.iter().map(record).collect(),
                schema_url: logs.scope.schema_url.clone(),
            })
            .collect(),
        schema_url: logs.resource.schema_url.clone(),
    });
    ExportLogsServiceRequest { resource_logs: resource_logs.collect() }.encode_to_vec()
}

fn record(record: &LogRecord) -> otlp::LogRecord {
    otlp::LogRecord {
        time_unix_nano: record.time_unix_nano,
        observed_time_unix_nano: record.observed_time_unix_nano,
        severity_number: i32::from(record.severity_number),
        severity_text: record.severity_text.clone(),
        body: record.body.as_ref().map(any),
        attributes: attributes(&record.attributes),
        dropped_attributes_count: record.dropped_attributes_count,
        flags: record.flags,
        trace_id: if record.trace_id.is_valid() { record.trace_id.0.to_vec() } else { Vec::new() },
        span_id: if record.span_id.is_valid() { record.span_id.0.to_vec() } else { Vec::new() },
        event_name: record.event_name.clone(),
    }
}
