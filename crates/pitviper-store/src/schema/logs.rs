//! The `logs` table: one row a log record, sorted by (service, severity, time).

use std::sync::{Arc, LazyLock};

use arrow::array::ArrayRef;
use arrow::array::builder::{Int64Builder, StringBuilder, UInt8Builder, UInt32Builder, UInt64Builder};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt8Type, UInt32Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use pitviper_model::{LogRecord, Resource, Scope, SpanId, TraceId, Value};

use super::MAX_START_TIME_UNIX_NANO;
use super::columns::{
    AttributeColumns, IdBuilder, ResourceColumns, ScopeColumn, TextDictionary, dictionary_type, entries_field,
};
use super::json::{read_value, write_value};
use super::row_id::RowHasher;
use super::spans::append_above_zero;
use super::spans_read::{Columns, Decoded, damaged, read_resource, read_row_attributes, read_scope};
use crate::questions::{RowCursor, StoredLog};
use crate::store::StoreError;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str| Field::new(name, dictionary_type(), false);
    let required = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    let optional = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        required("time_ns", DataType::Int64),
        required("id", DataType::UInt64),
        text("service"),
        text("environment"),
        text("version"),
        text("host"),
        required("severity", DataType::UInt8),
        text("severity_text"),
        text("event_name"),
        required("trace_id", DataType::FixedSizeBinary(16)),
        required("span_id", DataType::FixedSizeBinary(8)),
        required("flags", DataType::UInt32),
        optional("body", DataType::Utf8),
        // Only where the body is not text.
        optional("body_json", DataType::Utf8),
        required("attrs", DataType::Map(entries_field(DataType::Utf8), false)),
        optional("attr_types", DataType::Utf8),
        optional("dropped_attributes", DataType::UInt32),
        // Only where the record's own time is another: not said, or beyond what can be stored.
        optional("own_ns", DataType::UInt64),
        optional("observed_ns", DataType::UInt64),
        text("resource"),
        text("scope"),
    ]))
});

/// The columns of `logs`.
pub(crate) fn logs_schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// Turns log records into rows.
#[derive(Debug)]
pub struct LogsBuilder {
    time_ns: Int64Builder,
    id: UInt64Builder,
    resource: ResourceColumns,
    severity: UInt8Builder,
    severity_text: TextDictionary,
    event_name: TextDictionary,
    trace_id: IdBuilder<16>,
    span_id: IdBuilder<8>,
    flags: UInt32Builder,
    body: StringBuilder,
    body_json: StringBuilder,
    attrs: AttributeColumns,
    dropped_attributes: UInt32Builder,
    own_ns: UInt64Builder,
    observed_ns: UInt64Builder,
    scope: ScopeColumn,
    hasher: RowHasher,
    json: String,
}

impl Default for LogsBuilder {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl LogsBuilder {
    /// A builder with room for `n` records; it grows as needed.
    #[must_use]
    pub fn with_capacity(n: usize) -> Self {
        let sparse_text = || StringBuilder::with_capacity(n, 0);
        Self {
            time_ns: Int64Builder::with_capacity(n),
            id: UInt64Builder::with_capacity(n),
            resource: ResourceColumns::with_capacity(n),
            severity: UInt8Builder::with_capacity(n),
            severity_text: TextDictionary::with_capacity(n),
            event_name: TextDictionary::with_capacity(n),
            trace_id: IdBuilder::with_capacity(n),
            span_id: IdBuilder::with_capacity(n),
            flags: UInt32Builder::with_capacity(n),
            body: sparse_text(),
            body_json: sparse_text(),
            attrs: AttributeColumns::with_capacity(n),
            dropped_attributes: UInt32Builder::with_capacity(n),
            own_ns: UInt64Builder::with_capacity(n),
            observed_ns: UInt64Builder::with_capacity(n),
            scope: ScopeColumn::with_capacity(n),
            hasher: RowHasher::default(),
            json: String::new(),
        }
    }

