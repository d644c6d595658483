//! Samples of a profile as rows: one for each value that is not zero, under the names of docs/guides.
//!
//! What a profile holds twice (the same stack with the same labels at the same time) is added up, as the
//! store takes a row that is there twice for one that was sent again.

mod names;

use std::collections::HashMap;
use std::sync::Arc;

use pitviper_model::{Attributes, Frame, ProfileSample, RejectReason, Resource, SpanId, Stack, TraceId};
use pitviper_pprof::{Label, LabelValue, Profile, Sample};
use pitviper_store::schema::{ProfilesBuilder, SAMPLES_LABEL};

use self::names::{Meaning, MeasuredType, meaning, measured};
use super::validate::is_storable;

/// What a row takes in memory besides its labels, in bytes.
const ROW_BYTES: usize = 160;
/// What a label of a row takes besides its text, in bytes.
const LABEL_BYTES: usize = 24;
/// What a frame takes each time it is in a stack, in bytes.
const STACK_FRAME_BYTES: usize = 16;

/// Samples that are ready to be kept.
#[derive(Debug, Default)]
pub(crate) struct ProfileRows {
    pub(crate) rows: ProfilesBuilder,
    /// Why others are not, one reason for each.
    pub(crate) rejected: Vec<RejectReason>,
}

/// About what the rows of a profile take in memory, in bytes.
pub(crate) fn cost_bytes(profile: &Profile) -> usize {
    let frames: usize = profile.frames.iter().map(|frame| size_of::<Frame>() + frame_text_bytes(frame)).sum();
    let stacks: usize = profile.stacks.iter().map(|stack| stack.len() * STACK_FRAME_BYTES).sum();
    let rows = profile.samples.iter().map(|sample| {
        let values = sample.values.iter().filter(|value| **value != 0).count();
        let labels = sample.labels.iter().map(|label| LABEL_BYTES + label.name.len() + text_of(&label.value).len());
        values * (ROW_BYTES + labels.sum::<usize>())
    });
    rows.fold(frames.saturating_add(stacks), usize::saturating_add)
}

fn frame_text_bytes(frame: &Frame) -> usize {
    frame.function.len() + frame.file.len() + frame.library.len()
}

fn text_of(value: &LabelValue) -> &str {
    match value {
        LabelValue::Text(text) => text,
        LabelValue::Number(_) => "",
    }
}

/// The rows of a profile that a process sent. What says no time was sampled `now_unix_nano`.
pub(crate) fn rows(resource: &Resource, profile: &Profile, now_unix_nano: u64) -> ProfileRows {
    let mut out = ProfileRows { rows: ProfilesBuilder::with_capacity(profile.samples.len()), rejected: Vec::new() };
    rows_into(resource, profile, now_unix_nano, &mut out);
    out
}

/// Adds the rows of one more profile.
pub(crate) fn rows_into(resource: &Resource, profile: &Profile, now_unix_nano: u64, out: &mut ProfileRows) {
    let types = measured(&profile.types);
    let end = match profile.time_unix_nano {
        0 => now_unix_nano,
        begin => begin.saturating_add(profile.duration_ns),
    };
    let mut by_stack: Vec<&Sample> = profile.samples.iter().collect();
    by_stack.sort_by_key(|sample| sample.stack);
    for samples in by_stack.chunk_by(|left, right| left.stack == right.stack) {
        let places = profile.stacks.get(samples[0].stack as usize).map(Vec::as_slice).unwrap_or_default();
        let frames = places.iter().filter_map(|place| profile.frames.get(*place as usize).cloned());
        let stack = Arc::new(Stack::new(frames));
        for AddedUp { labels, values, samples } in added_up(samples) {
            let said = Said::of(labels);
            let time_unix_nano = said.time_unix_nano.unwrap_or(end);
            for (kind, value) in types.iter().zip(values.iter().copied()) {
                let Some(kind) = kind.as_ref().filter(|_| value != 0) else { continue };
                if !is_storable(time_unix_nano) {
                    out.rejected.push(RejectReason::InvalidTime);
                    continue;
                }
                let mut sample = said.sample(time_unix_nano, kind, value, &stack);
                set_samples(&mut sample.labels, kind.samples(&values, sample.value, samples));
                out.rows.append(resource, &sample);
            }
        }
    }
}

