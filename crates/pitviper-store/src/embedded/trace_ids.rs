//! The trace ids of a segment, each written once.
//!
//! A trace id is sixteen random bytes that no compression makes smaller, and a trace has dozens of
//! spans. So the rows of a segment hold the *number* of their trace, counted in the order in which
//! traces first appear, and a file beside the segment lists the ids. The list is part of the
//! segment: unlike an index it cannot be made anew.
//!
//! Layout, numbers little-endian: magic, version `u32`, count of traces `u64`, CRC-32 of these; the
//! ids by number, in blocks of 256; then the numbers as `u32` by id, in blocks of 1,024, to find the
//! number of an id. Each block ends with the CRC-32 of itself.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, FixedSizeBinaryArray, UInt32Array};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef, UInt32Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use indexmap::IndexSet;
use pitviper_model::TraceId;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::schema::TRACE_NUMBER;

const MAGIC: &[u8; 4] = b"PVTI";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 4 + 4 + 8;
const CRC_BYTES: usize = 4;
const ID_BYTES: usize = 16;
const NUMBER_BYTES: usize = 4;
/// Bytes of a full block of either kind, without its checksum.
const BLOCK_BYTES: usize = 4_096;
const IDS_A_BLOCK: usize = BLOCK_BYTES / ID_BYTES;
const NUMBERS_A_BLOCK: usize = BLOCK_BYTES / NUMBER_BYTES;
/// Blocks that one reader keeps, 8 MiB. Rows beside each other are of traces that began at about the
/// same time, so few are needed at once.
const MAX_KEPT_BLOCKS: usize = 2_048;

/// Where the list of a segment's file lies.
pub(super) fn path(segment: &Path) -> PathBuf {
    segment.with_extension("ids")
}

/// Numbers traces as their rows are written.
#[derive(Debug, Default)]
pub(super) struct TraceIdsBuilder(IndexSet<TraceId, FxBuildHasher>);

impl TraceIdsBuilder {
    /// Rows that go on in the segment's order, as its file holds them.
    pub(super) fn number(&mut self, rows: &RecordBatch, schema: SchemaRef) -> Result<RecordBatch, ArrowError> {
        let place = schema.index_of(TRACE_NUMBER)?;
        let mut columns = rows.columns().to_vec();
        columns[place] = Arc::new(self.numbers(columns[place].as_fixed_size_binary()));
        RecordBatch::try_new(schema, columns)
    }

    fn numbers(&mut self, ids: &FixedSizeBinaryArray) -> UInt32Array {
        let number = |row| {
            let id = TraceId::from_slice(ids.value(row)).unwrap_or_default();
            u32::try_from(self.0.insert_full(id).0).expect("a segment has fewer than 2^32 rows")
        };
        (0..ids.len()).map(number).collect::<Vec<u32>>().into()
    }

    /// Writes the list and makes it durable; its size in bytes.
    pub(super) fn write(self, path: &Path) -> io::Result<u64> {
        let mut out = BufWriter::new(File::create(path)?);
        let mut header = Vec::with_capacity(HEADER_BYTES + CRC_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&(self.0.len() as u64).to_le_bytes());
        put_block(&mut out, &header)?;
        let ids = self.0.as_slice();
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        for start in (0..ids.len()).step_by(IDS_A_BLOCK) {
            let end = (start + IDS_A_BLOCK).min(ids.len());
            block.clear();
            (start..end).for_each(|at| block.extend_from_slice(&ids[at].0));
            put_block(&mut out, &block)?;
        }
        let mut by_id: Vec<u32> = (0..).take(ids.len()).collect();
        by_id.sort_unstable_by_key(|&number| ids[number as usize]);
        for numbers in by_id.chunks(NUMBERS_A_BLOCK) {
            block.clear();
            numbers.iter().for_each(|number| block.extend_from_slice(&number.to_le_bytes()));
            put_block(&mut out, &block)?;
        }
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }
}

fn put_block(out: &mut impl Write, block: &[u8]) -> io::Result<()> {
    out.write_all(block)?;
    out.write_all(&crc32fast::hash(block).to_le_bytes())
}

/// The list of a segment, open for look-ups. Nothing of it is held in memory.
#[derive(Debug, Clone)]
pub(super) struct TraceIds {
    file: Arc<File>,
    count: usize,
}

