//! The tables of profiles: `profile_samples`, sorted by (service, type, time), and the `stacks` and
//! `frames` they point to.
//!
//! Stacks and frames are written with every write that has samples of them, a row each a day, so that
//! no sample outlives its stack.

use std::sync::{Arc, LazyLock};

use arrow::array::builder::{BinaryBuilder, BooleanBuilder, Int64Builder, StringBuilder, UInt32Builder};
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use arrow::record_batch::RecordBatch;
use pitviper_model::{Frame, FrameId, ProfileSample, Resource, StackId};

use super::MAX_START_TIME_UNIX_NANO;
use super::columns::{AttributeColumns, IdBuilder, ResourceColumns, TextDictionary, dictionary_type, entries_field};
use super::seen::{DAY_NS, SeenKeys, seen_fields};
use super::spans_read::{Columns, damaged};
use crate::store::StoreError;

/// The label that says which request was worked on.
const ENDPOINT_LABEL: &str = "endpoint";
/// The label with the number of samples that a row stands for; one where it is missing.
pub const SAMPLES_LABEL: &str = "samples";
/// Bytes of the id of a frame.
const ID_BYTES: usize = 16;

static SAMPLES_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str| Field::new(name, dictionary_type(), false);
    let required = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    Arc::new(Schema::new(vec![
        required("time_ns", DataType::Int64),
        text("service"),
        text("environment"),
        text("version"),
        text("host"),
        text("sample_type"),
        text("unit"),
        required("value", DataType::Int64),
        required("stack", DataType::FixedSizeBinary(16)),
        required("trace_id", DataType::FixedSizeBinary(16)),
        required("span_id", DataType::FixedSizeBinary(8)),
        text("thread"),
        text("endpoint"),
        required("attrs", DataType::Map(entries_field(DataType::Utf8), false)),
        Field::new("attr_types", DataType::Utf8, true),
        text("resource"),
    ]))
});

static STACKS_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let own = [
        Field::new("stack", DataType::FixedSizeBinary(16), false),
        // The ids of its frames one after the other, the innermost first.
        Field::new("frames", DataType::Binary, false),
    ];
    Arc::new(Schema::new(seen_fields().into_iter().chain(own).collect::<Vec<_>>()))
});

static FRAMES_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let own = [
        Field::new("frame", DataType::FixedSizeBinary(16), false),
        Field::new("function", DataType::Utf8, false),
        Field::new("file", DataType::Utf8, false),
        Field::new("line", DataType::UInt32, false),
        Field::new("in_app", DataType::Boolean, false),
        Field::new("library", DataType::Utf8, false),
    ];
    Arc::new(Schema::new(seen_fields().into_iter().chain(own).collect::<Vec<_>>()))
});

/// The columns of `profile_samples`.
pub(crate) fn profile_samples_schema() -> SchemaRef {
    Arc::clone(&SAMPLES_SCHEMA)
}

/// The columns of `stacks`.
pub(crate) fn stacks_schema() -> SchemaRef {
    Arc::clone(&STACKS_SCHEMA)
}

/// The columns of `frames`.
pub(crate) fn frames_schema() -> SchemaRef {
    Arc::clone(&FRAMES_SCHEMA)
}

/// Turns samples into rows, with those of their stacks and frames.
#[derive(Debug)]
pub struct ProfilesBuilder {
    time_ns: Int64Builder,
    resource: ResourceColumns,
    sample_type: TextDictionary,
    unit: TextDictionary,
    value: Int64Builder,
    stack: IdBuilder<16>,
    trace_id: IdBuilder<16>,
    span_id: IdBuilder<8>,
    thread: TextDictionary,
    endpoint: TextDictionary,
    labels: AttributeColumns,
    stacks: StacksBuilder,
    frames: FramesBuilder,
}

impl Default for ProfilesBuilder {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl ProfilesBuilder {
    /// A builder with room for `n` samples; it grows as needed.
    #[must_use]
    pub fn with_capacity(n: usize) -> Self {
        let text = || TextDictionary::with_capacity(n);
        Self {
            time_ns: Int64Builder::with_capacity(n),
            resource: ResourceColumns::with_capacity(n),
            sample_type: text(),
            unit: text(),
            value: Int64Builder::with_capacity(n),
            stack: IdBuilder::with_capacity(n),
            trace_id: IdBuilder::with_capacity(n),
            span_id: IdBuilder::with_capacity(n),
            thread: text(),
            endpoint: text(),
            labels: AttributeColumns::with_capacity(n),
            stacks: StacksBuilder::default(),
            frames: FramesBuilder::default(),
        }
    }

