//! A [`Filter`] made ready to be asked of batches of rows. Every answer is true or false, never
//! unknown, so that `not` means what [`Filter::Not`] says.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Int64Type, UInt8Type};
use arrow::record_batch::RecordBatch;
use pitviper_model::{SpanId, SpanKind, TraceId};
use rustc_hash::FxHashSet;

use super::row_test::{AttributeNumber, AttributeText, ContainsText, TextTest, by_dictionary, slower_than};
use crate::embedded::open_segment::OpenSegment;
use crate::embedded::segment::Segment;
use crate::embedded::wanted::Wanted;
use crate::filter::{Bound, DurationLimits, Filter, KnownSpans, NumberField, NumberRange, TextField, TextMatch};
use crate::store::{StoreError, TimeRange};

/// Columns that are dear to read: they hold most of a span's bytes.
const COSTLY_COLUMNS: [&str; 3] = ["attrs", "attrs_num", "status_message"];

/// The attribute whose text has a column of its own.
const DATABASE_SYSTEM: &str = "db.system.name";

/// The conditions on a row: first those that are cheap to ask.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) cheap: Test,
    /// Asked of the rows that pass the cheap ones; `None` when there is nothing left to ask.
    pub(super) costly: Option<Test>,
}

impl Condition {
    /// Of the spans that start in the range and pass the filter.
    pub(super) fn new(range: TimeRange, filter: &Filter) -> Self {
        let mut cheap = vec![Test::Whole("start_ns", range.start_ns, range.end_ns.saturating_sub(1))];
        // The range is half-open, so nothing starts in one that ends where it begins.
        if range.end_ns <= range.start_ns {
            cheap.push(Test::Constant(false));
        }
        let mut costly = Vec::new();
        let mut parts = vec![filter];
        while let Some(part) = parts.pop() {
            if let Filter::And(inner) = part {
                parts.extend(inner);
                continue;
            }
            cheap.extend(promoted(part));
            let test = Test::of(part);
            if test.is_costly() { costly.push(test) } else { cheap.push(test) }
        }
        Self { cheap: Test::All(cheap), costly: (!costly.is_empty()).then_some(Test::All(costly)) }
    }

    /// The same in the terms of a segment, where those are others: its rows number their traces.
    ///
    /// # Errors
    /// What the file system says of the list of traces.
    pub(super) fn in_segment(
        &self,
        range: TimeRange,
        filter: &Filter,
        segment: &Segment,
        open: &OpenSegment,
    ) -> Result<Option<Self>, StoreError> {
        let mut tests = std::iter::once(&self.cheap).chain(&self.costly);
        if !tests.any(|test| test.columns().contains(&"trace_id")) {
            return Ok(None);
        }
        let mut own = Self::new(range, filter);
        let mut has_others = false;
        let tests = std::iter::once(&mut own.cheap).chain(&mut own.costly);
        // The column of ids is made of that of numbers: of one reading there is only either.
        for test in tests.filter(|test| !test.needs_ids()) {
            has_others |= test.number_traces(segment, open)?;
        }
        Ok(has_others.then_some(own))
    }
}

