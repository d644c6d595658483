//! Samples added up by stack, and what stacks and frames are.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, FixedSizeBinaryArray, MapArray, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use pitviper_model::{Frame, FrameId, SpanId, StackId, TraceId};
use rustc_hash::{FxHashMap, FxHashSet};
use twox_hash::XxHash64;

use super::page_statistics::{Bounds, rows_within};
use super::profile_snapshots::{self, LastSnapshots};
use super::{Scan, Test, column, days, has_bytes, has_text, in_range, passes};
use crate::embedded::hot::Snapshot;
use crate::embedded::manifest::Table;
use crate::embedded::prune::{intersect, union};
use crate::questions::{ProfileAnswer, ProfileDimension, ProfileQuery, ProfileRow};
use crate::schema::{SAMPLES_LABEL, read_frames, read_resource, read_stacks};
use crate::store::{StoreError, TimeRange};

/// Look-ups of more ids than this read a segment whole, as pages would have to be asked for each.
const MAX_IDS_BY_PAGE: usize = 256;

/// The label that says what a thread was doing.
const STATE_LABEL: &str = "state";
/// The label with the type of an exception.
const EXCEPTION_LABEL: &str = "exception";
/// The label with the name of a lock.
const LOCK_LABEL: &str = "lock";

fn column_of(dimension: ProfileDimension) -> &'static str {
    match dimension {
        ProfileDimension::Service => "service",
        ProfileDimension::Environment => "environment",
        ProfileDimension::Version => "version",
        ProfileDimension::Host => "host",
        ProfileDimension::Instance => "resource",
        ProfileDimension::SampleType => "sample_type",
        ProfileDimension::Unit => "unit",
        ProfileDimension::Thread => "thread",
        ProfileDimension::Endpoint => "endpoint",
        ProfileDimension::State | ProfileDimension::Exception | ProfileDimension::Lock => "attrs",
        ProfileDimension::Trace => "trace_id",
        ProfileDimension::Span => "span_id",
    }
}

/// Most samples of which it is remembered that they were counted, so that one sent twice counts once.
const MAX_REMEMBERED: usize = 4_000_000;

/// All that a sample says, but for its stack's frames, which its id stands for.
const IDENTITY: [&str; 10] =
    ["time_ns", "value", "stack", "trace_id", "span_id", "sample_type", "thread", "attrs", "attr_types", "resource"];

/// Samples added up by stack.
pub(in crate::embedded) fn profile(snapshot: &Snapshot, query: &ProfileQuery) -> Result<ProfileAnswer, StoreError> {
    let mut scan = Scan::new(Table::ProfileSamples, query.range, query.service.as_deref());
    scan.bounds.extend(query.sample_type.iter().map(|text| ("sample_type", Bounds::Equal(text.as_bytes()))));
    let mut columns = IDENTITY.to_vec();
    let asked = texts_asked(query).filter(|(_, wanted)| wanted.is_some()).map(|(name, _)| name);
    for name in asked.chain(query.group_by.iter().map(|dimension| column_of(*dimension))) {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    let last = if query.snapshots {
        let of_process = texts_of_process(query).into_iter().filter(|(_, wanted)| wanted.is_some());
        let columns: Vec<_> = profile_snapshots::COLUMNS.into_iter().chain(of_process.map(|(name, _)| name)).collect();
        Some(LastSnapshots::find(&scan, snapshot, query, &columns)?)
    } else {
        None
    };
    let mut sums: FxHashMap<(Vec<String>, i64, StackId), Sum> = FxHashMap::default();
    let mut counted = Counted::default();
    let wanted = WantedIds::of(query);
    scan.read(snapshot, &columns, |batch| {
        let splits =
            query.group_by.iter().map(|dimension| Split::of(*dimension, batch)).collect::<Result<Vec<_>, _>>()?;
        let mut tests = tests(query, &wanted, batch)?;
        tests.extend(last.as_ref().map(|last| last.test(query, batch)));
        for ((keys, step, stack), of_batch) in sum_batch(batch, query, &tests, &splits, &mut counted) {
            let texts = splits.iter().zip(&keys).map(|(split, key)| split.texts[*key as usize].clone());
            sums.entry((texts.collect(), step, stack)).or_default().add(&of_batch);
        }
        Ok(())
    })?;
    let mut answer = ProfileAnswer { may_repeat: counted.is_full, ..ProfileAnswer::default() };
    for sum in sums.values() {
        answer.value = answer.value.saturating_add(sum.value);
        answer.samples += sum.samples;
    }
    answer.rows = sums
        .into_iter()
        .map(|((labels, step_start_ns, stack), Sum { value, samples, largest })| ProfileRow {
            labels,
            stack,
            step_start_ns,
            value,
            samples,
            largest,
        })
        .collect();
    answer.rows.sort_unstable_by(|left, right| {
        let place = |row: &ProfileRow| (row.step_start_ns, row.stack);
        let by_value = right.value.cmp(&left.value);
        by_value.then_with(|| left.labels.cmp(&right.labels)).then_with(|| place(left).cmp(&place(right)))
    });
    let limit = query.limit.min(ProfileQuery::MAX_LIMIT);
    answer.left_out = answer.rows.len().saturating_sub(limit);
    answer.rows.truncate(limit);
    Ok(answer)
}

/// What rows have together.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    value: i64,
    samples: u64,
    largest: i64,
}

