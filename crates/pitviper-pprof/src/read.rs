//! Reading pprof, the protobuf of google/pprof's `profile.proto`, as anybody sends it.
//!
//! Whoever calls decompresses first. What is read is bounded: by the constants below, and by bytes that
//! the caller grants, which are asked for before they are taken. A profile that is damaged anywhere is
//! refused as a whole, so that no half of it is taken for all.

use std::collections::HashMap;
use std::fmt;

use pitviper_model::Frame;

use crate::owner::owner;
use crate::protobuf::{Fields, Malformed, packed};
use crate::room::{MAP_ENTRY_BYTES, Room, numbers, within};
use crate::{Label, LabelValue, Profile, Sample, SampleType};

/// Most types of values.
pub const MAX_TYPES: usize = 64;

/// Most samples.
pub const MAX_SAMPLES: usize = 1_000_000;

/// Most labels of a sample.
pub const MAX_LABELS: usize = 64;

/// Most frames of a stack; of deeper ones the innermost are kept, below [`FRAMES_OMITTED`].
pub const MAX_DEPTH: usize = 2_048;

/// Longest text, in bytes; longer ones are cut.
pub const MAX_TEXT_BYTES: usize = 4_096;

/// Most bytes that [`read_pprof`] takes for a profile in memory.
pub const MAX_PROFILE_BYTES: usize = 256 * 1024 * 1024;

/// The function that stands for frames of a stack that is too deep.
pub const FRAMES_OMITTED: &str = "<frames omitted>";

/// Why a profile is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// It is no profile, or it is damaged.
    Malformed(&'static str),
    /// It has more of something than is read.
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How much is read.
        limit: usize,
    },
    /// The caller does not grant the bytes it takes.
    NoRoom,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(fault) => write!(f, "not a profile: {fault}"),
            Self::TooLarge { what, limit } => {
                write!(f, "the profile has more than {limit} {what}; send it more often, or in parts")
            }
            Self::NoRoom => f.write_str("there is no room for the profile, try again"),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<Malformed> for ReadError {
    fn from(fault: Malformed) -> Self {
        Self::Malformed(fault.0)
    }
}

/// Reads a profile that is not compressed.
///
/// # Errors
/// When it is not one, or larger than the constants of this module allow.
pub fn read_pprof(bytes: &[u8]) -> Result<Profile, ReadError> {
    read_pprof_within(bytes, MAX_PROFILE_BYTES, |_| true)
}

/// Reads a profile that is not compressed into at most so many bytes of memory, for which `may_grow` is
/// asked step by step.
///
/// # Errors
/// When it is not one, or larger than allowed, or `may_grow` says no.
pub fn read_pprof_within(
    bytes: &[u8],
    limit: usize,
    mut may_grow: impl FnMut(usize) -> bool,
) -> Result<Profile, ReadError> {
    let mut room = Room::new(limit, &mut may_grow);
    let tables = Tables::read(bytes, &mut room)?;
    let mut profile = Profile {
        time_unix_nano: tables.time_ns.max(0).cast_unsigned(),
        duration_ns: tables.duration_ns.max(0).cast_unsigned(),
        ..Profile::default()
    };
    for bytes in &tables.types {
        profile.types.push(tables.sample_type(bytes)?);
    }
    if profile.types.is_empty() {
        return Err(ReadError::Malformed("it says no sample type"));
    }
    let mut reader = Reader { places: tables.places(&mut profile.frames, &mut room)?, tables: &tables, room };
    reader.read_samples(&mut profile)?;
    Ok(profile)
}

/// The messages of a profile, not yet looked into: they may come in any order.
#[derive(Default)]
struct Tables<'a> {
    types: Vec<&'a [u8]>,
    samples: Vec<&'a [u8]>,
    mappings: Vec<&'a [u8]>,
    locations: Vec<&'a [u8]>,
    functions: Vec<&'a [u8]>,
    strings: Vec<&'a [u8]>,
    time_ns: i64,
    duration_ns: i64,
}

impl<'a> Tables<'a> {
    fn read(bytes: &'a [u8], room: &mut Room<'_>) -> Result<Self, ReadError> {
        let mut tables = Self::default();
        for field in Fields::of(bytes) {
            let (number, field) = field?;
            let table = match number {
                1 => &mut tables.types,
                2 => &mut tables.samples,
                3 => &mut tables.mappings,
                4 => &mut tables.locations,
                5 => &mut tables.functions,
                6 => &mut tables.strings,
                9 => {
                    tables.time_ns = field.number()?.cast_signed();
                    continue;
                }
                10 => {
                    tables.duration_ns = field.number()?.cast_signed();
                    continue;
                }
                _ => continue,
            };
            room.take_for::<&[u8]>(1)?;
            table.push(field.bytes()?);
        }
        within("sample types", tables.types.len(), MAX_TYPES)?;
        within("samples", tables.samples.len(), MAX_SAMPLES)?;
        Ok(tables)
    }

