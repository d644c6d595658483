//! The trace index of a segment: which pages hold a trace.
//!
//! Spans are sorted by (service, name, start), so those of one trace lie scattered. The index lies
//! in a file beside the segment and takes about two bytes a span. A look-up reads one bucket of it,
//! some hundred bytes, and answers with the few pages to read, now and then with one that holds
//! another trace of the same fingerprint; it never leaves one out.
//!
//! Layout, numbers little-endian: magic, version, rows `u64`, rows of a page `u32`, bits of a bucket
//! number `u32`; the end of each bucket as `u32`, counted from the first; CRC-32 of all so far; then
//! the buckets. A bucket lists traces by fingerprint (16 bits of the id), each as varints: the
//! difference to the fingerprint before, how many pages, the differences of their numbers; and ends
//! with the CRC-32 of itself.

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use arrow::array::{Array as _, FixedSizeBinaryArray};
use pitviper_model::TraceId;

const MAGIC: &[u8; 4] = b"PVTI";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 4 + 4 + 8 + 4 + 4;
const CRC_BYTES: usize = 4;
/// Bits of a trace id that the index tells apart: bucket number and fingerprint.
const HASH_BITS: u32 = 40;
const PAGE_BITS: u32 = 64 - HASH_BITS;
const FINGERPRINT_BITS: u32 = 16;
/// Most bits of a bucket number.
const MAX_BUCKET_BITS: u32 = HASH_BITS - FINGERPRINT_BITS;
/// Traces a bucket holds on average, rounded to a power of two.
const TRACES_A_BUCKET: usize = 64;
/// Most rows of a segment that can be indexed.
const MAX_ROWS: u64 = 1 << 32;

/// The index of the segment in this file.
pub(super) fn path_of(segment: &Path) -> PathBuf {
    segment.with_extension("traces")
}

/// Bits of a trace id, its random end first: the beginning of an id may be a time.
fn hash(trace_id: &[u8]) -> u64 {
    let end = trace_id.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    // Multiplying spreads ids that somebody counts up; the high bits are the good ones.
    end.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HASH_BITS)
}

fn bucket(hash: u64, bucket_bits: u32) -> u64 {
    hash >> (HASH_BITS - bucket_bits)
}

fn fingerprint(hash: u64, bucket_bits: u32) -> u64 {
    hash >> (MAX_BUCKET_BITS - bucket_bits) & ((1 << FINGERPRINT_BITS) - 1)
}

/// Collects the trace ids of a segment's rows, in order.
pub(super) struct TraceIndexBuilder {
    page_rows: u64,
    rows: u64,
    /// The hash of an id, then the page it lies in.
    entries: Vec<u64>,
}

impl TraceIndexBuilder {
    pub(super) fn new(page_rows: usize) -> Self {
        Self { page_rows: page_rows as u64, rows: 0, entries: Vec::new() }
    }

    pub(super) fn append(&mut self, trace_ids: &FixedSizeBinaryArray) {
        for id in trace_ids.value_data().chunks_exact(16).take(trace_ids.len()) {
            self.entries.push(hash(id) << PAGE_BITS | (self.rows / self.page_rows));
            self.rows += 1;
        }
    }

