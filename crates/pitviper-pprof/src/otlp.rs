//! Reading OTLP's profiles (`opentelemetry.proto.collector.profiles.v1development`), a request whole.
//!
//! The development version that is read is that of opentelemetry-proto 1.10: one dictionary a request, one type of
//! values a profile, stacks by index. It may change with every release, so the receiver is off unless asked for.
//! Bounds are those of pprof.

use std::collections::HashMap;

use pitviper_model::Frame;

use crate::owner::owner;
use crate::protobuf::{Field, Fields, packed};
use crate::read::{MAX_DEPTH, MAX_LABELS, MAX_SAMPLES, MAX_TEXT_BYTES, ReadError};
use crate::room::{MAP_ENTRY_BYTES, Room, numbers, within};
use crate::{Label, LabelValue, Profile, Sample, SampleType};

/// Most profiles of a request.
const MAX_PROFILES: usize = 4_096;

/// Most attributes of a process.
const MAX_ATTRIBUTES: usize = 128;

/// Attributes of samples that have a name here.
const LABELS: [(&str, &str); 3] =
    [("thread.name", "thread"), ("thread.id", "thread id"), ("exception.type", "exception")];

/// The attribute of a mapping that says whose code it is, as pprof's build ids do.
pub(crate) const OWNER_ATTRIBUTE: &str = "pitviper.code.owner";

/// The label with the moment of a sample.
const TIME_LABEL: &str = "end_timestamp_ns";

/// A profile and the process that it is of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OfProcess {
    /// The resource's attributes that are text, numbers or flags.
    pub attributes: Vec<Label>,
    /// The profile.
    pub profile: Profile,
}

/// Reads a request that is not compressed into at most so many bytes of memory, for which `may_grow` is asked
/// step by step.
///
/// # Errors
/// When it is not one, or larger than allowed, or `may_grow` says no.
pub fn read_otlp_within(
    bytes: &[u8],
    limit: usize,
    mut may_grow: impl FnMut(usize) -> bool,
) -> Result<Vec<OfProcess>, ReadError> {
    let mut room = Room::new(limit, &mut may_grow);
    let mut resources = Vec::new();
    let mut dictionary = Dictionary::default();
    for field in Fields::of(bytes) {
        match field? {
            (1, field) => {
                room.take_for::<&[u8]>(1)?;
                resources.push(field.bytes()?);
            }
            (2, field) => dictionary.read(field.bytes()?, &mut room)?,
            _ => {}
        }
    }
    let mut reader = Reader { dictionary, room, left: MAX_SAMPLES, read: Vec::new() };
    for resource in resources {
        reader.read_resource(resource)?;
    }
    Ok(reader.read)
}

/// What profiles point to, not yet looked into.
#[derive(Default)]
struct Dictionary<'a> {
    mappings: Vec<&'a [u8]>,
    locations: Vec<&'a [u8]>,
    functions: Vec<&'a [u8]>,
    links: Vec<&'a [u8]>,
    strings: Vec<&'a [u8]>,
    attributes: Vec<&'a [u8]>,
    stacks: Vec<&'a [u8]>,
}

impl<'a> Dictionary<'a> {
    fn read(&mut self, bytes: &'a [u8], room: &mut Room<'_>) -> Result<(), ReadError> {
        for field in Fields::of(bytes) {
            let (number, field) = field?;
            let table = match number {
                1 => &mut self.mappings,
                2 => &mut self.locations,
                3 => &mut self.functions,
                4 => &mut self.links,
                5 => &mut self.strings,
                6 => &mut self.attributes,
                7 => &mut self.stacks,
                _ => continue,
            };
            room.take_for::<&[u8]>(1)?;
            table.push(field.bytes()?);
        }
        Ok(())
    }

    fn text(&self, index: u64) -> Result<String, ReadError> {
        if index == 0 {
            return Ok(String::new());
        }
        Ok(text_of(at(&self.strings, index, "it names a string that it does not have")?))
    }

    /// The attribute with this number; `None` for one whose value is a list or the like.
    fn attribute(&self, index: u64) -> Result<Option<Label>, ReadError> {
        let bytes = at(&self.attributes, index, "it names an attribute that it does not have")?;
        let (mut name, mut value) = (0, None);
        for field in Fields::of(bytes) {
            match field? {
                (1, field) => name = field.number()?,
                (2, field) => value = self.any_value(field.bytes()?)?,
                _ => {}
            }
        }
        let name = self.text(name)?;
        Ok(value.filter(|_| !name.is_empty()).map(|value| Label { name: name.into(), value }))
    }

