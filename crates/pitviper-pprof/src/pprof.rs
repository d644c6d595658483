//! Writing pprof, the protobuf of google/pprof's `profile.proto`.
//!
//! What it has no field for travels in a frame's mapping: its file name is the library, its build id says
//! whether the code is the application's own. Build ids differ by library, since tools merge equal ones.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::{Label, LabelValue, Profile, Sample};

/// What the build id of the application's own code begins with.
pub const BUILD_ID_OF_APP: &str = "app";
/// What the build id of everybody else's code begins with.
pub const BUILD_ID_OF_LIBRARY: &str = "library";

/// The label whose number is a time.
const END_TIMESTAMP: &str = "end_timestamp_ns";

/// Wire type of a varint.
const VARINT: u8 = 0;
/// Wire type of a length and that many bytes.
const LENGTH_DELIMITED: u8 = 2;

/// Writes a profile as pprof, not compressed. Samples whose values are all zero are left out, and so are
/// those of a stack that the profile does not have.
#[must_use]
pub fn write_pprof(profile: &Profile) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.strings.of("");
    for kind in &profile.types {
        let (name, unit) = (writer.strings.of(&kind.name), writer.strings.of(&kind.unit));
        message(&mut writer.out, 1, |out| {
            put_uint(out, 1, name);
            put_uint(out, 2, unit);
        });
    }
    let locations: Vec<u64> = profile.frames.iter().map(|frame| writer.location(frame)).collect();
    for (sample, stack) in profile.stacked() {
        if sample.values.iter().any(|value| *value != 0) {
            writer.sample(sample, stack, &locations, profile.types.len());
        }
    }
    writer.finish(profile)
}

#[derive(Default)]
struct Writer<'a> {
    out: Vec<u8>,
    strings: Strings<'a>,
    /// By library and whether it is the application's.
    mappings: HashMap<(&'a str, bool), u64>,
    /// By name and file.
    functions: HashMap<(u64, u64), u64>,
    /// By function, mapping and line.
    locations: HashMap<(u64, u64, u32), u64>,
}

impl<'a> Writer<'a> {
    fn location(&mut self, frame: &'a pitviper_model::Frame) -> u64 {
        let mapping = self.mapping(&frame.library, frame.in_app);
        let function = self.function(&frame.function, &frame.file);
        let next = self.locations.len() as u64 + 1;
        *self.locations.entry((function, mapping, frame.line)).or_insert_with(|| {
            message(&mut self.out, 4, |out| {
                put_uint(out, 1, next);
                put_uint(out, 2, mapping);
                message(out, 4, |out| {
                    put_uint(out, 1, function);
                    put_uint(out, 2, u64::from(frame.line));
                });
            });
            next
        })
    }

    fn function(&mut self, name: &'a str, file: &'a str) -> u64 {
        let (name, file) = (self.strings.of(name), self.strings.of(file));
        let next = self.functions.len() as u64 + 1;
        *self.functions.entry((name, file)).or_insert_with(|| {
            message(&mut self.out, 5, |out| {
                put_uint(out, 1, next);
                put_uint(out, 2, name);
                put_uint(out, 3, name);
                put_uint(out, 4, file);
            });
            next
        })
    }

    fn mapping(&mut self, library: &'a str, in_app: bool) -> u64 {
        if let Some(&id) = self.mappings.get(&(library, in_app)) {
            return id;
        }
        let id = self.mappings.len() as u64 + 1;
        self.mappings.insert((library, in_app), id);
        let owner = if in_app { BUILD_ID_OF_APP } else { BUILD_ID_OF_LIBRARY };
        let build_id = if library.is_empty() { owner.to_owned() } else { format!("{owner}:{library}") };
        let (library, build_id) = (self.strings.of(library), self.strings.of(build_id));
        message(&mut self.out, 3, |out| {
            put_uint(out, 1, id);
            put_uint(out, 5, library);
            put_uint(out, 6, build_id);
            // Functions, files and lines are known: nobody needs to look for symbols.
            for field in 7..=9 {
                put_uint(out, field, 1);
            }
        });
        id
    }

    fn sample(&mut self, sample: &'a Sample, stack: &[u32], locations: &[u64], types: usize) {
        let Self { out, strings, .. } = self;
        message(out, 2, |out| {
            message(out, 1, |out| {
                let known = stack.iter().filter_map(|frame| locations.get(*frame as usize));
                known.for_each(|id| put_varint(out, *id));
            });
            message(out, 2, |out| {
                // As many values as types, whatever the sample has: readers refuse a profile otherwise.
                let given = sample.values.iter().copied().chain(std::iter::repeat(0));
                given.take(types).for_each(|value| put_varint(out, value as u64));
            });
            for label in &sample.labels {
                message(out, 3, |out| put_label(out, strings, label));
            }
        });
    }

    fn finish(mut self, profile: &Profile) -> Vec<u8> {
        for text in &self.strings.texts {
            message(&mut self.out, 6, |out| out.extend_from_slice(text.as_bytes()));
        }
        put_uint(&mut self.out, 9, profile.time_unix_nano);
        put_uint(&mut self.out, 10, profile.duration_ns);
        self.out
    }
}

fn put_label<'a>(out: &mut Vec<u8>, strings: &mut Strings<'a>, label: &'a Label) {
    put_uint(out, 1, strings.of(&*label.name));
    match &label.value {
        LabelValue::Text(text) => put_uint(out, 2, strings.of(text)),
        LabelValue::Number(number) => {
            put_uint(out, 3, *number as u64);
            if label.name == END_TIMESTAMP {
                put_uint(out, 4, strings.of("nanoseconds"));
            }
        }
    }
}

/// The table of strings; the first is empty.
#[derive(Default)]
struct Strings<'a> {
    texts: Vec<Cow<'a, str>>,
    known: HashMap<Cow<'a, str>, u64>,
}

impl<'a> Strings<'a> {
    fn of(&mut self, text: impl Into<Cow<'a, str>>) -> u64 {
        let next = self.texts.len() as u64;
        *self.known.entry(text.into()).or_insert_with_key(|text| {
            self.texts.push(text.clone());
            next
        })
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a number; zero is left out, as protobuf does.
fn put_uint(out: &mut Vec<u8>, field: u8, value: u64) {
    if value != 0 {
        out.push(field << 3 | VARINT);
        put_varint(out, value);
    }
}

/// Appends a field with a length in front, whose content `content` writes.
fn message(out: &mut Vec<u8>, field: u8, content: impl FnOnce(&mut Vec<u8>)) {
    out.push(field << 3 | LENGTH_DELIMITED);
    let start = out.len();
    content(out);
    let length = out.len() - start;
    put_varint(out, length as u64);
    let width = out.len() - start - length;
    out[start..].rotate_right(width);
}
