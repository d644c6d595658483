//! What is known of each page of a segment without reading it, and what that says of a filter.
//!
//! A page here is what one page of the column of starts holds. Its bounds are taken from the file's
//! own page index once; they take some sixty bytes a page, a fraction of what the file's index does.

use std::cmp::Ordering;

use parquet::file::metadata::ParquetMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use pitviper_model::SpanKind;

use super::condition::whole;
use crate::filter::{Filter, NumberField, TextField, TextMatch};
use crate::store::TimeRange;

/// Bounds of text are cut to this many bytes by those who write them.
const EXACT_TEXT_BYTES: usize = 63;
/// Stands for a text that is not known.
const UNKNOWN: u32 = u32::MAX;

/// What a filter says of all rows of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::embedded) enum Verdict {
    /// None passes.
    Never,
    /// Some may pass.
    Maybe,
    /// All pass.
    Always,
}

/// The bounds of one page, both ends inside.
#[derive(Debug, Clone)]
pub(in crate::embedded) struct Page {
    /// Counted from the segment's first.
    pub(in crate::embedded) first_row: u64,
    pub(in crate::embedded) rows: u32,
    pub(in crate::embedded) row_group: u32,
    pub(in crate::embedded) start_ns: (i64, i64),
    pub(in crate::embedded) duration_ns: (i64, i64),
    kind: (u8, u8),
    status: (u8, u8),
    /// Places in [`PageBounds::texts`].
    service: (u32, u32),
    name: (u32, u32),
}

/// The bounds of all pages of a segment of spans, in order.
#[derive(Debug, Default)]
pub(in crate::embedded) struct PageBounds {
    pub(in crate::embedded) pages: Vec<Page>,
    texts: Vec<Box<[u8]>>,
}

impl PageBounds {
    /// Of a file whose page index was read. What it does not tell is taken to be anything.
    pub(in crate::embedded) fn new(metadata: &ParquetMetaData) -> Self {
        let mut bounds = Self::default();
        let mut first_row = 0;
        for row_group in 0..metadata.num_row_groups() {
            let rows = metadata.row_group(row_group).num_rows().unsigned_abs();
            bounds.add_group(metadata, row_group, first_row, rows);
            first_row += rows;
        }
        bounds.pages.shrink_to_fit();
        bounds
    }

    fn add_group(&mut self, metadata: &ParquetMetaData, row_group: usize, first_row: u64, rows: u64) {
        let group = Group { metadata, row_group };
        let firsts = group.column("start_ns").map_or_else(Vec::new, |column| group.first_rows(column));
        let firsts = if firsts.is_empty() { vec![0] } else { firsts };
        let begin = self.pages.len();
        let row_group_number = u32::try_from(row_group).unwrap_or(u32::MAX);
        for (at, &first) in firsts.iter().enumerate() {
            let end = firsts.get(at + 1).copied().unwrap_or(rows);
            self.pages.push(Page {
                first_row: first_row + first,
                rows: u32::try_from(end.saturating_sub(first)).unwrap_or(u32::MAX),
                row_group: row_group_number,
                start_ns: (i64::MIN, i64::MAX),
                duration_ns: (i64::MIN, i64::MAX),
                kind: (0, u8::MAX),
                status: (0, u8::MAX),
                service: (UNKNOWN, UNKNOWN),
                name: (UNKNOWN, UNKNOWN),
            });
        }
        let pages = &mut self.pages[begin..];
        let texts = &mut self.texts;
        let index = |name| group.index_of(name, &firsts);
        if let Some(ColumnIndexMetaData::INT64(index)) = index("start_ns") {
            fill(pages, |at| Some((*index.min_value(at)?, *index.max_value(at)?)), |page, found| page.start_ns = found);
        }
        if let Some(ColumnIndexMetaData::INT64(index)) = index("duration_ns") {
            fill(
                pages,
                |at| Some((*index.min_value(at)?, *index.max_value(at)?)),
                |page, found| page.duration_ns = found,
            );
        }
        let code = |number: &i32| u8::try_from(*number).ok();
        if let Some(ColumnIndexMetaData::INT32(index)) = index("kind") {
            fill(
                pages,
                |at| Some((code(index.min_value(at)?)?, code(index.max_value(at)?)?)),
                |page, found| page.kind = found,
            );
        }
        if let Some(ColumnIndexMetaData::INT32(index)) = index("status") {
            fill(
                pages,
                |at| Some((code(index.min_value(at)?)?, code(index.max_value(at)?)?)),
                |page, found| page.status = found,
            );
        }
        if let Some(ColumnIndexMetaData::BYTE_ARRAY(index)) = index("service") {
            let mut place = |text: &[u8]| place_of(texts, text);
            fill(
                pages,
                |at| Some((place(index.min_value(at)?), place(index.max_value(at)?))),
                |page, found| page.service = found,
            );
        }
        if let Some(ColumnIndexMetaData::BYTE_ARRAY(index)) = index("name") {
            let mut place = |text: &[u8]| place_of(texts, text);
            fill(
                pages,
                |at| Some((place(index.min_value(at)?), place(index.max_value(at)?))),
                |page, found| page.name = found,
            );
        }
    }

    /// Memory it takes, in bytes.
    pub(in crate::embedded) fn memory_size(&self) -> usize {
        let texts: usize = self.texts.iter().map(|text| text.len() + size_of::<Box<[u8]>>()).sum();
        self.pages.len() * size_of::<Page>() + texts
    }

