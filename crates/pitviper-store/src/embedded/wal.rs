//! The write-ahead log: what makes a write durable before it is acknowledged.
//!
//! A file is a header and frames. A frame is `length u32, crc32 u32, sequence u64, body`, little
//! endian; the checksum covers the sequence and the body. Sequence numbers only grow, over all files.
//!
//! Invariants:
//! - A group of frames is on disk before any of its writers hears of it.
//! - A group that fails is cut off again, or its file is left behind and its numbers are never used
//!   for another write. So a failed write may reappear after a restart, but never as something else.
//! - At open, each file counts up to its first damaged frame; the rest is cut off and counted.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::disk::DISK_FULL_RETRY_MS;
use super::frame::{self, FrameError};
use super::{Durability, io_error, sync_dir};
use crate::schema::{SCHEMA_VERSION, WriteBatch};
use crate::store::StoreError;

/// Size at which the log goes on in a new file.
const FILE_BYTES_LIMIT: u64 = 64 * 1024 * 1024;
const MAGIC: &[u8; 4] = b"PVWL";
pub(super) const HEADER_BYTES: usize = 8;
pub(super) const FRAME_HEADER_BYTES: usize = 16;
const EXTENSION: &str = "wal";

/// The log of one data directory.
#[derive(Debug)]
pub(super) struct Wal {
    dir: PathBuf,
    durability: Durability,
    active: Option<LogFile>,
    /// Files that take no more frames, oldest first.
    closed: Vec<LogFile>,
    next_sequence: u64,
    buffer: Vec<u8>,
    gauges: Arc<WalGauges>,
}

/// Figures that can be read while a group is being synced.
#[derive(Debug, Default)]
pub(super) struct WalGauges {
    /// Bytes of all files.
    pub(super) bytes: AtomicU64,
    /// Groups written since open.
    pub(super) syncs: AtomicU64,
}

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    last_sequence: u64,
}

/// What was found at open.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Recovery {
    /// Damaged ends that were cut off.
    pub(super) frames_truncated: u64,
}

impl Wal {
    /// Opens the log in `dir` and hands over every write after `flushed_sequence`, in order.
    pub(super) fn open(
        dir: &Path,
        durability: Durability,
        flushed_sequence: u64,
        mut replay: impl FnMut(u64, WriteBatch),
    ) -> Result<(Self, Recovery), StoreError> {
        std::fs::create_dir_all(dir).map_err(io_error(|| format!("making {}", dir.display())))?;
        let mut wal = Self {
            dir: dir.to_owned(),
            durability,
            active: None,
            closed: Vec::new(),
            next_sequence: flushed_sequence + 1,
            buffer: Vec::new(),
            gauges: Arc::default(),
        };
        let mut recovery = Recovery::default();
        for path in log_files(dir)? {
            wal.recover_file(path, flushed_sequence, &mut recovery, &mut replay)?;
        }
        wal.remove_through(flushed_sequence)?;
        Ok((wal, recovery))
    }

    fn recover_file(
        &mut self,
        path: PathBuf,
        flushed_sequence: u64,
        recovery: &mut Recovery,
        replay: &mut impl FnMut(u64, WriteBatch),
    ) -> Result<(), StoreError> {
        let context = || format!("reading the log {}", path.display());
        let bytes = std::fs::read(&path).map_err(io_error(context))?;
        let mut at = check_header(&bytes, &path)?;
        let mut last_sequence = None;
        while let Some((sequence, body)) = next_frame(&bytes[at..]) {
            at += FRAME_HEADER_BYTES + body.len();
            if sequence > flushed_sequence {
                replay(sequence, frame::decode(body).map_err(|error| undecodable(&path, sequence, &error))?);
            }
            last_sequence = Some(sequence);
        }
        if at < bytes.len() {
            recovery.frames_truncated += 1;
            tracing::warn!(path = %path.display(), bytes = bytes.len() - at, "cut off the damaged end of a log file");
        }
        let Some(last_sequence) = last_sequence else {
            return std::fs::remove_file(&path).map_err(io_error(|| format!("removing {}", path.display())));
        };
        let file = OpenOptions::new().append(true).open(&path).map_err(io_error(context))?;
        if at < bytes.len() {
            file.set_len(at as u64).and_then(|()| file.sync_all()).map_err(io_error(context))?;
        }
        self.next_sequence = self.next_sequence.max(last_sequence + 1);
        self.closed.push(LogFile { path, file, bytes: at as u64, last_sequence });
        Ok(())
    }

