//! What goes into a segment's page indexes: trace ids, each key, and each key with its value.
//!
//! A key alone tells which pages a pattern, a range or a beginning of a value may match in: most attributes
//! stand on few operations, and spans lie by those.

use std::io;
use std::path::Path;

use arrow::array::{Array as _, AsArray};
use arrow::datatypes::Int32Type;
use arrow::record_batch::RecordBatch;
use pitviper_model::TraceId;
use rustc_hash::FxHashMap;
use twox_hash::XxHash64;

use super::page_index::{HASH_BITS, Kind, PageIndexBuilder};
use crate::schema::read_resource;

/// An attribute's value in more pages than this counts as common: reading them all is no worse.
const MAX_PAGES_OF_A_VALUE: usize = 256;
/// Resources whose attributes are remembered while a segment is written.
const MAX_REMEMBERED_RESOURCES: usize = 4_096;
/// Parts a key from its value in what is hashed; no key contains it in UTF-8.
const SEPARATOR: u8 = 0xff;

/// The hash of a trace id, of which the random end counts: the beginning may be a time.
pub(super) fn hash_trace(trace_id: TraceId) -> u64 {
    let end = trace_id.0.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    // Multiplying spreads ids that somebody counts up; the high bits are the good ones.
    end.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HASH_BITS)
}

/// The hash of an attribute's key and text.
pub(super) fn hash_attribute(key: &str, text: &str) -> u64 {
    Hasher::default().attribute(key, text)
}

/// The hash of an attribute's key, whatever the value.
pub(super) fn hash_key(key: &str) -> u64 {
    Hasher::default().key(key)
}

/// Hashes with a buffer that is used again. xxHash64 is the same on every machine, as what lies on
/// disk must be.
#[derive(Default)]
struct Hasher(Vec<u8>);

impl Hasher {
    fn attribute(&mut self, key: &str, text: &str) -> u64 {
        self.0.clear();
        self.0.extend_from_slice(key.as_bytes());
        self.0.push(SEPARATOR);
        self.0.extend_from_slice(text.as_bytes());
        XxHash64::oneshot(0, &self.0) >> (64 - HASH_BITS)
    }

    /// As that of a value no text is.
    fn key(&mut self, key: &str) -> u64 {
        self.0.clear();
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(&[SEPARATOR; 2]);
        XxHash64::oneshot(0, &self.0) >> (64 - HASH_BITS)
    }
}

/// The columns indexes are made of.
pub(super) const INDEXED_COLUMNS: [&str; 3] = ["trace_id", "attrs", "resource"];

/// Collects both indexes of a segment while its rows are written.
pub(super) struct IndexBuilders {
    page_rows: usize,
    traces: PageIndexBuilder,
    attributes: PageIndexBuilder,
    row: u64,
    /// Of the page that is not full yet.
    trace_hashes: Vec<u64>,
    attribute_hashes: Vec<u64>,
    hasher: Hasher,
    has_keys: bool,
    resources: FxHashMap<String, Vec<u64>>,
}

impl IndexBuilders {
    pub(super) fn new(page_rows: usize) -> Self {
        Self {
            page_rows,
            traces: PageIndexBuilder::new(page_rows, usize::MAX),
            attributes: PageIndexBuilder::new(page_rows, MAX_PAGES_OF_A_VALUE),
            row: 0,
            trace_hashes: Vec::new(),
            attribute_hashes: Vec::new(),
            hasher: Hasher::default(),
            has_keys: true,
            resources: FxHashMap::default(),
        }
    }

    /// Adds rows of spans, in order.
    pub(super) fn append(&mut self, rows: &RecordBatch) {
        let mut at = 0;
        while at < rows.num_rows() {
            let filled = (self.row % self.page_rows as u64) as usize;
            let count = (self.page_rows - filled).min(rows.num_rows() - at);
            self.append_part(&rows.slice(at, count));
            at += count;
            self.row += count as u64;
            if self.row.is_multiple_of(self.page_rows as u64) {
                self.end_page();
            }
        }
    }

    fn append_part(&mut self, rows: &RecordBatch) {
        let column = |name: &str| rows.column_by_name(name).expect("the schema has the column");
        let ids = column("trace_id").as_fixed_size_binary();
        self.trace_hashes
            .extend((0..ids.len()).map(|row| hash_trace(TraceId::from_slice(ids.value(row)).unwrap_or_default())));
        let map = column("attrs").as_map();
        let (keys, values) = (map.keys().as_string::<i32>(), map.values().as_string::<i32>());
        let offsets = map.value_offsets();
        // Rows lie by service and name, so most have the keys of the row before at the same places.
        let mut before = 0..0;
        for row in offsets.windows(2) {
            let own = row[0] as usize..row[1] as usize;
            let is_alike = own.len() == before.len();
            for at in own.clone() {
                let key = keys.value(at);
                self.attribute_hashes.push(self.hasher.attribute(key, values.value(at)));
                if self.has_keys && (!is_alike || key != keys.value(at - own.len())) {
                    self.attribute_hashes.push(self.hasher.key(key));
                }
            }
            before = own;
        }
        let resources = column("resource").as_dictionary::<Int32Type>();
        let texts = resources.values().as_string::<i32>();
        let mut used = vec![false; texts.len()];
        resources.keys().values().iter().for_each(|&key| used[key as usize] = true);
        for at in (0..texts.len()).filter(|&at| used[at]) {
            self.append_resource(texts.value(at));
        }
    }

    /// Searches look into a span's resource where the span has no such attribute.
    fn append_resource(&mut self, text: &str) {
        if !self.resources.contains_key(text) {
            if self.resources.len() >= MAX_REMEMBERED_RESOURCES {
                self.resources.clear();
            }
            let attributes = read_resource(text).unwrap_or_default().attributes;
            let mut hashes = Vec::with_capacity(attributes.0.len() * 2);
            for (key, value) in attributes.iter() {
                hashes.push(self.hasher.attribute(key, &value.to_text()));
                if self.has_keys {
                    hashes.push(self.hasher.key(key));
                }
            }
            self.resources.insert(text.to_owned(), hashes);
        }
        self.attribute_hashes.extend(self.resources.get(text).into_iter().flatten());
    }

    fn end_page(&mut self) {
        let rows = (self.row - 1) % self.page_rows as u64 + 1;
        let first_row = self.row - rows;
        self.traces.add_page(first_row, rows, &mut self.trace_hashes);
        self.attributes.add_page(first_row, rows, &mut self.attribute_hashes);
    }

    /// What the indexes should find in a page of these rows, in the order of [`Kind::ALL`]; keys as well
    /// where the index has them.
    pub(super) fn page_hashes(rows: &RecordBatch, has_keys: bool) -> [Vec<u64>; Kind::ALL.len()] {
        let mut builders = Self { has_keys, ..Self::new(usize::MAX) };
        builders.append_part(rows);
        for hashes in [&mut builders.trace_hashes, &mut builders.attribute_hashes] {
            hashes.sort_unstable();
            hashes.dedup();
        }
        [builders.trace_hashes, builders.attribute_hashes]
    }

    /// Writes both indexes of the segment, durably; their size in bytes.
    pub(super) fn write(mut self, segment: &Path) -> io::Result<u64> {
        if !self.row.is_multiple_of(self.page_rows as u64) {
            self.end_page();
        }
        Ok(self.traces.write(&Kind::Traces.path(segment), self.row)?
            + self.attributes.write(&Kind::Attributes.path(segment), self.row)?)
    }
}
