//! Facets: a file beside a segment of spans that lists its attributes, what they are, and their most
//! frequent values.
//!
//! The newest spans are a good sample of what most spans have and a poor one of what few have. Facets know
//! every key there is, so that what is rare can be offered as well. They are counted when spans are
//! flushed and put together when segments are merged, without looking at rows again. A damaged or
//! missing file takes away offers and no row.
//!
//! Layout: magic; length of the list as `u32`, little-endian; its CRC-32; the list, a zstd frame. The list
//! holds, with numbers as varints: rows of the segment, whether keys were left out, how many keys; of a key its
//! name, whether spans have it themselves, on how many rows it is, is a number, is true or false, has a
//! value that is not listed; how many values are listed; of a value its text and rows.

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, MapArray, StringArray};
use arrow::datatypes::Int32Type;
use arrow::record_batch::RecordBatch;
use pitviper_model::Value;
use rustc_hash::FxHashMap;
use zstd::bulk::Decompressor;

use super::packing::{get, get_text, put, put_text, unpack};
use crate::questions::aggregate::GroupField;
use crate::questions::survey::{FieldCounts, KnownAttributes};
use crate::schema::{TypeLetter, read_resource};

/// The columns facets are counted in.
pub(super) const COUNTED_COLUMNS: [&str; 3] = ["attrs", "attr_types", "resource"];

const MAGIC: &[u8; 4] = b"PVF1";
const HEAD_BYTES: usize = 4 + 4 + 4;
const ZSTD_LEVEL: i32 = 3;
/// Keys of a segment; of those that are met later nothing is counted, and the file says so.
const MAX_KEYS: usize = 2_000;
/// Values of a key that are counted; rows with values that are met later count as having another one.
const MAX_COUNTED_VALUES: usize = 1_024;
/// Values of a key that are written, the most frequent ones.
const MAX_WRITTEN_VALUES: usize = 64;
/// Longest value that is listed, in bytes: what is longer nobody picks from a list.
const MAX_VALUE_BYTES: usize = 128;
/// Resources whose attributes are remembered while rows are counted.
const MAX_REMEMBERED_RESOURCES: usize = 1_024;

/// Where the facets of a segment's file lie.
pub(super) fn path(segment: &Path) -> PathBuf {
    segment.with_extension("facets")
}

/// What is known of a key.
#[derive(Debug, Default)]
struct Key {
    on_span: bool,
    rows: u64,
    numbers: u64,
    flags: u64,
    /// Rows whose value is not among [`Key::values`].
    others: u64,
    values: FxHashMap<Box<str>, u64>,
    /// The value met last, and on how many rows since it is not in the above yet: rows lie by service and
    /// name, so that one value often follows itself.
    run: (String, u64),
}

impl Key {
    fn add(&mut self, text: &str, type_letter: Option<char>, rows: u64) {
        self.rows += rows;
        match type_letter {
            Some(TypeLetter::BOOL) => self.flags += rows,
            Some(TypeLetter::INT | TypeLetter::DOUBLE) => self.numbers += rows,
            _ => {}
        }
        if text.len() > MAX_VALUE_BYTES {
            self.others += rows;
        } else if self.run.0 == text {
            self.run.1 += rows;
        } else {
            self.end_run();
            self.run.0.push_str(text);
            self.run.1 = rows;
        }
    }

    fn end_run(&mut self) {
        let rows = std::mem::take(&mut self.run.1);
        if rows > 0 {
            let text = std::mem::take(&mut self.run.0);
            self.count(&text, rows);
            // Its room is used again.
            self.run.0 = text;
        }
        self.run.0.clear();
    }

