//! Aggregates of spans: how many, how long, how large, by group and time step.

use pitviper_model::{SpanId, TraceId};

use super::Distribution;
use crate::filter::Filter;
use crate::store::TimeRange;

/// A question for figures of matching spans.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// When the spans started.
    pub range: TimeRange,
    /// Width of the time steps in nanoseconds, aligned to the range's start; `None` for one step.
    pub step_ns: Option<i64>,
    /// Which spans count.
    pub filter: Filter,
    /// What is measured.
    pub measure: Measure,
    /// What is kept of the measured numbers, beside their count, sum, least and greatest.
    pub keep: Keep,
    /// Split by these, at most [`Aggregate::MAX_FIELDS`]; empty for one group.
    pub group_by: Vec<GroupField>,
    /// Most groups; numbers of groups met later are added up in [`Aggregated::rest`].
    pub max_groups: usize,
    /// Which spans stand for a step.
    pub exemplars: Exemplars,
}

impl Aggregate {
    /// Most fields to split by.
    pub const MAX_FIELDS: usize = 4;
    /// Longest label in bytes; of longer texts the beginning counts.
    pub const MAX_LABEL_BYTES: usize = 512;
}

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measure {
    /// Each span's duration in nanoseconds.
    Duration,
    /// A number among each span's own attributes; spans without it do not count.
    Attribute(String),
    /// How many matching spans each trace has. A trace counts in the step of its first matching span,
    /// once in each group that it has spans of.
    SpansPerTrace,
}

/// What is kept of measured numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing, where no quantile is asked for.
    Nothing,
    /// The exponential histogram.
    Buckets,
    /// The numbers, up to a bound of the store; beyond it the exponential histogram.
    Values,
}

/// Which spans stand for a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exemplars {
    /// None.
    Nothing,
    /// The one with the greatest number.
    Greatest,
    /// Of those that failed, the one with the greatest number.
    GreatestFailed,
}

/// What groups are made by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GroupField {
    /// The service's name.
    Service,
    /// The span's name.
    Name,
    /// The deployment environment.
    Environment,
    /// The service's version.
    Version,
    /// The host's name.
    Host,
    /// The span's kind.
    Kind,
    /// The span's status.
    Status,
    /// A span attribute, or a resource attribute when the span has none of that name.
    Attribute(String),
}

/// A span that stands for a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar {
    /// Its trace.
    pub trace_id: TraceId,
    /// The span; all zero when the trace as a whole is meant.
    pub span_id: SpanId,
    /// Its start, in nanoseconds since the Unix epoch.
    pub start_ns: i64,
    /// Its number.
    pub value: f64,
}

/// What was measured of one group in one step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tally {
    /// How many numbers.
    pub count: u64,
    /// How many of them are of spans that failed; of traces, those with a matching span that failed.
    pub errors: u64,
    /// Their sum.
    pub sum: f64,
    /// The least; zero when there are none.
    pub min: f64,
    /// The greatest; zero when there are none.
    pub max: f64,
    /// Their distribution, as far as it was to be kept.
    pub distribution: Distribution,
    /// What stands for the step.
    pub exemplar: Option<Exemplar>,
}

impl Tally {
    /// An empty one that keeps what it is told to.
    #[must_use]
    pub fn keeping(keep: Keep) -> Self {
        let distribution = if keep == Keep::Values { Distribution::exact() } else { Distribution::default() };
        Self { distribution, ..Self::default() }
    }

    /// Adds all that another holds.
    pub fn merge(&mut self, other: &Self) {
        (self.min, self.max) = match (self.count, other.count) {
            (_, 0) => (self.min, self.max),
            (0, _) => (other.min, other.max),
            _ => (self.min.min(other.min), self.max.max(other.max)),
        };
        if self.count == 0 {
            self.distribution = other.distribution.clone();
        } else if other.count > 0 {
            self.distribution.merge(&other.distribution);
        }
        self.count += other.count;
        self.errors += other.errors;
        self.sum += other.sum;
        if let Some(exemplar) = other.exemplar {
            self.offer(exemplar);
        }
    }

    /// Takes a span to stand for the step, when it is a better one: a greater number, or the lower id.
    pub fn offer(&mut self, exemplar: Exemplar) {
        let ids = |exemplar: &Exemplar| (exemplar.trace_id, exemplar.span_id);
        let is_better = self.exemplar.is_none_or(|current| {
            exemplar.value > current.value || exemplar.value == current.value && ids(&exemplar) < ids(&current)
        });
        if is_better {
            self.exemplar = Some(exemplar);
        }
    }
}

/// A group's figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Values of the fields in the order of [`Aggregate::group_by`]; `None` where spans do not have
    /// the field.
    pub labels: Vec<Option<String>>,
    /// Steps in which something was measured, by number from the start of the range.
    pub steps: Vec<(usize, Tally)>,
}

/// The answer to an [`Aggregate`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Aggregated {
    /// The groups, by their labels.
    pub groups: Vec<Group>,
    /// What belongs to groups beyond the bound; none when there are none.
    pub rest: Vec<(usize, Tally)>,
    /// How many spans match, whether they have a number or not.
    pub matched: u64,
    /// At most so many rows were looked at.
    pub scanned: u64,
    /// Whether every matching span was counted, and none twice. False when there were too many to
    /// remember which were seen, or too many traces to count their spans.
    pub complete: bool,
    /// Whether all kept numbers are exact.
    pub values_are_exact: bool,
}
