//! Counts the keys and values of spans.

use std::borrow::Cow;

use pitviper_model::{SpanKind, StatusCode, Value};
use pitviper_store::StoredSpan;
use pitviper_store::questions::aggregate::GroupField;
use pitviper_store::questions::survey::{FieldCounts, Surveyed};
use rustc_hash::FxHashMap;

use super::{Source, ValueType};
use crate::search::{Expr, Field, Matcher, Query, SpanSet, Text};

/// Most keys that are counted; of those that come later none are.
pub(super) const MAX_KEYS: usize = 500;

/// Most values that are kept of a key, the most frequent ones.
pub(super) const MAX_VALUES: usize = 200;

/// Most values that are kept of a key whose values are unique: they are but examples.
const MAX_UNIQUE_VALUES: usize = 10;

/// Most text that is kept of a value, in bytes.
const MAX_VALUE_BYTES: usize = 200;

/// Most text that is kept of all values together, in bytes.
const MAX_TEXT_BYTES: usize = 1024 * 1024;

/// A key is unique when more spans than this have it, each with another value.
const UNIQUE_ABOVE: u64 = 10;

/// A key of spans.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::views) enum Key {
    Service,
    Name,
    Kind,
    Status,
    Environment,
    Version,
    Host,
    Attribute(String),
}

impl Key {
    /// The fields that every span can have, as they are listed.
    const RESERVED: [Self; 7] =
        [Self::Service, Self::Name, Self::Kind, Self::Status, Self::Environment, Self::Version, Self::Host];

    /// The key of a field; `None` when what it holds is not counted.
    pub(in crate::views) fn of(field: &Field) -> Option<Self> {
        Some(match field {
            Field::Service => Self::Service,
            Field::Name => Self::Name,
            Field::Environment => Self::Environment,
            Field::Version => Self::Version,
            Field::Host => Self::Host,
            Field::Attribute(key) => Self::Attribute(key.clone()),
            Field::Duration => return None,
        })
    }

    fn of_group(field: GroupField) -> Self {
        match field {
            GroupField::Service => Self::Service,
            GroupField::Name => Self::Name,
            GroupField::Environment => Self::Environment,
            GroupField::Version => Self::Version,
            GroupField::Host => Self::Host,
            GroupField::Kind => Self::Kind,
            GroupField::Status => Self::Status,
            GroupField::Attribute(key) => Self::Attribute(key),
        }
    }

    fn field(&self) -> Option<Field> {
        Some(match self {
            Self::Service => Field::Service,
            Self::Name => Field::Name,
            Self::Environment => Field::Environment,
            Self::Version => Field::Version,
            Self::Host => Field::Host,
            Self::Attribute(key) => Field::Attribute(key.clone()),
            Self::Kind | Self::Status => return None,
        })
    }

    /// The name itself.
    pub(in crate::views) fn name(&self) -> &str {
        match self {
            Self::Service => "service",
            Self::Name => "name",
            Self::Kind => "kind",
            Self::Status => "status",
            Self::Environment => "env",
            Self::Version => "version",
            Self::Host => "host",
            Self::Attribute(key) => key,
        }
    }

    /// The name as it is written in a search.
    pub(in crate::views) fn written(&self) -> String {
        self.field().map_or_else(|| self.name().to_owned(), |field| field.to_string())
    }

    /// The term that finds a value. Of text that was cut, it finds all that begins so.
    pub(in crate::views) fn term(&self, value: &ValueCount) -> String {
        let Some(field) = self.field() else { return format!("{}:{}", self.name(), value.text) };
        let text =
            if value.cut { Text::Wildcard(format!("{}*", value.text)) } else { Text::Literal(value.text.clone()) };
        let term = Expr::Field(field, Matcher::Text(text));
        Query { spans: SpanSet::Matching(Some(term)), pipes: Vec::new() }.to_string()
    }
}

/// A value and how many spans have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::views) struct ValueCount {
    /// Its text, or the beginning of it.
    pub(in crate::views) text: String,
    /// Whether there is more of it.
    pub(in crate::views) cut: bool,
    /// How many spans have it.
    pub(in crate::views) count: u64,
}