    fn count(&mut self, text: &str, rows: u64) {
        if let Some(known) = self.values.get_mut(text) {
            *known += rows;
        } else if self.values.len() < MAX_COUNTED_VALUES {
            self.values.insert(text.into(), rows);
        } else {
            self.others += rows;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.on_span |= other.on_span;
        self.rows += other.rows;
        self.numbers += other.numbers;
        self.flags += other.flags;
        self.others += other.others;
        other.values.iter().for_each(|(text, rows)| self.count(text, *rows));
    }

    /// The values that are worth a place, the most frequent first. Of a key with more values than are listed,
    /// those that stand on one row are no better than the others.
    fn top(&self) -> Vec<(&str, u64)> {
        let all = self.others == 0 && self.values.len() <= MAX_WRITTEN_VALUES;
        let values = self.values.iter().map(|(text, rows)| (&**text, *rows));
        let mut values: Vec<_> = values.filter(|(_, rows)| all || *rows > 1).collect();
        values.sort_unstable_by(|(text, rows), (other_text, other)| other.cmp(rows).then_with(|| text.cmp(other_text)));
        values.truncate(MAX_WRITTEN_VALUES);
        values
    }
}

/// The facets of rows.
#[derive(Debug, Default)]
pub(super) struct Facets {
    rows: u64,
    keys: Vec<Key>,
    names: FxHashMap<Box<str>, usize>,
    left_out: bool,
}

impl Facets {
    /// The key of a name; `None` when there is no room for more.
    fn key(&mut self, name: &str) -> Option<usize> {
        if let Some(&known) = self.names.get(name) {
            return Some(known);
        }
        if self.keys.len() >= MAX_KEYS {
            self.left_out = true;
            return None;
        }
        self.names.insert(name.into(), self.keys.len());
        self.keys.push(Key::default());
        Some(self.keys.len() - 1)
    }

    /// Counts these as well.
    pub(super) fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.left_out |= other.left_out;
        for (name, &at) in &other.names {
            if let Some(key) = self.key(name) {
                self.keys[key].merge(&other.keys[at]);
            }
        }
    }

    /// The keys by name.
    fn by_name(&self) -> Vec<(&str, &Key)> {
        let mut keys: Vec<(&str, &Key)> = self.names.iter().map(|(name, &at)| (&**name, &self.keys[at])).collect();
        keys.sort_unstable_by_key(|(name, _)| *name);
        keys
    }

    /// What a question is answered with.
    pub(super) fn known(&self) -> KnownAttributes {
        let field = |(name, key): (&str, &Key)| FieldCounts {
            field: GroupField::Attribute(name.to_owned()),
            on_span: key.on_span,
            count: key.rows,
            numbers: key.numbers,
            flags: key.flags,
            distinct: key.values.len() + usize::from(key.others > 0),
            values: key.top().into_iter().map(|(text, rows)| (text.to_owned(), rows)).collect(),
        };
        let fields = self.by_name().into_iter().map(field).collect();
        KnownAttributes { spans: self.rows, fields, left_out: self.left_out }
    }

    /// Writes the facets and makes them durable; their size in bytes.
    pub(super) fn write(&self, path: &Path) -> io::Result<u64> {
        let mut list = Vec::new();
        [self.rows, u64::from(self.left_out), self.keys.len() as u64].into_iter().for_each(|n| put(&mut list, n));
        for (name, key) in self.by_name() {
            let top = key.top();
            let listed: u64 = top.iter().map(|(_, rows)| rows).sum();
            let all: u64 = key.values.values().sum();
            put_text(&mut list, name);
            let numbers = [u64::from(key.on_span), key.rows, key.numbers, key.flags, key.others + (all - listed)];
            numbers.into_iter().chain([top.len() as u64]).for_each(|number| put(&mut list, number));
            for (text, rows) in top {
                put_text(&mut list, text);
                put(&mut list, rows);
            }
        }
        let list = zstd::bulk::compress(&list, ZSTD_LEVEL)?;
        let length = u32::try_from(list.len()).map_err(|_| io::Error::other("facets of over 4 GiB"))?;
        let mut out = Vec::with_capacity(HEAD_BYTES + list.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&list).to_le_bytes());
        out.extend_from_slice(&list);
        let mut file = File::create(path)?;
        file.write_all(&out)?;
        file.sync_all()?;
        Ok(out.len() as u64)
    }

    /// Reads the facets of a segment with so many rows.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there are none, [`ErrorKind::InvalidData`] when they are damaged or of
    /// other rows.
    pub(super) fn read(path: &Path, rows: u64) -> io::Result<Self> {
        let file = std::fs::read(path)?;
        let (head, list) = file.split_at_checked(HEAD_BYTES).ok_or_else(|| damaged("they are too short"))?;
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if &head[..4] != MAGIC || number(4) as usize != list.len() || number(8) != crc32fast::hash(list) {
            return Err(damaged("a checksum does not fit"));
        }
        let list = unpack(&mut Decompressor::new()?, list)?;
        let facets = Self::of_list(&list).ok_or_else(|| damaged("their list ends too early"))?;
        if facets.rows != rows {
            return Err(damaged("they belong to another segment"));
        }
        Ok(facets)
    }

    fn of_list(mut list: &[u8]) -> Option<Self> {
        let bytes = &mut list;
        let mut facets = Self { rows: get(bytes)?, left_out: get(bytes)? != 0, ..Self::default() };
        for _ in 0..get(bytes)? {
            let name: Box<str> = get_text(bytes)?.into();
            let on_span = get(bytes)? != 0;
            let (rows, numbers, flags, others) = (get(bytes)?, get(bytes)?, get(bytes)?, get(bytes)?);
            let mut key = Key { on_span, rows, numbers, flags, others, ..Key::default() };
            for _ in 0..get(bytes)? {
                let text = get_text(bytes)?.into();
                key.values.insert(text, get(bytes)?);
            }
            facets.names.insert(name, facets.keys.len());
            facets.keys.push(key);
        }
        Some(facets)
    }
}

