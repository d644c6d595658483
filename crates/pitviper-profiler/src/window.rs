//! What was sampled since it was last taken.

use std::time::{Instant, SystemTime};

use pitviper_pprof::{Profile, Sample, SampleType};
use rustc_hash::FxHashMap;

use crate::labels::{self, Labels, ThreadId};
use crate::spans::SpanIds;
use crate::stacks::Stacks;
use crate::wait::State;

/// Different samples that are kept; what else is sampled is counted and left out.
pub(crate) const MAX_SAMPLES: usize = 100_000;

/// What a sample is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) stack: u32,
    pub(crate) thread: ThreadId,
    pub(crate) state: State,
    pub(crate) span: SpanIds,
}

/// What was measured of it, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Measured {
    pub(crate) cpu_ns: u64,
    pub(crate) wall_ns: u64,
}

#[derive(Debug)]
pub(crate) struct Window {
    began: SystemTime,
    clock: Instant,
    samples: FxHashMap<Key, Measured>,
    pub(crate) dropped: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { began: SystemTime::now(), clock: Instant::now(), samples: FxHashMap::default(), dropped: 0 }
    }
}

impl Window {
    /// Adds to a sample.
    pub(crate) fn add(&mut self, key: Key, cpu_ns: u64, wall_ns: u64) {
        if self.samples.len() >= MAX_SAMPLES && !self.samples.contains_key(&key) {
            self.dropped += 1;
            return;
        }
        let measured = self.samples.entry(key).or_default();
        measured.cpu_ns += cpu_ns;
        measured.wall_ns += wall_ns;
    }

    /// The profile of this window.
    pub(crate) fn profile(&self, stacks: &Stacks, labels: &Labels, standard_library: &[String]) -> Profile {
        let nanoseconds = |name: &str| SampleType { name: name.to_owned(), unit: "nanoseconds".to_owned() };
        let unix = self.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut profile = Profile {
            time_unix_nano: unix.as_nanos() as u64,
            duration_ns: self.clock.elapsed().as_nanos() as u64,
            types: vec![nanoseconds("cpu"), nanoseconds("wall")],
            ..Profile::default()
        };
        let mut frames: FxHashMap<(u32, u32), u32> = FxHashMap::default();
        let mut known_stacks: FxHashMap<u32, u32> = FxHashMap::default();
        for (key, measured) in &self.samples {
            let stack = *known_stacks.entry(key.stack).or_insert_with(|| {
                let list = stacks.frames(key.stack).map(|frame| {
                    *frames.entry(frame).or_insert_with(|| {
                        profile.frames.push(stacks.frame(frame, standard_library));
                        profile.frames.len() as u32 - 1
                    })
                });
                profile.stacks.push(list.collect());
                profile.stacks.len() as u32 - 1
            });
            let mut labels = labels.of(key.thread, &key.span);
            labels.push(labels::text("state", key.state.name().to_owned()));
            profile.samples.push(Sample {
                stack,
                values: vec![signed(measured.cpu_ns), signed(measured.wall_ns)],
                labels,
            });
        }
        profile
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
