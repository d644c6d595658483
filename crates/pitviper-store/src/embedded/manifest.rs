//! The manifest: which segments count, and up to which write they hold everything.
//!
//! Both change in one SQLite transaction, synced before it is over, so there is one truth after
//! any crash: a segment that is not in the manifest does not exist, and a write after the flushed
//! sequence is in the log.

use std::path::Path;

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, params};
use rustc_hash::FxHashSet;

use crate::schema::SCHEMA_VERSION;
pub(super) use crate::schema::Table;
use crate::store::StoreError;

/// Patience with another connection's lock, for tools that read the manifest while the server runs.
const BUSY_TIMEOUT_MS: u64 = 5_000;

/// What leads from one schema version to the next, the first from nothing. Data directories of all
/// earlier versions go through the steps they lack, in one transaction.
const MIGRATIONS: [&str; SCHEMA_VERSION as usize] = [
    "CREATE TABLE segments (
         file TEXT PRIMARY KEY,
         table_name TEXT NOT NULL,
         row_count INTEGER NOT NULL,
         byte_count INTEGER NOT NULL,
         min_start_ns INTEGER NOT NULL,
         max_start_ns INTEGER NOT NULL,
         min_sequence INTEGER NOT NULL,
         max_sequence INTEGER NOT NULL,
         level INTEGER NOT NULL,
         services TEXT NOT NULL
     ) STRICT;
     CREATE TABLE progress (
         only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
         flushed_sequence INTEGER NOT NULL
     ) STRICT;
     INSERT INTO progress VALUES (1, 0);",
    // Segments of version 1 have no indexes until they are merged.
    "ALTER TABLE segments ADD COLUMN index_bytes INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE segments ADD COLUMN bucket_ns INTEGER NOT NULL DEFAULT 0;",
    // Version 3 has more tables, and from it on rows of spans hold the number of their trace. What is
    // there stays readable as it is. Rows of metrics leave out what can be told from the rest.
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
     ALTER TABLE segments ADD COLUMN written_ns INTEGER NOT NULL DEFAULT 9223372036854775807;
     ALTER TABLE segments ADD COLUMN thinned INTEGER NOT NULL DEFAULT 0;",
];

/// What the manifest says of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentRow {
    pub(super) table: Table,
    /// File name in the segments' directory.
    pub(super) file: String,
    pub(super) rows: u64,
    /// Size of the file.
    pub(super) bytes: u64,
    /// Size of what lies beside the file: its indexes.
    pub(super) index_bytes: u64,
    /// Earliest and latest start, both inside; of a metric, the bucket's start.
    pub(super) min_start_ns: i64,
    pub(super) max_start_ns: i64,
    pub(super) min_sequence: u64,
    pub(super) max_sequence: u64,
    /// How often its rows were merged: zero for a flush.
    pub(super) level: u32,
    /// Of metrics, the width of its buckets, in nanoseconds; zero when not known.
    pub(super) bucket_ns: i64,
    /// The services in it, sorted; empty when not known.
    pub(super) services: Vec<String>,
    /// When the youngest of its rows were written; the end of time when not known.
    pub(super) written_ns: i64,
    /// Whether traces are missing that were not worth keeping.
    pub(super) thinned: bool,
}

impl SegmentRow {
    /// When its latest row starts. One that claims to start in the future has a wrong clock, and makes
    /// no data young: then it is when the rows were written.
    pub(super) fn latest_ns(&self, now_ns: i64) -> i64 {
        if self.max_start_ns <= now_ns { self.max_start_ns } else { self.max_start_ns.min(self.written_ns) }
    }

    /// Room it takes on disk, in bytes.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.bytes + self.index_bytes
    }
}

/// The manifest of one data directory.
#[derive(Debug)]
pub(super) struct Manifest {
    connection: Mutex<Connection>,
}

