//! Which rows of a file may hold a value, as the statistics of its pages tell.

use std::ops::Range;

use parquet::file::metadata::ParquetMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use crate::embedded::prune::Rows;
use crate::store::TimeRange;

/// What a column has to hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bounds<'a> {
    /// A time in the range.
    Within(TimeRange),
    /// These bytes.
    Equal(&'a [u8]),
    /// A small number, this one or a larger.
    AtLeast(u8),
}

/// The rows on pages that may hold it, in order; whole row groups where statistics are missing.
pub(super) fn rows_within(file: &ParquetMetaData, column: &str, bounds: Bounds<'_>) -> Rows {
    let columns = file.file_metadata().schema_descr().columns();
    let leaf = columns.iter().position(|known| known.path().string() == column);
    let mut rows: Rows = Vec::new();
    let mut start = 0;
    for (number, group) in file.row_groups().iter().enumerate() {
        let end = start + group.num_rows().max(0).cast_unsigned();
        let index = |leaf: usize| Some(&file.column_index()?[number][leaf]);
        let pages = |leaf: usize| Some(file.offset_index()?[number][leaf].page_locations());
        match leaf.and_then(|leaf| Some((index(leaf)?, pages(leaf)?))) {
            Some((index, pages)) if !matches!(index, ColumnIndexMetaData::NONE) => {
                for (at, page) in pages.iter().enumerate() {
                    let first = start + page.first_row_index.max(0).cast_unsigned();
                    let last =
                        pages.get(at + 1).map_or(end, |next| start + next.first_row_index.max(0).cast_unsigned());
                    if may_hold(index, at, bounds) {
                        push(&mut rows, first..last);
                    }
                }
            }
            _ => push(&mut rows, start..end),
        }
        start = end;
    }
    rows
}

fn push(rows: &mut Rows, range: Range<u64>) {
    match rows.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => rows.push(range),
    }
}

fn may_hold(index: &ColumnIndexMetaData, page: usize, bounds: Bounds<'_>) -> bool {
    let bytes = match index {
        ColumnIndexMetaData::BYTE_ARRAY(index) | ColumnIndexMetaData::FIXED_LEN_BYTE_ARRAY(index) => {
            index.min_value(page).zip(index.max_value(page))
        }
        _ => None,
    };
    match (bounds, index) {
        (Bounds::Within(range), ColumnIndexMetaData::INT64(index)) => {
            let ends = index.min_value(page).zip(index.max_value(page));
            ends.is_none_or(|(min, max)| *min < range.end_ns && *max >= range.start_ns)
        }
        // Long values are cut, the least down and the greatest up.
        (Bounds::Equal(value), _) => bytes.is_none_or(|(min, max)| min <= value && value <= max),
        (Bounds::AtLeast(number), ColumnIndexMetaData::INT32(index)) => {
            index.max_value(page).is_none_or(|max| *max >= i32::from(number))
        }
        _ => true,
    }
}
