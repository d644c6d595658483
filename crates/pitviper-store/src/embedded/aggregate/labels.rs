//! Labels of rows as small numbers, so that groups are found without comparing text.

use arrow::array::{Array, ArrayRef, AsArray, MapArray};
use arrow::datatypes::{Int32Type, UInt8Type};
use arrow::record_batch::RecordBatch;
use pitviper_model::{SpanKind, StatusCode};
use rustc_hash::FxHashMap;

use crate::questions::aggregate::{Aggregate, GroupField};
use crate::schema::read_resource;

/// The label of a span that does not have the field.
pub(super) const MISSING: u32 = 0;
/// A label that is new after there was room for new ones.
pub(super) const UNKNOWN: u32 = u32::MAX;

/// Texts by number, and numbers by text.
#[derive(Debug)]
pub(super) struct Labels {
    numbers: FxHashMap<Box<str>, u32>,
    texts: Vec<Box<str>>,
    limit: usize,
}

impl Labels {
    pub(super) fn new(limit: usize) -> Self {
        // The first is nobody's: it stands for what is missing.
        Self { numbers: FxHashMap::default(), texts: vec![Box::default()], limit }
    }

    pub(super) fn text(&self, label: u32) -> Option<String> {
        (label != MISSING).then(|| self.texts[label as usize].to_string())
    }

    fn of(&mut self, text: &str) -> u32 {
        let text = &text[..text.floor_char_boundary(Aggregate::MAX_LABEL_BYTES)];
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        if self.texts.len() > self.limit {
            return UNKNOWN;
        }
        let number = self.texts.len() as u32;
        self.numbers.insert(text.into(), number);
        self.texts.push(text.into());
        number
    }

    /// The label of each row.
    pub(super) fn of_rows(&mut self, field: &GroupField, batch: &RecordBatch) -> Vec<u32> {
        match field {
            GroupField::Service | GroupField::Name => self.of_dictionary(column(batch, columns(field)[0]), false),
            GroupField::Environment | GroupField::Version | GroupField::Host => {
                self.of_dictionary(column(batch, columns(field)[0]), true)
            }
            GroupField::Kind => {
                let name = |number: u8| SpanKind::from_otlp(i32::from(number)).as_str();
                self.of_numbers(column(batch, "kind"), name)
            }
            GroupField::Status => {
                let name = |number: u8| StatusCode::from_otlp(i32::from(number)).as_str();
                self.of_numbers(column(batch, "status"), name)
            }
            GroupField::Attribute(key) => {
                self.of_attribute(key, column(batch, "attrs").as_map(), column(batch, "resource"))
            }
        }
    }

    fn of_numbers(&mut self, column: &ArrayRef, name: impl Fn(u8) -> &'static str) -> Vec<u32> {
        let numbers = column.as_primitive::<UInt8Type>().values();
        let mut known = [None; 256];
        numbers.iter().map(|&number| *known[usize::from(number)].get_or_insert_with(|| self.of(name(number)))).collect()
    }

    /// Each text of the dictionary is looked up once, when it is first met.
    fn of_dictionary(&mut self, column: &ArrayRef, empty_is_missing: bool) -> Vec<u32> {
        let column = column.as_dictionary::<Int32Type>();
        let texts = column.values().as_string::<i32>();
        let mut known = vec![None; texts.len()];
        let label = |&key: &i32| {
            *known[key as usize].get_or_insert_with(|| match texts.value(key as usize) {
                "" if empty_is_missing => MISSING,
                text => self.of(text),
            })
        };
        column.keys().values().iter().map(label).collect()
    }

    fn of_attribute(&mut self, key: &str, attributes: &MapArray, resource: &ArrayRef) -> Vec<u32> {
        let (keys, values) = (attributes.keys().as_string::<i32>(), attributes.values().as_string::<i32>());
        let resource = resource.as_dictionary::<Int32Type>();
        let resources = resource.values().as_string::<i32>();
        let mut of_resource = vec![None; resources.len()];
        let offsets = attributes.value_offsets();
        // Of a repeated key the last value counts.
        let find =
            |row: usize| (offsets[row] as usize..offsets[row + 1] as usize).rev().find(|&at| keys.value(at) == key);
        (0..attributes.len())
            .map(|row| {
                if let Some(at) = find(row) {
                    return self.of(values.value(at));
                }
                let number = resource.keys().value(row) as usize;
                *of_resource[number].get_or_insert_with(|| {
                    let resource = read_resource(resources.value(number)).unwrap_or_default();
                    resource.attributes.get(key).map_or(MISSING, |value| self.of(&value.to_text()))
                })
            })
            .collect()
    }
}

/// The columns that a field is read from.
pub(super) fn columns(field: &GroupField) -> &'static [&'static str] {
    match field {
        GroupField::Service => &["service"],
        GroupField::Name => &["name"],
        GroupField::Environment => &["environment"],
        GroupField::Version => &["version"],
        GroupField::Host => &["host"],
        GroupField::Kind => &["kind"],
        GroupField::Status => &["status"],
        GroupField::Attribute(_) => &["attrs", "resource"],
    }
}

/// A column of the batch.
pub(super) fn column<'a>(batch: &'a RecordBatch, name: &str) -> &'a ArrayRef {
    batch.column_by_name(name).expect("the columns of all fields are asked for")
}
