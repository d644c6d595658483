//! Page indexes: files beside a segment that say which pages hold a value.
//!
//! Spans are sorted by (service, name, start), so those of one trace, or those with one value of an
//! attribute, lie scattered. There is an index of trace ids and one of attributes, each about two
//! bytes a span. A look-up reads one bucket, some hundred bytes, and answers with the few pages to
//! read, now and then with one that holds another value of the same fingerprint; it never leaves
//! one out. What lies in more pages than it is worth to name counts as common.
//!
//! Layout, numbers little-endian: magic, version, rows of the segment `u64`, rows indexed `u64`, rows
//! of a page `u32`, bits of a bucket number `u32`; the end of each bucket as `u32`, counted from the
//! first; CRC-32 of all so far; then the buckets. A bucket lists values by fingerprint (16 bits of
//! their hash), each as varints: the difference to the fingerprint before, how many pages, none for a
//! common value, the differences of their numbers; and ends with the CRC-32 of itself.

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::packing::{get, put};

const MAGIC: &[u8; 4] = b"PVPI";
/// The version that is written. One before it knew values of attributes and not which pages have a key.
const VERSION: u32 = 2;
const VERSION_WITHOUT_KEYS: u32 = 1;
const HEADER_BYTES: usize = 4 + 4 + 8 + 8 + 4 + 4;
const CRC_BYTES: usize = 4;
/// Bits of a hash that an index tells apart: bucket number and fingerprint.
pub(super) const HASH_BITS: u32 = 40;
const PAGE_BITS: u32 = 64 - HASH_BITS;
const FINGERPRINT_BITS: u32 = 16;
/// Most bits of a bucket number.
const MAX_BUCKET_BITS: u32 = HASH_BITS - FINGERPRINT_BITS;
/// Values a bucket holds on average, rounded to a power of two.
const VALUES_A_BUCKET: usize = 64;
/// Entries that are collected in memory, eight bytes each. The rows after that are not indexed, and
/// every look-up names them all.
const MAX_ENTRIES: usize = 16 * 1024 * 1024;
/// Most rows of a segment that can be indexed.
const MAX_ROWS: u64 = 1 << 32;

/// Which of a segment's indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of trace ids.
    Traces,
    /// Of attributes: keys, and keys with their values.
    Attributes,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Traces, Self::Attributes];

    /// Where the index of a segment's file lies.
    pub(super) fn path(self, segment: &Path) -> PathBuf {
        segment.with_extension(match self {
            Self::Traces => "traces",
            Self::Attributes => "attributes",
        })
    }
}

fn bucket(hash: u64, bucket_bits: u32) -> u64 {
    hash >> (HASH_BITS - bucket_bits)
}

fn fingerprint(hash: u64, bucket_bits: u32) -> u64 {
    hash >> (MAX_BUCKET_BITS - bucket_bits) & ((1 << FINGERPRINT_BITS) - 1)
}

/// Collects the values of a segment's rows, page after page.
pub(super) struct PageIndexBuilder {
    page_rows: u64,
    /// Values in more pages than this are common.
    max_pages: usize,
    max_entries: usize,
    /// The hash of a value, then the page it lies in.
    entries: Vec<u64>,
    /// The rows whose values are all in.
    indexed_rows: u64,
}

impl PageIndexBuilder {
    pub(super) fn new(page_rows: usize, max_pages: usize) -> Self {
        let page_rows = page_rows as u64;
        Self { page_rows, max_pages, max_entries: MAX_ENTRIES, entries: Vec::new(), indexed_rows: 0 }
    }

    /// Adds the values of a page, as hashes of [`HASH_BITS`] bits, any of them more than once. The
    /// page begins at this row and has so many.
    pub(super) fn add_page(&mut self, first_row: u64, rows: u64, hashes: &mut Vec<u64>) {
        hashes.sort_unstable();
        hashes.dedup();
        if self.indexed_rows == first_row && self.entries.len() + hashes.len() <= self.max_entries {
            let page = first_row / self.page_rows;
            self.entries.extend(hashes.iter().map(|hash| hash << PAGE_BITS | page));
            self.indexed_rows += rows;
        }
        hashes.clear();
    }