impl Sum {
    fn add(&mut self, other: &Self) {
        self.value = self.value.saturating_add(other.value);
        self.samples = self.samples.saturating_add(other.samples);
        self.largest = self.largest.max(other.largest);
    }
}

/// Sums of a batch's rows, by the keys of what they are split by, by step and by stack.
type BatchSums = FxHashMap<(Vec<i32>, i64, StackId), Sum>;

/// Sums of the rows that pass, by the keys of what they are split by, by step and by stack.
fn sum_batch(
    batch: &RecordBatch,
    query: &ProfileQuery,
    tests: &[Test<'_>],
    splits: &[Split<'_>],
    counted: &mut Counted,
) -> BatchSums {
    let values = column(batch, "value").as_primitive::<Int64Type>().values();
    let times = column(batch, "time_ns").as_primitive::<Int64Type>().values();
    let stacks = column(batch, "stack").as_fixed_size_binary();
    let labels = column(batch, "attrs").as_map();
    let mut sums = BatchSums::default();
    let identity = Identity::of(batch);
    for row in (0..batch.num_rows()).filter(|row| passes(tests, *row)) {
        if !counted.is_new(identity.hash(row)) {
            continue;
        }
        let keys = splits.iter().map(|split| split.keys[row]).collect();
        let stack = if query.by_stack { StackId::from_slice(stacks.value(row)).unwrap_or_default() } else { NO_STACK };
        let samples = samples_of(labels, row);
        let mean = values[row] / i64::try_from(samples).unwrap_or(i64::MAX).max(1);
        let one = Sum { value: values[row], samples, largest: mean };
        sums.entry((keys, step_start(query, times[row]), stack)).or_default().add(&one);
    }
    sums
}

/// How many samples a row stands for.
fn samples_of(labels: &MapArray, row: usize) -> u64 {
    label_of(labels, row, SAMPLES_LABEL).and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// What rows have that are not by stack.
const NO_STACK: StackId = StackId([0; 16]);

/// The start of the step that a moment of the range is in.
pub(super) fn step_start(query: &ProfileQuery, time_ns: i64) -> i64 {
    let start = query.range.start_ns;
    let Some(step) = query.step_ns.filter(|step| *step > 0) else { return start };
    let since = i128::from(time_ns) - i128::from(start);
    i64::try_from(i128::from(start) + since / i128::from(step) * i128::from(step)).unwrap_or(start)
}

/// The values of a dimension in a batch, each once, and which of them each row has.
struct Split<'b> {
    keys: Cow<'b, [i32]>,
    texts: Vec<String>,
}

impl<'b> Split<'b> {
    fn of(dimension: ProfileDimension, batch: &'b RecordBatch) -> Result<Self, StoreError> {
        let name = column_of(dimension);
        Ok(match dimension {
            ProfileDimension::Instance => {
                let (keys, instances) = instances(batch)?;
                Self { keys: Cow::Borrowed(keys), texts: instances }
            }
            ProfileDimension::State => Self::of_label(batch, STATE_LABEL),
            ProfileDimension::Exception => Self::of_label(batch, EXCEPTION_LABEL),
            ProfileDimension::Lock => Self::of_label(batch, LOCK_LABEL),
            ProfileDimension::Trace => {
                let ids = column(batch, name).as_fixed_size_binary();
                let id = |row| TraceId::from_slice(ids.value(row)).unwrap_or_default();
                Self::told_apart((0..batch.num_rows()).map(id), |id| id.to_string())
            }
            ProfileDimension::Span => {
                let ids = column(batch, name).as_fixed_size_binary();
                let id = |row| SpanId::from_slice(ids.value(row)).unwrap_or_default();
                Self::told_apart((0..batch.num_rows()).map(id), |id| id.to_string())
            }
            _ => {
                let dictionary = column(batch, name).as_dictionary::<Int32Type>();
                let texts = dictionary.values().as_string::<i32>().iter();
                let texts = texts.map(|text| text.unwrap_or_default().to_owned()).collect();
                Self { keys: Cow::Borrowed(&**dictionary.keys().values()), texts }
            }
        })
    }

    fn of_label(batch: &'b RecordBatch, label: &str) -> Self {
        let labels = column(batch, "attrs").as_map();
        let value = |row| label_of(labels, row, label).unwrap_or_default();
        Self::told_apart((0..batch.num_rows()).map(value), str::to_owned)
    }

    fn told_apart<T: Hash + Eq + Copy>(values: impl Iterator<Item = T>, text: impl Fn(T) -> String) -> Self {
        let mut known: FxHashMap<T, i32> = FxHashMap::default();
        let mut texts = Vec::new();
        let keys = values.map(|value| {
            *known.entry(value).or_insert_with(|| {
                texts.push(text(value));
                i32::try_from(texts.len() - 1).expect("a batch has fewer than 2^31 rows")
            })
        });
        let keys = Cow::Owned(keys.collect());
        Self { keys, texts }
    }
}

/// The process of each resource of a batch, and which resource each row has.
fn instances(batch: &RecordBatch) -> Result<(&[i32], Vec<String>), StoreError> {
    let resources = column(batch, "resource").as_dictionary::<Int32Type>();
    let texts = resources.values().as_string::<i32>().iter();
    let instance = |text: Option<&str>| Ok(read_resource(text.unwrap_or_default())?.instance().to_owned());
    Ok((&**resources.keys().values(), texts.map(instance).collect::<Result<_, StoreError>>()?))
}

/// The value of a row's label as text.
fn label_of<'b>(labels: &'b MapArray, row: usize, name: &str) -> Option<&'b str> {
    let entries = labels.value_offsets();
    let (names, values) = (labels.keys().as_string::<i32>(), labels.values().as_string::<i32>());
    // Of a repeated label the last value counts.
    let mut entries = (entries[row] as usize..entries[row + 1] as usize).rev();
    entries.find(|entry| names.value(*entry) == name).map(|entry| values.value(entry))
}