    /// Adds one sample. A time after [`super::MAX_START_TIME_UNIX_NANO`] is stored as that.
    pub fn append(&mut self, resource: &Resource, sample: &ProfileSample) {
        let time = sample.time_unix_nano.min(MAX_START_TIME_UNIX_NANO).cast_signed();
        self.time_ns.append_value(time);
        self.resource.append(resource);
        self.sample_type.append(&sample.sample_type);
        self.unit.append(&sample.unit);
        self.value.append_value(sample.value);
        self.stack.append(sample.stack.id().0);
        self.trace_id.append(sample.trace_id.0);
        self.span_id.append(sample.span_id.0);
        self.thread.append(&sample.thread);
        self.endpoint.append(sample.labels.get_str(ENDPOINT_LABEL).unwrap_or_default());
        self.labels.append(&sample.labels);
        self.stacks.append(sample.stack.id(), sample.stack.frames(), time);
        for (id, frame) in sample.stack.frames() {
            self.frames.append(*id, frame, time);
        }
    }

    /// How many samples were added.
    #[must_use]
    pub fn len(&self) -> usize {
        self.resource.len()
    }

    /// Whether no sample was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Samples, stacks and frames.
    pub(crate) fn finish(mut self) -> [RecordBatch; 3] {
        let [attrs, attr_types, _] = self.labels.finish();
        let [service, environment, version, host, resource] = self.resource.finish();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.time_ns.finish()),
            service,
            environment,
            version,
            host,
            self.sample_type.finish(),
            self.unit.finish(),
            Arc::new(self.value.finish()),
            self.stack.finish(),
            self.trace_id.finish(),
            self.span_id.finish(),
            self.thread.finish(),
            self.endpoint.finish(),
            attrs,
            attr_types,
            resource,
        ];
        let samples = RecordBatch::try_new(profile_samples_schema(), columns)
            .expect("every column gets one value a sample, of the schema's type");
        [samples, self.stacks.finish(), self.frames.finish()]
    }
}

#[derive(Debug)]
struct StacksBuilder {
    seen: SeenKeys<StackId>,
    stack: IdBuilder<ID_BYTES>,
    frames: BinaryBuilder,
}

impl Default for StacksBuilder {
    fn default() -> Self {
        let frames = BinaryBuilder::with_capacity(0, 0);
        Self { seen: SeenKeys::new(DAY_NS), stack: IdBuilder::default(), frames }
    }
}

impl StacksBuilder {
    fn append(&mut self, id: StackId, frames: &[(FrameId, Frame)], time_ns: i64) {
        if self.seen.see(id, time_ns) {
            self.stack.append(id.0);
            self.frames.append_value(frames.iter().flat_map(|(id, _)| id.0).collect::<Vec<u8>>());
        }
    }

    fn finish(mut self) -> RecordBatch {
        let own = [self.stack.finish(), Arc::new(self.frames.finish())];
        let columns = self.seen.finish().into_iter().chain(own).collect();
        RecordBatch::try_new(stacks_schema(), columns).expect("every column gets one value a stack")
    }
}

#[derive(Debug)]
struct FramesBuilder {
    seen: SeenKeys<FrameId>,
    frame: IdBuilder<ID_BYTES>,
    /// Function, file, library.
    texts: [StringBuilder; 3],
    line: UInt32Builder,
    in_app: BooleanBuilder,
}

impl Default for FramesBuilder {
    fn default() -> Self {
        Self {
            seen: SeenKeys::new(DAY_NS),
            frame: IdBuilder::default(),
            texts: std::array::from_fn(|_| StringBuilder::with_capacity(0, 0)),
            line: UInt32Builder::with_capacity(0),
            in_app: BooleanBuilder::with_capacity(0),
        }
    }
}

impl FramesBuilder {
    fn append(&mut self, id: FrameId, frame: &Frame, time_ns: i64) {
        if !self.seen.see(id, time_ns) {
            return;
        }
        self.frame.append(id.0);
        for (column, text) in self.texts.iter_mut().zip([&frame.function, &frame.file, &frame.library]) {
            column.append_value(text);
        }
        self.line.append_value(frame.line);
        self.in_app.append_value(frame.in_app);
    }

    fn finish(mut self) -> RecordBatch {
        let [function, file, library] = self.texts.map(|mut texts| Arc::new(texts.finish()) as ArrayRef);
        let (line, in_app) = (Arc::new(self.line.finish()), Arc::new(self.in_app.finish()));
        let own = [self.frame.finish(), function, file, line, in_app, library];
        let columns = self.seen.finish().into_iter().chain(own).collect();
        RecordBatch::try_new(frames_schema(), columns).expect("every column gets one value a frame")
    }
}

/// Reads stacks: the ids of their frames, the innermost first.
pub(crate) fn read_stacks(batch: &RecordBatch) -> Result<Vec<(StackId, Vec<FrameId>)>, StoreError> {
    let columns = Columns(batch);
    let frames = columns.array("frames").as_binary::<i32>();
    let read_ids = |bytes: &[u8]| bytes.chunks(ID_BYTES).map(FrameId::from_slice).collect::<Option<Vec<_>>>();
    (0..batch.num_rows())
        .map(|row| {
            let ids = read_ids(frames.value(row)).ok_or_else(|| damaged("stack"))?;
            Ok((StackId(columns.id("stack", row)), ids))
        })
        .collect()
}

