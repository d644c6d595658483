//! Answers from `span_metrics`: rows of all tiers added up by label and step.
//!
//! Of a segment with sums beside it, what lies whole in a step is taken from the widest sums, the
//! edges from narrower ones, and what no sum has from the rows. Each row counts once whichever way,
//! because a bucket's sum is left out where its rows, or narrower sums, are taken.

use arrow::array::{RecordBatch, StringArray};
use pitviper_model::{ExpHistogram, SpanKind};
use rustc_hash::FxHashMap;

use super::hot::Snapshot;
use super::manifest::Table;
use super::metric_sums::{Level, SeeSums, SumChunk, SumKey, Sums, floor};
use super::segment::Segment;
use crate::schema::{Counted, METRIC_BUCKET_NS, SpanMetricsRows};
use crate::store::{Dimension, MetricRow, MetricsQuery, Red, SpanScope, StoreError, TimeRange};

/// Rows by labels, then step.
pub(super) fn metrics(snapshot: &Snapshot, query: &MetricsQuery) -> Result<Vec<MetricRow>, StoreError> {
    let range = TimeRange {
        start_ns: floor(query.range.start_ns, METRIC_BUCKET_NS),
        end_ns: floor(query.range.end_ns, METRIC_BUCKET_NS),
    };
    let question = Question { query, range, held: (i64::MIN, i64::MAX) };
    let mut answer = Answer::default();
    for batch in snapshot.hot_rows(Table::SpanMetrics, range) {
        answer.add(batch, &question, &[]);
    }
    for segment in snapshot.segments_in(Table::SpanMetrics, range) {
        if query.service.as_deref().is_none_or(|service| segment.may_hold_service(service)) {
            add_segment(&mut answer, segment, &question)?;
        }
    }
    Ok(answer.rows())
}

/// Adds what a segment has, from its sums as far as they go.
fn add_segment(answer: &mut Answer, segment: &Segment, question: &Question<'_>) -> Result<(), StoreError> {
    let open = segment.open()?;
    let native_ns = segment.row.bucket_ns;
    let (first, last) = (segment.row.min_start_ns, segment.row.max_start_ns);
    let question = &Question { held: (first, last), ..*question };
    let read = open.sums.as_ref().map(|sums| read_sums(sums, native_ns, question));
    let mut widths = Vec::new();
    match read {
        Some(Ok((chunks, complete, levels))) => {
            for chunk in &chunks {
                chunk
                    .show(&mut Adding::new(answer, chunk, native_ns, question, &levels))
                    .map_err(|error| StoreError::Engine(format!("reading sums of {}: {error}", segment.row.file)))?;
            }
            if complete {
                return Ok(());
            }
            widths = levels.iter().map(|level| level.width_ns()).collect();
        }
        Some(Err(error)) => {
            tracing::warn!(file = segment.row.file, %error, "reading all rows instead");
        }
        None => {}
    }
    // Where the sums have all there is to say, no row needs to be read.
    if !question.has_edges(first, last, &widths) {
        return Ok(());
    }
    let range = question.edges(first, last, &widths);
    let (service, name) = (question.query.service.as_deref(), question.query.name.as_deref());
    for batch in segment.read_metrics(service, name, range)? {
        answer.add(&batch, question, &widths);
    }
    Ok(())
}

/// The chunks that a question needs, whether some are in the buckets of the rows and so leave nothing, and the levels they are of, the
/// widest buckets first.
type ReadSums<'a> = (Vec<SumChunk<'a>>, bool, Vec<Level>);

fn read_sums<'a>(sums: &'a Sums, native_ns: i64, question: &Question<'_>) -> std::io::Result<ReadSums<'a>> {
    let with_names = question.query.name.is_some() || question.query.group_by.contains(&Dimension::Name);
    let levels = sums.levels(with_names);
    let mut chunks = Vec::new();
    let mut wider = Vec::new();
    for &level in &levels {
        // The last bucket begins there; what counts of it may come later.
        let is_wanted = |first, last: i64| question.has_edges(first, last.saturating_add(level.width_ns() - 1), &wider);
        chunks.extend(sums.read(level, question.query.service.as_deref(), is_wanted)?);
        wider.push(level.width_ns());
    }
    Ok((chunks, levels.iter().any(|level| level.width_ns() <= native_ns), levels))
}

/// What is asked, with the range in whole buckets.
struct Question<'a> {
    query: &'a MetricsQuery,
    range: TimeRange,
    /// The first and the last bucket there are, where that is known: what a wide bucket reaches beyond them
    /// need not count.
    held: (i64, i64),
}