impl ValueCount {
    pub(super) fn new(text: &str, count: u64) -> Self {
        let mut end = text.len().min(MAX_VALUE_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self { text: text[..end].to_owned(), cut: end < text.len(), count }
    }

    /// As it is shown.
    pub(in crate::views) fn shown(&self) -> String {
        if self.cut { format!("{}…", self.text) } else { self.text.clone() }
    }
}

/// A key and its values.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::views) struct KeyCounts {
    pub(in crate::views) key: Key,
    pub(in crate::views) source: Source,
    pub(in crate::views) value_type: ValueType,
    /// How many spans have it.
    pub(in crate::views) count: u64,
    /// The share of spans that have it.
    pub(in crate::views) share: f64,
    pub(in crate::views) distinct: usize,
    /// Whether all matching spans were counted.
    pub(in crate::views) exact: bool,
    /// Whether its value is another on every span.
    pub(in crate::views) unique: bool,
    /// The most frequent values first.
    pub(in crate::views) values: Vec<ValueCount>,
}

/// The keys of spans and their values.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::views) struct Counts {
    /// How many spans were looked at.
    pub(in crate::views) sample: usize,
    /// Whether there are more.
    pub(in crate::views) sampled: bool,
    /// How many there are; `None` when that is not known.
    pub(in crate::views) spans: Option<u64>,
    /// Reserved fields, then attributes, unique ones last.
    pub(in crate::views) keys: Vec<KeyCounts>,
    /// Whether a bound left keys or values out.
    pub(in crate::views) left_out: bool,
}

impl Counts {
    /// Counts what these spans have.
    pub(in crate::views) fn of(spans: &[StoredSpan], sampled: bool) -> Self {
        let mut counting = Counting::default();
        for (index, stored) in spans.iter().enumerate() {
            counting.add_span(index, stored);
        }
        let total = spans.len() as u64;
        let reserved = Key::RESERVED.into_iter().zip(counting.reserved).filter(|(_, counted)| counted.count > 0);
        let reserved = reserved.map(|(key, counted)| counted.finish(key, Source::Reserved, total, !sampled));
        let attributes = counting.attributes.into_iter().map(|(key, counted)| {
            let source = if counted.on_span { Source::Span } else { Source::Resource };
            counted.finish(Key::Attribute(key.to_owned()), source, total, !sampled)
        });
        Self::put_together(spans.len(), sampled, counting.left_out, reserved.chain(attributes).collect())
    }

    /// What the store has counted.
    pub(in crate::views) fn of_survey(surveyed: Surveyed) -> Self {
        let Surveyed { spans, complete, fields, left_out } = surveyed;
        let key_counts = |counts: FieldCounts| {
            let FieldCounts { field, on_span, count, numbers, flags, distinct, values } = counts;
            let key = Key::of_group(field);
            let source = match &key {
                Key::Attribute(_) if on_span => Source::Span,
                Key::Attribute(_) => Source::Resource,
                _ => Source::Reserved,
            };
            let values = values.iter().map(|(text, count)| ValueCount::new(text, *count)).collect();
            let mut counts = KeyCounts {
                key,
                source,
                value_type: value_type(count, numbers, flags),
                count,
                share: share(count, spans as u64),
                distinct,
                exact: complete,
                unique: is_unique(count, distinct),
                values,
            };
            if counts.unique {
                counts.values.truncate(MAX_UNIQUE_VALUES);
            }
            counts
        };
        Self::put_together(spans, !complete, left_out, fields.into_iter().map(key_counts).collect())
    }