/// Says how many samples a row stands for, if that is not one. A label that others call so means something else.
fn set_samples(labels: &mut Attributes, samples: u64) {
    if samples != 1 || labels.get(SAMPLES_LABEL).is_some() {
        labels.set(SAMPLES_LABEL, i64::try_from(samples).unwrap_or(i64::MAX));
    }
}

/// What is the same but for its values.
#[derive(Debug, PartialEq, Eq)]
struct AddedUp<'a> {
    labels: &'a [Label],
    values: Vec<i64>,
    /// Of how many samples.
    samples: u64,
}

/// The values by labels, each labels once, in the order in which they come.
fn added_up<'a>(samples: &[&'a Sample]) -> Vec<AddedUp<'a>> {
    let mut places: HashMap<&[Label], usize> = HashMap::with_capacity(samples.len());
    let mut sums: Vec<AddedUp<'a>> = Vec::with_capacity(samples.len());
    for sample in samples {
        match places.get(&*sample.labels) {
            Some(place) => {
                let known = &mut sums[*place];
                known.values.iter_mut().zip(&sample.values).for_each(|(sum, value)| *sum = sum.saturating_add(*value));
                known.samples += 1;
            }
            None => {
                places.insert(&sample.labels, sums.len());
                sums.push(AddedUp { labels: &sample.labels, values: sample.values.clone(), samples: 1 });
            }
        }
    }
    sums
}

/// What the labels of a sample say.
#[derive(Debug, Default)]
struct Said {
    time_unix_nano: Option<u64>,
    trace_id: TraceId,
    span_id: SpanId,
    thread: String,
    labels: Attributes,
}

impl Said {
    fn of(labels: &[Label]) -> Self {
        let mut said = Self::default();
        for Label { name, value } in labels {
            match (meaning(name), value) {
                (Meaning::Time, LabelValue::Number(time)) if *time > 0 => {
                    said.time_unix_nano = Some(time.cast_unsigned());
                }
                (Meaning::TraceId, LabelValue::Text(text)) => said.trace_id = text.parse().unwrap_or_default(),
                (Meaning::SpanId, value) => said.span_id = span_id(value),
                (Meaning::Thread, LabelValue::Text(text)) => text.clone_into(&mut said.thread),
                (Meaning::RootSpanId, value) => {
                    let id = span_id(value);
                    if id.is_valid() {
                        said.labels.set(names::ROOT_SPAN_ID, id.to_string());
                    }
                }
                (Meaning::Label(name), LabelValue::Text(text)) => said.labels.set(name, text.as_str()),
                (Meaning::Label(name), LabelValue::Number(number)) => said.labels.set(name, *number),
                // A time, a trace or a thread that is none.
                _ => {}
            }
        }
        said
    }

    fn sample(&self, time_unix_nano: u64, kind: &MeasuredType, value: i64, stack: &Arc<Stack>) -> ProfileSample {
        ProfileSample {
            time_unix_nano,
            sample_type: kind.name.clone(),
            unit: kind.unit.clone(),
            value: value.saturating_mul(kind.factor),
            stack: Arc::clone(stack),
            trace_id: self.trace_id,
            span_id: self.span_id,
            thread: self.thread.clone(),
            labels: self.labels.clone(),
        }
    }
}

/// A span's id in hex, or as Datadog's clients have it: a number of 64 bits, with a sign where the first is set.
fn span_id(value: &LabelValue) -> SpanId {
    match value {
        LabelValue::Text(text) => text.parse().unwrap_or_default(),
        LabelValue::Number(number) => SpanId(number.to_be_bytes()),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
