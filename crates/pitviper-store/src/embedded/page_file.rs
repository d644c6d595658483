//! A segment's file for reading pages from several threads at once: no position is shared, and what
//! is read is counted.

use std::fs::File;
use std::io::Read;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use rustix::fs::{Advice, fadvise};

/// What questions have read of segments.
#[derive(Debug, Default)]
pub(super) struct ReadCounts {
    /// Files opened: segments and the indexes beside them.
    pub(super) files: AtomicU64,
    /// Row groups of which rows were read, once for each reading.
    pub(super) row_groups: AtomicU64,
    /// Pages read, dictionaries among them.
    pub(super) pages: AtomicU64,
    /// Bytes of those pages, compressed as they lie on disk.
    pub(super) bytes: AtomicU64,
}

/// An open file of a segment.
#[derive(Debug, Clone)]
pub(super) struct PageFile {
    file: Arc<File>,
    length: u64,
    counts: Arc<ReadCounts>,
}

impl PageFile {
    pub(super) fn new(file: File, counts: Arc<ReadCounts>) -> std::io::Result<Self> {
        let length = file.metadata()?.len();
        counts.files.fetch_add(1, Ordering::Relaxed);
        Ok(Self { file: Arc::new(file), length, counts })
    }

    pub(super) fn counts(&self) -> &ReadCounts {
        &self.counts
    }

    /// Has the system begin to fetch a piece of the file.
    pub(super) fn fetch(&self, piece: Range<u64>) {
        let length = NonZeroU64::new(piece.end.saturating_sub(piece.start));
        // Reading works without it, only slower.
        let _ = fadvise(&self.file, piece.start, length, Advice::WillNeed);
    }
}

impl Length for PageFile {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for PageFile {
    type T = PageFileReader;

    fn get_read(&self, start: u64) -> Result<PageFileReader, ParquetError> {
        Ok(PageFileReader { file: self.clone(), at: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start)?;
        self.counts.pages.fetch_add(1, Ordering::Relaxed);
        self.counts.bytes.fetch_add(length as u64, Ordering::Relaxed);
        Ok(bytes.into())
    }
}

/// Reads on from a place in the file.
#[derive(Debug)]
pub(super) struct PageFileReader {
    file: PageFile,
    at: u64,
}

impl Read for PageFileReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
