//! Reading spans of one snapshot, page by page.
//!
//! [`Scan::new`] leaves out what cannot match, judged without reading: segments by time, service and
//! index, pages by their bounds. What is left is read by two threads. [`Scan::each`] shows all rows
//! that match, in no order; [`Scan::walk`] finds the first of an order and visits pages in the order
//! of the best they may hold, so that it touches few; [`Scan::fetch`] reads whole rows of what was
//! found. Of each page the columns that are cheap to read are asked first, the attributes only of
//! rows that are left, and the columns that are wanted only of rows that match.
//!
//! Memory is bounded by [`PAGES_AT_A_TIME`] pages a thread and what is found. All reading stops when
//! the [`Interrupt`] says so.

pub(super) mod bounds;
mod condition;
mod first;
mod interrupt;
mod row_test;
mod source;
mod top;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::AsArray;
use arrow::buffer::BooleanBuffer;
use arrow::compute::{max, min};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use parking_lot::Mutex;
use pitviper_model::{SpanId, TraceId};

use self::bounds::Verdict;
use self::condition::{Condition, OUTSIDE_COLUMNS, Test, outside_mask};
pub(super) use self::first::Pace;
pub(super) use self::interrupt::{Interrupt, too_slow};
pub(super) use self::row_test::matches_wildcard;
use self::source::Source;
pub(super) use self::top::Key;
use self::top::{Top, rank, value_column};
use super::hot::Snapshot;
use super::manifest::Table;
use super::prune::{Lookup, Rows, union};
use super::segment::Segment;
use crate::filter::{Filter, TextField, TextMatch};
use crate::schema::{SPAN_COLUMNS, read_spans};
use crate::store::{Order, StoreError, StoredSpan, TimeRange};

/// Threads that read.
const THREADS: usize = 2;
/// Pages that a thread reads together, at most.
const PAGES_AT_A_TIME: usize = 8;
/// A thread takes this share of the pages it has taken so far: few while the first pages may already
/// hold all that is wanted, more when they did not.
const PAGES_AS_SHARE: usize = 8;
/// The texts of attributes, as the file names them.
const ATTRIBUTE_VALUES: [&str; 3] = ["attrs", "key_value", "value"];
/// Rows of memory looked at together.
const HOT_ROWS_AT_A_TIME: usize = 8_192;

/// Where a row lies: in which source, and which of its rows it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    source: u32,
    row: u64,
}

/// Rows that are read together, and what is known of them.
#[derive(Debug, Clone)]
struct Page {
    source: u32,
    rows: Range<u64>,
    row_group: u32,
    start_ns: (i64, i64),
    duration_ns: (i64, i64),
    verdict: Verdict,
}

/// The spans of a snapshot that start in a range and pass a filter.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    sources: Vec<Source>,
    /// As they lie: by source and row.
    pages: Vec<Page>,
    interrupt: &'a Interrupt,
}

impl<'a> Scan<'a> {
    /// Looks for the pages that may hold matching spans, without reading them.
    ///
    /// # Errors
    /// What the file system says of a segment's files.
    pub(super) fn new(
        snapshot: &Snapshot,
        range: TimeRange,
        filter: &Filter,
        interrupt: &'a Interrupt,
    ) -> Result<Self, StoreError> {
        let condition = Arc::new(Condition::new(range, filter));
        let mut scan = Self { sources: Vec::new(), pages: Vec::new(), interrupt };
        for batch in snapshot.hot_rows(Table::Spans, range) {
            scan.add_hot(batch, &condition);
        }
        let (service, lookup) = (required_service(filter), Lookup::of(filter));
        for segment in snapshot.segments_in(Table::Spans, range) {
            interrupt.check()?;
            if service.is_none_or(|service| segment.may_hold_service(service)) {
                scan.add_segment(segment, range, filter, lookup.as_ref(), &condition)?;
            }
        }
        Ok(scan)
    }

    fn add_hot(&mut self, batch: &RecordBatch, condition: &Arc<Condition>) {
        let source = self.sources.len() as u32;
        for first in (0..batch.num_rows()).step_by(HOT_ROWS_AT_A_TIME) {
            let count = HOT_ROWS_AT_A_TIME.min(batch.num_rows() - first);
            let rows = batch.slice(first, count);
            let bounds = |name: &str| {
                let values = rows.column_by_name(name).expect("the schema has the column").as_primitive::<Int64Type>();
                (min(values).unwrap_or(i64::MIN), max(values).unwrap_or(i64::MAX))
            };
            self.pages.push(Page {
                source,
                rows: first as u64..(first + count) as u64,
                row_group: 0,
                start_ns: bounds("start_ns"),
                duration_ns: bounds("duration_ns"),
                verdict: Verdict::Maybe,
            });
        }
        self.sources.push(Source::memory(batch.clone(), Arc::clone(condition)));
    }