impl Manifest {
    /// Opens the manifest, making it when it is missing.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found > SCHEMA_VERSION {
            return Err(StoreError::NewerSchema { found, known: SCHEMA_VERSION });
        }
        let steps: String = MIGRATIONS.iter().skip(found as usize).copied().collect();
        connection.execute_batch(&format!("BEGIN; {steps} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"))?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Opens the manifest to look at it, whoever else has it; its schema version comes with it.
    pub(super) fn open_read_only(path: &Path) -> Result<(Self, u32), StoreError> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))?;
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok((Self { connection: Mutex::new(connection) }, version))
    }

    /// Writes a snapshot of a manifest to a new file, while a server may be using it.
    pub(super) fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
        let (manifest, _) = Self::open_read_only(from)?;
        manifest.connection.lock().execute("VACUUM INTO ?", [to.to_string_lossy()])?;
        Ok(())
    }

    /// What SQLite finds wrong with the file; nothing when it is whole.
    pub(super) fn integrity(&self) -> Result<Vec<String>, StoreError> {
        let connection = self.connection.lock();
        let mut statement = connection.prepare("PRAGMA integrity_check")?;
        let complaints = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        Ok(complaints.into_iter().filter(|complaint| complaint != "ok").collect())
    }

    /// The last write that is in the segments, together with all before it.
    pub(super) fn flushed_sequence(&self) -> Result<u64, StoreError> {
        let found: Option<i64> = self
            .connection
            .lock()
            .query_row("SELECT flushed_sequence FROM progress", [], |row| row.get(0))
            .optional()?;
        Ok(found.unwrap_or_default().cast_unsigned())
    }

    /// All segments, oldest writes first.
    pub(super) fn segments(&self) -> Result<Vec<SegmentRow>, StoreError> {
        let connection = self.connection.lock();
        let mut statement = connection.prepare(
            "SELECT file, table_name, row_count, byte_count, min_start_ns, max_start_ns, min_sequence, max_sequence,
                    level, services, index_bytes, bucket_ns, written_ns, thinned FROM segments ORDER BY min_sequence, file",
        )?;
        let rows = statement.query_map([], read_row)?.collect::<Result<Vec<_>, _>>()?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// How many segments there are, of tables known and unknown.
    pub(super) fn segment_count(&self) -> Result<u64, StoreError> {
        let count: i64 = self.connection.lock().query_row("SELECT count(*) FROM segments", [], |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }

    /// Adds the segments of one flush and says up to where everything is flushed.
    pub(super) fn add_segments(&self, segments: &[SegmentRow], flushed_sequence: u64) -> Result<(), StoreError> {
        let mut connection = self.connection.lock();
        let transaction = connection.transaction()?;
        for segment in segments {
            insert(&transaction, segment)?;
        }
        transaction.execute("UPDATE progress SET flushed_sequence = ?", [flushed_sequence.cast_signed()])?;
        transaction.commit()?;
        Ok(())
    }

    /// How often something was counted since the data directory was made.
    pub(super) fn counter(&self, name: &str) -> Result<u64, StoreError> {
        let connection = self.connection.lock();
        let mut statement = connection.prepare_cached("SELECT value FROM counters WHERE name = ?")?;
        let found: Option<i64> = statement.query_row([name], |row| row.get(0)).optional()?;
        Ok(found.unwrap_or_default().cast_unsigned())
    }

    /// Forgets segments and, in the same step, adds those that hold their rows, if any, and counts
    /// what is no longer there.
    pub(super) fn replace_segments(
        &self,
        files: &FxHashSet<&str>,
        with: &[SegmentRow],
        counted: &[(&str, u64)],
    ) -> Result<(), StoreError> {
        let mut connection = self.connection.lock();
        let transaction = connection.transaction()?;
        for file in files {
            transaction.execute("DELETE FROM segments WHERE file = ?", [file])?;
        }
        for segment in with {
            insert(&transaction, segment)?;
        }
        for (name, count) in counted.iter().filter(|(_, count)| *count > 0) {
            transaction.execute(
                "INSERT INTO counters VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = value + ?2",
                params![name, count.cast_signed()],
            )?;
        }
        transaction.commit()?;
        Ok(())
    }
}

fn insert(transaction: &Transaction<'_>, segment: &SegmentRow) -> rusqlite::Result<usize> {
    transaction.execute(
        "INSERT INTO segments (file, table_name, row_count, byte_count, min_start_ns, max_start_ns,
             min_sequence, max_sequence, level, services, index_bytes, bucket_ns, written_ns, thinned)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            segment.file,
            segment.table.as_str(),
            segment.rows.cast_signed(),
            segment.bytes.cast_signed(),
            segment.min_start_ns,
            segment.max_start_ns,
            segment.min_sequence.cast_signed(),
            segment.max_sequence.cast_signed(),
            segment.level,
            join_services(&segment.services),
            segment.index_bytes.cast_signed(),
            segment.bucket_ns,
            segment.written_ns,
            segment.thinned,
        ],
    )
}

/// One service a line. A name with a line break in it makes the whole list unknown, which only costs
/// pruning.
fn join_services(services: &[String]) -> String {
    if services.iter().any(|service| service.contains(['\n', '\r'])) { String::new() } else { services.join("\n") }
}