    /// Writes the bodies as one group and returns the sequence number of the first; the others
    /// follow it. Durable when this returns.
    pub(super) fn write_group<'a>(&mut self, bodies: impl Iterator<Item = &'a [u8]>) -> Result<u64, StoreError> {
        let first = self.next_sequence;
        let mut sequence = first;
        self.buffer.clear();
        for body in bodies {
            push_frame(&mut self.buffer, sequence, body)?;
            sequence += 1;
        }
        if self.active.as_ref().is_some_and(|file| file.bytes >= FILE_BYTES_LIMIT) {
            self.closed.extend(self.active.take());
        }
        let file = match self.active.take() {
            Some(file) => file,
            None => self.create_file(first)?,
        };
        let file = self.active.insert(file);
        file.last_sequence = sequence - 1;
        let path = file.path.clone();
        match write_durably(&mut file.file, &self.buffer, self.durability) {
            Ok(()) => {
                file.bytes += self.buffer.len() as u64;
                self.next_sequence = sequence;
                self.gauges.syncs.fetch_add(1, Ordering::Relaxed);
                self.measure();
                Ok(first)
            }
            Err(error) => {
                self.abandon_group(sequence);
                Err(write_error(&path, error))
            }
        }
    }

    /// Leaves the log as if the group had not been tried. After a failed sync nobody knows what the
    /// disk has, so the file takes no more frames and the numbers are not used again.
    fn abandon_group(&mut self, next_sequence: u64) {
        self.next_sequence = next_sequence;
        if let Some(file) = self.active.take() {
            if let Err(error) = file.file.set_len(file.bytes).and_then(|()| file.file.sync_data()) {
                tracing::warn!(path = %file.path.display(), %error, "could not cut off a write that failed");
            }
            self.closed.push(file);
        }
    }

    fn create_file(&self, first_sequence: u64) -> Result<LogFile, StoreError> {
        let path = self.dir.join(format!("{first_sequence:020}.{EXTENSION}"));
        let create = || -> io::Result<LogFile> {
            let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
            // A try before this one may have left its beginning.
            file.set_len(0)?;
            file.write_all(MAGIC)?;
            file.write_all(&SCHEMA_VERSION.to_le_bytes())?;
            file.sync_all()?;
            sync_dir(&self.dir)?;
            Ok(LogFile { path: path.clone(), file, bytes: HEADER_BYTES as u64, last_sequence: first_sequence })
        };
        create().map_err(|error| {
            // Nothing was acknowledged in it; what remains is overwritten by the next try.
            let _ = std::fs::remove_file(&path);
            write_error(&path, error)
        })
    }

    /// Removes the files whose every write is in a segment.
    pub(super) fn remove_through(&mut self, flushed_sequence: u64) -> Result<(), StoreError> {
        let done = |file: &LogFile| file.last_sequence <= flushed_sequence;
        let mut removed = Vec::new();
        if self.closed.iter().any(done) {
            let (gone, kept) = std::mem::take(&mut self.closed).into_iter().partition(done);
            (removed, self.closed) = (gone, kept);
        }
        self.measure();
        for file in &removed {
            std::fs::remove_file(&file.path).map_err(io_error(|| format!("removing {}", file.path.display())))?;
        }
        Ok(())
    }

    /// Ends the active file, so that it can be removed once its writes are in segments.
    pub(super) fn rotate(&mut self) {
        self.closed.extend(self.active.take());
    }

    /// Sequence number of the last write.
    pub(super) fn last_sequence(&self) -> u64 {
        self.next_sequence - 1
    }

    /// Figures that can be read without the log.
    pub(super) fn gauges(&self) -> Arc<WalGauges> {
        Arc::clone(&self.gauges)
    }

    fn measure(&self) {
        let bytes = self.closed.iter().chain(&self.active).map(|file| file.bytes).sum();
        self.gauges.bytes.store(bytes, Ordering::Relaxed);
    }
}

fn push_frame(buffer: &mut Vec<u8>, sequence: u64, body: &[u8]) -> Result<(), StoreError> {
    let length = u32::try_from(body.len())
        .map_err(|_| StoreError::Engine(format!("a write of {} bytes is too large for the log", body.len())))?;
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&checksum(sequence, body).to_le_bytes());
    buffer.extend_from_slice(&sequence.to_le_bytes());
    buffer.extend_from_slice(body);
    Ok(())
}