    /// A `KeyValue`, whose key and text may be of the table of strings.
    fn key_value(&self, bytes: &[u8]) -> Result<Option<Label>, ReadError> {
        let (mut name, mut value) = (String::new(), None);
        for field in Fields::of(bytes) {
            match field? {
                (1, field) => name = text_of(field.bytes()?),
                (2, field) => value = self.any_value(field.bytes()?)?,
                (3, field) => name = self.text(field.number()?)?,
                _ => {}
            }
        }
        Ok(value.map(|value| Label { name: name.into(), value }))
    }

    /// An `AnyValue` that is text, a flag or a whole number.
    fn any_value(&self, bytes: &[u8]) -> Result<Option<LabelValue>, ReadError> {
        let mut value = None;
        for field in Fields::of(bytes) {
            value = match field? {
                (1, field) => Some(LabelValue::Text(text_of(field.bytes()?))),
                (2, field) => Some(LabelValue::Text((field.number()? != 0).to_string())),
                (3, field) => Some(LabelValue::Number(field.number()?.cast_signed())),
                (8, field) => Some(LabelValue::Text(self.text(field.number()?)?)),
                _ => value,
            };
        }
        Ok(value)
    }
}

fn at<'a>(table: &[&'a [u8]], index: u64, fault: &'static str) -> Result<&'a [u8], ReadError> {
    usize::try_from(index).ok().and_then(|index| table.get(index)).copied().ok_or(ReadError::Malformed(fault))
}

fn text_of(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_TEXT_BYTES)]).into_owned();
    text.shrink_to_fit();
    text
}

/// The messages in a field of a message.
fn messages(bytes: &[u8], wanted: u32) -> impl Iterator<Item = Result<&[u8], ReadError>> {
    Fields::of(bytes).filter_map(move |field| match field {
        Ok((number, field)) if number == wanted => Some(field.bytes().map_err(ReadError::from)),
        Ok(_) => None,
        Err(fault) => Some(Err(fault.into())),
    })
}

/// Numbers of eight bytes each, packed or one alone.
fn fixed<'a>(field: &Field<'a>) -> Result<Vec<u64>, ReadError> {
    match *field {
        Field::Number(number) => Ok(vec![number]),
        Field::Bytes(bytes) if bytes.len().is_multiple_of(8) => {
            let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
            Ok(bytes.chunks(8).map(number).collect())
        }
        Field::Bytes(_) => Err(ReadError::Malformed("times are not of eight bytes each")),
    }
}

struct Reader<'a, 'g> {
    dictionary: Dictionary<'a>,
    room: Room<'g>,
    /// How many samples may still come.
    left: usize,
    read: Vec<OfProcess>,
}

impl Reader<'_, '_> {
    fn read_resource(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        let mut attributes = Vec::new();
        for resource in messages(bytes, 1) {
            for pair in messages(resource?, 1) {
                within("attributes of a process", attributes.len() + 1, MAX_ATTRIBUTES)?;
                attributes.extend(self.dictionary.key_value(pair?)?);
            }
        }
        for scope in messages(bytes, 2) {
            for profile in messages(scope?, 2) {
                within("profiles", self.read.len() + 1, MAX_PROFILES)?;
                let text = |label: &Label| label.name.len() + text_bytes(&label.value);
                self.room.take(attributes.iter().map(text).sum::<usize>() + attributes.len() * size_of::<Label>())?;
                let profile = self.read_profile(profile?)?;
                self.read.push(OfProcess { attributes: attributes.clone(), profile });
            }
        }
        Ok(())
    }