/// A row of a table this version does not know is skipped: its schema version would be newer.
fn read_row(row: &Row<'_>) -> rusqlite::Result<Option<SegmentRow>> {
    let Some(table) = Table::parse(&row.get::<_, String>(1)?) else { return Ok(None) };
    let unsigned = |column: usize| row.get::<_, i64>(column).map(i64::cast_unsigned);
    let services: String = row.get(9)?;
    Ok(Some(SegmentRow {
        table,
        file: row.get(0)?,
        rows: unsigned(2)?,
        bytes: unsigned(3)?,
        min_start_ns: row.get(4)?,
        max_start_ns: row.get(5)?,
        min_sequence: unsigned(6)?,
        max_sequence: unsigned(7)?,
        level: row.get(8)?,
        services: services.lines().map(str::to_owned).collect(),
        index_bytes: unsigned(10)?,
        bucket_ns: row.get(11)?,
        written_ns: row.get(12)?,
        thinned: row.get(13)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(file: &str) -> SegmentRow {
        SegmentRow {
            table: Table::Spans,
            file: file.into(),
            rows: 3,
            bytes: 9,
            index_bytes: 2,
            min_start_ns: -5,
            max_start_ns: 7,
            min_sequence: 1,
            max_sequence: 4,
            level: 0,
            bucket_ns: 0,
            services: vec!["a".into(), "b".into()],
            written_ns: 8,
            thinned: false,
        }
    }

    #[test]
    fn segments_and_progress_come_back_after_reopen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest.sqlite");
        let manifest = Manifest::open(&path).unwrap();
        assert_eq!((manifest.flushed_sequence().unwrap(), manifest.segments().unwrap()), (0, vec![]));
        manifest.add_segments(&[segment("x")], 4).unwrap();
        drop(manifest);
        let manifest = Manifest::open(&path).unwrap();
        assert_eq!((manifest.flushed_sequence().unwrap(), manifest.segments().unwrap()), (4, vec![segment("x")]));
    }

    #[test]
    fn a_segment_that_cannot_be_added_leaves_the_progress_alone() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(&dir.path().join("manifest.sqlite")).unwrap();
        manifest.add_segments(&[segment("x")], 4).unwrap();
        assert!(manifest.add_segments(&[segment("y"), segment("x")], 9).is_err());
        assert_eq!((manifest.flushed_sequence().unwrap(), manifest.segments().unwrap()), (4, vec![segment("x")]));
    }

    #[test]
    fn segments_are_replaced_in_one_step() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(&dir.path().join("manifest.sqlite")).unwrap();
        manifest.add_segments(&[segment("x"), segment("y"), segment("z")], 4).unwrap();
        let taken = FxHashSet::from_iter(["x", "y"]);
        let refused = manifest.replace_segments(&taken, &[segment("z")], &[("gone", 5)]);
        assert!(refused.is_err(), "a name that is in use");
        assert_eq!((manifest.segments().unwrap().len(), manifest.counter("gone").unwrap()), (3, 0));
        manifest
            .replace_segments(&taken, &[SegmentRow { thinned: true, ..segment("xy") }], &[("gone", 5), ("other", 0)])
            .unwrap();
        manifest.replace_segments(&FxHashSet::default(), &[], &[("gone", 2)]).unwrap();
        assert_eq!((manifest.counter("gone").unwrap(), manifest.counter("other").unwrap()), (7, 0));
        let files: Vec<String> = manifest.segments().unwrap().into_iter().map(|segment| segment.file).collect();
        assert_eq!((files, manifest.flushed_sequence().unwrap()), (vec!["xy".to_owned(), "z".to_owned()], 4));
    }

    #[test]
    fn a_manifest_of_the_first_version_is_carried_forward() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest.sqlite");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(&format!("{} PRAGMA user_version = 1;", MIGRATIONS[0])).unwrap();
        old.execute_batch(
            "INSERT INTO segments VALUES ('x', 'spans', 3, 9, -5, 7, 1, 4, 0, 'a\nb'); UPDATE progress SET flushed_sequence = 4;",
        )
        .unwrap();
        drop(old);
        for _ in 0..2 {
            let manifest = Manifest::open(&path).unwrap();
            let expected = SegmentRow { index_bytes: 0, written_ns: i64::MAX, ..segment("x") };
            assert_eq!((manifest.flushed_sequence().unwrap(), manifest.segments().unwrap()), (4, vec![expected]));
        }
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest.sqlite");
        drop(Manifest::open(&path).unwrap());
        Connection::open(&path).unwrap().pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
        let refused = Manifest::open(&path);
        assert!(matches!(refused, Err(StoreError::NewerSchema { found, .. }) if found == SCHEMA_VERSION + 1));
    }
}
