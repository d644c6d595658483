//! A write as bytes: for each table it has rows of, an Arrow IPC stream, compressed.
//!
//! The stream carries its schema, so a log stays readable when the schema grows.

use std::cell::RefCell;

use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;

use crate::schema::{Table, WriteBatch};

/// Level 1 halves the bytes to sync for well under a microsecond a span.
const ZSTD_LEVEL: i32 = 1;
/// Most bytes one table of a write may unpack to; a length beyond it is damage, not data.
const MAX_SECTION_BYTES: usize = 2 << 30;
const SECTION_HEADER_BYTES: usize = 9;

thread_local! {
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
}

/// The bytes were not a write.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("write ends within a section")]
    Short,
    #[error("unknown table {0}")]
    UnknownTable(u8),
    #[error("section of {0} bytes is over the limit")]
    TooLarge(usize),
    #[error("section is no stream of rows")]
    Damaged,
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    #[error(transparent)]
    Compression(#[from] std::io::Error),
}

/// Appends the write to `out`.
pub(super) fn encode(batch: &WriteBatch, out: &mut Vec<u8>) -> Result<(), FrameError> {
    for (table, rows) in batch.iter() {
        encode_section(table.description().log_number, rows, out)?;
    }
    Ok(())
}

fn encode_section(table: u8, rows: &RecordBatch, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let mut raw = Vec::with_capacity(rows.get_array_memory_size() + 8192);
    let mut writer = StreamWriter::try_new(&mut raw, rows.schema_ref())?;
    writer.write(rows)?;
    writer.finish()?;
    drop(writer);
    let packed = COMPRESSOR.with_borrow_mut(|compressor| -> Result<Vec<u8>, std::io::Error> {
        let compressor = match compressor {
            Some(compressor) => compressor,
            None => compressor.insert(zstd::bulk::Compressor::new(ZSTD_LEVEL)?),
        };
        compressor.compress(&raw)
    })?;
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| FrameError::TooLarge(bytes.len()));
    out.push(table);
    out.extend_from_slice(&length(&raw)?.to_le_bytes());
    out.extend_from_slice(&length(&packed)?.to_le_bytes());
    out.extend_from_slice(&packed);
    Ok(())
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(mut bytes: &[u8]) -> Result<WriteBatch, FrameError> {
    let mut batch = WriteBatch::default();
    while !bytes.is_empty() {
        let (header, rest) = bytes.split_at_checked(SECTION_HEADER_BYTES).ok_or(FrameError::Short)?;
        let number =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize;
        let (raw_length, packed_length) = (number(1), number(5));
        if raw_length > MAX_SECTION_BYTES {
            return Err(FrameError::TooLarge(raw_length));
        }
        let (packed, rest) = rest.split_at_checked(packed_length).ok_or(FrameError::Short)?;
        let raw = zstd::bulk::decompress(packed, raw_length)?;
        // The log has checksums, but the reader panics over some of what has none.
        let read = || StreamReader::try_new(raw.as_slice(), None)?.next().ok_or(FrameError::Short)?.map_err(Into::into);
        let rows: RecordBatch = std::panic::catch_unwind(read).unwrap_or(Err(FrameError::Damaged))?;
        let table = Table::of_log_number(header[0]).ok_or(FrameError::UnknownTable(header[0]))?;
        batch.set(table, rows);
        bytes = rest;
    }
    Ok(batch)
}

#[cfg(test)]
mod hostile {
    use pitviper_model::{Resource, Scope, Span, SpanId, TraceId};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::schema::{SpanMetricsBuilder, SpansBuilder};

    fn written() -> Vec<u8> {
        let mut spans = SpansBuilder::with_capacity(2);
        for number in 1..3u8 {
            let mut span = Span { trace_id: TraceId([number; 16]), span_id: SpanId([number; 8]), ..Span::default() };
            span.attributes.set("k", i64::from(number));
            spans.append(&Resource::default(), &Scope::default(), &span);
        }
        let mut bytes = Vec::new();
        encode(&WriteBatch::new(spans, SpanMetricsBuilder::new()), &mut bytes).unwrap();
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_a_write_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn a_damaged_write_is_a_write_or_an_error(changes in vec((any::<Index>(), any::<u8>()), 1..4), cut: Index) {
            let mut bytes = written();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = decode(&bytes);
            let _ = decode(&bytes[..cut.index(bytes.len())]);
        }
    }
}