impl Question<'_> {
    /// The start of the step that a time of the range lies in.
    fn step_start(&self, time_ns: i64) -> i64 {
        match self.query.step_ns {
            // Wide arithmetic, because the range may be all of time.
            Some(step) if step > 0 => {
                let steps = (i128::from(time_ns) - i128::from(self.range.start_ns)) / i128::from(step);
                i64::try_from(i128::from(self.range.start_ns) + steps * i128::from(step)).unwrap_or(self.range.start_ns)
            }
            _ => self.range.start_ns,
        }
    }

    fn has(&self, time_ns: i64) -> bool {
        (self.range.start_ns..self.range.end_ns).contains(&time_ns)
    }

    /// Whether everything in the wide bucket that the time lies in counts, and in the same step.
    fn is_whole(&self, time_ns: i64, width_ns: i64) -> bool {
        let first = floor(time_ns, width_ns);
        let last = first.saturating_add(width_ns - 1).min(self.held.1);
        let first = first.max(self.held.0);
        self.has(first) && self.has(last) && self.step_start(first) == self.step_start(last)
    }

    /// Whether a bucket counts that a sum of none of these widths holds.
    fn is_edge(&self, bucket_start_ns: i64, wider: &[i64]) -> bool {
        self.has(bucket_start_ns) && !wider.iter().any(|width| self.is_whole(bucket_start_ns, *width))
    }

    /// Whether, of the buckets from the first to the last, some may count that a sum of none of these
    /// widths holds.
    fn has_edges(&self, first_ns: i64, last_ns: i64, wider: &[i64]) -> bool {
        self.edge_buckets(first_ns, last_ns, wider).next().is_some()
    }

    /// The time from the first edge to the last one.
    fn edges(&self, first_ns: i64, last_ns: i64, wider: &[i64]) -> TimeRange {
        let width = wider.iter().min().copied().unwrap_or(last_ns.saturating_sub(first_ns).saturating_add(1));
        let mut edges = TimeRange { start_ns: i64::MAX, end_ns: i64::MIN };
        for start in self.edge_buckets(first_ns, last_ns, wider) {
            edges.start_ns = edges.start_ns.min(start.max(self.range.start_ns));
            edges.end_ns = edges.end_ns.max(start.saturating_add(width).min(self.range.end_ns));
        }
        edges
    }

    /// The starts of the narrowest of these buckets that have edges; of the whole time when there are none.
    fn edge_buckets(&self, first_ns: i64, last_ns: i64, wider: &[i64]) -> impl Iterator<Item = i64> {
        let width = wider.iter().min().copied();
        let (first_ns, last_ns) = (first_ns.max(self.held.0), last_ns.min(self.held.1));
        let first = first_ns.max(self.range.start_ns);
        let first = width.map_or(first, |width| floor(first, width));
        let last = last_ns.min(self.range.end_ns.saturating_sub(1));
        let step = usize::try_from(width.unwrap_or(i64::MAX)).unwrap_or(usize::MAX);
        (first..=last).step_by(step).filter(move |start| !wider.iter().any(|width| self.is_whole(*start, *width)))
    }

    fn wants(&self, environment: &str, name: &str, kind: SpanKind, is_root: bool) -> bool {
        let query = self.query;
        let in_scope = match query.scope {
            SpanScope::All => true,
            SpanScope::Entry => kind.is_entry(),
            SpanScope::Root => is_root,
        };
        in_scope
            && query.environment.as_deref().is_none_or(|wanted| wanted == environment)
            && query.name.as_deref().is_none_or(|wanted| wanted == name)
            && query.kind.is_none_or(|wanted| wanted == kind)
    }
}

/// Sums by labels and step.
#[derive(Default)]
struct Answer {
    places: FxHashMap<(Vec<Box<str>>, i64), usize>,
    sums: Vec<Sum>,
}

impl Answer {
    /// Adds the rows that the question asks for and no sum of these widths holds. Rows of one service
    /// and name follow each other, so most go where the one before went, and cost no look-up.
    fn add(&mut self, batch: &RecordBatch, question: &Question<'_>, wider: &[i64]) {
        let query = question.query;
        let rows = SpanMetricsRows::new(batch);
        let is_service =
            |column: &StringArray, row| query.service.as_deref().is_none_or(|wanted| wanted == column.value(row));
        let mut labels: Vec<&str> = Vec::with_capacity(query.group_by.len());
        let mut before: Option<(Vec<&str>, i64, usize)> = None;
        for (row, &start) in rows.bucket_start_ns.iter().enumerate() {
            let is_wanted = question.is_edge(start, wider)
                && is_service(rows.service, row)
                && question.wants(rows.environment.value(row), rows.name.value(row), rows.kind(row), rows.is_root(row));
            if !is_wanted {
                continue;
            }
            labels.clear();
            labels.extend(query.group_by.iter().map(|dimension| match dimension {
                Dimension::Service => rows.service.value(row),
                Dimension::Environment => rows.environment.value(row),
                Dimension::Version => rows.version.value(row),
                Dimension::Name => rows.name.value(row),
                Dimension::Kind => rows.kind(row).as_str(),
                Dimension::Scope => SpanScope::narrowest(rows.kind(row), rows.is_root(row)).as_str(),
            }));
            let step = question.step_start(start);
            let place = match &before {
                Some((last, last_step, place)) if *last_step == step && *last == labels => *place,
                _ => {
                    let place = self.place(&labels, step);
                    before = Some((labels.clone(), step, place));
                    place
                }
            };
            self.sums[place].add(&rows.counted(row));
        }
    }

