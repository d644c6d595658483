//! The `libraries` table: one row a package, service, host and day, sorted by these.

use std::sync::{Arc, LazyLock};

use arrow::array::AsArray;
use arrow::datatypes::{Field, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use pitviper_model::Library;

use super::MAX_START_TIME_UNIX_NANO;
use super::columns::{TextDictionary, dictionary_type};
use super::seen::{DAY_NS, SeenKeys, seen_fields};
use super::spans_read::{Columns, Decoded};
use crate::store::StoreError;

/// The columns that say which library it is.
pub(super) const KEY: [&str; 6] = ["service", "environment", "package", "version", "runtime", "host"];

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let texts = KEY.map(|name| Field::new(name, dictionary_type(), false));
    Arc::new(Schema::new(seen_fields().into_iter().chain(texts).collect::<Vec<_>>()))
});

/// The columns of `libraries`.
pub(crate) fn libraries_schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// Turns libraries into rows.
#[derive(Debug)]
pub struct LibrariesBuilder {
    seen: SeenKeys<[String; 6]>,
    texts: [TextDictionary; 6],
}

impl Default for LibrariesBuilder {
    fn default() -> Self {
        Self { seen: SeenKeys::new(DAY_NS), texts: std::array::from_fn(|_| TextDictionary::with_capacity(0)) }
    }
}

impl LibrariesBuilder {
    /// Adds a library that was seen first and last at its times. Times after
    /// [`super::MAX_START_TIME_UNIX_NANO`] are stored as that.
    pub fn append(&mut self, library: &Library) {
        for time in [library.first_seen_unix_nano, library.last_seen_unix_nano] {
            let texts = [
                &library.service,
                &library.environment,
                &library.package,
                &library.version,
                &library.runtime,
                &library.host,
            ];
            let time = time.min(MAX_START_TIME_UNIX_NANO).cast_signed();
            if self.seen.see(texts.map(Clone::clone), time) {
                for (column, text) in self.texts.iter_mut().zip(texts) {
                    column.append(text);
                }
            }
        }
    }

    /// Whether no library was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    pub(crate) fn finish(self) -> RecordBatch {
        let columns = self.seen.finish().into_iter().chain(self.texts.map(TextDictionary::finish)).collect();
        RecordBatch::try_new(libraries_schema(), columns)
            .expect("every column gets one value a row, of the schema's type")
    }
}

/// Reads rows back. The batch has all columns.
pub(crate) fn read_libraries(batch: &RecordBatch) -> Result<Vec<Library>, StoreError> {
    let columns = Columns(batch);
    let times = |column: usize| batch.column(column).as_primitive::<Int64Type>().values();
    let mut texts = KEY.map(|name| Decoded::new(columns.dictionary(name)));
    (0..batch.num_rows())
        .map(|row| {
            let mut text = |column: usize| texts[column].at(row, |text| Ok(text.to_owned()));
            Ok(Library {
                service: text(0)?,
                environment: text(1)?,
                package: text(2)?,
                version: text(3)?,
                runtime: text(4)?,
                host: text(5)?,
                first_seen_unix_nano: times(0)[row].cast_unsigned(),
                last_seen_unix_nano: times(1)[row].cast_unsigned(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::schema::strategies::text;

    fn library() -> impl Strategy<Value = Library> {
        let texts = (text(), text(), text(), text(), text(), text());
        (texts, 0..=MAX_START_TIME_UNIX_NANO).prop_map(|(texts, time)| Library {
            service: texts.0,
            environment: texts.1,
            runtime: texts.2,
            package: texts.3,
            version: texts.4,
            host: texts.5,
            first_seen_unix_nano: time,
            last_seen_unix_nano: time,
        })
    }

    proptest! {
        #[test]
        fn libraries_come_back_as_they_were(libraries in vec(library(), 1..6)) {
            let mut builder = LibrariesBuilder::default();
            libraries.iter().for_each(|library| builder.append(library));
            let mut expected = libraries;
            expected.dedup();
            let found = read_libraries(&builder.finish()).unwrap();
            prop_assert!(expected.iter().all(|library| found.contains(library)));
            prop_assert!(found.len() <= expected.len());
        }
    }

    #[test]
    fn days_apart_are_rows_apart() {
        let day = DAY_NS.cast_unsigned();
        let library = Library { first_seen_unix_nano: day + 5, last_seen_unix_nano: 3 * day, ..Library::default() };
        let mut builder = LibrariesBuilder::default();
        builder.append(&library);
        let found = read_libraries(&builder.finish()).unwrap();
        let times: Vec<_> = found.iter().map(|one| (one.first_seen_unix_nano, one.last_seen_unix_nano)).collect();
        assert_eq!(times, [(day + 5, day + 5), (3 * day, 3 * day)]);
    }
}