    /// Adds one record, at its time or, without one, at the time it was seen. A time after
    /// [`super::MAX_START_TIME_UNIX_NANO`] is found at that.
    pub fn append(&mut self, resource: &Resource, scope: &Scope, record: &LogRecord) {
        let time = record.best_time_unix_nano().min(MAX_START_TIME_UNIX_NANO);
        self.time_ns.append_value(time.cast_signed());
        self.own_ns.append_option((record.time_unix_nano != time).then_some(record.time_unix_nano));
        let observed = record.observed_time_unix_nano;
        self.observed_ns.append_option((observed > 0).then_some(observed));
        self.resource.append(resource);
        self.scope.append(scope);
        self.severity.append_value(record.severity_number);
        self.severity_text.append(&record.severity_text);
        self.event_name.append(&record.event_name);
        self.trace_id.append(record.trace_id.0);
        self.span_id.append(record.span_id.0);
        self.flags.append_value(record.flags);
        self.json.clear();
        if let Some(body) = &record.body {
            write_value(body, &mut self.json);
        }
        match &record.body {
            None => {
                self.body.append_null();
                self.body_json.append_null();
            }
            Some(Value::String(text)) => {
                self.body.append_value(text);
                self.body_json.append_null();
            }
            Some(other) => {
                self.body.append_value(other.to_text());
                self.body_json.append_value(&self.json);
            }
        }
        self.attrs.append(&record.attributes);
        append_above_zero(&mut self.dropped_attributes, record.dropped_attributes_count);
        let hasher = self.hasher.begin(resource, time).add(&scope.name).add(record.severity_number);
        let hasher = hasher.add(&record.severity_text).add(&record.event_name).add(&self.json);
        let hasher = hasher.add(record.trace_id).add(record.span_id).attributes(&record.attributes);
        self.id.append_value(hasher.finish());
    }

    /// How many records were added.
    #[must_use]
    pub fn len(&self) -> usize {
        self.resource.len()
    }

    /// Whether no record was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn finish(mut self) -> RecordBatch {
        let [attrs, attr_types, _] = self.attrs.finish();
        let [service, environment, version, host, resource] = self.resource.finish();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.time_ns.finish()),
            Arc::new(self.id.finish()),
            service,
            environment,
            version,
            host,
            Arc::new(self.severity.finish()),
            self.severity_text.finish(),
            self.event_name.finish(),
            self.trace_id.finish(),
            self.span_id.finish(),
            Arc::new(self.flags.finish()),
            Arc::new(self.body.finish()),
            Arc::new(self.body_json.finish()),
            attrs,
            attr_types,
            Arc::new(self.dropped_attributes.finish()),
            Arc::new(self.own_ns.finish()),
            Arc::new(self.observed_ns.finish()),
            resource,
            self.scope.finish(),
        ];
        RecordBatch::try_new(logs_schema(), columns)
            .expect("every column gets one value a record, of the schema's type")
    }
}

