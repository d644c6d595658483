//! Groups of columns of `spans` that belong together: texts with few values, attributes, ids.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::builder::{ArrayBuilder, Float64Builder, StringBuilder};
use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, FixedSizeBinaryArray, Int32Array, MapArray, StringArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int32Type};
use arrow::record_batch::RecordBatch;
use pitviper_model::{Attributes, Resource, Scope, Value};
use rustc_hash::FxHashMap;

use super::json::{write_hex, write_map, write_text, write_value};

/// Attributes that say in one line what a span did, the most telling first.
const DETAIL_ATTRIBUTES: [&str; 8] = [
    "db.query.text",
    "db.statement",
    "url.full",
    "http.url",
    "url.path",
    "http.target",
    "messaging.destination.name",
    "rpc.method",
];

pub(super) fn dictionary_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn map_fields(value: DataType) -> Fields {
    Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", value, false)])
}

pub(super) fn entries_field(value: DataType) -> FieldRef {
    Arc::new(Field::new("key_value", DataType::Struct(map_fields(value)), false))
}

/// Ids side by side, without the validity bitmap a general builder keeps.
#[derive(Debug, Default)]
pub(super) struct IdBuilder<const N: usize>(Vec<u8>);

impl<const N: usize> IdBuilder<N> {
    pub(super) fn with_capacity(n: usize) -> Self {
        Self(Vec::with_capacity(n * N))
    }

    pub(super) fn append(&mut self, id: [u8; N]) {
        self.0.extend_from_slice(&id);
    }

    pub(super) fn finish(self) -> ArrayRef {
        let size = i32::try_from(N).expect("ids have 8 or 16 bytes");
        Arc::new(FixedSizeBinaryArray::new(size, self.0.into(), None))
    }
}

/// Distinct texts and, for each row, which.
#[derive(Debug)]
pub(super) struct TextDictionary {
    keys: Vec<i32>,
    known: FxHashMap<Box<str>, i32>,
    values: StringBuilder,
}

impl TextDictionary {
    pub(super) fn with_capacity(n: usize) -> Self {
        Self { keys: Vec::with_capacity(n), known: FxHashMap::default(), values: StringBuilder::with_capacity(0, 0) }
    }

    pub(super) fn append(&mut self, text: &str) {
        let key = self.intern(text);
        self.keys.push(key);
    }

    /// Adds a row for each position in a list of texts.
    pub(super) fn append_all<'a>(&mut self, texts: impl Iterator<Item = &'a str>, positions: &[i32]) {
        let keys: Vec<i32> = texts.map(|text| self.intern(text)).collect();
        self.keys.extend(positions.iter().map(|&position| keys[position as usize]));
    }

    fn intern(&mut self, text: &str) -> i32 {
        if let Some(&key) = self.known.get(text) {
            return key;
        }
        let key = i32::try_from(self.known.len()).expect("a batch has fewer than 2^31 rows");
        self.known.insert(text.into(), key);
        self.values.append_value(text);
        key
    }

    pub(super) fn finish(mut self) -> ArrayRef {
        dictionary(self.keys, self.values.finish())
    }
}

fn dictionary(keys: Vec<i32>, values: StringArray) -> ArrayRef {
    let array = DictionaryArray::<Int32Type>::try_new(Int32Array::from(keys), Arc::new(values));
    Arc::new(array.expect("keys were handed out in the order of the values"))
}

/// One column of several batches, each text kept once.
pub(super) fn concat_dictionaries(batches: &[&RecordBatch], index: usize) -> ArrayRef {
    let rows = batches.iter().map(|batch| batch.num_rows()).sum();
    let mut merged = TextDictionary::with_capacity(rows);
    for batch in batches {
        let array = batch.column(index).as_dictionary::<Int32Type>();
        let texts = array.values().as_string::<i32>().iter().map(Option::unwrap_or_default);
        merged.append_all(texts, array.keys().values());
    }
    merged.finish()
}

/// The columns that follow from the resource. Spans of one resource come one after the other, so
/// comparing with the one before is enough to keep the dictionaries small.
#[derive(Debug)]
pub(super) struct ResourceColumns {
    keys: Vec<i32>,
    seen: Vec<Resource>,
}

