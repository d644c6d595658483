//! Surveys: what the newest matching spans have is counted on their columns.
//!
//! The places of the newest spans are found first, from the columns of the filter alone. Spans lie by
//! service and name, so the newest of all lie in nearly all pages. Therefore the pages that hold the
//! newest spans are looked at in turn, and when those have had enough spans for an answer it is the
//! newest of these that are counted. Attributes, which hold most of a page's bytes, are read of a
//! bounded number of pages; of more, those at even distances.

mod tally;

use std::time::Instant;

use parking_lot::Mutex;

use self::tally::{COLUMNS, Tally};
use super::facets::Facets;
use super::hot::Snapshot;
use super::manifest::Table;
use super::scan::{Interrupt, Scan};
use crate::questions::survey::{KnownAttributes, Survey, Surveyed};
use crate::store::{Order, StoreError, TimeRange};

/// Pages that are looked at even when those before have enough spans.
const PAGES_AT_LEAST: usize = 48;

/// Which attributes there are in the segments with spans of the range.
pub(super) fn known_attributes(snapshot: &Snapshot, range: TimeRange) -> Result<KnownAttributes, StoreError> {
    let mut all = Facets::default();
    for segment in snapshot.segments_in(Table::Spans, range) {
        if let Some(facets) = segment.facets() {
            all.merge(&facets);
        }
    }
    Ok(all.known())
}

/// Which fields the newest matching spans have.
pub(super) fn survey(snapshot: &Snapshot, question: &Survey, interrupt: &Interrupt) -> Result<Surveyed, StoreError> {
    let began = Instant::now();
    let is_over = |found: usize, pages: usize| {
        let time = if found > 0 { question.time } else { question.time_for_nothing };
        began.elapsed() >= time || pages >= PAGES_AT_LEAST && found >= question.limit
    };
    let scan = Scan::new(snapshot, question.range, &question.filter, interrupt)?;
    // One more than is counted tells whether there are more.
    let limit = question.limit.saturating_add(1);
    let (found, is_all) = scan.first_until(Order::NewestFirst, None, limit, is_over)?;
    let is_all = is_all && found.len() < limit;
    let newest: Vec<_> = found.iter().take(question.limit).map(|(_, place)| *place).collect();
    let places = scan.thinned(newest.clone(), question.max_pages);
    let tally = Mutex::new(Tally::new(question.max_attributes));
    scan.show(&places, &COLUMNS, |batch| tally.lock().add(batch))?;
    let complete = is_all && places.len() == newest.len();
    Ok(tally.into_inner().finish(places.len(), complete, question.max_values))
}
