//! Counts fields and values of rows. A text of a dictionary is looked up once a batch, however many
//! rows have it.

use arrow::array::{Array, AsArray, MapArray, StringArray};
use arrow::datatypes::{Int32Type, UInt8Type};
use arrow::record_batch::RecordBatch;
use pitviper_model::{SpanKind, StatusCode, Value};
use rustc_hash::FxHashMap;

use crate::questions::aggregate::GroupField;
use crate::questions::survey::{FieldCounts, Surveyed};
use crate::schema::{TypeLetter, read_resource};
use crate::store::StoreError;

/// The columns that are read.
pub(super) const COLUMNS: [&str; 10] =
    ["service", "name", "kind", "status", "environment", "version", "host", "attrs", "attr_types", "resource"];

/// Fields of every span.
const RESERVED: [GroupField; 7] = [
    GroupField::Service,
    GroupField::Name,
    GroupField::Kind,
    GroupField::Status,
    GroupField::Environment,
    GroupField::Version,
    GroupField::Host,
];

/// What a value is, as far as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Number,
    Flag,
    Other,
}

impl Type {
    fn of_letter(letter: Option<char>) -> Self {
        match letter {
            Some(TypeLetter::BOOL) => Self::Flag,
            Some(TypeLetter::INT | TypeLetter::DOUBLE) => Self::Number,
            _ => Self::Other,
        }
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Bool(_) => Self::Flag,
            Value::Int(_) | Value::Double(_) => Self::Number,
            Value::String(_) | Value::Bytes(_) | Value::Array(_) | Value::Map(_) => Self::Other,
        }
    }
}

/// A field so far.
#[derive(Debug, Default)]
struct Field {
    count: u64,
    numbers: u64,
    flags: u64,
    on_span: bool,
    /// The last row that has it, numbered over all batches.
    last_row: u64,
    values: FxHashMap<Box<str>, u64>,
}

impl Field {
    fn add(&mut self, text: &str, count: u64, of: Type) {
        self.count += count;
        match of {
            Type::Number => self.numbers += count,
            Type::Flag => self.flags += count,
            Type::Other => {}
        }
        match self.values.get_mut(text) {
            Some(known) => *known += count,
            None => {
                self.values.insert(text.into(), count);
            }
        }
    }

    fn finish(self, field: GroupField, max_values: usize) -> FieldCounts {
        let distinct = self.values.len();
        let mut values: Vec<(Box<str>, u64)> = self.values.into_iter().collect();
        values
            .sort_unstable_by(|(text, count), (other_text, other)| other.cmp(count).then_with(|| text.cmp(other_text)));
        values.truncate(max_values);
        FieldCounts {
            field,
            on_span: self.on_span,
            count: self.count,
            numbers: self.numbers,
            flags: self.flags,
            distinct,
            values: values.into_iter().map(|(text, count)| (text.into(), count)).collect(),
        }
    }
}

/// An attribute of a resource.
struct OfResource {
    attribute: usize,
    text: String,
    value_type: Type,
}

/// Counts so far.
#[derive(Debug)]
pub(super) struct Tally {
    /// In the order of [`RESERVED`].
    reserved: [Field; RESERVED.len()],
    attributes: Vec<Field>,
    names: FxHashMap<Box<str>, usize>,
    max_attributes: usize,
    rows: u64,
    left_out: bool,
}

impl Tally {
    pub(super) fn new(max_attributes: usize) -> Self {
        Self {
            reserved: Default::default(),
            attributes: Vec::new(),
            names: FxHashMap::default(),
            max_attributes,
            rows: 0,
            left_out: false,
        }
    }