    /// Writes the index and makes it durable; its size in bytes.
    pub(super) fn write(mut self, path: &Path) -> io::Result<u64> {
        if self.rows > MAX_ROWS {
            return Err(io::Error::new(ErrorKind::InvalidInput, "a segment with too many rows for a trace index"));
        }
        self.entries.sort_unstable();
        self.entries.dedup();
        let traces = self.entries.chunk_by(|left, right| left >> PAGE_BITS == right >> PAGE_BITS).count();
        let bucket_bits = (traces / TRACES_A_BUCKET).max(1).ilog2().min(MAX_BUCKET_BITS);
        let mut buckets = Vec::new();
        let mut ends: Vec<u32> = Vec::with_capacity(1 << bucket_bits);
        let mut rest = self.entries.as_slice();
        for number in 0..1u64 << bucket_bits {
            let length = rest.partition_point(|&entry| bucket(entry >> PAGE_BITS, bucket_bits) <= number);
            let (own, others) = rest.split_at(length);
            rest = others;
            put_bucket(&mut buckets, own, bucket_bits);
            ends.push(u32::try_from(buckets.len()).map_err(|_| io::Error::other("a trace index of over 4 GiB"))?);
        }
        let mut head = Vec::with_capacity(HEADER_BYTES + ends.len() * 4 + CRC_BYTES);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&self.rows.to_le_bytes());
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
fn put_bucket(out: &mut Vec<u8>, entries: &[u64], bucket_bits: u32) {
    let begin = out.len();
    let fingerprint_of = |entry: u64| fingerprint(entry >> PAGE_BITS, bucket_bits);
    let mut before = 0;
    for trace in entries.chunk_by(|left, right| fingerprint_of(*left) == fingerprint_of(*right)) {
        // Two ids may share a fingerprint; their pages then count for both.
        let mut pages: Vec<u64> = trace.iter().map(|entry| entry & ((1 << PAGE_BITS) - 1)).collect();
        pages.sort_unstable();
        pages.dedup();
        let own = fingerprint_of(trace[0]);
        put_varint(out, own - before);
        put_varint(out, pages.len() as u64);
        let mut page_before = 0;
        for page in pages {
            put_varint(out, page - page_before);
            page_before = page;
        }
        before = own;
    }
    let checksum = crc32fast::hash(&out[begin..]);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// The index of a segment, open for look-ups. In memory are the ends of the buckets only.
#[derive(Debug)]
pub(super) struct TraceIndex {
    file: File,
    page_rows: u64,
    rows: u64,
    bucket_bits: u32,
    /// Where in the file each bucket ends; one more in front, where the first begins.
    bounds: Vec<u64>,
}

impl TraceIndex {
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
        let found_rows = u64::from(word(8)) | u64::from(word(12)) << 32;
        let (page_rows, bucket_bits) = (u64::from(word(16)), word(20));
        if &head[..4] != MAGIC || word(4) != VERSION || found_rows != rows || page_rows == 0 {
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
        Ok(Self { file, page_rows, rows, bucket_bits, bounds })
    }

    /// Memory it takes, in bytes.
    pub(super) fn memory_size(&self) -> usize {
        self.bounds.len() * size_of::<u64>()
    }

    /// Adds the rows in which the trace may lie, as ranges of whole pages.
    ///
    /// # Errors
    /// What the file system says, and [`ErrorKind::InvalidData`] when the bucket is damaged.
    pub(super) fn find(&self, trace_id: TraceId, rows: &mut Vec<Range<u64>>) -> io::Result<()> {
        let hash = hash(&trace_id.0);
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
            own = own.saturating_add(take_varint(&mut rest)?);
            let count = take_varint(&mut rest)?;
            let mut page = 0u64;
            for _ in 0..count {
                page = page.saturating_add(take_varint(&mut rest)?);
                if own == wanted {
                    let first = page.saturating_mul(self.page_rows);
                    rows.push(first.min(self.rows)..first.saturating_add(self.page_rows).min(self.rows));
                }
            }
            if own >= wanted {
                break;
            }
        }
        Ok(())
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the trace index is damaged: {what}"))
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> io::Result<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or_else(|| damaged("a number is cut short"))?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(damaged("a number does not end"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const PAGE: usize = 4;

    fn write(path: &Path, ids: &[TraceId]) {
        let mut builder = TraceIndexBuilder::new(PAGE);
        for batch in ids.chunks(7) {
            let array = FixedSizeBinaryArray::try_from_iter(batch.iter().map(|id| id.0)).unwrap();
            builder.append(&array);
        }
        assert_eq!(builder.write(path).unwrap(), std::fs::metadata(path).unwrap().len());
    }

    fn find(index: &TraceIndex, id: TraceId) -> Vec<Range<u64>> {
        let mut rows = Vec::new();
        index.find(id, &mut rows).unwrap();
        rows
    }

    fn id(number: u64) -> TraceId {
        TraceId(u128::from(number).to_be_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_page_of_a_trace_is_found(numbers in prop::collection::vec(0u64..300, 1..2_000)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x.traces");
            let ids: Vec<TraceId> = numbers.iter().map(|&number| id(number)).collect();
            write(&path, &ids);
            let index = TraceIndex::open(&path, ids.len() as u64).unwrap();
            let mut pages: BTreeMap<TraceId, Vec<u64>> = BTreeMap::new();
            for (row, id) in ids.iter().enumerate() {
                let pages = pages.entry(*id).or_default();
                let page = (row / PAGE) as u64;
                if pages.last() != Some(&page) {
                    pages.push(page);
                }
            }
            for (id, pages) in pages {
                let last = ids.len() as u64;
                let expected: Vec<Range<u64>> =
                    pages.iter().map(|page| page * PAGE as u64..((page + 1) * PAGE as u64).min(last)).collect();
                let found = find(&index, id);
                prop_assert!(expected.iter().all(|range| found.contains(range)));
            }
        }

        #[test]
        fn damage_is_an_error_or_no_difference(numbers in prop::collection::vec(0u64..50, 1..300), at: prop::sample::Index, bit in 0u8..8) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x.traces");
            let ids: Vec<TraceId> = numbers.iter().map(|&number| id(number)).collect();
            write(&path, &ids);
            let mut bytes = std::fs::read(&path).unwrap();
            let index = TraceIndex::open(&path, ids.len() as u64).unwrap();
            let whole: Vec<_> = (0..50).map(|number| find(&index, id(number))).collect();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            std::fs::write(&path, &bytes).unwrap();
            if let Ok(index) = TraceIndex::open(&path, ids.len() as u64) {
                for number in 0..50u64 {
                    let mut rows = Vec::new();
                    if index.find(id(number), &mut rows).is_ok() {
                        prop_assert_eq!(&rows, &whole[number as usize]);
                    }
                }
            }
            std::fs::write(&path, &bytes[..at]).unwrap();
            prop_assert!(TraceIndex::open(&path, ids.len() as u64).is_err());
        }
    }

    #[test]
    fn unknown_traces_cost_almost_no_page_and_the_index_stays_small() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.traces");
        // Traces of eight spans, scattered over the segment.
        let ids: Vec<TraceId> = (0..80_000u64).map(|row| id(row % 10_000 * 7_919)).collect();
        let mut builder = TraceIndexBuilder::new(4_096);
        builder.append(&FixedSizeBinaryArray::try_from_iter(ids.iter().map(|id| id.0)).unwrap());
        let bytes = builder.write(&path).unwrap();
        assert!(bytes < 3 * ids.len() as u64, "{bytes} bytes for {} rows", ids.len());
        let index = TraceIndex::open(&path, ids.len() as u64).unwrap();
        let wrong = (0..10_000u64).filter(|number| !find(&index, id(u64::MAX / 2 - number)).is_empty()).count();
        assert!(wrong < 100, "{wrong} of 10000 unknown traces had pages");
        assert!(TraceIndex::open(&path, 80_001).is_err(), "an index of another segment");
    }
}
