//! Writing Parquet files for other tools and for moving data elsewhere.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::store::StoreError;

/// Rows of a row group; one is held in memory while it is written.
const ROW_GROUP_ROWS: usize = 65_536;
const ZSTD_LEVEL: i32 = 3;

/// A file being written.
#[derive(Debug)]
pub(crate) struct FileWriter {
    path: PathBuf,
    writer: ArrowWriter<File>,
}

impl FileWriter {
    /// Begins a file, in place of one that may be there.
    pub(crate) fn create(path: &Path, schema: &SchemaRef) -> Result<Self, StoreError> {
        let create = || -> std::io::Result<ArrowWriter<File>> {
            Ok(ArrowWriter::try_new(File::create(path)?, Arc::clone(schema), Some(properties()))?)
        };
        let writer = create().map_err(|error| failed("writing", path, error))?;
        Ok(Self { path: path.to_owned(), writer })
    }

    /// Appends rows.
    pub(crate) fn write(&mut self, rows: &RecordBatch) -> Result<(), StoreError> {
        self.writer.write(rows).map_err(|error| failed("writing", &self.path, std::io::Error::other(error)))
    }

    /// Writes the end of the file, durably.
    pub(crate) fn finish(mut self) -> Result<(), StoreError> {
        let end = |writer: &mut ArrowWriter<File>| -> std::io::Result<()> {
            writer.finish()?;
            writer.inner().sync_all()
        };
        end(&mut self.writer).map_err(|error| failed("writing", &self.path, error))
    }
}

fn properties() -> WriterProperties {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).expect("the level is within zstd's range");
    WriterProperties::builder()
        .set_created_by(concat!("pitviper ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build()
}

/// What the file system said of a file.
pub(crate) fn failed(what: &str, path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io { context: format!("{what} {}", path.display()), source }
}