    /// Writes the index of a segment with so many rows and makes it durable; its size in bytes.
    pub(super) fn write(mut self, path: &Path, rows: u64) -> io::Result<u64> {
        if rows > MAX_ROWS {
            return Err(io::Error::new(ErrorKind::InvalidInput, "a segment with too many rows for a page index"));
        }
        self.entries.sort_unstable();
        let values = self.entries.chunk_by(|left, right| left >> PAGE_BITS == right >> PAGE_BITS).count();
        let bucket_bits = (values / VALUES_A_BUCKET).max(1).ilog2().min(MAX_BUCKET_BITS);
        let mut buckets = Vec::new();
        let mut ends: Vec<u32> = Vec::with_capacity(1 << bucket_bits);
        let mut rest = self.entries.as_slice();
        for number in 0..1u64 << bucket_bits {
            let length = rest.partition_point(|&entry| bucket(entry >> PAGE_BITS, bucket_bits) <= number);
            let (own, others) = rest.split_at(length);
            rest = others;
            put_bucket(&mut buckets, own, bucket_bits, self.max_pages);
            ends.push(u32::try_from(buckets.len()).map_err(|_| io::Error::other("a page index of over 4 GiB"))?);
        }
        let mut head = Vec::with_capacity(HEADER_BYTES + ends.len() * 4 + CRC_BYTES);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&rows.to_le_bytes());
        head.extend_from_slice(&self.indexed_rows.to_le_bytes());
        head.extend_from_slice(&(self.page_rows as u32).to_le_bytes());
        head.extend_from_slice(&bucket_bits.to_le_bytes());
        ends.iter().for_each(|end| head.extend_from_slice(&end.to_le_bytes()));
        head.extend_from_slice(&crc32fast::hash(&head).to_le_bytes());
        let mut file = File::create(path)?;
        file.write_all(&head)?;
        file.write_all(&buckets)?;
        file.sync_all()?;
        Ok((head.len() + buckets.len()) as u64)
    }
}