impl TraceIds {
    /// Opens a list.
    ///
    /// # Errors
    /// What the file system says, and [`ErrorKind::InvalidData`] when the file is not a whole list.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let header = read_block(&file, 0, HEADER_BYTES)?;
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let count = (u64::from(word(8)) | u64::from(word(12)) << 32) as usize;
        if &header[..4] != MAGIC || word(4) != VERSION || count > u32::MAX as usize {
            return Err(damaged("the header is not that of a list"));
        }
        if file.metadata()?.len() != size_of_list(count) as u64 {
            return Err(damaged("it does not have the length that its header tells"));
        }
        Ok(Self { file: Arc::new(file), count })
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// As [`TraceIdsReader::ids`].
    pub(super) fn verify(&self) -> io::Result<()> {
        let mut reader = self.reader();
        for place in 0..self.count {
            let number = reader.number_at(place)?;
            reader.id(number)?;
        }
        Ok(())
    }

    /// A reader with blocks of its own.
    pub(super) fn reader(&self) -> TraceIdsReader {
        TraceIdsReader { list: self.clone(), ids: FxHashMap::default(), numbers: FxHashMap::default() }
    }
}

/// Bytes of a list of so many traces.
fn size_of_list(count: usize) -> usize {
    number_block_at(0, count) + count * NUMBER_BYTES + count.div_ceil(NUMBERS_A_BLOCK) * CRC_BYTES
}

fn id_block_at(block: usize) -> usize {
    HEADER_BYTES + CRC_BYTES + block * (BLOCK_BYTES + CRC_BYTES)
}

fn number_block_at(block: usize, count: usize) -> usize {
    let ids = count * ID_BYTES + count.div_ceil(IDS_A_BLOCK) * CRC_BYTES;
    HEADER_BYTES + CRC_BYTES + ids + block * (BLOCK_BYTES + CRC_BYTES)
}

fn read_block(file: &File, at: usize, length: usize) -> io::Result<Box<[u8]>> {
    let mut bytes = vec![0; length + CRC_BYTES];
    file.read_exact_at(&mut bytes, at as u64)?;
    let checksum = bytes.split_off(length);
    if crc32fast::hash(&bytes).to_le_bytes() != *checksum {
        return Err(damaged("the checksum of a block is wrong"));
    }
    Ok(bytes.into_boxed_slice())
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the list of trace ids is damaged: {what}"))
}

/// Looks up ids and numbers, and keeps the blocks it has read, up to a bound.
#[derive(Debug)]
pub(super) struct TraceIdsReader {
    list: TraceIds,
    ids: FxHashMap<usize, Box<[u8]>>,
    numbers: FxHashMap<usize, Box<[u8]>>,
}

impl TraceIdsReader {
    /// The number of a trace; `None` when no row of the segment belongs to it.
    ///
    /// # Errors
    /// As [`TraceIdsReader::ids`].
    pub(super) fn number(&mut self, id: TraceId) -> io::Result<Option<u32>> {
        let (mut low, mut high) = (0, self.list.count);
        while low < high {
            let middle = low.midpoint(high);
            let number = self.number_at(middle)?;
            match self.id(number)?.cmp(&id.0) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(Some(number)),
            }
        }
        Ok(None)
    }

    /// Rows of the segment's file with the ids in place of their numbers.
    ///
    /// # Errors
    /// As [`TraceIdsReader::ids`].
    pub(super) fn restore(&mut self, rows: RecordBatch) -> Result<RecordBatch, ArrowError> {
        let Ok(place) = rows.schema_ref().index_of(TRACE_NUMBER) else { return Ok(rows) };
        let mut columns = rows.columns().to_vec();
        columns[place] = self.ids(columns[place].as_primitive::<UInt32Type>())?;
        let mut fields: Vec<FieldRef> = rows.schema_ref().fields().iter().cloned().collect();
        fields[place] = Arc::new(Field::new("trace_id", columns[place].data_type().clone(), false));
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
    }

    /// The ids of these numbers, in their order.
    ///
    /// # Errors
    /// What the file system says, and [`ErrorKind::InvalidData`] when a block is damaged or a number
    /// is not that of a trace.
    pub(super) fn ids(&mut self, numbers: &UInt32Array) -> io::Result<ArrayRef> {
        let mut ids = Vec::with_capacity(numbers.len() * ID_BYTES);
        for &number in numbers.values() {
            ids.extend_from_slice(&self.id(number)?);
        }
        Ok(Arc::new(FixedSizeBinaryArray::new(ID_BYTES as i32, ids.into(), None)))
    }

    fn id(&mut self, number: u32) -> io::Result<[u8; ID_BYTES]> {
        let (block, at) = (number as usize / IDS_A_BLOCK, number as usize % IDS_A_BLOCK * ID_BYTES);
        if number as usize >= self.list.count {
            return Err(damaged("a row names a trace that is not in it"));
        }
        let list = &self.list;
        let bytes = kept(&mut self.ids, block, || {
            let ids = (list.count - block * IDS_A_BLOCK).min(IDS_A_BLOCK);
            read_block(&list.file, id_block_at(block), ids * ID_BYTES)
        })?;
        Ok(*bytes[at..].first_chunk().expect("a block holds whole ids"))
    }

    /// The number at a place in the order of ids.
    fn number_at(&mut self, place: usize) -> io::Result<u32> {
        let (block, at) = (place / NUMBERS_A_BLOCK, place % NUMBERS_A_BLOCK * NUMBER_BYTES);
        let list = &self.list;
        let bytes = kept(&mut self.numbers, block, || {
            let numbers = (list.count - block * NUMBERS_A_BLOCK).min(NUMBERS_A_BLOCK);
            read_block(&list.file, number_block_at(block, list.count), numbers * NUMBER_BYTES)
        })?;
        Ok(u32::from_le_bytes(*bytes[at..].first_chunk().expect("a block holds whole numbers")))
    }
}