    fn place(&mut self, labels: &[&str], step: i64) -> usize {
        let key = (labels.iter().map(|label| Box::from(*label)).collect(), step);
        *self.places.entry(key).or_insert_with(|| {
            self.sums.push(Sum::default());
            self.sums.len() - 1
        })
    }

    fn rows(mut self) -> Vec<MetricRow> {
        let mut rows: Vec<MetricRow> = self
            .places
            .into_iter()
            .map(|((labels, step_start_ns), place)| MetricRow {
                labels: labels.into_iter().map(String::from).collect(),
                step_start_ns,
                red: std::mem::take(&mut self.sums[place]).finish(),
            })
            .collect();
        rows.sort_unstable_by(|left, right| {
            (&left.labels, left.step_start_ns).cmp(&(&right.labels, right.step_start_ns))
        });
        rows
    }
}

/// Adds the sums of a chunk that no wider sum holds.
struct Adding<'a> {
    answer: &'a mut Answer,
    service: &'a str,
    question: &'a Question<'a>,
    /// Zero when its buckets are those of the rows, which count by where they begin.
    own_ns: i64,
    wider: Vec<i64>,
    labels: Vec<Box<str>>,
    before: Option<(i64, usize)>,
}

impl<'a> Adding<'a> {
    /// Given all levels that are looked at.
    fn new(
        answer: &'a mut Answer,
        chunk: &'a SumChunk<'_>,
        native_ns: i64,
        question: &'a Question<'_>,
        levels: &[Level],
    ) -> Self {
        let width = chunk.level.width_ns();
        let wider = levels.iter().map(|level| level.width_ns()).filter(|wider| *wider > width).collect();
        let own_ns = if width > native_ns { width } else { 0 };
        Self { answer, service: chunk.service, question, own_ns, wider, labels: Vec::new(), before: None }
    }
}

impl SeeSums for Adding<'_> {
    fn wants(&mut self, key: &SumKey) -> bool {
        let kind = SpanKind::from_otlp(i32::from(key.kind));
        let group_by = self.question.query.group_by.iter();
        self.labels = group_by.map(|dimension| Box::from(label(self.service, key, kind, *dimension))).collect();
        self.before = None;
        self.question.wants(&key.environment, &key.name, kind, key.is_root)
    }

    fn see(&mut self, start: i64, counted: &Counted<'_>) {
        let question = self.question;
        let start = start.max(question.held.0);
        let is_own = self.own_ns == 0 || question.is_whole(start, self.own_ns);
        if !is_own || !question.is_edge(start, &self.wider) {
            return;
        }
        let step = question.step_start(start);
        let place = match self.before {
            Some((last, place)) if last == step => place,
            _ => self.answer.place(&self.labels.iter().map(|label| &**label).collect::<Vec<_>>(), step),
        };
        self.before = Some((step, place));
        self.answer.sums[place].add(counted);
    }
}

fn label<'a>(service: &'a str, key: &'a SumKey, kind: SpanKind, dimension: Dimension) -> &'a str {
    match dimension {
        Dimension::Service => service,
        Dimension::Environment => &key.environment,
        Dimension::Version => &key.version,
        Dimension::Name => &key.name,
        Dimension::Kind => kind.as_str(),
        Dimension::Scope => SpanScope::narrowest(kind, key.is_root).as_str(),
    }
}

/// A sum under way. Its histogram has a place for each bucket between the first and the last, because
/// most of what is added falls between those.
#[derive(Debug, Default)]
struct Sum {
    red: Red,
    first: i16,
    counts: Vec<u64>,
}

/// Buckets that durations in nanoseconds can fall in. Others, which only a client's histogram could
/// have, go where they need no place each.
const BUCKETS: std::ops::Range<i16> = -1..2_048;

impl Sum {
    fn add(&mut self, row: &Counted<'_>) {
        self.red.merge(&Red {
            hits: row.hits,
            errors: row.errors,
            duration_sum_ns: row.duration_sum_ns,
            duration_min_ns: row.duration_min_ns,
            duration_max_ns: row.duration_max_ns,
            durations: ExpHistogram::from_buckets([], row.zeros()),
        });
        row.each_bucket(|index, count| self.add_bucket(index, count));
    }

    #[inline]
    fn add_bucket(&mut self, index: i16, count: u64) {
        let at = usize::try_from(i32::from(index) - i32::from(self.first));
        if let Ok(at) = at
            && let Some(known) = self.counts.get_mut(at)
        {
            *known += count;
        } else {
            self.add_new_bucket(index, count);
        }
    }

    fn add_new_bucket(&mut self, index: i16, count: u64) {
        if !BUCKETS.contains(&index) {
            self.red.durations.add_buckets([(index, count)], 0);
            return;
        }
        if self.counts.is_empty() {
            self.first = index;
        }
        if index < self.first {
            let more = (self.first - index) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.first = index;
        }
        let at = (index - self.first) as usize;
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += count;
    }

    fn finish(mut self) -> Red {
        self.red.durations.add_buckets((self.first..).zip(self.counts), 0);
        self.red
    }
}