/// Appends a bucket of sorted entries.
fn put_bucket(out: &mut Vec<u8>, entries: &[u64], bucket_bits: u32, max_pages: usize) {
    let begin = out.len();
    let fingerprint_of = |entry: u64| fingerprint(entry >> PAGE_BITS, bucket_bits);
    let mut before = 0;
    for value in entries.chunk_by(|left, right| fingerprint_of(*left) == fingerprint_of(*right)) {
        // Two values may share a fingerprint; their pages then count for both.
        let mut pages: Vec<u64> = value.iter().map(|entry| entry & ((1 << PAGE_BITS) - 1)).collect();
        pages.sort_unstable();
        pages.dedup();
        if pages.len() > max_pages {
            pages.clear();
        }
        let own = fingerprint_of(value[0]);
        put(out, own - before);
        put(out, pages.len() as u64);
        let mut page_before = 0;
        for page in pages {
            put(out, page - page_before);
            page_before = page;
        }
        before = own;
    }
    let checksum = crc32fast::hash(&out[begin..]);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// An index of a segment, open for look-ups. In memory are the ends of the buckets only.
#[derive(Debug)]
pub(super) struct PageIndex {
    file: File,
    page_rows: u64,
    rows: u64,
    indexed_rows: u64,
    bucket_bits: u32,
    /// Where in the file each bucket ends; one more in front, where the first begins.
    bounds: Vec<u64>,
    has_keys: bool,
}

impl PageIndex {
    /// Opens the index of a segment with so many rows.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none, [`ErrorKind::InvalidData`] when it is damaged or
    /// belongs to something else.
    pub(super) fn open(path: &Path, rows: u64) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut head = [0; HEADER_BYTES];
        file.read_exact_at(&mut head, 0)?;
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let (indexed_rows, page_rows, bucket_bits) = (long(16), u64::from(word(24)), word(28));
        let is_for_segment = long(8) == rows && indexed_rows <= rows && page_rows > 0;
        let version = word(4);
        if &head[..4] != MAGIC || !(VERSION_WITHOUT_KEYS..=VERSION).contains(&version) || !is_for_segment {
            return Err(damaged("the header is not that of the segment's index"));
        }
        let ends_bytes = if bucket_bits <= MAX_BUCKET_BITS { 4u64 << bucket_bits } else { u64::MAX };
        let first = (HEADER_BYTES as u64).saturating_add(ends_bytes).saturating_add(CRC_BYTES as u64);
        if first > length {
            return Err(damaged("it is cut short"));
        }
        let mut table = vec![0; first as usize - HEADER_BYTES];
        file.read_exact_at(&mut table, HEADER_BYTES as u64)?;
        let (ends, checksum) = table.split_at(table.len() - CRC_BYTES);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&head);
        hasher.update(ends);
        if hasher.finalize().to_le_bytes() != checksum {
            return Err(damaged("the checksum of its head is wrong"));
        }
        let ends =
            ends.chunks_exact(4).map(|end| first + u64::from(u32::from_le_bytes([end[0], end[1], end[2], end[3]])));
        let bounds: Vec<u64> = std::iter::once(first).chain(ends).collect();
        if !bounds.is_sorted() || bounds.last() != Some(&length) {
            return Err(damaged("its buckets do not fill it"));
        }
        let has_keys = version > VERSION_WITHOUT_KEYS;
        Ok(Self { file, page_rows, rows, indexed_rows, bucket_bits, bounds, has_keys })
    }

    /// Whether pages can be looked up by keys of attributes, whatever the value.
    pub(super) fn has_keys(&self) -> bool {
        self.has_keys
    }

    /// Memory it takes, in bytes.
    pub(super) fn memory_size(&self) -> usize {
        self.bounds.len() * size_of::<u64>()
    }

    /// Reads every bucket.
    ///
    /// # Errors
    /// What the file system says, and [`ErrorKind::InvalidData`] when a bucket is damaged.
    pub(super) fn verify(&self) -> io::Result<()> {
        let mut rows = Vec::new();
        for number in 0..1u64 << self.bucket_bits {
            rows.clear();
            // The last fingerprint of the bucket, so that all of it is read.
            let last = (1 << (HASH_BITS - self.bucket_bits)) - 1;
            self.find(number << (HASH_BITS - self.bucket_bits) | last, &mut rows)?;
        }
        Ok(())
    }

    /// Adds the rows in which the value of this hash may lie, as ranges of whole pages in order.
    /// False when it is common: it may be anywhere, and nothing was added.
    ///
    /// # Errors
    /// What the file system says, and [`ErrorKind::InvalidData`] when the bucket is damaged.
    pub(super) fn find(&self, hash: u64, rows: &mut Vec<Range<u64>>) -> io::Result<bool> {
        let number = bucket(hash, self.bucket_bits) as usize;
        let (begin, end) = (self.bounds[number], self.bounds[number + 1]);
        let mut bytes = vec![0; (end - begin) as usize];
        self.file.read_exact_at(&mut bytes, begin)?;
        let (list, checksum) =
            bytes.split_last_chunk::<CRC_BYTES>().ok_or_else(|| damaged("a bucket without a checksum"))?;
        if crc32fast::hash(list).to_le_bytes() != *checksum {
            return Err(damaged("the checksum of a bucket is wrong"));
        }
        let wanted = fingerprint(hash, self.bucket_bits);
        let mut rest = list;
        let mut own = 0u64;
        while !rest.is_empty() {
            own = own.saturating_add(take(&mut rest)?);
            let count = take(&mut rest)?;
            if own == wanted && count == 0 {
                return Ok(false);
            }
            let mut page = 0u64;
            for _ in 0..count {
                page = page.saturating_add(take(&mut rest)?);
                if own == wanted {
                    let first = page.saturating_mul(self.page_rows);
                    rows.push(
                        first.min(self.indexed_rows)..first.saturating_add(self.page_rows).min(self.indexed_rows),
                    );
                }
            }
            if own >= wanted {
                break;
            }
        }
        if self.indexed_rows < self.rows {
            rows.push(self.indexed_rows..self.rows);
        }
        Ok(true)
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the index is damaged: {what}"))
}

