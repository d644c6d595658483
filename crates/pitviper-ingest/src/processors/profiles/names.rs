//! One name for one thing: what other profilers call otherwise, by the names that questions use.
//!
//! Sources: libdatadog's and ddtrace's profiles, Go's `runtime/pprof`, Pyroscope's labels for spans.

use pitviper_pprof::SampleType;

/// The label with the id of the span that entered the process.
pub(super) const ROOT_SPAN_ID: &str = "local root span id";

/// What others call a type, and what it is called here.
const TYPES: [(&str, &str); 10] = [
    ("cpu-time", "cpu"),
    ("wall-time", "wall"),
    ("exception-samples", "exceptions"),
    ("lock-acquire-wait", "lock_wait"),
    ("lock-release-hold", "lock_hold"),
    ("alloc-space", "alloc_space"),
    ("alloc-samples", "alloc_objects"),
    ("heap-space", "inuse_space"),
    ("heap-live-samples", "inuse_objects"),
    ("gc-pause", "gc_pause"),
];

/// Types that count samples, each with the type whose samples it counts; of all types when there is none.
const COUNTS_OF_SAMPLES: [(&str, Option<&str>); 5] = [
    ("cpu-samples", Some("cpu")),
    ("wall-samples", Some("wall")),
    ("lock-acquire", Some("lock_wait")),
    ("lock-release", Some("lock_hold")),
    ("samples", None),
];

/// How far apart samples of running threads are where nobody says it, in nanoseconds: a hundred a second is what
/// nearly all profilers take.
const USUAL_PERIOD_NS: i64 = 10_000_000;

/// Types whose values are times between samples.
const SAMPLED_TIMES: [&str; 2] = ["cpu", "wall"];

/// The unit of times.
const NANOSECONDS: &str = "nanoseconds";

/// Units of time, and how many nanoseconds each has.
const TIMES: [(&str, i64); 8] = [
    ("nanoseconds", 1),
    ("ns", 1),
    ("microseconds", 1_000),
    ("us", 1_000),
    ("milliseconds", 1_000_000),
    ("ms", 1_000_000),
    ("seconds", 1_000_000_000),
    ("s", 1_000_000_000),
];

/// A type of values as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MeasuredType {
    pub(super) name: String,
    pub(super) unit: String,
    /// What values are multiplied with to be in the unit.
    pub(super) factor: i64,
    /// Which value of a sample counts the samples that it stands for, where one does.
    pub(super) count: Option<usize>,
}

impl MeasuredType {
    /// How many samples a value stands for that was added up of so many: what the profile says, or what follows
    /// from the time that lies between two.
    pub(super) fn samples(&self, values: &[i64], value: i64, added_up: u64) -> u64 {
        let said = self.count.and_then(|count| values.get(count)).copied().filter(|count| *count > 0);
        if let Some(said) = said {
            return said.unsigned_abs();
        }
        let is_time = self.unit == NANOSECONDS && SAMPLED_TIMES.contains(&self.name.as_str());
        let by_time = if is_time { value.saturating_add(USUAL_PERIOD_NS / 2) / USUAL_PERIOD_NS } else { 0 };
        added_up.max(by_time.max(1).unsigned_abs())
    }
}

/// What becomes of each type; nothing of those that only count the samples of another.
pub(super) fn measured(types: &[SampleType]) -> Vec<Option<MeasuredType>> {
    let is_count = |of: &SampleType| COUNTS_OF_SAMPLES.iter().any(|(name, _)| *name == of.name);
    let count_of = |kind: &str| {
        let counts = COUNTS_OF_SAMPLES.iter().filter(|(_, of)| of.is_none_or(|of| of == kind));
        counts.filter_map(|(name, _)| types.iter().position(|of| of.name == *name)).next()
    };
    let has_others = types.iter().any(|of| !is_count(of));
    let kept = |of: &SampleType| {
        let known = TYPES.iter().find(|(name, _)| *name == of.name).map(|(_, name)| (*name).to_owned());
        let (unit, factor) = match TIMES.iter().find(|(unit, _)| *unit == of.unit) {
            Some((_, factor)) => (NANOSECONDS.to_owned(), *factor),
            None => (of.unit.clone(), 1),
        };
        let name = known.unwrap_or_else(|| of.name.replace('-', "_"));
        MeasuredType { count: count_of(&name), name, unit, factor }
    };
    types.iter().map(|of| (!has_others || !is_count(of)).then(|| kept(of))).collect()
}

/// What a label says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    /// When the sample was taken, in nanoseconds since the Unix epoch.
    Time,
    TraceId,
    SpanId,
    /// The span that entered the process.
    RootSpanId,
    /// The thread's name.
    Thread,
    /// Something else, by the name it is kept under.
    Label(&'a str),
}

/// What a label of the name says.
pub(super) fn meaning(name: &str) -> Meaning<'_> {
    match name {
        "end_timestamp_ns" => Meaning::Time,
        "trace id" | "trace_id" => Meaning::TraceId,
        "span id" | "span_id" => Meaning::SpanId,
        ROOT_SPAN_ID => Meaning::RootSpanId,
        "thread" | "thread name" => Meaning::Thread,
        "trace endpoint" | "span_name" => Meaning::Label("endpoint"),
        "task name" => Meaning::Label("task"),
        "lock name" => Meaning::Label("lock"),
        "exception type" => Meaning::Label("exception"),
        other => Meaning::Label(other),
    }
}