fn damaged(how: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the facets cannot be used: {how}"))
}

/// An attribute of a resource: its key's number, its text, the letter of its type.
type OfResource = (usize, String, Option<char>);

/// Counts facets in rows while they are written.
#[derive(Debug, Default)]
pub(super) struct FacetsBuilder {
    facets: Facets,
    /// The keys of the row before, which are those of the next one more often than not.
    expected: Vec<(Box<str>, usize)>,
    /// Attributes of resources by their text.
    resources: FxHashMap<Box<str>, Vec<OfResource>>,
}

impl FacetsBuilder {
    /// Counts rows with the columns [`COUNTED_COLUMNS`].
    pub(super) fn add(&mut self, batch: &RecordBatch) {
        self.facets.rows += batch.num_rows() as u64;
        let column = |name: &str| batch.column_by_name(name).expect("the schema has the column");
        let map: &MapArray = column("attrs").as_map();
        let (keys, values) = (map.keys().as_string::<i32>(), map.values().as_string::<i32>());
        let types: &StringArray = column("attr_types").as_string::<i32>();
        let offsets = map.value_offsets();
        for row in 0..batch.num_rows() {
            let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
            let letters = if types.is_valid(row) { types.value(row).as_bytes() } else { &[] };
            for at in from..to {
                let Some(key) = self.key_at(at - from, keys.value(at)) else { continue };
                let key = &mut self.facets.keys[key];
                key.on_span = true;
                key.add(values.value(at), letters.get(at - from).map(|&letter| char::from(letter)), 1);
            }
        }
        self.add_resources(batch);
    }

    /// The key that stands at this place of a row.
    fn key_at(&mut self, place: usize, name: &str) -> Option<usize> {
        match self.expected.get(place) {
            Some((expected, key)) if **expected == *name => Some(*key),
            _ => {
                let key = self.facets.key(name)?;
                self.expected.truncate(place);
                // Behind a key that was left out places do not count any more.
                if self.expected.len() == place {
                    self.expected.push((name.into(), key));
                }
                Some(key)
            }
        }
    }