    fn read_profile(&mut self, bytes: &[u8]) -> Result<Profile, ReadError> {
        let mut profile = Profile::default();
        let mut samples = Vec::new();
        for field in Fields::of(bytes) {
            match field? {
                (1, field) => {
                    let [name, unit] = numbers(field.bytes()?, [1, 2])?;
                    let (name, unit) = (self.dictionary.text(name)?, self.dictionary.text(unit)?);
                    profile.types = vec![SampleType { name, unit }];
                }
                (2, field) => {
                    self.room.take_for::<&[u8]>(1)?;
                    samples.push(field.bytes()?);
                }
                (3, field) => profile.time_unix_nano = field.number()?,
                (4, field) => profile.duration_ns = field.number()?,
                _ => {}
            }
        }
        if profile.types.is_empty() {
            return Err(ReadError::Malformed("it says no sample type"));
        }
        let mut building = Building::default();
        for sample in samples {
            self.read_sample(sample, &mut profile, &mut building)?;
        }
        Ok(profile)
    }

    fn read_sample(&mut self, bytes: &[u8], profile: &mut Profile, known: &mut Building) -> Result<(), ReadError> {
        let (mut stack, mut link) = (0, 0);
        let (mut labels, mut values, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for field in Fields::of(bytes) {
            match field? {
                (1, field) => stack = field.number()?,
                (2, field) => {
                    for index in packed(&field) {
                        within("labels of a sample", labels.len() + 1, MAX_LABELS)?;
                        labels.extend(self.dictionary.attribute(index?)?.map(renamed));
                    }
                }
                (3, field) => link = field.number()?,
                (4, field) => {
                    for value in packed(&field) {
                        self.room.take_for::<i64>(1)?;
                        values.push(value?.cast_signed());
                    }
                }
                (5, field) => {
                    let more = fixed(&field)?;
                    self.room.take_for::<u64>(more.len())?;
                    times.extend(more);
                }
                _ => {}
            }
        }
        if link > 0 {
            labels.extend(link_labels(at(&self.dictionary.links, link, "it names a link that it does not have")?)?);
        }
        if !values.is_empty() && !times.is_empty() && values.len() != times.len() {
            return Err(ReadError::Malformed("a sample has other times than values"));
        }
        let stack = self.stack(stack, profile, known)?;
        let of_labels = |labels: &[Label]| {
            let text = |label: &Label| size_of::<Label>() + label.name.len() + text_bytes(&label.value);
            labels.iter().map(text).sum::<usize>()
        };
        // Without times the values of a sample are one thing; with times and no values each is one.
        let moments: Vec<(Option<u64>, i64)> = if times.is_empty() {
            vec![(None, values.iter().fold(0, |sum: i64, value| sum.saturating_add(*value)))]
        } else {
            let value = |at: usize| values.get(at).copied().unwrap_or(1);
            times.iter().enumerate().map(|(at, time)| (Some(*time), value(at))).collect()
        };
        for (time, value) in moments {
            self.left = self.left.checked_sub(1).ok_or(ReadError::TooLarge { what: "samples", limit: MAX_SAMPLES })?;
            let mut labels = labels.clone();
            if let Some(time) = time {
                let value = LabelValue::Number(i64::try_from(time).unwrap_or(i64::MAX));
                labels.push(Label { name: TIME_LABEL.into(), value });
            }
            self.room.take(size_of::<Sample>() + size_of::<i64>() + of_labels(&labels))?;
            profile.samples.push(Sample { stack, values: vec![value], labels });
        }
        Ok(())
    }

    fn stack(&mut self, index: u64, profile: &mut Profile, known: &mut Building) -> Result<u32, ReadError> {
        if let Some(stack) = known.stacks.get(&index) {
            return Ok(*stack);
        }
        let mut frames = Vec::new();
        // The first one is no stack.
        if index > 0 {
            let bytes = at(&self.dictionary.stacks, index, "it names a stack that it does not have")?;
            for field in Fields::of(bytes) {
                let (1, field) = field? else { continue };
                for location in packed(&field) {
                    self.add_frames(location?, &mut frames, profile, known)?;
                }
            }
        }
        if frames.len() > MAX_DEPTH {
            let omitted = Frame { function: crate::FRAMES_OMITTED.to_owned(), ..Frame::default() };
            frames.truncate(MAX_DEPTH - 1);
            frames.push(self.frame(omitted, profile, known)?);
        }
        self.room.take(frames.len() * size_of::<u32>() + size_of::<Vec<u32>>() + MAP_ENTRY_BYTES)?;
        let place = u32::try_from(profile.stacks.len()).map_err(|_| ReadError::Malformed("it has too many stacks"))?;
        profile.stacks.push(frames);
        known.stacks.insert(index, place);
        Ok(place)
    }

    /// Adds the frames of a location, the innermost first. One more than are kept says that there are more.
    fn add_frames(
        &mut self,
        location: u64,
        stack: &mut Vec<u32>,
        profile: &mut Profile,
        known: &mut Building,
    ) -> Result<(), ReadError> {
        let bytes = at(&self.dictionary.locations, location, "it names a location that it does not have")?;
        let [mapping, address] = numbers(bytes, [1, 2])?;
        let (mapped, of_code) = self.mapping(mapping)?;
        let mut has_lines = false;
        for line in messages(bytes, 3) {
            has_lines = true;
            if stack.len() > MAX_DEPTH {
                return Ok(());
            }
            let [function, line] = numbers(line?, [1, 2])?;
            let of_function = at(&self.dictionary.functions, function, "it names a function that it does not have")?;
            let [name, system_name, file] = numbers(of_function, [1, 2, 3])?;
            let function = self.dictionary.text(if name == 0 { system_name } else { name })?;
            let file = self.dictionary.text(file)?;
            let (library, in_app) = owner(&mapped, &of_code, &file);
            let line = u32::try_from(line.cast_signed().max(0)).unwrap_or(u32::MAX);
            stack.push(self.frame(Frame { function, file, line, in_app, library }, profile, known)?);
        }
        if !has_lines && stack.len() <= MAX_DEPTH {
            let (library, in_app) = owner(&mapped, &of_code, &mapped);
            let frame = Frame { function: format!("0x{address:x}"), file: mapped, line: 0, in_app, library };
            stack.push(self.frame(frame, profile, known)?);
        }
        Ok(())
    }

    /// The file that code is mapped from, and whose it is, where that is said.
    fn mapping(&self, index: u64) -> Result<(String, String), ReadError> {
        if index == 0 {
            return Ok(Default::default());
        }
        let bytes = at(&self.dictionary.mappings, index, "it names a mapping that it does not have")?;
        let (mut file, mut of_code) = (String::new(), String::new());
        for field in Fields::of(bytes) {
            match field? {
                (4, field) => file = self.dictionary.text(field.number()?)?,
                (5, field) => {
                    for index in packed(&field) {
                        if let Some(Label { name, value: LabelValue::Text(text) }) =
                            self.dictionary.attribute(index?)?
                            && name == OWNER_ATTRIBUTE
                        {
                            of_code = text;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok((file, of_code))
    }

    fn frame(&mut self, frame: Frame, profile: &mut Profile, known: &mut Building) -> Result<u32, ReadError> {
        if let Some(place) = known.frames.get(&frame) {
            return Ok(*place);
        }
        let texts = frame.function.len() + frame.file.len() + frame.library.len();
        // Once in the profile and once among those that are known.
        self.room.take(2 * (size_of::<Frame>() + texts) + MAP_ENTRY_BYTES)?;
        let place = u32::try_from(profile.frames.len()).map_err(|_| ReadError::Malformed("it has too many frames"))?;
        profile.frames.push(frame.clone());
        known.frames.insert(frame, place);
        Ok(place)
    }
}

/// What a profile has already.
#[derive(Default)]
struct Building {
    stacks: HashMap<u64, u32>,
    frames: HashMap<Frame, u32>,
}

fn text_bytes(value: &LabelValue) -> usize {
    match value {
        LabelValue::Text(text) => text.len(),
        LabelValue::Number(_) => 0,
    }
}

fn renamed(label: Label) -> Label {
    match LABELS.iter().find(|(theirs, _)| *theirs == label.name) {
        Some((_, ours)) => Label { name: (*ours).into(), ..label },
        None => label,
    }
}

/// The trace and the span that a link points to.
fn link_labels(bytes: &[u8]) -> Result<Vec<Label>, ReadError> {
    let mut labels = Vec::new();
    for field in Fields::of(bytes) {
        let (number, field) = field?;
        let (name, length) = match number {
            1 => ("trace id", 16),
            2 => ("span id", 8),
            _ => continue,
        };
        let id = field.bytes()?;
        if id.len() == length {
            let hex = id.iter().map(|byte| format!("{byte:02x}")).collect();
            labels.push(Label { name: name.into(), value: LabelValue::Text(hex) });
        }
    }
    Ok(labels)
}

#[cfg(test)]
#[path = "otlp_tests.rs"]
mod tests;