/// The block, read when it is not kept.
fn kept(
    blocks: &mut FxHashMap<usize, Box<[u8]>>,
    block: usize,
    read: impl FnOnce() -> io::Result<Box<[u8]>>,
) -> io::Result<&[u8]> {
    if !blocks.contains_key(&block) {
        if blocks.len() >= MAX_KEPT_BLOCKS {
            blocks.clear();
        }
        blocks.insert(block, read()?);
    }
    Ok(&blocks[&block])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(seed: u64) -> TraceId {
        TraceId((u128::from(seed) * 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes())
    }

    fn column(ids: &[TraceId]) -> FixedSizeBinaryArray {
        FixedSizeBinaryArray::new(16, ids.iter().flat_map(|id| id.0).collect::<Vec<u8>>().into(), None)
    }

    fn write(path: &Path, rows: &[TraceId]) -> Vec<UInt32Array> {
        let mut builder = TraceIdsBuilder::default();
        let numbers = rows.chunks(100).map(|rows| builder.numbers(&column(rows))).collect();
        let bytes = builder.write(path).unwrap();
        assert_eq!(bytes, std::fs::metadata(path).unwrap().len());
        numbers
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn ids_and_numbers_come_back(seeds in prop::collection::vec(0u64..5_000, 0..6_000)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x");
            let rows: Vec<TraceId> = seeds.iter().map(|&seed| id(seed)).collect();
            let numbers = write(&path, &rows);
            let list = TraceIds::open(&path).unwrap();
            let mut reader = list.reader();
            for (rows, numbers) in rows.chunks(100).zip(&numbers) {
                let ids = reader.ids(numbers).unwrap();
                prop_assert_eq!(ids.as_fixed_size_binary(), &column(rows));
            }
            for (at, row) in rows.iter().enumerate() {
                prop_assert_eq!(reader.number(*row).unwrap(), Some(numbers[at / 100].value(at % 100)));
            }
            for seed in 5_000..5_050 {
                prop_assert_eq!(reader.number(id(seed)).unwrap(), None);
            }
        }

        #[test]
        fn damage_is_an_error(count in 1usize..3_000, at: prop::sample::Index, bit in 0u8..8) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x");
            let rows: Vec<TraceId> = (0..count as u64).map(id).collect();
            let numbers: UInt32Array = (0..count as u32).collect::<Vec<_>>().into();
            write(&path, &rows);
            let mut bytes = std::fs::read(&path).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            std::fs::write(&path, &bytes).unwrap();
            let read = || -> io::Result<()> {
                let mut reader = TraceIds::open(&path)?.reader();
                let ids = reader.ids(&numbers)?;
                assert_eq!(ids.as_fixed_size_binary(), &column(&rows));
                rows.iter().try_for_each(|row| reader.number(*row).map(drop))
            };
            prop_assert!(read().is_err());
            std::fs::write(&path, &bytes[..at]).unwrap();
            prop_assert!(TraceIds::open(&path).is_err());
        }
    }

    #[test]
    fn traces_are_numbered_as_they_appear() {
        let mut builder = TraceIdsBuilder::default();
        let numbers = builder.numbers(&column(&[id(9), id(2), id(9), id(5)]));
        assert_eq!(numbers.values(), &[0, 1, 0, 2]);
        assert_eq!(builder.numbers(&column(&[id(5), id(1)])).values(), &[2, 3]);
    }

    #[test]
    fn a_number_of_no_trace_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        write(&path, &[id(1)]);
        let list = TraceIds::open(&path).unwrap();
        assert_eq!(list.count, 1);
        let error = list.reader().ids(&UInt32Array::from(vec![1])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}