    fn add_resources(&mut self, batch: &RecordBatch) {
        let column = batch.column_by_name("resource").expect("the schema has the column");
        let column = column.as_dictionary::<Int32Type>();
        let texts = column.values().as_string::<i32>();
        let mut rows = vec![0u64; texts.len()];
        column.keys().values().iter().for_each(|&key| rows[key as usize] += 1);
        for (at, rows) in rows.into_iter().enumerate().filter(|(_, rows)| *rows > 0) {
            let text = texts.value(at);
            if !self.resources.contains_key(text) {
                if self.resources.len() >= MAX_REMEMBERED_RESOURCES {
                    self.resources.clear();
                }
                let attributes = read_resource(text).unwrap_or_default().attributes;
                let facets = &mut self.facets;
                let known = attributes.iter().filter_map(|(name, value)| {
                    let letter = match value {
                        Value::Bool(_) => Some(TypeLetter::BOOL),
                        Value::Int(_) | Value::Double(_) => Some(TypeLetter::INT),
                        Value::String(_) | Value::Bytes(_) | Value::Array(_) | Value::Map(_) => None,
                    };
                    Some((facets.key(name)?, value.to_text(), letter))
                });
                let known = known.collect();
                self.resources.insert(text.into(), known);
            }
            for (key, value, letter) in self.resources.get(text).into_iter().flatten() {
                self.facets.keys[*key].add(value, *letter, rows);
            }
        }
    }

    /// What was counted. A key that is in a resource as well as on a span counts once.
    pub(super) fn finish(mut self) -> Facets {
        let rows = self.facets.rows;
        for key in &mut self.facets.keys {
            key.end_run();
            key.rows = key.rows.min(rows);
        }
        self.facets
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Facets of rows whose attributes are given, counted row by row.
    fn counted(rows: &[Vec<(u8, u16)>]) -> Facets {
        let mut facets = Facets { rows: rows.len() as u64, ..Facets::default() };
        for row in rows {
            for (name, value) in row {
                let key = facets.key(&format!("k{name}")).unwrap();
                facets.keys[key].add(&format!("v{value}"), None, 1);
            }
        }
        facets.keys.iter_mut().for_each(Key::end_run);
        facets
    }

    fn written(facets: &Facets) -> Facets {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.facets");
        let bytes = facets.write(&path).unwrap();
        assert_eq!(bytes, path.metadata().unwrap().len());
        Facets::read(&path, facets.rows).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn merged_facets_are_those_of_all_rows(
            rows in prop::collection::vec(prop::collection::vec((0u8..6, 0u16..20), 0..5), 0..200),
            cut: prop::sample::Index,
        ) {
            let cut = cut.index(rows.len() + 1);
            let mut merged = Facets::default();
            for part in [&rows[..cut], &rows[cut..]] {
                merged.merge(&written(&counted(part)));
            }
            prop_assert_eq!(merged.known(), counted(&rows).known());
            prop_assert_eq!(written(&merged).known(), counted(&rows).known());
        }
    }

    #[test]
    fn of_many_values_the_frequent_ones_are_listed() {
        let mut rows: Vec<Vec<(u8, u16)>> = (0..5_000).map(|row| vec![(0, row % 3_000 + 100), (1, row % 7)]).collect();
        rows.extend((0..50).map(|_| vec![(0, 7)]));
        let known = written(&counted(&rows)).known();
        let [various, few] = &known.fields[..] else { panic!("{known:?}") };
        // Met when the counted values were full already, or not: nothing is told of it that is not so.
        assert!(various.values.len() <= MAX_WRITTEN_VALUES && various.values.iter().all(|(_, rows)| *rows <= 2));
        assert_eq!((various.count, various.distinct > MAX_WRITTEN_VALUES), (5_050, true));
        assert_eq!((few.count, few.distinct, few.values.len()), (5_000, 7, 7));
        assert_eq!(few.values[0], ("v0".to_owned(), 715));
        let ids: Vec<Vec<(u8, u16)>> = (0..500).map(|row| vec![(0, row)]).collect();
        assert_eq!(written(&counted(&ids)).known().fields[0].values, []);
    }

    #[test]
    fn damage_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.facets");
        counted(&[vec![(0, 1)], vec![(1, 2)]]).write(&path).unwrap();
        assert_eq!(Facets::read(&path, 3).unwrap_err().kind(), ErrorKind::InvalidData, "of another segment");
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            std::fs::write(&path, &damaged).unwrap();
            assert_eq!(Facets::read(&path, 2).unwrap_err().kind(), ErrorKind::InvalidData, "byte {at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(Facets::read(&path, 2).unwrap_err().kind(), ErrorKind::InvalidData, "cut at {at}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Facets::read(&path, 2).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
