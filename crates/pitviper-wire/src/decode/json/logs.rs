//! Log records.

use pitviper_model::{LogRecord, ResourceLogs, ScopeLogs};
use serde::{Deserialize, Deserializer};

use super::{
    AnyValue, Integer, KeyValue, NumberOrName, ResourceDocument, ScopeDocument, attributes, or_default, span_id,
    trace_id,
};
use crate::decode::{DecodeError, Decoded, severity};

/// What a record takes while it is decoded, beyond its text and what hangs on it, in bytes.
pub(in crate::decode) const RECORD_BYTES: usize = size_of::<RecordDocument>() + size_of::<LogRecord>();

/// Reads an `ExportLogsServiceRequest` document.
///
/// # Errors
/// When the bytes are not JSON, or a field has the wrong type.
pub fn logs_from_json(bytes: &[u8]) -> Result<Decoded<ResourceLogs>, DecodeError> {
    let document: Request = serde_json::from_slice(bytes)?;
    let batch = document.resource_logs.into_iter().map(ResourceLogsDocument::into_model).collect();
    Ok(Decoded { batch, rejected: Vec::new() })
}

document!(Request { resource_logs: Vec<ResourceLogsDocument> });
document!(ResourceLogsDocument { resource: ResourceDocument, scope_logs: Vec<ScopeLogsDocument>, schema_url: String });
document!(ScopeLogsDocument { scope: ScopeDocument, log_records: Vec<RecordDocument>, schema_url: String });
document!(RecordDocument {
    time_unix_nano: Integer<u64>,
    observed_time_unix_nano: Integer<u64>,
    severity_number: Severity,
    severity_text: String,
    body: AnyValue,
    event_name: String,
    attributes: Vec<KeyValue>,
    dropped_attributes_count: u32,
    flags: u32,
    trace_id: String,
    span_id: String,
});

/// Names of the severities; each has four grades, of which the first has no digit.
const SEVERITIES: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

#[derive(Default)]
struct Severity(u8);

impl<'de> Deserialize<'de> for Severity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match NumberOrName::deserialize(deserializer)? {
            NumberOrName::Number(number) => severity(number),
            NumberOrName::Name(name) => named(name.strip_prefix("SEVERITY_NUMBER_").unwrap_or(&name)),
        }))
    }
}

/// The number of a severity's name; zero for any other.
fn named(name: &str) -> u8 {
    let grade = name.as_bytes().last().filter(|last| (b'2'..=b'4').contains(last)).map_or(0, |last| last - b'1');
    let word = if grade > 0 { &name[..name.len() - 1] } else { name };
    SEVERITIES.iter().zip((1u8..).step_by(4)).find(|(known, _)| **known == word).map_or(0, |(_, first)| first + grade)
}

impl ResourceLogsDocument {
    fn into_model(self) -> ResourceLogs {
        let scopes = self.scope_logs.into_iter().map(|logs| ScopeLogs {
            scope: logs.scope.into_model(logs.schema_url),
            records: logs.log_records.into_iter().map(RecordDocument::into_model).collect(),
        });
        ResourceLogs { scopes: scopes.collect(), resource: self.resource.into_model(self.schema_url) }
    }
}

impl RecordDocument {
    fn into_model(self) -> LogRecord {
        LogRecord {
            time_unix_nano: self.time_unix_nano.0,
            observed_time_unix_nano: self.observed_time_unix_nano.0,
            severity_number: self.severity_number.0,
            severity_text: self.severity_text,
            body: self.body.into_model_if_any(),
            event_name: self.event_name,
            attributes: attributes(self.attributes),
            dropped_attributes_count: self.dropped_attributes_count,
            trace_id: trace_id(&self.trace_id),
            span_id: span_id(&self.span_id),
            flags: self.flags,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_have_names_and_grades() {
        let names = ["TRACE", "TRACE4", "DEBUG", "INFO", "INFO2", "WARN3", "ERROR", "FATAL4"];
        assert_eq!(names.map(named), [1, 4, 5, 9, 10, 15, 17, 24]);
        assert_eq!(["", "INFO1", "INFO5", "2", "é2", "UNSPECIFIED"].map(named), [0; 6]);
    }
}
