//! The `exceptions` table: one row an occurrence, sorted by (service, fingerprint, time).

use std::sync::{Arc, LazyLock};

use arrow::array::builder::{BooleanBuilder, Int64Builder, StringBuilder, UInt64Builder};
use arrow::array::{Array as _, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type};
use arrow::record_batch::RecordBatch;
use pitviper_model::{ExceptionEvent, Fingerprint, Resource, SpanId, TraceId};

use super::MAX_START_TIME_UNIX_NANO;
use super::columns::{AttributeColumns, IdBuilder, ResourceColumns, TextDictionary, dictionary_type, entries_field};
use super::row_id::RowHasher;
use super::spans::append_filled;
use super::spans_read::{Columns, Decoded, read_resource, read_row_attributes};
use crate::questions::{RowCursor, StoredException};
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
        required("fingerprint", DataType::FixedSizeBinary(16)),
        text("exception_type"),
        optional("message", DataType::Utf8),
        optional("stacktrace", DataType::Utf8),
        required("trace_id", DataType::FixedSizeBinary(16)),
        required("span_id", DataType::FixedSizeBinary(8)),
        optional("handled", DataType::Boolean),
        required("attrs", DataType::Map(entries_field(DataType::Utf8), false)),
        optional("attr_types", DataType::Utf8),
        text("resource"),
    ]))
});

/// The columns of `exceptions`.
pub(crate) fn exceptions_schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// Turns occurrences of exceptions into rows.
#[derive(Debug)]
pub struct ExceptionsBuilder {
    time_ns: Int64Builder,
    id: UInt64Builder,
    resource: ResourceColumns,
    fingerprint: IdBuilder<16>,
    exception_type: TextDictionary,
    message: StringBuilder,
    stacktrace: StringBuilder,
    trace_id: IdBuilder<16>,
    span_id: IdBuilder<8>,
    handled: BooleanBuilder,
    attrs: AttributeColumns,
    hasher: RowHasher,
}

impl Default for ExceptionsBuilder {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl ExceptionsBuilder {
    /// A builder with room for `n` occurrences; it grows as needed.
    #[must_use]
    pub fn with_capacity(n: usize) -> Self {
        Self {
            time_ns: Int64Builder::with_capacity(n),
            id: UInt64Builder::with_capacity(n),
            resource: ResourceColumns::with_capacity(n),
            fingerprint: IdBuilder::with_capacity(n),
            exception_type: TextDictionary::with_capacity(n),
            message: StringBuilder::with_capacity(n, 0),
            stacktrace: StringBuilder::with_capacity(n, 0),
            trace_id: IdBuilder::with_capacity(n),
            span_id: IdBuilder::with_capacity(n),
            handled: BooleanBuilder::with_capacity(n),
            attrs: AttributeColumns::with_capacity(n),
            hasher: RowHasher::default(),
        }
    }

    /// Adds one occurrence. A time after [`super::MAX_START_TIME_UNIX_NANO`] is stored as that.
    pub fn append(&mut self, resource: &Resource, event: &ExceptionEvent) {
        let time = event.time_unix_nano.min(MAX_START_TIME_UNIX_NANO);
        self.time_ns.append_value(time.cast_signed());
        self.resource.append(resource);
        self.fingerprint.append(event.fingerprint.0);
        self.exception_type.append(&event.exception_type);
        append_filled(&mut self.message, &event.message);
        append_filled(&mut self.stacktrace, &event.stacktrace);
        self.trace_id.append(event.trace_id.0);
        self.span_id.append(event.span_id.0);
        self.handled.append_option(event.handled);
        self.attrs.append(&event.attributes);
        let hasher = self.hasher.begin(resource, time).add(event.fingerprint).add(&event.exception_type);
        let hasher = hasher.add(&event.message).add(event.trace_id).add(event.span_id).add(&event.stacktrace);
        self.id.append_value(hasher.attributes(&event.attributes).finish());
    }

    /// How many occurrences were added.
    #[must_use]
    pub fn len(&self) -> usize {
        self.resource.len()
    }

    /// Whether no occurrence was added.
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
            self.fingerprint.finish(),
            self.exception_type.finish(),
            Arc::new(self.message.finish()),
            Arc::new(self.stacktrace.finish()),
            self.trace_id.finish(),
            self.span_id.finish(),
            Arc::new(self.handled.finish()),
            attrs,
            attr_types,
            resource,
        ];
        RecordBatch::try_new(exceptions_schema(), columns)
            .expect("every column gets one value an occurrence, of the schema's type")
    }
}

/// Reads whole occurrences. The batch has all columns.
pub(crate) fn read_exceptions(batch: &RecordBatch) -> Result<Vec<StoredException>, StoreError> {
    let columns = Columns(batch);
    let mut resources = Decoded::new(columns.dictionary("resource"));
    let mut types = Decoded::new(columns.dictionary("exception_type"));
    let handled = columns.array("handled").as_boolean();
    (0..batch.num_rows())
        .map(|row| {
            let time_ns = columns.number::<Int64Type>("time_ns", row);
            let text = |name: &str| columns.optional_text(name, row).unwrap_or_default().to_owned();
            let event = ExceptionEvent {
                time_unix_nano: time_ns.cast_unsigned(),
                exception_type: types.at(row, |text| Ok(text.to_owned()))?,
                message: text("message"),
                stacktrace: text("stacktrace"),
                fingerprint: Fingerprint(columns.id("fingerprint", row)),
                trace_id: TraceId(columns.id("trace_id", row)),
                span_id: SpanId(columns.id("span_id", row)),
                handled: handled.is_valid(row).then(|| handled.value(row)),
                attributes: read_row_attributes(&columns, row)?,
            };
            Ok(StoredException {
                event,
                resource: resources.at(row, |text| read_resource(text).map(Arc::new))?,
                cursor: RowCursor { time_ns, id: columns.number::<UInt64Type>("id", row) },
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::schema::Table;
    use crate::schema::strategies::{attributes, resource, text};

    fn event() -> impl Strategy<Value = ExceptionEvent> {
        let ids = (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u8; 8]>());
        let texts = (text(), text(), text());
        (ids, texts, 0..=MAX_START_TIME_UNIX_NANO, option::of(any::<bool>()), attributes()).prop_map(
            |(ids, texts, time_unix_nano, handled, attributes)| ExceptionEvent {
                time_unix_nano,
                exception_type: texts.0,
                message: texts.1,
                stacktrace: texts.2,
                fingerprint: Fingerprint(ids.0),
                trace_id: TraceId(ids.1),
                span_id: SpanId(ids.2),
                handled,
                attributes,
            },
        )
    }

    proptest! {
        #[test]
        fn occurrences_come_back_as_they_were(parts in vec(vec((resource(), event()), 1..4), 1..4)) {
            let batches: Vec<RecordBatch> = parts
                .iter()
                .map(|part| {
                    let mut builder = ExceptionsBuilder::default();
                    part.iter().for_each(|(resource, event)| builder.append(resource, event));
                    builder.finish()
                })
                .collect();
            let merged = Table::Exceptions.concat(&batches.iter().collect::<Vec<_>>()).unwrap();
            let found = read_exceptions(&merged).unwrap();
            let found: Vec<_> = found.into_iter().map(|row| ((*row.resource).clone(), row.event)).collect();
            prop_assert_eq!(found, parts.concat());
        }
    }
}
