//! What was sampled since it was last taken.

use std::collections::HashMap;
use std::time::{Instant, SystemTime};

use pitviper_pprof::{Label, LabelValue, Profile, Sample, SampleType};
use rustc_hash::FxHashMap;

use crate::spans::SpanIds;
use crate::stacks::Stacks;
use crate::wait::State;

/// Different samples that are kept; what else is sampled is counted and left out.
pub(crate) const MAX_SAMPLES: usize = 100_000;

/// What a sample is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) stack: u32,
    pub(crate) thread: u32,
    pub(crate) state: State,
    pub(crate) span: SpanIds,
}

/// What was measured of it, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Measured {
    pub(crate) cpu_ns: u64,
    pub(crate) wall_ns: u64,
}

/// A thread, as samples name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ThreadName {
    pub(crate) ident: usize,
    pub(crate) native: i32,
    pub(crate) name: Option<String>,
}

/// What a thread is called that `threading` does not know, such as any where nobody has imported it.
fn unnamed(native: i32) -> String {
    // The kernel's number of a process is that of its first thread.
    if u32::try_from(native) == Ok(std::process::id()) { "MainThread".to_owned() } else { format!("thread {native}") }
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
    pub(crate) fn profile(
        &self,
        stacks: &Stacks,
        threads: &HashMap<u32, ThreadName>,
        standard_library: &[String],
    ) -> Profile {
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
            let label = |name: &str, value| Label { name: name.to_owned(), value };
            let mut labels = Vec::with_capacity(5);
            if let Some(thread) = threads.get(&key.thread) {
                let name = thread.name.clone().unwrap_or_else(|| unnamed(thread.native));
                labels.push(label("thread", LabelValue::Text(name)));
                labels.push(label("thread id", LabelValue::Number(i64::from(thread.native))));
            }
            labels.push(label("state", LabelValue::Text(key.state.name().to_owned())));
            if key.span != SpanIds::default() {
                labels.push(label("trace id", LabelValue::Text(hex(&key.span.trace))));
                labels.push(label("span id", LabelValue::Text(hex(&key.span.span))));
            }
            profile.samples.push(Sample {
                stack,
                values: vec![signed(measured.cpu_ns), signed(measured.wall_ns)],
                labels,
            });
        }
        profile
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
