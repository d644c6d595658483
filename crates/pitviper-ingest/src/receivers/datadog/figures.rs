//! What came that is neither a span nor a request, counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// What became of a line of DogStatsD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineOutcome {
    /// Its values are in a point, or will be.
    Added,
    /// An event; these are counted only.
    Event,
    /// A service check; these are counted only.
    ServiceCheck,
    /// It is not a line.
    Malformed,
    /// There are too many series or values of a set.
    TooMany,
}

impl LineOutcome {
    const ALL: [Self; 5] = [Self::Added, Self::Event, Self::ServiceCheck, Self::Malformed, Self::TooMany];

    fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Event => "event",
            Self::ServiceCheck => "service_check",
            Self::Malformed => "malformed",
            Self::TooMany => "too_many",
        }
    }
}

/// Lines of DogStatsD with one outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineCount {
    /// `added`, `event`, `service_check`, `malformed` or `too_many`.
    pub outcome: &'static str,
    /// How many.
    pub count: u64,
}

/// What came that is neither a span nor a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatadogFigures {
    /// Lines of DogStatsD by outcome.
    pub lines: [LineCount; LineOutcome::ALL.len()],
    /// Packets of DogStatsD that were cut because they are too long.
    pub packets_cut: u64,
    /// Tags of DogStatsD that were left out because their line has too many.
    pub tags_dropped: u64,
    /// Series of DogStatsD that wait to become points.
    pub series: u64,
    /// Spans clients left out because they had counted them and were not to keep them.
    pub client_dropped_spans: u64,
    /// Groups of statistics that were kept.
    pub stats_groups: u64,
    /// Groups of statistics that are damaged.
    pub stats_damaged: u64,
    /// Packages that clients said they run with.
    pub libraries: u64,
    /// Times a client could not do what it was told.
    pub config_errors: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    lines: [AtomicU64; LineOutcome::ALL.len()],
    pub(super) packets_cut: AtomicU64,
    pub(super) tags_dropped: AtomicU64,
    pub(super) client_dropped_spans: AtomicU64,
    pub(super) stats_groups: AtomicU64,
    pub(super) stats_damaged: AtomicU64,
    pub(super) libraries: AtomicU64,
    pub(super) config_errors: AtomicU64,
}

impl Counters {
    pub(super) fn count_line(&self, outcome: LineOutcome) {
        self.lines[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn figures(&self, series: usize) -> DatadogFigures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DatadogFigures {
            lines: LineOutcome::ALL
                .map(|outcome| LineCount { outcome: outcome.as_str(), count: read(&self.lines[outcome as usize]) }),
            packets_cut: read(&self.packets_cut),
            tags_dropped: read(&self.tags_dropped),
            series: series as u64,
            client_dropped_spans: read(&self.client_dropped_spans),
            stats_groups: read(&self.stats_groups),
            stats_damaged: read(&self.stats_damaged),
            libraries: read(&self.libraries),
            config_errors: read(&self.config_errors),
        }
    }
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
