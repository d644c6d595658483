//! Profiles as files: what a profiler sampled in a while, and the formats it travels in.
//!
//! [`Profile`] is the form in between: the agent's sampler fills it, the receivers read it out of what
//! was pushed, and every format is written from it.

mod collapsed;
mod html;
mod join;
mod library;
mod otlp;
mod owner;
mod pprof;
mod protobuf;
mod read;
mod room;
mod speedscope;

pub use collapsed::write_collapsed;
pub use html::write_html;
pub use library::library_of;
pub use otlp::{OfProcess, read_otlp_within};
pub use pprof::{BUILD_ID_OF_APP, BUILD_ID_OF_LIBRARY, write_pprof};
pub use read::{
    FRAMES_OMITTED, MAX_DEPTH, MAX_LABELS, MAX_PROFILE_BYTES, MAX_SAMPLES, MAX_TEXT_BYTES, MAX_TYPES, ReadError,
    read_pprof, read_pprof_within,
};
pub use speedscope::write_speedscope;

use std::borrow::Cow;

use pitviper_model::Frame;

/// What was sampled in a while.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profile {
    /// When it begins, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// How long it took, in nanoseconds.
    pub duration_ns: u64,
    /// What the values of each sample are, in their order.
    pub types: Vec<SampleType>,
    /// Places in the code; stacks share them.
    pub frames: Vec<Frame>,
    /// Stacks as indices of [`Profile::frames`], the innermost first; samples share them.
    pub stacks: Vec<Vec<u32>>,
    /// The samples.
    pub samples: Vec<Sample>,
}

impl Profile {
    /// Which of the values of each sample is of the type of this name.
    #[must_use]
    pub fn type_index(&self, name: &str) -> Option<usize> {
        self.types.iter().position(|kind| kind.name == name)
    }

    /// The samples with their stacks, but for those of a stack that the profile does not have.
    pub fn stacked(&self) -> impl Iterator<Item = (&Sample, &[u32])> {
        self.samples.iter().filter_map(|sample| Some((sample, self.stacks.get(sample.stack as usize)?.as_slice())))
    }
}

/// What a value of a sample is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SampleType {
    /// Its name, such as `cpu` or `wall`.
    pub name: String,
    /// Its unit, such as `nanoseconds`.
    pub unit: String,
}

/// How much a stack took under some labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// Index of its stack in [`Profile::stacks`].
    pub stack: u32,
    /// A value of each of [`Profile::types`]; zero for what the sample does not tell.
    pub values: Vec<i64>,
    /// Details, such as the thread.
    pub labels: Vec<Label>,
}

impl Sample {
    /// The value of the label of this name.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&LabelValue> {
        self.labels.iter().find(|label| label.name == name).map(|label| &label.value)
    }

    /// The text of the label of this name.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.label(name)? {
            LabelValue::Text(text) => Some(text),
            LabelValue::Number(_) => None,
        }
    }
}

/// A detail of a sample.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Label {
    /// Its name. Who makes samples has few names, known beforehand, and needs no memory for them.
    pub name: Cow<'static, str>,
    /// Its value.
    pub value: LabelValue,
}

/// The value of a [`Label`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LabelValue {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
}