fn checksum(sequence: u64, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&sequence.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

/// How many of the bytes are header and whole frames; the frames begin at `begin`.
pub(super) fn whole_bytes(bytes: &[u8], begin: usize) -> usize {
    let mut at = begin;
    while let Some((_, body)) = next_frame(&bytes[at..]) {
        at += FRAME_HEADER_BYTES + body.len();
    }
    at
}

/// The first frame, when it is whole.
pub(super) fn next_frame(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (header, rest) = bytes.split_at_checked(FRAME_HEADER_BYTES)?;
    let length = u32::from_le_bytes(header[0..4].try_into().ok()?) as usize;
    let crc = u32::from_le_bytes(header[4..8].try_into().ok()?);
    let sequence = u64::from_le_bytes(header[8..16].try_into().ok()?);
    let body = rest.get(..length)?;
    // A file of zeros, as some file systems leave after a crash, must not pass for an empty frame.
    (length > 0 && checksum(sequence, body) == crc).then_some((sequence, body))
}

/// Returns where the frames begin. A header that is cut short holds no frames.
pub(super) fn check_header(bytes: &[u8], path: &Path) -> Result<usize, StoreError> {
    let Some(header) = bytes.get(..HEADER_BYTES) else { return Ok(0) };
    if &header[..4] != MAGIC {
        return Err(StoreError::Io {
            context: format!("reading the log {}", path.display()),
            source: io::Error::new(ErrorKind::InvalidData, "not a log file of this store"),
        });
    }
    let found = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    if found > SCHEMA_VERSION {
        return Err(StoreError::NewerSchema { found, known: SCHEMA_VERSION });
    }
    Ok(HEADER_BYTES)
}

fn write_durably(file: &mut File, bytes: &[u8], durability: Durability) -> io::Result<()> {
    file.write_all(bytes)?;
    match durability {
        Durability::Fsync => file.sync_data(),
        Durability::Buffered => Ok(()),
    }
}

fn write_error(path: &Path, error: io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            tracing::warn!(path = %path.display(), %error, "the disk is full, writes are refused");
            StoreError::Busy { budget: "disk", retry_after_ms: DISK_FULL_RETRY_MS }
        }
        _ => StoreError::Io { context: format!("writing the log {}", path.display()), source: error },
    }
}

fn undecodable(path: &Path, sequence: u64, error: &FrameError) -> StoreError {
    StoreError::Engine(format!("write {sequence} in the log {} is whole but cannot be read: {error}", path.display()))
}

