//! The embedded store: one directory, one process.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use pitviper_model::{SpanId, TraceId};

use crate::schema::WriteBatch;
use crate::store::{
    Ack, MetricRow, MetricsQuery, ResourceSeen, Search, Store, StoreError, StoreStats, StoredSpan, TimeRange, Trace,
    TraceHit,
};

/// When a write counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When the disk has it: survives loss of power.
    #[default]
    Fsync,
    /// When the system has it: survives the loss of the process, not of power.
    Buffered,
}

/// Where and how an embedded store keeps its data.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// The directory; made when missing.
    pub data_dir: PathBuf,
    /// Most memory the hot tier may use, in bytes; beyond it writes are refused with
    /// [`StoreError::Busy`].
    pub hot_bytes_limit: usize,
    /// Age at which the hot tier moves to a segment, in milliseconds.
    pub flush_after_ms: u64,
    /// Rows at which the hot tier moves to a segment.
    pub flush_rows: usize,
    /// When a write counts as durable.
    pub durability: Durability,
}

impl EmbeddedConfig {
    /// Default of [`EmbeddedConfig::hot_bytes_limit`].
    pub const DEFAULT_HOT_BYTES_LIMIT: usize = 512 * 1024 * 1024;
    /// Default of [`EmbeddedConfig::flush_after_ms`].
    pub const DEFAULT_FLUSH_AFTER_MS: u64 = 60_000;
    /// Default of [`EmbeddedConfig::flush_rows`].
    pub const DEFAULT_FLUSH_ROWS: usize = 250_000;

    /// The defaults for this directory.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            hot_bytes_limit: Self::DEFAULT_HOT_BYTES_LIMIT,
            flush_after_ms: Self::DEFAULT_FLUSH_AFTER_MS,
            flush_rows: Self::DEFAULT_FLUSH_ROWS,
            durability: Durability::default(),
        }
    }
}

/// Keeps all data in one directory of this machine.
#[derive(Debug)]
pub struct EmbeddedStore {
    config: EmbeddedConfig,
}

impl EmbeddedStore {
    /// Opens the store, making the directory when it is missing.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it, [`StoreError::NewerSchema`] when a newer
    /// version wrote it, and what the file system says.
    pub async fn open(config: EmbeddedConfig) -> Result<Arc<Self>, StoreError> {
        Ok(Arc::new(Self { config }))
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn append(&self, _: WriteBatch) -> Result<Ack, StoreError> {
        Err(StoreError::Closed)
    }

    async fn trace(&self, _: TraceId, _: usize) -> Result<Trace, StoreError> {
        Err(StoreError::Closed)
    }

    async fn trace_details(&self, _: TraceId, _: &[SpanId], _: usize, _: usize) -> Result<Vec<StoredSpan>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn search_spans(&self, _: &Search) -> Result<Vec<StoredSpan>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn search_traces(&self, _: &Search) -> Result<Vec<TraceHit>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn traces(&self, _: &[TraceId], _: usize) -> Result<Vec<(TraceId, Trace)>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn metrics(&self, _: &MetricsQuery) -> Result<Vec<MetricRow>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn resources(&self, _: TimeRange) -> Result<Vec<ResourceSeen>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn flush(&self) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }

    async fn close(&self) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }

    fn stats(&self) -> StoreStats {
        let _ = &self.config;
        StoreStats::default()
    }
}