/// What is asked of each row.
#[derive(Debug)]
pub(super) enum Test {
    Constant(bool),
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    /// The text of a dictionary column.
    Text(&'static str, TextTest),
    /// The status message; and whether none at all passes.
    Message(TextTest, bool),
    Attribute(AttributeText),
    /// Whether that may pass, as a column of its own tells.
    DatabaseSystem(AttributeText),
    Number(AttributeNumber),
    /// A column of whole numbers lies between these, both inside.
    Whole(&'static str, i64, i64),
    /// A column of small codes has one of these.
    Code(&'static str, Vec<u8>),
    Traces(Wanted),
    Spans(FxHashSet<SpanId>),
    Known(KnownSpans),
    IsRoot,
    SlowerThan(DurationLimits),
    FullText(ContainsText),
}

impl Test {
    fn of(filter: &Filter) -> Self {
        match filter {
            Filter::All => Self::Constant(true),
            Filter::And(filters) => Self::All(filters.iter().map(Self::of).collect()),
            Filter::Or(filters) => Self::Any(filters.iter().map(Self::of).collect()),
            Filter::Not(filter) => Self::Not(Box::new(Self::of(filter))),
            Filter::Text(field, wanted) => Self::of_text(field, wanted),
            Filter::Exists(field) => Self::of_existing(field),
            Filter::Number(NumberField::DurationNs, range) => match whole(*range) {
                Some((low, high)) => Self::Whole("duration_ns", low, high),
                None => Self::Constant(false),
            },
            Filter::Number(NumberField::Attribute(key), range) => {
                Self::Number(AttributeNumber { key: key.clone(), range: *range })
            }
            Filter::Kind(kind) => Self::Code("kind", vec![*kind as u8]),
            Filter::Status(status) => Self::Code("status", vec![*status as u8]),
            Filter::Trace(trace) => Self::Traces(Wanted::of([*trace])),
            Filter::Traces(traces) => Self::Traces(Wanted::of(traces.iter().copied())),
            Filter::Span(span) => Self::Spans(FxHashSet::from_iter([*span])),
            Filter::Spans(spans) => Self::Spans(spans.iter().copied().collect()),
            Filter::Known(spans) => Self::Known(spans.clone()),
            Filter::IsRoot => Self::IsRoot,
            Filter::IsEntry => {
                let kinds = SpanKind::ALL.into_iter().filter(|kind| kind.is_entry());
                Self::Code("kind", kinds.map(|kind| kind as u8).collect())
            }
            Filter::SlowerThan(limits) => Self::SlowerThan(limits.clone()),
            Filter::FullText(text) => Self::FullText(ContainsText::new(text)),
        }
    }

    fn of_text(field: &TextField, wanted: &TextMatch) -> Self {
        let test = match wanted {
            TextMatch::Equals(text) => TextTest::Equals(text.clone()),
            TextMatch::Wildcard(pattern) => TextTest::Wildcard(pattern.clone()),
            TextMatch::Regex(pattern) => TextTest::Regex(pattern.clone()),
        };
        match (field, column(field)) {
            (TextField::Attribute(key), _) => Self::Attribute(AttributeText::new(key.clone(), test)),
            // What is not there is stored as empty text, which a pattern may fit.
            (_, Some(column)) if matches!(wanted, TextMatch::Regex(_)) => {
                Self::All(vec![Self::of_existing(field), Self::Text(column, test)])
            }
            (_, Some(column)) => Self::Text(column, test),
            // A message that is not there is an empty one.
            (_, None) => {
                let fits_nothing_said = !matches!(test, TextTest::Regex(_)) && test.holds("");
                Self::Message(test, fits_nothing_said)
            }
        }
    }

    fn of_existing(field: &TextField) -> Self {
        match (field, column(field)) {
            (TextField::Service | TextField::Name, _) => Self::Constant(true),
            (TextField::Attribute(key), _) => Self::Attribute(AttributeText::new(key.clone(), TextTest::Exists)),
            (_, Some(column)) => Self::Not(Box::new(Self::Text(column, TextTest::Equals(String::new())))),
            (_, None) => Self::Message(TextTest::Exists, false),
        }
    }

    /// The columns that are asked.
    pub(super) fn columns(&self) -> Vec<&'static str> {
        match self {
            Self::Constant(_) => Vec::new(),
            Self::All(tests) | Self::Any(tests) => tests.iter().flat_map(Self::columns).collect(),
            Self::Not(test) => test.columns(),
            Self::Text(column, _) | Self::Whole(column, ..) | Self::Code(column, _) => vec![column],
            Self::Message(..) => vec!["status_message"],
            Self::Attribute(_) => vec!["attrs", "resource"],
            Self::DatabaseSystem(_) => vec!["db_system", "resource"],
            Self::Number(_) => vec!["attrs_num"],
            Self::Traces(wanted) => vec![wanted.column()],
            Self::Spans(_) => vec!["span_id"],
            Self::Known(_) => vec!["trace_id", "span_id"],
            Self::IsRoot => vec!["is_root"],
            Self::SlowerThan(_) => vec!["service", "name", "duration_ns"],
            Self::FullText(_) => vec!["name", "service", "status_message", "attrs"],
        }
    }

    /// Has traces compared by the numbers that rows of a segment hold; whether there are any.
    fn number_traces(&mut self, segment: &Segment, open: &OpenSegment) -> Result<bool, StoreError> {
        match self {
            Self::All(tests) | Self::Any(tests) => {
                let mut has_any = false;
                for test in tests {
                    has_any |= test.number_traces(segment, open)?;
                }
                Ok(has_any)
            }
            Self::Not(test) => test.number_traces(segment, open),
            Self::Traces(Wanted::Ids(ids)) => {
                *self = Self::Traces(segment.wanted(open, ids)?);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Whether it is asked of trace ids as such, somewhere.
    fn needs_ids(&self) -> bool {
        match self {
            Self::All(tests) | Self::Any(tests) => tests.iter().any(Self::needs_ids),
            Self::Not(test) => test.needs_ids(),
            Self::Known(_) => true,
            _ => false,
        }
    }

    /// A text that every row has which passes.
    pub(super) fn required_text(&self) -> Option<&ContainsText> {
        match self {
            Self::FullText(test) => Some(test),
            Self::All(tests) => tests.iter().find_map(Self::required_text),
            _ => None,
        }
    }

    fn is_costly(&self) -> bool {
        // Ids do not compress, and a segment names traces by its own numbers, which have to be looked up.
        let is_known = matches!(self, Self::Known(_));
        is_known || self.columns().iter().any(|column| COSTLY_COLUMNS.contains(column))
    }

    /// Which rows of a batch with at least these columns pass.
    pub(super) fn mask(&self, batch: &RecordBatch) -> BooleanBuffer {
        let rows = batch.num_rows();
        match self {
            Self::Constant(true) => BooleanBuffer::new_set(rows),
            Self::Constant(false) => BooleanBuffer::new_unset(rows),
            Self::All(tests) => {
                tests.iter().fold(BooleanBuffer::new_set(rows), |mask, test| match mask.count_set_bits() {
                    0 => mask,
                    _ => &mask & &test.mask(batch),
                })
            }
            Self::Any(tests) => {
                tests.iter().fold(BooleanBuffer::new_unset(rows), |mask, test| match mask.count_set_bits() {
                    all if all == rows => mask,
                    _ => &mask | &test.mask(batch),
                })
            }
            Self::Not(test) => !&test.mask(batch),
            Self::Text(name, test) => by_dictionary(array(batch, name), |text| test.holds(text)),
            Self::Message(test, fits_nothing_said) => {
                let messages = array(batch, "status_message").as_string::<i32>();
                BooleanBuffer::collect_bool(rows, |row| {
                    if messages.is_valid(row) { test.holds(messages.value(row)) } else { *fits_nothing_said }
                })
            }
            Self::Attribute(test) => test.mask(array(batch, "attrs").as_map(), array(batch, "resource")),
            Self::DatabaseSystem(test) => {
                test.may_hold(array(batch, "db_system").as_string::<i32>(), array(batch, "resource"))
            }
            Self::Number(test) => test.mask(array(batch, "attrs_num").as_map()),
            Self::Whole(name, low, high) => {
                let values = array(batch, name).as_primitive::<Int64Type>().values();
                BooleanBuffer::collect_bool(rows, |row| (*low..=*high).contains(&values[row]))
            }
            Self::Code(name, codes) => {
                let values = array(batch, name).as_primitive::<UInt8Type>().values();
                BooleanBuffer::collect_bool(rows, |row| codes.contains(&values[row]))
            }
            Self::Traces(wanted) => wanted.mask(array(batch, wanted.column()).as_ref()).values().clone(),
            Self::Spans(wanted) => {
                let ids = array(batch, "span_id").as_fixed_size_binary();
                let id = |row: usize| SpanId::from_slice(ids.value(row)).unwrap_or_default();
                BooleanBuffer::collect_bool(rows, |row| wanted.contains(&id(row)))
            }
            Self::Known(known) => {
                let (traces, spans) = (array(batch, "trace_id"), array(batch, "span_id"));
                let (traces, spans) = (traces.as_fixed_size_binary(), spans.as_fixed_size_binary());
                BooleanBuffer::collect_bool(rows, |row| {
                    let trace_id = TraceId::from_slice(traces.value(row)).unwrap_or_default();
                    known.contains(trace_id, SpanId::from_slice(spans.value(row)).unwrap_or_default())
                })
            }
            Self::IsRoot => array(batch, "is_root").as_boolean().values().clone(),
            Self::SlowerThan(limits) => {
                slower_than(limits, array(batch, "service"), array(batch, "name"), array(batch, "duration_ns"))
            }
            Self::FullText(test) => {
                let outside = outside_mask(test, batch);
                &outside | &test.mask_attributes(array(batch, "attrs").as_map())
            }
        }
    }
}

/// What a column of its own tells of an attribute, cheaper than the attributes do.
///
/// Text of the key is promoted, and that of an older key in its place where both are there; so the
/// column only tells which rows have neither. What is not text is not promoted, so the wanted value has
/// to be one that only text can be: it does not read as a number, a flag, bytes or a list.
fn promoted(filter: &Filter) -> Option<Test> {
    let Filter::Text(TextField::Attribute(key), TextMatch::Equals(text)) = filter else { return None };
    let is_word = text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_.-".contains(letter));
    let is_text = is_word && text.contains(|letter| matches!(letter, 'g'..='z'));
    let is_other = ["true", "false", "inf", "-inf"].contains(&text.as_str());
    if key != DATABASE_SYSTEM || !is_text || is_other {
        return None;
    }
    Some(Test::DatabaseSystem(AttributeText::new(key.clone(), TextTest::Equals(text.clone()))))
}

/// The columns that [`outside_mask`] needs.
pub(super) const OUTSIDE_COLUMNS: [&str; 3] = ["name", "service", "status_message"];

/// In which rows the text stands elsewhere than in an attribute.
pub(super) fn outside_mask(test: &ContainsText, batch: &RecordBatch) -> BooleanBuffer {
    let messages = array(batch, "status_message").as_string::<i32>();
    test.mask_outside([array(batch, "name"), array(batch, "service")], messages)
}

fn array<'a>(batch: &'a RecordBatch, name: &str) -> &'a ArrayRef {
    batch.column_by_name(name).expect("the columns that are asked were read")
}

/// The dictionary column of a field, where it has one.
fn column(field: &TextField) -> Option<&'static str> {
    match field {
        TextField::Service => Some("service"),
        TextField::Name => Some("name"),
        TextField::Environment => Some("environment"),
        TextField::Version => Some("version"),
        TextField::Host => Some("host"),
        TextField::StatusMessage | TextField::Attribute(_) => None,
    }
}

/// The whole numbers in the range, both ends inside; `None` when there is none.
pub(super) fn whole(range: NumberRange) -> Option<(i64, i64)> {
    let low = range.low.map_or(Some(i64::MIN), at_least)?;
    let high = range.high.map_or(Some(i64::MAX), at_most)?;
    (low <= high).then_some((low, high))
}

/// The first float beyond all whole numbers of 64 bits.
const BEYOND: f64 = 9_223_372_036_854_775_808.0;

/// The least whole number in the range; `None` when there is none.
fn at_least(low: Bound) -> Option<i64> {
    // Not by adding one to the float: from 2^53 on that is the same float.
    match low.value {
        value if value.is_nan() || value >= BEYOND => None,
        value if !low.inclusive && value >= -BEYOND && value.fract() == 0.0 => (value as i64).checked_add(1),
        value => Some(value.ceil() as i64),
    }
}

/// The greatest whole number in the range; `None` when there is none.
fn at_most(high: Bound) -> Option<i64> {
    match high.value {
        value if value.is_nan() || value < -BEYOND => None,
        value if !high.inclusive && value < BEYOND && value.fract() == 0.0 => (value as i64).checked_sub(1),
        value => Some(value.floor() as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_become_whole_numbers() {
        let bound = |value, inclusive| Bound { value, inclusive };
        assert_eq!(at_least(bound(10.0, true)), Some(10));
        assert_eq!(at_least(bound(10.0, false)), Some(11));
        assert_eq!(at_least(bound(10.5, true)), Some(11));
        assert_eq!(at_least(bound(10.5, false)), Some(11));
        assert_eq!(at_most(bound(10.0, true)), Some(10));
        assert_eq!(at_most(bound(10.0, false)), Some(9));
        assert_eq!(at_most(bound(10.5, false)), Some(10));
        assert_eq!(at_least(bound(f64::NAN, true)), None);
        assert_eq!(at_most(bound(f64::NAN, true)), None);
        assert_eq!(at_most(bound(f64::INFINITY, true)), Some(i64::MAX));
        let large = 1i64 << 60;
        assert_eq!(at_least(bound(large as f64, false)), Some(large + 1));
        assert_eq!(at_most(bound(large as f64, false)), Some(large - 1));
        assert_eq!((at_least(bound(BEYOND, true)), at_most(bound(BEYOND, false))), (None, Some(i64::MAX)));
        assert_eq!((at_least(bound(-BEYOND, true)), at_most(bound(-BEYOND, false))), (Some(i64::MIN), None));
    }
}