fn take(bytes: &mut &[u8]) -> io::Result<u64> {
    get(bytes).ok_or_else(|| damaged("a number is cut short"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const PAGE: usize = 4;
    const COMMON: usize = 6;

    /// A hash as good as those of ids and texts.
    fn hash(number: u64) -> u64 {
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HASH_BITS)
    }

    fn write(path: &Path, values: &[u64], max_entries: usize) -> u64 {
        let mut builder = PageIndexBuilder { max_entries, ..PageIndexBuilder::new(PAGE, COMMON) };
        for (page, values) in values.chunks(PAGE).enumerate() {
            let mut hashes = values.iter().map(|&value| hash(value)).collect();
            builder.add_page((page * PAGE) as u64, values.len() as u64, &mut hashes);
        }
        builder.write(path, values.len() as u64).unwrap()
    }

    /// The rows, or none when the value is common.
    fn find(index: &PageIndex, value: u64) -> Option<Vec<Range<u64>>> {
        let mut rows = Vec::new();
        index.find(hash(value), &mut rows).unwrap().then_some(rows)
    }

    fn bounds(index: &PageIndex, value: u64) -> Vec<(u64, u64)> {
        find(index, value).unwrap().iter().map(|range| (range.start, range.end)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_page_of_a_value_is_found(
            values in prop::collection::vec(0u64..300, 1..2_000),
            max_entries in prop::option::of(0usize..2_000),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x");
            write(&path, &values, max_entries.unwrap_or(usize::MAX));
            let index = PageIndex::open(&path, values.len() as u64).unwrap();
            let mut rows_of: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            for (row, value) in (0..).zip(&values) {
                rows_of.entry(*value).or_default().push(row);
            }
            for (value, rows) in rows_of {
                if let Some(found) = find(&index, value) {
                    prop_assert!(rows.iter().all(|row| found.iter().any(|range| range.contains(row))));
                    prop_assert!(found.is_sorted_by_key(|range| range.start));
                }
            }
        }

        #[test]
        fn damage_is_an_error_or_no_difference(
            values in prop::collection::vec(0u64..50, 1..300),
            at: prop::sample::Index,
            bit in 0u8..8,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x");
            write(&path, &values, usize::MAX);
            let mut bytes = std::fs::read(&path).unwrap();
            let index = PageIndex::open(&path, values.len() as u64).unwrap();
            let whole: Vec<_> = (0..50).map(|value| find(&index, value)).collect();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            std::fs::write(&path, &bytes).unwrap();
            if let Ok(index) = PageIndex::open(&path, values.len() as u64) {
                for value in 0..50u64 {
                    let mut rows = Vec::new();
                    if let Ok(is_rare) = index.find(hash(value), &mut rows) {
                        prop_assert_eq!(&is_rare.then_some(rows), &whole[value as usize]);
                    }
                }
            }
            std::fs::write(&path, &bytes[..at]).unwrap();
            prop_assert!(PageIndex::open(&path, values.len() as u64).is_err());
        }
    }

    #[test]
    fn common_values_are_told_from_missing_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let values: Vec<u64> = (0..80).map(|row| if row % 2 == 0 { 7 } else { 1_000 + row }).collect();
        write(&path, &values, usize::MAX);
        let index = PageIndex::open(&path, 80).unwrap();
        assert_eq!(find(&index, 7), None);
        assert_eq!(bounds(&index, 1_041), [(40, 44)]);
        assert_eq!(find(&index, 5_000), Some(vec![]));
    }

    #[test]
    fn rows_beyond_the_bound_are_always_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let values: Vec<u64> = (0..40).collect();
        write(&path, &values, 10);
        let index = PageIndex::open(&path, 40).unwrap();
        assert_eq!(bounds(&index, 2), [(0, 4), (8, 40)]);
        assert_eq!(bounds(&index, 39), [(8, 40)]);
    }

    #[test]
    fn unknown_values_cost_almost_no_page_and_the_index_stays_small() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        // Ten thousand traces of eight spans, scattered over the segment.
        let mut builder = PageIndexBuilder::new(4_096, usize::MAX);
        let rows: Vec<u64> = (0..80_000).map(|row| hash(row % 10_000 * 7_919)).collect();
        for (page, rows) in rows.chunks(4_096).enumerate() {
            builder.add_page(page as u64 * 4_096, rows.len() as u64, &mut rows.to_vec());
        }
        let bytes = builder.write(&path, 80_000).unwrap();
        assert!(bytes < 3 * 80_000, "{bytes} bytes");
        assert_eq!(bytes, std::fs::metadata(&path).unwrap().len());
        let index = PageIndex::open(&path, 80_000).unwrap();
        let wrong = (0..10_000).filter(|number| find(&index, u64::MAX / 2 - number) != Some(vec![])).count();
        assert!(wrong < 100, "{wrong} of 10000 unknown values had pages");
        assert!(PageIndex::open(&path, 80_001).is_err(), "an index of another segment");
    }
}