/// Samples that were counted.
#[derive(Default)]
struct Counted {
    samples: FxHashSet<u64>,
    /// Whether there were more than can be remembered.
    is_full: bool,
}

impl Counted {
    /// Whether a sample is counted for the first time.
    fn is_new(&mut self, sample: u64) -> bool {
        if self.samples.len() < MAX_REMEMBERED {
            return self.samples.insert(sample);
        }
        self.is_full = true;
        !self.samples.contains(&sample)
    }
}

/// Tells the samples of a batch apart by all that they say.
struct Identity<'b> {
    numbers: [&'b [i64]; 2],
    ids: [&'b FixedSizeBinaryArray; 3],
    /// The keys, and a hash of each text they stand for.
    texts: [(&'b [i32], Vec<u64>); 3],
    attributes: &'b MapArray,
    types: &'b StringArray,
}

impl<'b> Identity<'b> {
    fn of(batch: &'b RecordBatch) -> Self {
        let number = |name: &str| &**column(batch, name).as_primitive::<Int64Type>().values();
        let text = |name: &str| {
            let texts = column(batch, name).as_dictionary::<Int32Type>();
            let values = texts.values().as_string::<i32>();
            let hashes = values.iter().map(|text| XxHash64::oneshot(0, text.unwrap_or_default().as_bytes()));
            (&**texts.keys().values(), hashes.collect())
        };
        Self {
            numbers: ["time_ns", "value"].map(number),
            ids: ["stack", "trace_id", "span_id"].map(|name| column(batch, name).as_fixed_size_binary()),
            texts: ["sample_type", "thread", "resource"].map(text),
            attributes: column(batch, "attrs").as_map(),
            types: column(batch, "attr_types").as_string(),
        }
    }

    fn hash(&self, row: usize) -> u64 {
        let mut hash = XxHash64::with_seed(0);
        self.numbers.iter().for_each(|numbers| hash.write_i64(numbers[row]));
        self.ids.iter().for_each(|ids| hash.write(ids.value(row)));
        self.texts.iter().for_each(|(keys, hashes)| hash.write_u64(hashes[keys[row] as usize]));
        let entries = self.attributes.value_offsets();
        let (names, values) = (self.attributes.keys().as_string::<i32>(), self.attributes.values().as_string::<i32>());
        for entry in entries[row] as usize..entries[row + 1] as usize {
            hash.write_u64(XxHash64::oneshot(0, names.value(entry).as_bytes()));
            hash.write_u64(XxHash64::oneshot(0, values.value(entry).as_bytes()));
        }
        let types = if self.types.is_null(row) { "" } else { self.types.value(row) };
        hash.write_u64(XxHash64::oneshot(0, types.as_bytes()));
        hash.finish()
    }
}

/// Texts that columns have to hold.
fn texts_asked(query: &ProfileQuery) -> impl Iterator<Item = (&'static str, &Option<String>)> {
    texts_of_process(query).into_iter().chain([("endpoint", &query.endpoint), ("thread", &query.thread)])
}

/// Those of them that are the same for all samples of a process and type.
fn texts_of_process(query: &ProfileQuery) -> [(&'static str, &Option<String>); 5] {
    [
        ("service", &query.service),
        ("environment", &query.environment),
        ("version", &query.version),
        ("host", &query.host),
        ("sample_type", &query.sample_type),
    ]
}

/// What all rows of the processes and the type have to pass that are asked for.
pub(super) fn tests_of_process<'b>(
    query: &'b ProfileQuery,
    batch: &'b RecordBatch,
) -> Result<Vec<Test<'b>>, StoreError> {
    let mut tests: Vec<Test<'b>> = vec![in_range(batch, "time_ns", query.range)];
    for (name, wanted) in texts_of_process(query) {
        tests.extend(wanted.as_ref().map(|wanted| has_text(batch, name, wanted)));
    }
    if let Some(wanted) = &query.instance {
        let (keys, instances) = instances(batch)?;
        tests.push(Box::new(move |row| instances[keys[row] as usize] == *wanted));
    }
    Ok(tests)
}

/// Ids of which samples have to have one; all do when there are none.
struct WantedIds {
    spans: FxHashSet<[u8; 8]>,
    stacks: FxHashSet<[u8; 16]>,
}

impl WantedIds {
    fn of(query: &ProfileQuery) -> Self {
        Self {
            spans: query.span_ids.iter().map(|id| id.0).collect(),
            stacks: query.stacks.iter().map(|id| id.0).collect(),
        }
    }
}

fn tests<'b>(
    query: &'b ProfileQuery,
    wanted: &'b WantedIds,
    batch: &'b RecordBatch,
) -> Result<Vec<Test<'b>>, StoreError> {
    let mut tests = tests_of_process(query, batch)?;
    for (name, wanted) in [("endpoint", &query.endpoint), ("thread", &query.thread)] {
        tests.extend(wanted.as_ref().map(|wanted| has_text(batch, name, wanted)));
    }
    tests.extend(query.trace_id.as_ref().map(|id| has_bytes(batch, "trace_id", id.0)));
    if !wanted.spans.is_empty() {
        tests.push(is_one_of(batch, "span_id", &wanted.spans));
    }
    if !wanted.stacks.is_empty() {
        tests.push(is_one_of(batch, "stack", &wanted.stacks));
    }
    for (name, wanted) in &query.labels {
        let labels = column(batch, "attrs").as_map();
        tests.push(Box::new(move |row| label_of(labels, row, name) == Some(wanted)));
    }
    for (name, unwanted) in &query.without_labels {
        let labels = column(batch, "attrs").as_map();
        tests.push(Box::new(move |row| label_of(labels, row, name) != Some(unwanted)));
    }
    Ok(tests)
}