    /// A text of the table, cut where it is too long. What is not text is replaced.
    fn text(&self, index: u64) -> Result<String, ReadError> {
        // A profile without strings has the empty one nevertheless.
        if index == 0 {
            return Ok(String::new());
        }
        let text = usize::try_from(index).ok().and_then(|index| self.strings.get(index));
        let text = text.ok_or(ReadError::Malformed("it names a string that it does not have"))?;
        let mut text = String::from_utf8_lossy(&text[..text.len().min(MAX_TEXT_BYTES)]).into_owned();
        text.shrink_to_fit();
        Ok(text)
    }

    fn sample_type(&self, bytes: &[u8]) -> Result<SampleType, ReadError> {
        let [name, unit] = numbers(bytes, [1, 2])?;
        Ok(SampleType { name: self.text(name)?, unit: self.text(unit)? })
    }

    /// The frames, and which of them each location is.
    fn places(&self, frames: &mut Vec<Frame>, room: &mut Room<'_>) -> Result<Places, ReadError> {
        let mut functions = HashMap::new();
        for bytes in &self.functions {
            room.take_for::<(u64, [u64; 3])>(1)?;
            let [id, name, system_name, file] = numbers(bytes, [1, 2, 3, 4])?;
            functions.insert(id, [name, system_name, file]);
        }
        let mut mappings = HashMap::new();
        for bytes in &self.mappings {
            room.take_for::<(u64, [u64; 2])>(1)?;
            let [id, file, build_id] = numbers(bytes, [1, 5, 6])?;
            mappings.insert(id, [file, build_id]);
        }
        let mut builder = FrameBuilder { tables: self, functions, mappings, known: HashMap::new(), frames, room };
        let mut places = Places::default();
        for bytes in &self.locations {
            let first = places.frames.len();
            let id = builder.read_location(bytes, &mut places.frames)?;
            builder.room.take((places.frames.len() - first) * size_of::<u32>())?;
            builder.room.take(size_of::<(u64, [usize; 2])>() + MAP_ENTRY_BYTES)?;
            places.by_location.insert(id, (first, places.frames.len()));
        }
        Ok(places)
    }
}

/// Which frames each location is: several where functions were inlined, the innermost first.
#[derive(Default)]
struct Places {
    by_location: HashMap<u64, (usize, usize)>,
    frames: Vec<u32>,
}

/// Makes frames of functions, lines and mappings, each once.
struct FrameBuilder<'a, 'r, 'g> {
    tables: &'a Tables<'a>,
    /// Name, system name and file of each.
    functions: HashMap<u64, [u64; 3]>,
    /// File and build id of each.
    mappings: HashMap<u64, [u64; 2]>,
    /// By function, line and mapping; of code without symbols by its address in place of the line.
    known: HashMap<(Option<u64>, u64, u64), u32>,
    frames: &'a mut Vec<Frame>,
    room: &'r mut Room<'g>,
}

impl FrameBuilder<'_, '_, '_> {
    /// Adds the frames of a location and says its id.
    fn read_location(&mut self, bytes: &[u8], out: &mut Vec<u32>) -> Result<u64, ReadError> {
        let [id, mapping, address] = numbers(bytes, [1, 2, 3])?;
        let first = out.len();
        for field in Fields::of(bytes) {
            if let (4, field) = field? {
                let [function, line] = numbers(field.bytes()?, [1, 2])?;
                out.push(self.frame(Some(function), line, mapping)?);
            }
        }
        if out.len() == first {
            out.push(self.frame(None, address, mapping)?);
        }
        within("frames of a location", out.len() - first, MAX_DEPTH)?;
        Ok(id)
    }

    fn frame(&mut self, function: Option<u64>, line_or_address: u64, mapping: u64) -> Result<u32, ReadError> {
        let key = (function, line_or_address, mapping);
        if let Some(&known) = self.known.get(&key) {
            return Ok(known);
        }
        let [mapped, build_id] = match mapping {
            0 => [0, 0],
            id => *self.mappings.get(&id).ok_or(ReadError::Malformed("it names a mapping that it does not have"))?,
        };
        let (mapped, build_id) = (self.tables.text(mapped)?, self.tables.text(build_id)?);
        let frame = match function {
            Some(id) => {
                let of_id = self.functions.get(&id);
                let of_id = of_id.ok_or(ReadError::Malformed("it names a function that it does not have"))?;
                let [name, system_name, file] = *of_id;
                let named = if name == 0 { system_name } else { name };
                let (function, file) = (self.tables.text(named)?, self.tables.text(file)?);
                let (library, in_app) = owner(&mapped, &build_id, &file);
                let line = u32::try_from(line_or_address.cast_signed().max(0)).unwrap_or(u32::MAX);
                Frame { function, file, line, in_app, library }
            }
            // Code without symbols is told by where it lies.
            None => {
                let function = format!("0x{line_or_address:x}");
                let (library, in_app) = owner(&mapped, &build_id, &mapped);
                Frame { function, file: mapped, line: 0, in_app, library }
            }
        };
        let texts = frame.function.len() + frame.file.len() + frame.library.len();
        self.room.take(size_of::<Frame>() + texts + size_of::<((Option<u64>, u64, u64), u32)>() + MAP_ENTRY_BYTES)?;
        let index = u32::try_from(self.frames.len()).map_err(|_| ReadError::Malformed("it has too many frames"))?;
        self.frames.push(frame);
        self.known.insert(key, index);
        Ok(index)
    }
}