    fn add_segment(
        &mut self,
        segment: &Arc<Segment>,
        range: TimeRange,
        filter: &Filter,
        lookup: Option<&Lookup>,
        condition: &Arc<Condition>,
    ) -> Result<(), StoreError> {
        let open = segment.open()?;
        let named = lookup.and_then(|lookup| lookup.rows(&open));
        let source = self.sources.len() as u32;
        let before = self.pages.len();
        let mut named_from = 0;
        for page in &open.bounds.pages {
            let rows = page.first_row..page.first_row + u64::from(page.rows);
            if let Some(named) = &named {
                named_from += named[named_from..].partition_point(|range| range.end <= rows.start);
                if named.get(named_from).is_none_or(|range| range.start >= rows.end) {
                    continue;
                }
            }
            let verdict = open.bounds.judge(page, range, filter);
            if verdict != Verdict::Never {
                let (start_ns, duration_ns, row_group) = (page.start_ns, page.duration_ns, page.row_group);
                self.pages.push(Page { source, rows, row_group, start_ns, duration_ns, verdict });
            }
        }
        if self.pages.len() > before {
            let condition = match condition.in_segment(range, filter, segment, &open)? {
                Some(own) => Arc::new(own),
                None => Arc::clone(condition),
            };
            self.sources.push(Source::segment(Arc::clone(segment), open, condition));
        }
        Ok(())
    }

    /// How many rows lie in the pages that may hold matching ones.
    pub(super) fn rows(&self) -> u64 {
        self.pages.iter().map(|page| page.rows.end - page.rows.start).sum()
    }

    /// Shows these columns of all spans that match, in no order; a span that a client sent twice comes
    /// twice. Batches may have more columns, and come from two threads, one at a time. Returns how many
    /// rows lie in the pages that had to be looked at.
    ///
    /// # Errors
    /// What `on_batch` says, what the file system says, and when the scan is interrupted.
    pub(super) fn each(
        &self,
        columns: &[&str],
        mut on_batch: impl FnMut(&RecordBatch) -> Result<(), StoreError> + Send,
    ) -> Result<u64, StoreError> {
        self.each_until(columns, |batch| on_batch(batch).map(|()| true), || false)?;
        Ok(self.rows())
    }