/// Rows whose bytes in a column of fixed size are some of these.
fn is_one_of<'b, const N: usize>(batch: &'b RecordBatch, name: &str, wanted: &'b FxHashSet<[u8; N]>) -> Test<'b> {
    let column = column(batch, name).as_fixed_size_binary();
    Box::new(move |row| column.value(row).try_into().is_ok_and(|id: [u8; N]| wanted.contains(&id)))
}

/// The frames of these stacks, the innermost first; unknown stacks are missing.
pub(in crate::embedded) fn stacks(
    snapshot: &Snapshot,
    range: TimeRange,
    ids: &[StackId],
) -> Result<Vec<(StackId, Vec<FrameId>)>, StoreError> {
    let known = by_id(snapshot, Table::Stacks, range, ids.iter().map(|id| id.0), read_stacks)?;
    Ok(in_order(ids, known))
}

/// These frames; unknown ones are missing.
pub(in crate::embedded) fn frames(
    snapshot: &Snapshot,
    range: TimeRange,
    ids: &[FrameId],
) -> Result<Vec<(FrameId, Frame)>, StoreError> {
    let read = |batch: &RecordBatch| Ok(read_frames(batch));
    let known = by_id(snapshot, Table::Frames, range, ids.iter().map(|id| id.0), read)?;
    Ok(in_order(ids, known))
}