    /// Reserved fields come in their order.
    pub(super) fn put_together(sample: usize, sampled: bool, left_out: bool, keys: Vec<KeyCounts>) -> Self {
        let (reserved, mut attributes): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|counts| counts.source == Source::Reserved);
        attributes.sort_unstable_by(|a, b| (a.source, b.count, a.key.name()).cmp(&(b.source, a.count, b.key.name())));
        let (unique, shared): (Vec<_>, Vec<_>) =
            reserved.into_iter().chain(attributes).partition(|counts| counts.unique);
        let spans = (!sampled).then_some(sample as u64);
        let mut counts = Self { sample, sampled, spans, keys: shared, left_out };
        counts.keys.extend(unique);
        counts.fit();
        counts
    }

    /// What is known of a key.
    pub(in crate::views) fn get(&self, key: &Key) -> Option<&KeyCounts> {
        self.keys.iter().find(|counts| counts.key == *key)
    }

    /// About how much memory this takes, in bytes.
    pub(in crate::views) fn bytes(&self) -> usize {
        let of_key = |counts: &KeyCounts| {
            let texts: usize = counts.values.iter().map(|value| value.text.len()).sum();
            counts.key.name().len() + texts + counts.values.len() * size_of::<ValueCount>()
        };
        size_of::<Self>() + self.keys.iter().map(|counts| of_key(counts) + size_of::<KeyCounts>()).sum::<usize>()
    }

    /// Puts exact counts of a reserved field in place of what the sample says.
    pub(super) fn set_exact(&mut self, key: &Key, values: FxHashMap<&str, u64>, total: u64) {
        if values.is_empty() {
            return;
        }
        let mut counted = Counted::default();
        for (text, count) in values {
            counted.values.insert(Cow::Borrowed(text), count);
            counted.count += count;
        }
        let counts = counted.finish(key.clone(), Source::Reserved, total, true);
        match self.keys.iter_mut().find(|known| known.key == *key) {
            Some(known) => *known = counts,
            None => {
                let place = |key: &Key| Key::RESERVED.iter().position(|reserved| reserved == key);
                let own = place(key);
                let behind = |known: &KeyCounts| place(&known.key).is_none_or(|place| Some(place) > own);
                let at = self.keys.iter().position(behind).unwrap_or(self.keys.len());
                self.keys.insert(at, counts);
            }
        }
        self.fit();
    }

    /// Lets go of values beyond the bound on all text together, those of the last keys first.
    fn fit(&mut self) {
        let mut left = MAX_TEXT_BYTES;
        for counts in &mut self.keys {
            let fits = |value: &ValueCount| {
                let rest = left.checked_sub(value.text.len());
                left = rest.unwrap_or(0);
                rest.is_some()
            };
            let kept = counts.values.iter().map(fits).take_while(|fits| *fits).count();
            self.left_out |= kept < counts.values.len();
            counts.values.truncate(kept);
        }
    }
}

/// Counts under way.
#[derive(Default)]
struct Counting<'a> {
    /// In the order of [`Key::RESERVED`].
    reserved: [Counted<'a>; 7],
    attributes: FxHashMap<&'a str, Counted<'a>>,
    left_out: bool,
}

impl<'a> Counting<'a> {
    fn add_span(&mut self, index: usize, stored: &'a StoredSpan) {
        let StoredSpan { span, resource, .. } = stored;
        let reserved: [&str; 7] = [
            resource.service(),
            &span.name,
            SpanKind::as_str(span.kind),
            StatusCode::as_str(span.status.code),
            resource.environment(),
            resource.version(),
            resource.host(),
        ];
        for (place, (counted, text)) in self.reserved.iter_mut().zip(reserved).enumerate() {
            // Every span has a service and a name; what else is not said is stored as empty text.
            if place < 2 || !text.is_empty() {
                counted.add(index, Cow::Borrowed(text), ValueType::String);
            }
        }
        // Of a repeated key the last value counts, and a span's attribute before its process's.
        for (key, value) in span.attributes.0.iter().rev() {
            self.add_attribute(index, key, value, true);
        }
        for (key, value) in resource.attributes.0.iter().rev() {
            self.add_attribute(index, key, value, false);
        }
    }

    fn add_attribute(&mut self, index: usize, key: &'a str, value: &'a Value, on_span: bool) {
        // An empty key cannot be written in a search.
        if key.is_empty() {
            return;
        }
        if !self.attributes.contains_key(key) && self.attributes.len() >= MAX_KEYS {
            self.left_out = true;
            return;
        }
        let counted = self.attributes.entry(key).or_default();
        if counted.last_span == Some(index) {
            return;
        }
        counted.on_span |= on_span;
        let (text, value_type) = match value {
            Value::String(text) => (Cow::Borrowed(text.as_str()), ValueType::String),
            Value::Bool(_) => (Cow::Owned(value.to_text()), ValueType::Bool),
            Value::Int(_) | Value::Double(_) => (Cow::Owned(value.to_text()), ValueType::Number),
            Value::Bytes(_) | Value::Array(_) | Value::Map(_) => (Cow::Owned(value.to_text()), ValueType::String),
        };
        counted.add(index, text, value_type);
    }
}