impl ResourceColumns {
    pub(super) fn with_capacity(n: usize) -> Self {
        Self { keys: Vec::with_capacity(n), seen: Vec::new() }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn append(&mut self, resource: &Resource) {
        if self.seen.last() != Some(resource) {
            self.seen.push(resource.clone());
        }
        self.keys.push(i32::try_from(self.seen.len() - 1).expect("a batch has fewer than 2^31 rows"));
    }

    pub(super) fn finish(self) -> [ArrayRef; 5] {
        let column = |text: fn(&Resource) -> &str| {
            let mut column = TextDictionary::with_capacity(self.keys.len());
            column.append_all(self.seen.iter().map(text), &self.keys);
            column.finish()
        };
        let json: Vec<String> = self.seen.iter().map(resource_json).collect();
        let mut resources = TextDictionary::with_capacity(self.keys.len());
        resources.append_all(json.iter().map(String::as_str), &self.keys);
        [
            column(Resource::service),
            column(Resource::environment),
            column(Resource::version),
            column(Resource::host),
            resources.finish(),
        ]
    }
}

/// The resource as `{"attributes":{…},"dropped_attributes_count":n,"schema_url":…}`, the count only above zero
/// and the URL only when there is one.
pub(super) fn resource_json(resource: &Resource) -> String {
    let mut out = String::from("{\"attributes\":");
    write_map(&resource.attributes, &mut out);
    if resource.dropped_attributes_count > 0 {
        let _ = write!(out, ",\"dropped_attributes_count\":{}", resource.dropped_attributes_count);
    }
    write_schema_url(&resource.schema_url, &mut out);
    out.push('}');
    out
}

/// The scope as `{"name":…,"version":…,"attributes":{…},"schema_url":…}`, the URL only when there is one.
pub(super) fn scope_json(scope: &Scope) -> String {
    let mut json = String::from("{\"name\":");
    write_text(&scope.name, &mut json);
    json.push_str(",\"version\":");
    write_text(&scope.version, &mut json);
    json.push_str(",\"attributes\":");
    write_map(&scope.attributes, &mut json);
    write_schema_url(&scope.schema_url, &mut json);
    json.push('}');
    json
}

fn write_schema_url(url: &str, json: &mut String) {
    if !url.is_empty() {
        json.push_str(",\"schema_url\":");
        write_text(url, json);
    }
}

/// Scopes, each as its JSON.
#[derive(Debug)]
pub(super) struct ScopeColumn {
    dictionary: TextDictionary,
    last: Option<(Scope, i32)>,
}

impl ScopeColumn {
    pub(super) fn with_capacity(n: usize) -> Self {
        Self { dictionary: TextDictionary::with_capacity(n), last: None }
    }

    pub(super) fn append(&mut self, scope: &Scope) {
        let key = match &self.last {
            Some((last, key)) if last == scope => *key,
            _ => {
                let key = self.dictionary.intern(&scope_json(scope));
                self.last = Some((scope.clone(), key));
                key
            }
        };
        self.dictionary.keys.push(key);
    }

    pub(super) fn finish(self) -> ArrayRef {
        self.dictionary.finish()
    }
}

/// Attributes with a column of their own beside the map, so that a list of rows need not read the map.
#[derive(Default)]
pub(super) struct Promoted<'a> {
    pub(super) http_status: Option<u16>,
    pub(super) db_system: Option<&'a str>,
    pub(super) detail: Option<&'a str>,
}

/// The attribute maps, and one letter a value where not all are text.
#[derive(Debug)]
pub(super) struct AttributeColumns {
    offsets: Vec<i32>,
    keys: StringBuilder,
    values: StringBuilder,
    types: StringBuilder,
    number_offsets: Vec<i32>,
    number_keys: StringBuilder,
    numbers: Float64Builder,
    row_types: String,
    text: String,
}

impl AttributeColumns {
    pub(super) fn with_capacity(n: usize) -> Self {
        let mut offsets = Vec::with_capacity(n + 1);
        offsets.push(0);
        Self {
            number_offsets: offsets.clone(),
            offsets,
            keys: StringBuilder::with_capacity(n, 0),
            values: StringBuilder::with_capacity(n, 0),
            types: StringBuilder::with_capacity(n, 0),
            number_keys: StringBuilder::with_capacity(0, 0),
            numbers: Float64Builder::with_capacity(0),
            row_types: String::new(),
            text: String::new(),
        }
    }