fn in_order<K: Copy + Eq + Hash, V>(ids: &[K], known: Vec<(K, V)>) -> Vec<(K, V)> {
    let mut known: FxHashMap<K, V> = known.into_iter().collect();
    ids.iter().filter_map(|id| known.remove(id).map(|value| (*id, value))).collect()
}

/// The rows of these ids that were seen on the days of the range, read until each id was met.
fn by_id<K: Copy + Eq + Hash, V>(
    snapshot: &Snapshot,
    table: Table,
    range: TimeRange,
    ids: impl Iterator<Item = [u8; 16]>,
    read: impl Fn(&RecordBatch) -> Result<Vec<(K, V)>, StoreError>,
) -> Result<Vec<(K, V)>, StoreError> {
    let name: &'static str = table.description().order[0];
    let mut wanted: FxHashSet<[u8; 16]> = ids.collect();
    let scan = Scan::new(table, days(range), None);
    let mut found = Vec::new();
    let keep = |batch: &RecordBatch, wanted: &mut FxHashSet<[u8; 16]>, found: &mut Vec<(K, V)>| {
        let chosen = filter_record_batch(batch, &has_any(column(batch, name), wanted))
            .map_err(|error| StoreError::Engine(error.to_string()))?;
        let ids = column(&chosen, name).as_fixed_size_binary();
        for id in ids.iter().flatten() {
            wanted.remove(id);
        }
        found.extend(read(&chosen)?);
        Ok::<_, StoreError>(())
    };
    for batch in snapshot.hot_rows(table, scan.range) {
        keep(batch, &mut wanted, &mut found)?;
    }
    for segment in scan.segments(snapshot) {
        if wanted.is_empty() {
            break;
        }
        let mut rows = scan.rows(&segment)?;
        if wanted.len() <= MAX_IDS_BY_PAGE {
            let open = segment.open()?;
            let pages = wanted.iter().flat_map(|id| rows_within(open.footer(), name, Bounds::Equal(id)));
            rows = intersect(&rows, &union(pages.collect()));
        }
        let columns: &'static [&'static str] = std::slice::from_ref(&table.description().order[0]);
        let asked = Arc::new(wanted.clone());
        let test = Box::new(move |batch: RecordBatch| Ok(has_any(batch.column(0).as_ref(), &asked)));
        for batch in segment.reader(None, Some(rows), Some((columns, test)))? {
            let batch = batch.map_err(|error| StoreError::Engine(error.to_string()))?;
            keep(&batch, &mut wanted, &mut found)?;
        }
    }
    Ok(found)
}

fn has_any(ids: &dyn arrow::array::Array, wanted: &FxHashSet<[u8; 16]>) -> BooleanArray {
    let ids = ids.as_fixed_size_binary();
    ids.iter()
        .map(|id| Some(id.and_then(|id| id.try_into().ok()).is_some_and(|id: [u8; 16]| wanted.contains(&id))))
        .collect()
}