/// A key under way.
#[derive(Default)]
struct Counted<'a> {
    count: u64,
    numbers: u64,
    flags: u64,
    on_span: bool,
    last_span: Option<usize>,
    values: FxHashMap<Cow<'a, str>, u64>,
}

impl<'a> Counted<'a> {
    fn add(&mut self, index: usize, text: Cow<'a, str>, value_type: ValueType) {
        self.last_span = Some(index);
        self.count += 1;
        self.numbers += u64::from(value_type == ValueType::Number);
        self.flags += u64::from(value_type == ValueType::Bool);
        *self.values.entry(text).or_default() += 1;
    }

    fn finish(self, key: Key, source: Source, total: u64, exact: bool) -> KeyCounts {
        let distinct = self.values.len();
        let unique = is_unique(self.count, distinct);
        let mut values: Vec<(Cow<'a, str>, u64)> = self.values.into_iter().collect();
        values
            .sort_unstable_by(|(text, count), (other_text, other)| other.cmp(count).then_with(|| text.cmp(other_text)));
        values.truncate(if unique { MAX_UNIQUE_VALUES } else { MAX_VALUES });
        KeyCounts {
            key,
            source,
            value_type: value_type(self.count, self.numbers, self.flags),
            count: self.count,
            share: share(self.count, total),
            distinct,
            exact,
            unique,
            values: values.into_iter().map(|(text, count)| ValueCount::new(&text, count)).collect(),
        }
    }
}

/// What most of so many values are.
pub(super) fn value_type(count: u64, numbers: u64, flags: u64) -> ValueType {
    if numbers * 2 > count {
        ValueType::Number
    } else if flags * 2 > count {
        ValueType::Bool
    } else {
        ValueType::String
    }
}

fn is_unique(count: u64, distinct: usize) -> bool {
    count > UNIQUE_ABOVE && distinct as u64 == count
}

pub(super) fn share(count: u64, total: u64) -> f64 {
    if total == 0 { 0.0 } else { count as f64 / total as f64 }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use pitviper_model::{Attributes, Resource, Scope, Span, SpanId, TraceId};
    use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
    use pitviper_store::filter::Filter;
    use pitviper_store::questions::survey::Survey;
    use pitviper_store::schema::{SpanMetricsBuilder, SpansBuilder, WriteBatch};
    use pitviper_store::{Store, TimeRange};

    use super::*;

    fn stored(resource: &[(&str, &str)], attributes: Vec<(String, Value)>) -> StoredSpan {
        let resource = Resource { attributes: resource.iter().copied().collect(), ..Resource::default() };
        let span = Span { name: "work".into(), attributes: Attributes(attributes), ..Span::default() };
        StoredSpan { span, resource: Arc::new(resource), scope: Arc::new(Scope::default()) }
    }

    fn attribute(key: &str) -> Key {
        Key::Attribute(key.to_owned())
    }

    /// The store counts on its columns what is counted here on spans.
    #[tokio::test]
    async fn a_survey_is_counted_alike() {
        let dir = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).await.unwrap();
        let mut spans = Vec::new();
        for number in 1..=40u8 {
            let text = |key: &str, value: String| (key.to_owned(), Value::from(value));
            let mut attributes = vec![
                text("id", format!("{number}")),
                text("long", "é".repeat(usize::from(number % 3) * 150)),
                ("n".to_owned(), Value::Int(i64::from(number % 4))),
                text("", "no key".to_owned()),
            ];
            if number % 2 == 0 {
                attributes.push(("n".to_owned(), Value::Bool(true)));
                attributes.push(text("team", "own".to_owned()));
                attributes.push(("list".to_owned(), Value::Array(vec![1.into(), Value::Double(0.5)])));
            }
            let service = ["web", "db"][usize::from(number % 2)];
            let mut stored = stored(&[("service.name", service), ("team", "all"), ("host.name", "")], attributes);
            stored.span.trace_id = TraceId([number; 16]);
            stored.span.span_id = SpanId([number; 8]);
            stored.span.start_time_unix_nano = 1_000 + u64::from(number);
            stored.span.end_time_unix_nano = 2_000;
            stored.span.status.code = if number % 5 == 0 { StatusCode::Error } else { StatusCode::Unset };
            spans.push(stored);
        }
        for part in spans.chunks(15) {
            store.flush().await.unwrap();
            let mut rows = SpansBuilder::with_capacity(part.len());
            part.iter().for_each(|stored| rows.append(&stored.resource, &stored.scope, &stored.span));
            store.append(WriteBatch::new(rows, SpanMetricsBuilder::new())).await.unwrap();
        }
        spans.reverse();
        for limit in [40, 25] {
            let time = Duration::from_secs(60);
            let survey = Survey {
                max_pages: 100,
                range: TimeRange::ALL,
                filter: Filter::All,
                limit,
                time,
                time_for_nothing: time,
                max_attributes: MAX_KEYS,
                max_values: MAX_VALUES,
            };
            let counts = Counts::of_survey(store.survey(&survey).await.unwrap());
            assert_eq!(counts, Counts::of(&spans[..limit], limit < spans.len()));
            assert!(counts.get(&attribute("id")).unwrap().unique);
        }
        store.close().await.unwrap();
    }