    /// Counts rows with the columns [`COLUMNS`].
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        for (place, name) in [(0, "service"), (1, "name"), (4, "environment"), (5, "version"), (6, "host")] {
            self.add_texts(place, batch, name);
        }
        let kind = |code: u8| SpanKind::from_otlp(i32::from(code)).as_str();
        let status = |code: u8| StatusCode::from_otlp(i32::from(code)).as_str();
        add_codes(&mut self.reserved[2], batch, "kind", kind);
        add_codes(&mut self.reserved[3], batch, "status", status);
        self.add_attributes(batch)
    }

    fn add_texts(&mut self, place: usize, batch: &RecordBatch, name: &str) {
        let column = column(batch, name).as_dictionary::<Int32Type>();
        let texts = column.values().as_string::<i32>();
        let mut counts = vec![0; texts.len()];
        column.keys().values().iter().for_each(|&key| counts[key as usize] += 1);
        for (at, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            // Every span has a service and a name; what else is not said is stored as empty text.
            if place < 2 || !texts.value(at).is_empty() {
                self.reserved[place].add(texts.value(at), count, Type::Other);
            }
        }
    }

    fn add_attributes(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let map: &MapArray = column(batch, "attrs").as_map();
        let (keys, values) = (map.keys().as_string::<i32>(), map.values().as_string::<i32>());
        let offsets = map.value_offsets();
        let types: &StringArray = column(batch, "attr_types").as_string::<i32>();
        let resources = column(batch, "resource").as_dictionary::<Int32Type>();
        let mut known: Vec<Option<Vec<OfResource>>> = Vec::new();
        known.resize_with(resources.values().len(), || None);
        for row in 0..batch.num_rows() {
            self.rows += 1;
            let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
            let letters = if types.is_valid(row) { types.value(row).as_bytes() } else { &[] };
            // Of a repeated key the last value counts, and a span's attribute before its resource's.
            for at in (from..to).rev() {
                if let Some(attribute) = self.attribute(keys.value(at)) {
                    let letter = letters.get(at - from).map(|&letter| char::from(letter));
                    self.add_once(attribute, values.value(at), Type::of_letter(letter), true);
                }
            }
            let number = resources.keys().value(row) as usize;
            let of_resource = match &known[number] {
                Some(known) => known,
                None => {
                    let resource = read_resource(resources.values().as_string::<i32>().value(number))?;
                    let attributes = resource.attributes.0.iter().rev().filter_map(|(key, value)| {
                        let attribute = self.attribute(key)?;
                        Some(OfResource { attribute, text: value.to_text(), value_type: Type::of(value) })
                    });
                    known[number].insert(attributes.collect())
                }
            };
            for OfResource { attribute, text, value_type } in of_resource {
                self.add_once(*attribute, text, *value_type, false);
            }
        }
        Ok(())
    }

    fn add_once(&mut self, attribute: usize, text: &str, value_type: Type, on_span: bool) {
        let field = &mut self.attributes[attribute];
        if field.last_row != self.rows {
            field.last_row = self.rows;
            field.on_span |= on_span;
            field.add(text, 1, value_type);
        }
    }

    /// The number of an attribute; `None` when there is no room for more.
    fn attribute(&mut self, key: &str) -> Option<usize> {
        if let Some(&known) = self.names.get(key) {
            return Some(known);
        }
        // An empty key cannot be written in a search.
        if key.is_empty() {
            return None;
        }
        if self.attributes.len() >= self.max_attributes {
            self.left_out = true;
            return None;
        }
        self.names.insert(key.into(), self.attributes.len());
        self.attributes.push(Field::default());
        Some(self.attributes.len() - 1)
    }

    pub(super) fn finish(self, spans: usize, complete: bool, max_values: usize) -> Surveyed {
        let reserved = RESERVED.into_iter().zip(self.reserved);
        let mut fields: Vec<FieldCounts> = reserved
            .filter(|(_, field)| field.count > 0)
            .map(|(reserved, field)| field.finish(reserved, max_values))
            .collect();
        let mut names: Vec<(Box<str>, usize)> = self.names.into_iter().collect();
        names.sort_unstable_by_key(|(_, number)| *number);
        let mut attributes: Vec<(Box<str>, Field)> =
            names.into_iter().zip(self.attributes).map(|((name, _), field)| (name, field)).collect();
        attributes.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        fields.extend(
            attributes
                .into_iter()
                .filter(|(_, field)| field.count > 0)
                .map(|(name, field)| field.finish(GroupField::Attribute(name.into()), max_values)),
        );
        Surveyed { spans, complete, fields, left_out: self.left_out }
    }
}

fn add_codes(field: &mut Field, batch: &RecordBatch, name: &str, text: impl Fn(u8) -> &'static str) {
    let mut counts = [0u64; 256];
    column(batch, name).as_primitive::<UInt8Type>().values().iter().for_each(|&code| counts[usize::from(code)] += 1);
    for (code, count) in (0..=u8::MAX).zip(counts).filter(|(_, count)| *count > 0) {
        field.add(text(code), count, Type::Other);
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> &'a dyn Array {
    batch.column_by_name(name).expect("the column was read").as_ref()
}