    /// As [`Scan::each`], until `on_batch` wants no more or time is over. Returns whether all were shown.
    ///
    /// # Errors
    /// What `on_batch` says, what the file system says, and when the scan is interrupted.
    pub(super) fn each_until(
        &self,
        columns: &[&str],
        on_batch: impl FnMut(&RecordBatch) -> Result<bool, StoreError> + Send,
        is_over: impl Fn() -> bool + Sync,
    ) -> Result<bool, StoreError> {
        let on_batch = Mutex::new(on_batch);
        let ended = AtomicBool::new(false);
        let queue = Mutex::new(Queue { next: 0, pages: self.pages.iter().collect() });
        in_parallel(self.pages.len(), || {
            loop {
                self.interrupt.check()?;
                if ended.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let Some(pages) = queue.lock().take(PAGES_AT_A_TIME) else { return Ok(()) };
                if is_over() {
                    ended.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                let rows = self.matching(&pages, None)?;
                for batch in self.read(pages[0].source, &rows, Some(columns))? {
                    let mut on_batch = on_batch.lock();
                    if ended.load(Ordering::Relaxed) || !on_batch(&batch)? {
                        ended.store(true, Ordering::Relaxed);
                        return Ok(());
                    }
                }
            }
        })?;
        Ok(!ended.into_inner())
    }

    /// Shows the keys of all spans that match, in no order; one that a client sent twice comes twice.
    ///
    /// # Errors
    /// What the file system says, and when the scan is interrupted.
    pub(super) fn keys(&self, order: Order, mut on_key: impl FnMut(Key) + Send) -> Result<(), StoreError> {
        self.each(&[value_column(order), "trace_id", "span_id"], |batch| {
            read_keys(batch, order).for_each(&mut on_key);
            Ok(())
        })
        .map(|_| ())
    }

    /// Offers all matching rows of pages of one row group.
    fn offer_all(&self, pages: &[&Page], top: &Mutex<Top>) -> Result<(), StoreError> {
        let (order, open) = {
            let top = top.lock();
            (top.order, top.open_ranks())
        };
        let Some(open) = open else { return Ok(()) };
        let rows = self.matching(pages, Some((order, open)))?;
        if rows.is_empty() {
            return Ok(());
        }
        let source = pages[0].source;
        let mut places = rows.iter().cloned().flatten();
        for batch in self.read(source, &rows, Some(&[value_column(order), "trace_id", "span_id"]))? {
            let keys: Vec<Key> = read_keys(&batch, order).collect();
            let mut top = top.lock();
            for (key, row) in keys.into_iter().zip(&mut places) {
                top.offer(key, Place { source, row });
            }
        }
        Ok(())
    }

    /// Whole rows, in the order of the places.
    ///
    /// # Errors
    /// What the file system says, and when the scan is interrupted.
    pub(super) fn fetch(&self, places: &[Place]) -> Result<Vec<StoredSpan>, StoreError> {
        let found: Mutex<Vec<Option<StoredSpan>>> = Mutex::new(vec![None; places.len()]);
        self.visit(places, &SPAN_COLUMNS, |group, batches| {
            let mut spans = Vec::with_capacity(group.len());
            for batch in &batches {
                spans.extend(read_spans(batch)?);
            }
            let mut found = found.lock();
            for ((_, at), span) in group.iter().zip(spans) {
                found[*at] = Some(span);
            }
            Ok(())
        })?;
        Ok(found.into_inner().into_iter().flatten().collect())
    }

    /// Shows these columns of the rows at these places, in no order, from two threads at once.
    ///
    /// # Errors
    /// What `on_batch` says, what the file system says, and when the scan is interrupted.
    pub(super) fn show(
        &self,
        places: &[Place],
        columns: &[&str],
        on_batch: impl Fn(&RecordBatch) -> Result<(), StoreError> + Sync,
    ) -> Result<(), StoreError> {
        self.visit(places, columns, |_, batches| batches.iter().try_for_each(&on_batch))
    }

    /// Reads rows by row group. Each group comes with the numbers of its places in the list, in the order
    /// of its rows.
    fn visit(
        &self,
        places: &[Place],
        columns: &[&str],
        on_group: impl Fn(&[(Place, usize)], Vec<RecordBatch>) -> Result<(), StoreError> + Sync,
    ) -> Result<(), StoreError> {
        let mut sorted: Vec<(Place, usize)> = places.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        let group_of = |place: Place| self.sources[place.source as usize].row_group_of(place.row);
        let groups: Vec<&[(Place, usize)]> = sorted
            .chunk_by(|(left, _), (right, _)| left.source == right.source && group_of(*left) == group_of(*right))
            .collect();
        let queue = Mutex::new(groups.iter());
        in_parallel(groups.len(), || {
            loop {
                self.interrupt.check()?;
                let Some(group) = queue.lock().next() else { return Ok(()) };
                let rows = ranges(group.iter().map(|(place, _)| place.row));
                on_group(group, self.read(group[0].0.source, &rows, Some(columns))?)?;
            }
        })
    }

    /// Those of the places that lie in memory or in so many pages of segments, which are taken at even
    /// distances from all that hold any.
    pub(super) fn thinned(&self, mut places: Vec<Place>, max_pages: usize) -> Vec<Place> {
        places.sort_unstable();
        let page_of = |place: &Place| {
            let behind = |page: &Page| (page.source, page.rows.end) <= (place.source, place.row);
            self.pages.partition_point(behind)
        };
        let pages_of = |places: &[Place]| -> Vec<usize> {
            let in_segment = |place: &&Place| self.sources[place.source as usize].is_segment();
            let mut pages: Vec<usize> = places.iter().filter(in_segment).map(page_of).collect();
            pages.dedup();
            pages
        };
        let pages = pages_of(&places);
        if pages.len() <= max_pages {
            return places;
        }
        let is_taken = |page: usize| match pages.binary_search(&page) {
            Ok(number) => (number + 1) * max_pages / pages.len() > number * max_pages / pages.len(),
            // In memory.
            Err(_) => true,
        };
        places.retain(|place| is_taken(page_of(place)));
        places
    }

    /// The rows of pages of one row group that match; of those only whose ranks are between these.
    fn matching(&self, pages: &[&Page], open: Option<(Order, (i64, i64))>) -> Result<Rows, StoreError> {
        let mut rows = Rows::new();
        for page in pages {
            match rows.last_mut() {
                Some(last) if last.end == page.rows.start => last.end = page.rows.end,
                _ => rows.push(page.rows.clone()),
            }
        }
        let source = pages[0].source;
        let is_sure = pages.iter().all(|page| page.verdict == Verdict::Always);
        if is_sure && open.is_none() {
            return Ok(rows);
        }
        let condition = &self.sources[source as usize].condition;
        let mut columns = if is_sure { Vec::new() } else { condition.cheap.columns() };
        columns.extend(open.map(|(order, _)| value_column(order)));
        let rows = self.narrow(source, rows, &columns, |batch| {
            let mask = if is_sure { BooleanBuffer::new_set(batch.num_rows()) } else { condition.cheap.mask(batch) };
            match open {
                Some((order, (low, high))) => {
                    let values = batch.column_by_name(value_column(order)).expect("the column was read");
                    let values = values.as_primitive::<Int64Type>().values();
                    let is_open = |row: usize| (low..=high).contains(&rank(order, values[row]));
                    &mask & &BooleanBuffer::collect_bool(batch.num_rows(), is_open)
                }
                None => mask,
            }
        })?;
        match &condition.costly {
            Some(costly) if !is_sure => {
                let rows = self.with_text(source, rows, costly)?;
                self.narrow(source, rows, &costly.columns(), |batch| costly.mask(batch))
            }
            _ => Ok(rows),
        }
    }

    /// Those of the rows of a row group that may have the text which the test requires, if it requires
    /// one. Attributes are looked at page by page as they lie in the file, which costs a fraction of
    /// decoding them.
    fn with_text(&self, source: u32, rows: Rows, test: &Test) -> Result<Rows, StoreError> {
        let Some(text) = test.required_text() else { return Ok(rows) };
        let Some(may_stand_in) = text.may_stand_in() else { return Ok(rows) };
        let pages = self.sources[source as usize].rows_of_pages(&rows, &ATTRIBUTE_VALUES, may_stand_in)?;
        let Some(mut found) = pages else { return Ok(rows) };
        found.extend(self.narrow(source, rows, &OUTSIDE_COLUMNS, |batch| outside_mask(text, batch))?);
        Ok(union(found))
    }

    /// Those of the rows for which the test holds.
    fn narrow(
        &self,
        source: u32,
        rows: Rows,
        columns: &[&str],
        test: impl Fn(&RecordBatch) -> BooleanBuffer,
    ) -> Result<Rows, StoreError> {
        if rows.is_empty() {
            return Ok(rows);
        }
        let mut numbers = rows.iter().cloned().flatten();
        let mut left = Vec::new();
        for batch in self.read(source, &rows, Some(columns))? {
            let mask = test(&batch);
            left.extend(
                numbers
                    .by_ref()
                    .take(batch.num_rows())
                    .enumerate()
                    .filter_map(|(at, row)| mask.value(at).then_some(row)),
            );
        }
        Ok(ranges(left))
    }

    /// These rows of a source, in order.
    fn read(&self, source: u32, rows: &Rows, columns: Option<&[&str]>) -> Result<Vec<RecordBatch>, StoreError> {
        self.sources[source as usize].read(rows, columns)
    }
}

/// Rows in order as ranges.
fn ranges(rows: impl IntoIterator<Item = u64>) -> Rows {
    let mut ranges = Rows::new();
    for row in rows {
        match ranges.last_mut() {
            Some(last) if last.end == row => last.end += 1,
            _ => ranges.push(row..row + 1),
        }
    }
    ranges
}

fn is_same_group(left: &Page, right: &Page) -> bool {
    left.source == right.source && left.row_group == right.row_group
}

/// Pages that wait for a thread.
struct Queue<'a> {
    pages: Vec<&'a Page>,
    next: usize,
}

