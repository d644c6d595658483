//! Samples added up by stack, and what stacks and frames are.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, FixedSizeBinaryArray, MapArray, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use pitviper_model::{Frame, FrameId, StackId};
use rustc_hash::{FxHashMap, FxHashSet};
use twox_hash::XxHash64;

use super::page_statistics::{Bounds, rows_within};
use super::{Scan, Test, column, days, has_bytes, has_text, in_range, passes};
use crate::embedded::hot::Snapshot;
use crate::embedded::manifest::Table;
use crate::embedded::prune::{intersect, union};
use crate::questions::{ProfileAnswer, ProfileDimension, ProfileQuery, ProfileRow};
use crate::schema::{read_frames, read_stacks};
use crate::store::{StoreError, TimeRange};

/// Look-ups of more ids than this read a segment whole, as pages would have to be asked for each.
const MAX_IDS_BY_PAGE: usize = 256;

fn column_of(dimension: ProfileDimension) -> &'static str {
    match dimension {
        ProfileDimension::Service => "service",
        ProfileDimension::Environment => "environment",
        ProfileDimension::Version => "version",
        ProfileDimension::Host => "host",
        ProfileDimension::SampleType => "sample_type",
        ProfileDimension::Thread => "thread",
        ProfileDimension::Endpoint => "endpoint",
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
    let is_asked = [("service", query.service.is_some()), ("endpoint", query.endpoint.is_some())];
    columns.extend(is_asked.into_iter().filter(|(_, is_asked)| *is_asked).map(|(name, _)| name));
    columns.extend(query.group_by.iter().map(|dimension| column_of(*dimension)));
    let mut sums: FxHashMap<(Vec<String>, StackId), (i64, u64)> = FxHashMap::default();
    let mut counted = Counted::default();
    scan.read(snapshot, &columns, |batch| {
        for ((keys, stack), (value, samples)) in sum_batch(batch, query, &mut counted) {
            let labels = label_texts(batch, query, &keys);
            let sum = sums.entry((labels, stack)).or_default();
            *sum = (sum.0.saturating_add(value), sum.1 + samples);
        }
        Ok(())
    })?;
    let mut answer = ProfileAnswer { may_repeat: counted.is_full, ..ProfileAnswer::default() };
    for (value, samples) in sums.values() {
        answer.value = answer.value.saturating_add(*value);
        answer.samples += samples;
    }
    answer.rows = sums
        .into_iter()
        .map(|((labels, stack), (value, samples))| ProfileRow { labels, stack, value, samples })
        .collect();
    answer.rows.sort_unstable_by(|left, right| {
        right.value.cmp(&left.value).then_with(|| (&left.labels, left.stack).cmp(&(&right.labels, right.stack)))
    });
    let limit = query.limit.min(ProfileQuery::MAX_LIMIT);
    answer.left_out = answer.rows.len().saturating_sub(limit);
    answer.rows.truncate(limit);
    Ok(answer)
}

/// Sums of the rows that pass, by the dictionary keys of the labels and by stack.
fn sum_batch(
    batch: &RecordBatch,
    query: &ProfileQuery,
    counted: &mut Counted,
) -> FxHashMap<(Vec<i32>, StackId), (i64, u64)> {
    let values = column(batch, "value").as_primitive::<Int64Type>().values();
    let stacks = column(batch, "stack").as_fixed_size_binary();
    let tests = tests(query, batch);
    let keys: Vec<&[i32]> = query
        .group_by
        .iter()
        .map(|dimension| &**column(batch, column_of(*dimension)).as_dictionary::<Int32Type>().keys().values())
        .collect();
    let mut sums: FxHashMap<(Vec<i32>, StackId), (i64, u64)> = FxHashMap::default();
    let identity = Identity::of(batch);
    for row in (0..batch.num_rows()).filter(|row| passes(&tests, *row)) {
        if !counted.is_new(identity.hash(row)) {
            continue;
        }
        let labels = keys.iter().map(|keys| keys[row]).collect();
        let sum = sums.entry((labels, StackId::from_slice(stacks.value(row)).unwrap_or_default())).or_default();
        *sum = (sum.0.saturating_add(values[row]), sum.1 + 1);
    }
    sums
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

fn label_texts(batch: &RecordBatch, query: &ProfileQuery, keys: &[i32]) -> Vec<String> {
    let text = |(dimension, key): (&ProfileDimension, &i32)| {
        let values = column(batch, column_of(*dimension)).as_dictionary::<Int32Type>().values();
        values.as_string::<i32>().value(*key as usize).to_owned()
    };
    query.group_by.iter().zip(keys).map(text).collect()
}

fn tests<'b>(query: &ProfileQuery, batch: &'b RecordBatch) -> Vec<Test<'b>> {
    let mut tests: Vec<Test<'b>> = vec![in_range(batch, "time_ns", query.range)];
    let texts = [
        ("service", &query.service),
        ("sample_type", &query.sample_type),
        ("endpoint", &query.endpoint),
        ("thread", &query.thread),
    ];
    for (name, wanted) in texts {
        tests.extend(wanted.as_ref().map(|wanted| has_text(batch, name, wanted)));
    }
    tests.extend(query.trace_id.as_ref().map(|id| has_bytes(batch, "trace_id", id.0)));
    tests.extend(query.span_id.as_ref().map(|id| has_bytes(batch, "span_id", id.0)));
    tests
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