/// Reads frames.
pub(crate) fn read_frames(batch: &RecordBatch) -> Vec<(FrameId, Frame)> {
    let columns = Columns(batch);
    let in_app = columns.array("in_app").as_boolean();
    let text = |name: &str, row: usize| columns.array(name).as_string::<i32>().value(row).to_owned();
    (0..batch.num_rows())
        .map(|row| {
            let frame = Frame {
                function: text("function", row),
                file: text("file", row),
                line: columns.number::<UInt32Type>("line", row),
                in_app: in_app.value(row),
                library: text("library", row),
            };
            (FrameId(columns.id("frame", row)), frame)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::datatypes::Int64Type;
    use pitviper_model::{Attributes, SpanId, Stack, TraceId};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::schema::Table;
    use crate::schema::spans_read::{Decoded, read_resource, read_row_attributes};
    use crate::schema::strategies::{attributes, resource, text};

    /// A sample without its stack's contents.
    type Row = (u64, String, String, i64, StackId, TraceId, SpanId, String, Attributes);

    fn row_of(sample: &ProfileSample) -> Row {
        let ProfileSample { time_unix_nano, sample_type, unit, value, stack, trace_id, span_id, thread, labels } =
            sample.clone();
        (time_unix_nano, sample_type, unit, value, stack.id(), trace_id, span_id, thread, labels)
    }

    fn read_samples(batch: &RecordBatch) -> Vec<(Resource, Row)> {
        let columns = Columns(batch);
        let mut texts = ["sample_type", "unit", "thread"].map(|name| Decoded::new(columns.dictionary(name)));
        let mut resources = Decoded::new(columns.dictionary("resource"));
        (0..batch.num_rows())
            .map(|row| {
                let mut text = |at: usize| texts[at].at(row, |text| Ok(text.to_owned())).unwrap();
                let sample = (
                    columns.number::<Int64Type>("time_ns", row).cast_unsigned(),
                    text(0),
                    text(1),
                    columns.number::<Int64Type>("value", row),
                    StackId(columns.id("stack", row)),
                    TraceId(columns.id("trace_id", row)),
                    SpanId(columns.id("span_id", row)),
                    text(2),
                    read_row_attributes(&columns, row).unwrap(),
                );
                (resources.at(row, read_resource).unwrap(), sample)
            })
            .collect()
    }

    fn frame() -> impl Strategy<Value = Frame> {
        (text(), text(), any::<u32>(), any::<bool>(), text())
            .prop_map(|(function, file, line, in_app, library)| Frame { function, file, line, in_app, library })
    }

    fn sample() -> impl Strategy<Value = ProfileSample> {
        let ids = (any::<[u8; 16]>(), any::<[u8; 8]>());
        let texts = (text(), text(), text(), attributes());
        (ids, texts, 0..=MAX_START_TIME_UNIX_NANO, any::<i64>(), vec(frame(), 0..4)).prop_map(
            |(ids, texts, time_unix_nano, value, frames)| ProfileSample {
                time_unix_nano,
                sample_type: texts.0,
                unit: texts.1,
                value,
                stack: Arc::new(Stack::new(frames)),
                trace_id: TraceId(ids.0),
                span_id: SpanId(ids.1),
                thread: texts.2,
                labels: texts.3,
            },
        )
    }

    proptest! {
        #[test]
        fn samples_stacks_and_frames_come_back_as_they_were(
            parts in vec(vec((resource(), sample()), 1..4), 1..3)
        ) {
            let batches: Vec<[RecordBatch; 3]> = parts
                .iter()
                .map(|part| {
                    let mut builder = ProfilesBuilder::default();
                    part.iter().for_each(|(resource, sample)| builder.append(resource, sample));
                    builder.finish()
                })
                .collect();
            let merged = [Table::ProfileSamples, Table::Stacks, Table::Frames].map(|table| {
                let at = table as usize - Table::ProfileSamples as usize;
                table.concat(&batches.iter().map(|batch| &batch[at]).collect::<Vec<_>>()).unwrap()
            });
            let samples = parts.concat();
            let expected: Vec<_> = samples.iter().map(|(resource, sample)| (resource.clone(), row_of(sample))).collect();
            prop_assert_eq!(read_samples(&merged[0]), expected);
            let stacks: BTreeMap<StackId, Vec<FrameId>> = read_stacks(&merged[1]).unwrap().into_iter().collect();
            let frames: BTreeMap<FrameId, Frame> = read_frames(&merged[2]).into_iter().collect();
            for (_, sample) in &samples {
                let ids: Vec<FrameId> = sample.stack.frames().iter().map(|(id, _)| *id).collect();
                prop_assert_eq!(&stacks[&sample.stack.id()], &ids);
                prop_assert!(sample.stack.frames().iter().all(|(id, frame)| frames[id] == *frame));
            }
        }
    }
}