impl<'a> Queue<'a> {
    /// The next pages, at most so many and all of one row group.
    fn take(&mut self, limit: usize) -> Option<Vec<&'a Page>> {
        let rest = &self.pages[self.next..];
        let first = *rest.first()?;
        let taken: Vec<&Page> =
            rest.iter().copied().take(limit).take_while(|page| is_same_group(first, page)).collect();
        self.next += taken.len();
        Some(taken)
    }
}

/// Does the work on all threads, each until it finds nothing more to do. With one piece of work there
/// is no need for more than one.
fn in_parallel(pieces: usize, work: impl Fn() -> Result<(), StoreError> + Sync) -> Result<(), StoreError> {
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..THREADS.min(pieces)).map(|_| scope.spawn(&work)).collect();
        let own = work();
        others.into_iter().fold(own, |result, other| match other.join() {
            Ok(theirs) => result.and(theirs),
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// The service that every match has, when the filter says so.
pub(super) fn required_service(filter: &Filter) -> Option<&str> {
    match filter {
        Filter::Text(TextField::Service, TextMatch::Equals(service)) => Some(service),
        Filter::And(filters) => filters.iter().find_map(required_service),
        _ => None,
    }
}

fn read_keys(batch: &RecordBatch, order: Order) -> impl Iterator<Item = Key> + '_ {
    let column = |name: &str| batch.column_by_name(name).expect("the column was read");
    let values = column(value_column(order)).as_primitive::<Int64Type>();
    let (traces, spans) = (column("trace_id").as_fixed_size_binary(), column("span_id").as_fixed_size_binary());
    (0..batch.num_rows()).map(|row| Key {
        value: values.value(row),
        trace_id: TraceId::from_slice(traces.value(row)).unwrap_or_default(),
        span_id: SpanId::from_slice(spans.value(row)).unwrap_or_default(),
    })
}
