//! Tells the system which pages are about to be read, so that a disk fetches them side by side.
//!
//! The rows of a trace lie in pages all over a file. Read one after the other from a cold disk, each
//! waits for the one before.

use std::ops::Range;

use parquet::arrow::ProjectionMask;

use super::open_segment::OpenSegment;
use super::prune::Rows;

/// Of more pieces the system is not told. Those lie close together, and it reads ahead by itself.
const MAX_PIECES: usize = 2_048;

/// Has the system fetch the pages of these columns that hold these rows. Costs little when it has them.
pub(super) fn read_ahead(open: &OpenSegment, rows: &Rows, columns: &ProjectionMask) {
    let pieces = pieces(open, rows, columns);
    if pieces.len() <= MAX_PIECES {
        pieces.into_iter().for_each(|piece| open.file.fetch(piece));
    }
}

/// Where the pages lie, with the dictionaries they need; neighbours put together.
fn pieces(open: &OpenSegment, rows: &Rows, columns: &ProjectionMask) -> Vec<Range<u64>> {
    let metadata = open.footer();
    let Some(offsets) = metadata.offset_index() else { return Vec::new() };
    let mut pieces: Vec<Range<u64>> = Vec::new();
    let mut add = |piece: Range<u64>| match pieces.last_mut() {
        Some(last) if last.end == piece.start => last.end = piece.end,
        _ => pieces.push(piece),
    };
    let mut before = 0;
    for (group, offsets) in metadata.row_groups().iter().zip(offsets) {
        let end = before + group.num_rows().unsigned_abs();
        let from = rows.partition_point(|range| range.end <= before);
        let within = rows[from..].iter().take_while(|range| range.start < end);
        let within: Rows = within.map(|range| range.start.max(before) - before..range.end.min(end) - before).collect();
        for (leaf, (column, offsets)) in group.columns().iter().zip(offsets).enumerate() {
            if within.is_empty() || !columns.leaf_included(leaf) {
                continue;
            }
            let pages = offsets.page_locations();
            if let (Some(dictionary), Some(first)) = (column.dictionary_page_offset(), pages.first()) {
                add(dictionary.unsigned_abs()..first.offset.unsigned_abs());
            }
            for (at, page) in pages.iter().enumerate() {
                let first = page.first_row_index.unsigned_abs();
                let next = pages.get(at + 1).map_or(end - before, |next| next.first_row_index.unsigned_abs());
                let candidate = within.partition_point(|range| range.end <= first);
                if within.get(candidate).is_some_and(|range| range.start < next) {
                    let offset = page.offset.unsigned_abs();
                    add(offset..offset + u64::from(page.compressed_page_size.unsigned_abs()));
                }
            }
        }
        before = end;
    }
    pieces
}
