//! Room on the disk: how much there is, and a reserve that writes may not use up.
//!
//! A store that fills its disk to the last byte can neither flush, nor merge, nor let old data go: it
//! would stay full. So writes are refused while less than the reserve is free; reading, flushing,
//! merging and retention go on with what is left, and writes are taken again once there is room.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::store::StoreError;

/// Free room that writes leave untouched, in bytes: enough for a flush of everything in memory.
pub const DEFAULT_DISK_RESERVE_BYTES: u64 = 256 * 1024 * 1024;

/// When a client should try again after the disk was full, in milliseconds.
pub(super) const DISK_FULL_RETRY_MS: u64 = 5_000;

/// How long a measurement counts. A disk takes some hundred megabytes a second, so this stays within
/// the reserve.
const MEASURED_FOR: Duration = Duration::from_millis(100);

/// Room on the disk a directory is on, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// What a process without privileges may still use.
    pub(super) free_bytes: u64,
    /// All of the disk.
    pub(super) total_bytes: u64,
}

/// Asks the system; `None` when it does not tell.
pub(super) fn room(dir: &Path) -> Option<Room> {
    let found = rustix::fs::statvfs(dir).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some(Room { free_bytes: bytes(found.f_bavail), total_bytes: bytes(found.f_blocks) })
}

/// Keeps watch over the reserve.
#[derive(Debug)]
pub(super) struct DiskGuard {
    dir: PathBuf,
    reserve_bytes: u64,
    started: Instant,
    /// Milliseconds after the start at which the figures below are measured anew.
    due_ms: AtomicU64,
    free_bytes: AtomicU64,
    total_bytes: AtomicU64,
    refusals: AtomicU64,
    /// Whether the last write was refused, so that the log says so once.
    is_full: AtomicBool,
}

impl DiskGuard {
    pub(super) fn new(dir: &Path, reserve_bytes: u64) -> Self {
        Self {
            dir: dir.to_owned(),
            reserve_bytes,
            started: Instant::now(),
            due_ms: AtomicU64::new(0),
            free_bytes: AtomicU64::new(u64::MAX),
            total_bytes: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
        }
    }

    /// Refuses while there is less room than the reserve.
    ///
    /// # Errors
    /// [`StoreError::Busy`] with the budget `disk`.
    pub(super) fn admit(&self) -> Result<(), StoreError> {
        self.measure();
        if self.free_bytes.load(Ordering::Relaxed) >= self.reserve_bytes {
            if self.is_full.load(Ordering::Relaxed) && self.is_full.swap(false, Ordering::Relaxed) {
                tracing::info!(dir = %self.dir.display(), "there is room on the disk again, writes are taken");
            }
            return Ok(());
        }
        self.refusals.fetch_add(1, Ordering::Relaxed);
        if !self.is_full.swap(true, Ordering::Relaxed) {
            tracing::error!(
                dir = %self.dir.display(),
                reserve_mib = self.reserve_bytes >> 20,
                "the disk is full up to the reserve, so writes are refused until there is room; reading goes on"
            );
        }
        Err(StoreError::Busy { budget: "disk", retry_after_ms: DISK_FULL_RETRY_MS })
    }

    /// Free room that writes leave untouched, in bytes.
    pub(super) fn reserve_bytes(&self) -> u64 {
        self.reserve_bytes
    }

    /// Writes refused so far.
    pub(super) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// The room there is; zeros when the system does not tell.
    pub(super) fn room(&self) -> Room {
        self.measure();
        let total_bytes = self.total_bytes.load(Ordering::Relaxed);
        let free_bytes = if total_bytes == 0 { 0 } else { self.free_bytes.load(Ordering::Relaxed) };
        Room { free_bytes, total_bytes }
    }

    fn measure(&self) {
        let now_ms = self.started.elapsed().as_millis() as u64;
        let due_ms = self.due_ms.load(Ordering::Relaxed);
        let next_ms = now_ms + MEASURED_FOR.as_millis() as u64;
        // One of those that come at the same time asks the system.
        let is_due = now_ms >= due_ms
            && self.due_ms.compare_exchange(due_ms, next_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_due && let Some(room) = room(&self.dir) {
            self.free_bytes.store(room.free_bytes, Ordering::Relaxed);
            self.total_bytes.store(room.total_bytes, Ordering::Relaxed);
        }
    }
}