    pub(super) fn append<'a>(&mut self, attributes: &'a Attributes) -> Promoted<'a> {
        let mut promoted = Promoted::default();
        let mut detail_rank = DETAIL_ATTRIBUTES.len();
        self.row_types.clear();
        for (at, (key, value)) in attributes.iter().enumerate() {
            self.keys.append_value(key);
            let letter = self.append_value(value);
            self.row_types.push(letter);
            // Of a repeated key the last value counts, and that may be text.
            if let Some(number) = value.as_f64()
                && !attributes.0[at + 1..].iter().any(|(later, _)| later == key)
            {
                self.number_keys.append_value(key);
                self.numbers.append_value(number);
            }
            match (key, value) {
                ("http.response.status_code" | "http.status_code", Value::Int(code)) => {
                    promoted.http_status = u16::try_from(*code).ok();
                }
                ("db.system.name" | "db.system", Value::String(system)) => promoted.db_system = Some(system),
                (_, Value::String(text)) => {
                    let rank = DETAIL_ATTRIBUTES[..detail_rank].iter().position(|name| *name == key);
                    if let Some(rank) = rank {
                        detail_rank = rank;
                        promoted.detail = Some(text);
                    }
                }
                _ => {}
            }
        }
        self.offsets.push(offset(self.keys.len()));
        self.number_offsets.push(offset(self.numbers.len()));
        if self.row_types.bytes().all(|letter| letter == TYPE_STRING as u8) {
            self.types.append_null();
        } else {
            self.types.append_value(&self.row_types);
        }
        promoted
    }

    /// Adds the value's text. Returns the letter of its type.
    fn append_value(&mut self, value: &Value) -> char {
        self.text.clear();
        let letter = match value {
            Value::String(text) => {
                self.values.append_value(text);
                return TYPE_STRING;
            }
            Value::Bool(flag) => {
                self.text.push_str(if *flag { "true" } else { "false" });
                TYPE_BOOL
            }
            Value::Int(number) => {
                let _ = write!(self.text, "{number}");
                TYPE_INT
            }
            Value::Double(number) if number.is_finite() => {
                let _ = write!(self.text, "{number:?}");
                TYPE_DOUBLE
            }
            Value::Double(number) => {
                let _ = write!(self.text, "{number}");
                TYPE_DOUBLE
            }
            Value::Bytes(bytes) => {
                write_hex(bytes, &mut self.text);
                TYPE_BYTES
            }
            nested => {
                write_value(nested, &mut self.text);
                TYPE_NESTED
            }
        };
        self.values.append_value(&self.text);
        letter
    }

    pub(super) fn finish(mut self) -> [ArrayRef; 3] {
        let attrs = map(self.offsets, self.keys.finish(), Arc::new(self.values.finish()));
        let numbers = map(self.number_offsets, self.number_keys.finish(), Arc::new(self.numbers.finish()));
        [attrs, Arc::new(self.types.finish()), numbers]
    }
}

/// Letters of the `attr_types` column.
pub(super) const TYPE_STRING: char = 's';
pub(super) const TYPE_BOOL: char = 'b';
pub(super) const TYPE_INT: char = 'i';
pub(super) const TYPE_DOUBLE: char = 'd';
pub(super) const TYPE_BYTES: char = 'x';
pub(super) const TYPE_NESTED: char = 'j';

/// Letters of the `attr_types` column that others than its reader ask for.
pub(crate) struct TypeLetter;

impl TypeLetter {
    /// True or false.
    pub(crate) const BOOL: char = TYPE_BOOL;
    /// A whole number.
    pub(crate) const INT: char = TYPE_INT;
    /// A number with a fraction.
    pub(crate) const DOUBLE: char = TYPE_DOUBLE;
}

fn offset(length: usize) -> i32 {
    i32::try_from(length).expect("a batch has fewer than 2^31 attributes")
}

fn map(offsets: Vec<i32>, keys: StringArray, values: ArrayRef) -> ArrayRef {
    let value_type = values.data_type().clone();
    let entries = StructArray::new(map_fields(value_type.clone()), vec![Arc::new(keys), values], None);
    Arc::new(MapArray::new(entries_field(value_type), OffsetBuffer::new(offsets.into()), entries, None, false))
}