/// The log's files, oldest first: their names are their first sequence numbers.
pub(super) fn log_files(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    };
    list().map_err(io_error(|| format!("listing {}", dir.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{SpanMetricsBuilder, SpansBuilder};

    fn write(spans: usize) -> WriteBatch {
        let mut builder = SpansBuilder::with_capacity(spans);
        for _ in 0..spans {
            builder.append(&Default::default(), &Default::default(), &Default::default());
        }
        WriteBatch::new(builder, SpanMetricsBuilder::new())
    }

    fn body(spans: usize) -> Vec<u8> {
        let mut body = Vec::new();
        frame::encode(&write(spans), &mut body).unwrap();
        body
    }

    /// Opens the log and returns it with each write's sequence and number of spans.
    fn open(dir: &Path, flushed_sequence: u64) -> (Wal, Recovery, Vec<(u64, usize)>) {
        let mut found = Vec::new();
        let replay = |sequence, batch: WriteBatch| found.push((sequence, batch.span_count()));
        let (wal, recovery) = Wal::open(dir, Durability::Fsync, flushed_sequence, replay).unwrap();
        (wal, recovery, found)
    }

    fn append(wal: &mut Wal, bodies: &[Vec<u8>]) -> u64 {
        wal.write_group(bodies.iter().map(Vec::as_slice)).unwrap()
    }

    fn only_file(dir: &Path) -> PathBuf {
        let files = log_files(dir).unwrap();
        assert_eq!(files.len(), 1);
        files[0].clone()
    }

    /// A log of three writes of one to three spans: its file's name and bytes, and the writes.
    fn three_writes() -> (std::ffi::OsString, Vec<u8>, [Vec<u8>; 3]) {
        let dir = tempfile::tempdir().unwrap();
        let (mut wal, ..) = open(dir.path(), 0);
        let bodies = [body(1), body(2), body(3)];
        append(&mut wal, &bodies);
        drop(wal);
        let path = only_file(dir.path());
        (path.file_name().unwrap().to_owned(), std::fs::read(&path).unwrap(), bodies)
    }

    #[test]
    fn writes_come_back_in_order_and_numbers_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let (mut wal, _, found) = open(dir.path(), 0);
        assert_eq!(found, []);
        assert_eq!(append(&mut wal, &[body(1), body(2)]), 1);
        assert_eq!(append(&mut wal, &[body(3)]), 3);
        drop(wal);
        let (mut wal, recovery, found) = open(dir.path(), 1);
        assert_eq!((recovery, found), (Recovery::default(), vec![(2, 2), (3, 3)]));
        assert_eq!(append(&mut wal, &[body(4)]), 4);
        drop(wal);
        let (wal, _, found) = open(dir.path(), 3);
        assert_eq!(found, [(4, 4)]);
        assert_eq!(log_files(dir.path()).unwrap().len(), 1, "the first file held nothing that is needed");
        assert_eq!(wal.last_sequence(), 4);
    }

    #[test]
    fn a_log_cut_at_any_byte_keeps_its_whole_writes() {
        let (name, whole, bodies) = three_writes();
        let mut ends = vec![HEADER_BYTES];
        for body in &bodies {
            ends.push(ends[ends.len() - 1] + FRAME_HEADER_BYTES + body.len());
        }
        for cut in 0..=whole.len() {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(&name), &whole[..cut]).unwrap();
            let (mut wal, recovery, found) = open(dir.path(), 0);
            let kept = ends.iter().filter(|end| **end <= cut).count().saturating_sub(1);
            assert_eq!(found, [(1, 1), (2, 2), (3, 3)][..kept], "cut at {cut}");
            let is_torn = cut != 0 && !ends.contains(&cut);
            assert_eq!(recovery.frames_truncated, u64::from(is_torn), "cut at {cut}");
            // The log goes on behind what was kept, and nothing of the torn write comes back. Around
            // the borders and here and there, because each try syncs files.
            if cut % 100 == 0 || ends.iter().any(|end| end.abs_diff(cut) < 20) {
                assert_eq!(append(&mut wal, &[body(9)]), kept as u64 + 1);
                drop(wal);
                let (_, recovery, found) = open(dir.path(), 0);
                assert_eq!((recovery.frames_truncated, found.len()), (0, kept + 1), "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_damaged_byte_ends_its_file_there() {
        let (name, whole, bodies) = three_writes();
        let second = HEADER_BYTES + FRAME_HEADER_BYTES + bodies[0].len();
        for at in second..second + FRAME_HEADER_BYTES + bodies[1].len() {
            let dir = tempfile::tempdir().unwrap();
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            std::fs::write(dir.path().join(&name), damaged).unwrap();
            let (_, recovery, found) = open(dir.path(), 0);
            assert_eq!((recovery.frames_truncated, found), (1, vec![(1, 1)]), "byte {at}");
        }
    }

    #[test]
    fn zeros_at_the_end_are_no_writes() {
        let dir = tempfile::tempdir().unwrap();
        let (mut wal, ..) = open(dir.path(), 0);
        append(&mut wal, &[body(1)]);
        drop(wal);
        let file = OpenOptions::new().append(true).open(only_file(dir.path())).unwrap();
        file.set_len(file.metadata().unwrap().len() + 4096).unwrap();
        let (_, recovery, found) = open(dir.path(), 0);
        assert_eq!((recovery.frames_truncated, found), (1, vec![(1, 1)]));
    }

    #[test]
    fn a_full_file_is_followed_by_the_next_and_removed_when_flushed() {
        let dir = tempfile::tempdir().unwrap();
        let (mut wal, ..) = open(dir.path(), 0);
        let large = vec![7u8; usize::try_from(FILE_BYTES_LIMIT).unwrap()];
        for expect_files in 1..=3 {
            append(&mut wal, std::slice::from_ref(&large));
            assert_eq!(log_files(dir.path()).unwrap().len(), expect_files);
        }
        let per_file = FILE_BYTES_LIMIT + (HEADER_BYTES + FRAME_HEADER_BYTES) as u64;
        assert_eq!(wal.gauges().bytes.load(Ordering::Relaxed), 3 * per_file);
        wal.remove_through(2).unwrap();
        assert_eq!((log_files(dir.path()).unwrap().len(), wal.gauges().bytes.load(Ordering::Relaxed)), (1, per_file));
        wal.rotate();
        wal.remove_through(3).unwrap();
        assert_eq!((log_files(dir.path()).unwrap().len(), wal.gauges().bytes.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn a_foreign_or_newer_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000000000000000001.wal");
        std::fs::write(&path, b"something else").unwrap();
        let opened = Wal::open(dir.path(), Durability::Fsync, 0, |_, _| {});
        assert!(matches!(opened, Err(StoreError::Io { .. })));
        let mut newer = MAGIC.to_vec();
        newer.extend_from_slice(&(SCHEMA_VERSION + 1).to_le_bytes());
        std::fs::write(&path, newer).unwrap();
        let opened = Wal::open(dir.path(), Durability::Fsync, 0, |_, _| {});
        assert!(matches!(opened, Err(StoreError::NewerSchema { .. })));
    }
}