struct Reader<'a, 'g> {
    tables: &'a Tables<'a>,
    places: Places,
    room: Room<'g>,
}

impl Reader<'_, '_> {
    fn read_samples(&mut self, profile: &mut Profile) -> Result<(), ReadError> {
        let mut stacks: HashMap<Vec<u32>, u32> = HashMap::new();
        let mut omitted = None;
        self.room.take_for::<Sample>(self.tables.samples.len())?;
        profile.samples.reserve_exact(self.tables.samples.len());
        for bytes in &self.tables.samples {
            let mut stack = Vec::new();
            let mut values = Vec::with_capacity(profile.types.len());
            let mut labels = Vec::new();
            let mut is_cut = false;
            self.room.take_for::<i64>(profile.types.len())?;
            for field in Fields::of(bytes) {
                match field? {
                    (1, ids) => {
                        for id in packed(&ids) {
                            is_cut |= !self.add_frames(id?, &mut stack)?;
                        }
                    }
                    (2, sent) => {
                        for value in packed(&sent) {
                            if values.len() == profile.types.len() {
                                return Err(ReadError::Malformed("a sample has more values than there are types"));
                            }
                            values.push(value?.cast_signed());
                        }
                    }
                    (3, label) => {
                        within("labels of a sample", labels.len() + 1, MAX_LABELS)?;
                        labels.push(self.label(label.bytes()?)?);
                    }
                    _ => {}
                }
            }
            if values.len() != profile.types.len() {
                return Err(ReadError::Malformed("a sample has fewer values than there are types"));
            }
            if is_cut {
                let frame = *omitted.get_or_insert_with(|| {
                    profile.frames.push(Frame { function: FRAMES_OMITTED.to_owned(), ..Frame::default() });
                    profile.frames.len() as u32 - 1
                });
                stack.truncate(MAX_DEPTH - 1);
                stack.push(frame);
            }
            let stack = match stacks.get(&stack) {
                Some(known) => *known,
                None => {
                    // Once here and once among those that are known.
                    self.room.take(2 * (stack.len() * size_of::<u32>() + size_of::<Vec<u32>>()) + MAP_ENTRY_BYTES)?;
                    stack.shrink_to_fit();
                    let index = profile.stacks.len() as u32;
                    profile.stacks.push(stack.clone());
                    stacks.insert(stack, index);
                    index
                }
            };
            profile.samples.push(Sample { stack, values, labels });
        }
        Ok(())
    }

    /// Adds the frames of a location; `false` when the stack is too deep for them.
    fn add_frames(&self, location: u64, stack: &mut Vec<u32>) -> Result<bool, ReadError> {
        let range = self.places.by_location.get(&location);
        let (first, end) = *range.ok_or(ReadError::Malformed("it names a location that it does not have"))?;
        let free = MAX_DEPTH - stack.len();
        let frames = &self.places.frames[first..end];
        stack.extend_from_slice(&frames[..frames.len().min(free)]);
        Ok(frames.len() <= free)
    }

    fn label(&mut self, bytes: &[u8]) -> Result<Label, ReadError> {
        let [name, text, number] = numbers(bytes, [1, 2, 3])?;
        let name = self.tables.text(name)?;
        let value = match text {
            0 => LabelValue::Number(number.cast_signed()),
            text => LabelValue::Text(self.tables.text(text)?),
        };
        let text_bytes = match &value {
            LabelValue::Text(text) => text.len(),
            LabelValue::Number(_) => 0,
        };
        self.room.take(size_of::<Label>() + name.len() + text_bytes)?;
        Ok(Label { name: name.into(), value })
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
