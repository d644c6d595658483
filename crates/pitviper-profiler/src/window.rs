//! What was sampled since it was last taken.

use std::time::{Instant, SystemTime};

use pitviper_pprof::{Profile, Sample, SampleType};
use rustc_hash::FxHashMap;

use crate::events;
use crate::labels::{self, Labels, ThreadId};
use crate::spans::SpanIds;
use crate::stacks::{Shown, Stacks};
use crate::tasks::Names;
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
    /// The number of the task's name; zero for none.
    pub(crate) task: u32,
    /// The task does not run: its time is none of the thread's.
    pub(crate) is_waiting_task: bool,
}

/// What was measured of it, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Measured {
    pub(crate) cpu_ns: u64,
    pub(crate) wall_ns: u64,
    /// How much of it a callback blocked an event loop that takes too long.
    pub(crate) block_ns: u64,
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
        if let Some(measured) = self.of(key) {
            measured.cpu_ns += cpu_ns;
            measured.wall_ns += wall_ns;
        }
    }

    /// Adds to the time of a sample that blocked an event loop.
    pub(crate) fn add_block(&mut self, key: Key, block_ns: u64) {
        if let Some(measured) = self.of(key) {
            measured.block_ns += block_ns;
        }
    }

    fn of(&mut self, key: Key) -> Option<&mut Measured> {
        if self.samples.len() >= MAX_SAMPLES && !self.samples.contains_key(&key) {
            self.dropped += 1;
            return None;
        }
        Some(self.samples.entry(key).or_default())
    }

    #[cfg(test)]
    pub(crate) fn blocked_ns(&self, key: &Key) -> u64 {
        self.samples.get(key).map_or(0, |measured| measured.block_ns)
    }

    /// The profile of this window.
    pub(crate) fn profile(
        &self,
        stacks: &Stacks,
        labels: &Labels,
        tasks: &Names,
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
        let has_locks = events::keeps_locks() && self.samples.keys().any(|key| key.state == State::Lock);
        let has_blocks = self.samples.values().any(|measured| measured.block_ns > 0);
        if has_locks {
            profile.types.push(nanoseconds("lock_wait"));
        }
        if has_blocks {
            profile.types.push(nanoseconds("loop_block"));
        }
        let mut shown = Shown::new(stacks, standard_library);
        for (key, measured) in &self.samples {
            let stack = shown.place(&mut profile, key.stack);
            let mut labels = labels.of(key.thread, &key.span);
            if key.is_waiting_task {
                labels::set_apart(&mut labels);
            }
            if let Some(task) = tasks.text(key.task) {
                labels.push(labels::text("task", task.to_owned()));
            }
            labels.push(labels::text("state", key.state.name().to_owned()));
            let mut values = vec![signed(measured.cpu_ns), signed(measured.wall_ns)];
            if has_locks {
                let waits = key.state == State::Lock;
                values.push(if waits { signed(measured.wall_ns) } else { 0 });
                if waits {
                    let frames = profile.stacks[stack as usize].iter().map(|frame| &profile.frames[*frame as usize]);
                    labels.push(labels::text("lock", events::locks::kind_of(frames).to_owned()));
                }
            }
            if has_blocks {
                values.push(signed(measured.block_ns));
            }
            profile.samples.push(Sample { stack, values, labels });
        }
        profile
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