/// Reads whole records. The batch has all columns.
pub(crate) fn read_logs(batch: &RecordBatch) -> Result<Vec<StoredLog>, StoreError> {
    let columns = Columns(batch);
    let mut resources = Decoded::new(columns.dictionary("resource"));
    let mut scopes = Decoded::new(columns.dictionary("scope"));
    let mut severity_texts = Decoded::new(columns.dictionary("severity_text"));
    let mut event_names = Decoded::new(columns.dictionary("event_name"));
    let owned = |text: &str| Ok(text.to_owned());
    (0..batch.num_rows())
        .map(|row| {
            let time_ns = columns.number::<Int64Type>("time_ns", row);
            let optional = |name: &str| columns.optional_number::<UInt64Type>(name, row);
            let record = LogRecord {
                time_unix_nano: optional("own_ns").unwrap_or(time_ns.cast_unsigned()),
                observed_time_unix_nano: optional("observed_ns").unwrap_or_default(),
                severity_number: columns.number::<UInt8Type>("severity", row),
                severity_text: severity_texts.at(row, owned)?,
                body: read_body(&columns, row)?,
                event_name: event_names.at(row, owned)?,
                attributes: read_row_attributes(&columns, row)?,
                dropped_attributes_count: columns
                    .optional_number::<UInt32Type>("dropped_attributes", row)
                    .unwrap_or_default(),
                trace_id: TraceId(columns.id("trace_id", row)),
                span_id: SpanId(columns.id("span_id", row)),
                flags: columns.number::<UInt32Type>("flags", row),
            };
            Ok(StoredLog {
                record,
                resource: resources.at(row, |text| read_resource(text).map(Arc::new))?,
                scope: scopes.at(row, |text| read_scope(text).map(Arc::new))?,
                cursor: RowCursor { time_ns, id: columns.number::<UInt64Type>("id", row) },
            })
        })
        .collect()
}

fn read_body(columns: &Columns<'_>, row: usize) -> Result<Option<Value>, StoreError> {
    match columns.optional_text("body_json", row) {
        Some(json) => read_value(json).map(Some).ok_or_else(|| damaged("log record")),
        None => Ok(columns.optional_text("body", row).map(Value::from)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::schema::Table;
    use crate::schema::strategies::{attributes, resource, scope, text, value};

    fn record() -> impl Strategy<Value = LogRecord> {
        let ids = (any::<[u8; 16]>(), any::<[u8; 8]>());
        let times = (prop_oneof![Just(0), any::<u64>()], prop_oneof![Just(0), any::<u64>()]);
        let texts = (text(), text(), option::of(value()), attributes());
        (ids, times, texts, any::<u8>(), any::<[u32; 2]>()).prop_map(|(ids, times, texts, severity, numbers)| {
            LogRecord {
                time_unix_nano: times.0,
                observed_time_unix_nano: times.1,
                severity_number: severity,
                severity_text: texts.0,
                body: texts.2,
                event_name: texts.1,
                attributes: texts.3,
                dropped_attributes_count: numbers[0],
                trace_id: TraceId(ids.0),
                span_id: SpanId(ids.1),
                flags: numbers[1],
            }
        })
    }

    proptest! {
        #[test]
        fn records_come_back_as_they_were(
            parts in vec(vec((resource(), scope(), record()), 1..4), 1..4)
        ) {
            let batches: Vec<RecordBatch> = parts
                .iter()
                .map(|part| {
                    let mut builder = LogsBuilder::default();
                    part.iter().for_each(|(resource, scope, record)| builder.append(resource, scope, record));
                    builder.finish()
                })
                .collect();
            let merged = Table::Logs.concat(&batches.iter().collect::<Vec<_>>()).unwrap();
            let found = read_logs(&merged).unwrap();
            let found: Vec<_> =
                found.into_iter().map(|log| ((*log.resource).clone(), (*log.scope).clone(), log.record)).collect();
            prop_assert_eq!(found, parts.concat());
        }
    }

    #[test]
    fn records_that_differ_have_ids_that_differ() {
        let base = LogRecord { body: Some("a".into()), ..LogRecord::default() };
        let mut builder = LogsBuilder::default();
        let mut with = |record: &LogRecord| builder.append(&Resource::default(), &Scope::default(), record);
        with(&base);
        with(&base);
        with(&LogRecord { body: Some("b".into()), ..base.clone() });
        with(&LogRecord { event_name: "a".to_owned(), body: None, ..base.clone() });
        with(&LogRecord { severity_number: 9, ..base.clone() });
        let found = read_logs(&builder.finish()).unwrap();
        let ids: std::collections::BTreeSet<u64> = found.iter().map(|log| log.cursor.id).collect();
        assert_eq!(ids.len(), 4);
    }
}