    #[test]
    fn keys_are_counted_once_a_span() {
        let text = |key: &str, value: &str| (key.to_owned(), Value::from(value));
        let spans = [
            stored(&[("service.name", "web"), ("k", "of the process")], vec![text("k", "old"), text("k", "new")]),
            stored(&[("service.name", "web"), ("k", "of the process")], vec![("n".into(), Value::Int(7))]),
            stored(&[("service.name", "web")], vec![("n".into(), Value::Int(7)), ("on".into(), true.into())]),
        ];
        let counts = Counts::of(&spans, false);
        assert_eq!((counts.sample, counts.spans, counts.left_out), (3, Some(3), false));
        let k = counts.get(&attribute("k")).unwrap();
        let values: Vec<_> = k.values.iter().map(|value| (value.text.as_str(), value.count)).collect();
        assert_eq!((k.count, k.distinct, k.source), (2, 2, Source::Span));
        assert_eq!(values, [("new", 1), ("of the process", 1)]);
        let n = counts.get(&attribute("n")).unwrap();
        assert_eq!((n.value_type, n.count, n.share), (ValueType::Number, 2, 2.0 / 3.0));
        assert_eq!(counts.get(&attribute("on")).unwrap().value_type, ValueType::Bool);
        let order: Vec<&str> = counts.keys.iter().map(|counts| counts.key.name()).collect();
        assert_eq!(order, ["service", "name", "kind", "status", "k", "n", "on", "service.name"]);
    }

    #[test]
    fn unique_keys_come_last_and_bounds_hold() {
        let many = |count: usize| -> Vec<(String, Value)> {
            (0..count).map(|n| (format!("key{n:04}"), "x".repeat(1_000).into())).collect()
        };
        let spans: Vec<StoredSpan> = (0..20)
            .map(|n: i64| {
                let mut attributes = many(600);
                attributes.push(("id".into(), Value::Int(n)));
                attributes.push(("text".into(), format!("{n}{}", "é".repeat(200)).into()));
                stored(&[], attributes)
            })
            .collect();
        let counts = Counts::of(&spans, true);
        assert!(counts.left_out && counts.spans.is_none());
        assert_eq!(counts.keys.len(), MAX_KEYS + 4);
        let last: Vec<_> =
            counts.keys[MAX_KEYS + 2..].iter().map(|counts| (counts.key.name(), counts.unique)).collect();
        assert_eq!(last, [("id", true), ("text", true)]);
        let text = &counts.get(&attribute("text")).unwrap().values;
        assert_eq!(text.len(), MAX_UNIQUE_VALUES);
        assert!(text.iter().all(|value| value.cut && value.text.len() <= MAX_VALUE_BYTES));
        assert!(counts.bytes() < 2 * MAX_TEXT_BYTES);
        let term = attribute("text").term(&text[0]);
        assert!(term.ends_with("é*") && Query::parse(&term).is_ok(), "{term}");
    }
}