    /// What the range and the filter say of a page.
    pub(in crate::embedded) fn judge(&self, page: &Page, range: TimeRange, filter: &Filter) -> Verdict {
        let in_range =
            range.end_ns.checked_sub(1).map_or(Verdict::Never, |last| among(page.start_ns, range.start_ns, last));
        if in_range == Verdict::Never {
            return in_range;
        }
        in_range.min(self.judge_filter(page, filter))
    }

    fn judge_filter(&self, page: &Page, filter: &Filter) -> Verdict {
        match filter {
            Filter::All => Verdict::Always,
            Filter::And(parts) => {
                parts.iter().map(|part| self.judge_filter(page, part)).min().unwrap_or(Verdict::Always)
            }
            Filter::Or(parts) => parts.iter().map(|part| self.judge_filter(page, part)).max().unwrap_or(Verdict::Never),
            Filter::Not(part) => match self.judge_filter(page, part) {
                Verdict::Never => Verdict::Always,
                Verdict::Maybe => Verdict::Maybe,
                Verdict::Always => Verdict::Never,
            },
            Filter::Text(TextField::Service, wanted) => self.judge_text(page.service, wanted),
            Filter::Text(TextField::Name, wanted) => self.judge_text(page.name, wanted),
            Filter::Exists(TextField::Service | TextField::Name) => Verdict::Always,
            Filter::Number(NumberField::DurationNs, range) => match whole(*range) {
                Some((low, high)) => among(page.duration_ns, low, high),
                None => Verdict::Never,
            },
            Filter::Kind(kind) => among_codes(page.kind, |code| code == *kind as u8),
            Filter::IsEntry => {
                among_codes(page.kind, |code| SpanKind::ALL.iter().any(|kind| *kind as u8 == code && kind.is_entry()))
            }
            Filter::Status(status) => among_codes(page.status, |code| code == *status as u8),
            _ => Verdict::Maybe,
        }
    }

    fn judge_text(&self, (low, high): (u32, u32), wanted: &TextMatch) -> Verdict {
        let (Some(low), Some(high)) = (self.texts.get(low as usize), self.texts.get(high as usize)) else {
            return Verdict::Maybe;
        };
        let (low, high) = (low.as_ref(), high.as_ref());
        let is_one = low == high && low.len() <= EXACT_TEXT_BYTES;
        match wanted {
            TextMatch::Equals(text) => match (low.cmp(text.as_bytes()), high.cmp(text.as_bytes())) {
                (Ordering::Greater, _) | (_, Ordering::Less) => Verdict::Never,
                (Ordering::Equal, Ordering::Equal) if is_one => Verdict::Always,
                _ => Verdict::Maybe,
            },
            TextMatch::Wildcard(pattern) => {
                // What fits begins with what stands before the first star.
                let prefix = pattern.split('*').next().unwrap_or_default().as_bytes();
                let is_below = high < prefix;
                let is_above = low > prefix && !low.starts_with(prefix);
                if is_below || is_above { Verdict::Never } else { Verdict::Maybe }
            }
            TextMatch::Regex(_) => Verdict::Maybe,
        }
    }
}

/// A row group of a file.
struct Group<'a> {
    metadata: &'a ParquetMetaData,
    row_group: usize,
}

impl<'a> Group<'a> {
    fn column(&self, name: &str) -> Option<usize> {
        let is_it = |column: &parquet::file::metadata::ColumnChunkMetaData| column.column_path().parts() == [name];
        self.metadata.row_group(self.row_group).columns().iter().position(is_it)
    }

    /// The first row of each page of a column, counted from the group's first.
    fn first_rows(&self, column: usize) -> Vec<u64> {
        let index = self.metadata.offset_index().and_then(|groups| groups.get(self.row_group)?.get(column));
        index.map_or_else(Vec::new, |index| {
            index.page_locations().iter().map(|page| page.first_row_index.unsigned_abs()).collect()
        })
    }

    /// The bounds of a column's pages, if those begin where these do.
    fn index_of(&self, name: &str, firsts: &[u64]) -> Option<&'a ColumnIndexMetaData> {
        let column = self.column(name)?;
        let index = self.metadata.column_index()?.get(self.row_group)?.get(column)?;
        (self.first_rows(column) == firsts).then_some(index)
    }
}

fn fill<T>(pages: &mut [Page], mut bounds: impl FnMut(usize) -> Option<T>, set: impl Fn(&mut Page, T)) {
    for (at, page) in pages.iter_mut().enumerate() {
        if let Some(found) = bounds(at) {
            set(page, found);
        }
    }
}

/// The place of a text. As rows are sorted, neighbours share most of theirs.
fn place_of(texts: &mut Vec<Box<[u8]>>, text: &[u8]) -> u32 {
    let known = texts.iter().rev().take(2).position(|known| known.as_ref() == text);
    let place = match known {
        Some(back) => texts.len() - 1 - back,
        None => {
            texts.push(Box::from(text));
            texts.len() - 1
        }
    };
    u32::try_from(place).unwrap_or(UNKNOWN)
}

/// What `low <= value <= high` says of values between these bounds.
fn among(bounds: (i64, i64), low: i64, high: i64) -> Verdict {
    if bounds.1 < low || bounds.0 > high || low > high {
        Verdict::Never
    } else if bounds.0 >= low && bounds.1 <= high {
        Verdict::Always
    } else {
        Verdict::Maybe
    }
}

fn among_codes((low, high): (u8, u8), passes: impl Fn(u8) -> bool) -> Verdict {
    let passing = (low..=high).filter(|code| passes(*code)).count();
    match passing {
        0 => Verdict::Never,
        all if all == usize::from(high.saturating_sub(low)) + 1 => Verdict::Always,
        _ => Verdict::Maybe,
    }
}
