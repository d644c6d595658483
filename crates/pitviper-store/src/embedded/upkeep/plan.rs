//! Which segments to merge next, and which to let go. Decides from the manifest's rows alone.
//!
//! Segments of a day are merged in levels: eight of one level become one of the next, so a row is
//! rewritten about three times in its life however long the server runs. What is left of a past day
//! is put together once, so that old days are few large files. For metrics the day is an hour while
//! their buckets are narrow, and a month once they are wide.

use std::collections::BTreeMap;
use std::time::Duration;

use super::roll_up::RollUp;
use crate::embedded::manifest::{SegmentRow, Table};
use crate::schema::{Signal, Stay};

/// Segments of one level that become one of the next.
const FAN_IN: usize = 8;
/// Most segments merged at once; each needs a buffer.
const MAX_FAN_IN: usize = 16;
/// Leftovers of a past day that are put together.
const FAN_IN_OF_PAST: usize = 4;
/// How long after its end a day counts as past: late spans are usually in by then.
const SETTLE_NS: i64 = HOUR_NS;
const MINUTE_NS: i64 = 60 * 1_000_000_000;
const HOUR_NS: i64 = 60 * MINUTE_NS;
pub(super) const DAY_NS: i64 = 24 * HOUR_NS;
const MONTH_NS: i64 = 30 * DAY_NS;

/// How eagerly to merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Eagerness {
    /// When it pays.
    AsNeeded,
    /// Whatever can be merged.
    Everything,
}

fn max_rows(table: Table) -> u64 {
    table.description().max_rows
}

/// The time within which segments are merged. Of metrics in narrow buckets there are many, and
/// questions about an hour should not read a day of them.
fn part_ns(segment: &SegmentRow) -> i64 {
    match segment.table {
        Table::SpanMetrics if segment.bucket_ns < MINUTE_NS => HOUR_NS,
        Table::SpanMetrics if segment.bucket_ns >= HOUR_NS => MONTH_NS,
        _ => DAY_NS,
    }
}

/// A merge that is due.
#[derive(Debug)]
pub(super) struct Merge<'a> {
    pub(super) inputs: Vec<&'a SegmentRow>,
    /// How many files could be merged by now, these among them.
    pub(super) waiting: usize,
}

/// The files to merge into one, if any: all of one table and part of time, and all thinned or none. One alone
/// when its metrics have become old enough for wider buckets.
pub(super) fn merge<'a>(
    segments: impl Iterator<Item = &'a SegmentRow> + Clone,
    now_ns: i64,
    roll_up: &RollUp,
    eagerness: Eagerness,
) -> Option<Merge<'a>> {
    let is_too_fine = |segment: &&SegmentRow| {
        segment.table == Table::SpanMetrics && segment.bucket_ns < roll_up.width(segment.latest_ns(now_ns), now_ns)
    };
    let mut parts: BTreeMap<(bool, i64, i64, &str), Vec<&SegmentRow>> = BTreeMap::new();
    for segment in segments.clone().filter(|segment| segment.rows < max_rows(segment.table)) {
        let width = part_ns(segment);
        let part = segment.latest_ns(now_ns).div_euclid(width);
        parts.entry((segment.thinned, width, part, segment.table.as_str())).or_default().push(segment);
    }
    let mut waiting = 0;
    let mut best: Option<Vec<&SegmentRow>> = None;
    for ((_, width, part, _), segments) in parts {
        let is_past = now_ns.saturating_sub(SETTLE_NS) >= (part + 1).saturating_mul(width);
        let leftovers = match eagerness {
            Eagerness::Everything => 2,
            Eagerness::AsNeeded if is_past => FAN_IN_OF_PAST,
            Eagerness::AsNeeded => usize::MAX,
        };
        let mut due = by_level(&segments);
        if due.is_empty() {
            due.extend(take(segments.clone(), leftovers).map(|inputs| (segments.len(), inputs)));
        }
        for (count, inputs) in due {
            waiting += count;
            if best.as_deref().is_none_or(|best| saves_more(&inputs, best)) {
                best = Some(inputs);
            }
        }
    }
    match best {
        Some(inputs) => Some(Merge { inputs, waiting }),
        None => segments.clone().find(is_too_fine).map(|segment| Merge { inputs: vec![segment], waiting: 1 }),
    }
}

/// Whether merging these leaves fewer files for each row it rewrites than merging the others, or as few. So
/// a backlog shrinks as fast as it can, and what is large is merged when nothing small waits.
fn saves_more(these: &[&SegmentRow], others: &[&SegmentRow]) -> bool {
    let saved = |inputs: &[&SegmentRow]| inputs.len().saturating_sub(1) as u128;
    let rows = |inputs: &[&SegmentRow]| inputs.iter().map(|segment| u128::from(segment.rows)).sum::<u128>();
    saved(these) * rows(others) >= saved(others) * rows(these)
}

/// For each level of which there are enough, how many there are, and those to merge.
fn by_level<'a>(segments: &[&'a SegmentRow]) -> Vec<(usize, Vec<&'a SegmentRow>)> {
    let mut levels: BTreeMap<u32, Vec<&SegmentRow>> = BTreeMap::new();
    for segment in segments {
        levels.entry(segment.level).or_default().push(segment);
    }
    let due = |segments: Vec<&'a SegmentRow>| Some((segments.len(), take(segments, FAN_IN)?));
    levels.into_values().filter_map(due).collect()
}

/// The smallest that fit into one segment, when there are that many.
fn take(mut segments: Vec<&SegmentRow>, at_least: usize) -> Option<Vec<&SegmentRow>> {
    if segments.len() < at_least {
        return None;
    }
    segments.sort_by_key(|segment| (segment.rows, segment.min_sequence));
    let mut room = max_rows(segments[0].table);
    let fitting = segments.iter().take(MAX_FAN_IN).take_while(|segment| {
        let fits = segment.rows <= room;
        room = room.saturating_sub(segment.rows);
        fits
    });
    let count = fitting.count();
    segments.truncate(count);
    (count >= 2).then_some(segments)
}

/// The oldest day that is due, as its start, with its files of spans to thin. A day is over for so long
/// that late spans are in.
pub(super) fn thin<'a>(
    segments: impl Iterator<Item = &'a SegmentRow>,
    now_ns: i64,
    after: Duration,
    is_due: impl Fn(i64) -> bool,
) -> Option<(i64, Vec<&'a SegmentRow>)> {
    let after = i64::try_from(after.as_nanos()).ok()?;
    let limit = now_ns.saturating_sub(after).saturating_sub(SETTLE_NS);
    let mut days: BTreeMap<i64, Vec<&SegmentRow>> = BTreeMap::new();
    for segment in segments.filter(|segment| segment.table == Table::Spans && !segment.thinned) {
        days.entry(segment.max_start_ns.div_euclid(DAY_NS) * DAY_NS).or_default().push(segment);
    }
    days.into_iter().find(|(day, _)| day.saturating_add(DAY_NS) <= limit && is_due(*day))
}

/// How long data is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Age at which spans go, by the start of the latest in their file, and exceptions; what claims to
    /// start in the future is as old as its file.
    pub spans: Duration,
    /// Age at which span metrics go, and libraries that were not seen since.
    pub span_metrics: Duration,
    /// Age at which points of metrics go.
    pub metrics: Duration,
    /// Age at which log records go.
    pub logs: Duration,
    /// Age at which samples of profiles go, with the stacks and frames that only they have.
    pub profiles: Duration,
    /// Most bytes of all segments together; beyond it the oldest spans, log records and samples go.
    /// `None` for no limit.
    pub max_bytes: Option<u64>,
}

impl Default for Retention {
    /// Everything, for ever.
    fn default() -> Self {
        let ever = Duration::MAX;
        Self { spans: ever, span_metrics: ever, metrics: ever, logs: ever, profiles: ever, max_bytes: None }
    }
}

impl Retention {
    fn of(&self, signal: Signal) -> Duration {
        match signal {
            Signal::Spans => self.spans,
            Signal::SpanMetrics => self.span_metrics,
            Signal::Metrics => self.metrics,
            Signal::Logs => self.logs,
            Signal::Profiles => self.profiles,
        }
    }
}

/// Why a segment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Age,
    Size,
}

/// The segments to let go, each with the reason.
pub(super) fn expired<'a>(
    segments: impl Iterator<Item = &'a SegmentRow>,
    now_ns: i64,
    retention: &Retention,
) -> Vec<(&'a SegmentRow, Reason)> {
    let is_old = |segment: &&SegmentRow| match segment.table.description().stay {
        Stay::AsLongAs(signal) => {
            let age = i64::try_from(retention.of(signal).as_nanos()).unwrap_or(i64::MAX);
            segment.latest_ns(now_ns) < now_ns.saturating_sub(age)
        }
        Stay::With(_) => false,
    };
    let (old, mut kept): (Vec<_>, Vec<_>) = segments.partition(is_old);
    let mut gone: Vec<_> = old.into_iter().map(|segment| (segment, Reason::Age)).collect();
    let mut bytes: u64 = kept.iter().map(|segment| segment.disk_bytes()).sum();
    let limit = retention.max_bytes.unwrap_or(u64::MAX);
    kept.sort_by_key(|segment| segment.latest_ns(now_ns));
    kept.retain(|segment| {
        let goes = bytes > limit && segment.table.description().goes_by_size;
        if goes {
            bytes -= segment.disk_bytes();
            gone.push((*segment, Reason::Size));
        }
        !goes
    });
    gone.extend(left_alone(&kept).into_iter().map(|segment| (segment, Reason::Age)));
    gone
}

/// Segments whose rows nothing that is kept can point to: what does was written together with them,
/// so its segments hold some of the same writes.
fn left_alone<'a>(kept: &[&'a SegmentRow]) -> Vec<&'a SegmentRow> {
    let is_needed = |segment: &SegmentRow, by: Table| {
        kept.iter().any(|other| {
            other.table == by
                && other.min_sequence <= segment.max_sequence
                && segment.min_sequence <= other.max_sequence
        })
    };
    let is_alone = |segment: &&SegmentRow| match segment.table.description().stay {
        Stay::AsLongAs(_) => false,
        Stay::With(table) => !is_needed(segment, table),
    };
    kept.iter().copied().filter(is_alone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::METRIC_BUCKET_NS;

    const MAX_SPAN_ROWS: u64 = 8_000_000;

    fn segment(number: u64, level: u32, rows: u64, start_ns: i64) -> SegmentRow {
        SegmentRow {
            table: Table::Spans,
            file: format!("{number}"),
            rows,
            bytes: rows,
            index_bytes: 0,
            min_start_ns: start_ns,
            max_start_ns: start_ns,
            min_sequence: number,
            max_sequence: number,
            level,
            bucket_ns: 0,
            services: Vec::new(),
            written_ns: i64::MAX,
            thinned: false,
        }
    }

    fn planned(segments: &[SegmentRow], now_ns: i64, eagerness: Eagerness) -> Vec<u64> {
        let merged = merge(segments.iter(), now_ns, &RollUp::default(), eagerness).map(|merge| merge.inputs);
        merged.unwrap_or_default().iter().map(|segment| segment.min_sequence).collect()
    }

    #[test]
    fn eight_of_a_level_and_a_day_become_one() {
        let mut segments: Vec<_> = (0..7).map(|number| segment(number, 0, 10, 5)).collect();
        segments.push(segment(7, 1, 80, 5));
        segments.push(segment(8, 0, 10, DAY_NS));
        assert_eq!(planned(&segments, 0, Eagerness::AsNeeded), Vec::<u64>::new());
        segments.push(segment(9, 0, 10, 6));
        assert_eq!(planned(&segments, 0, Eagerness::AsNeeded), [0, 1, 2, 3, 4, 5, 6, 9]);
    }

    #[test]
    fn what_saves_most_files_comes_first() {
        let mut segments: Vec<_> = (0..8).map(|number| segment(number, 1, 80, 5)).collect();
        segments.extend((8..17).map(|number| segment(number, 0, 10, 5)));
        segments.extend((17..25).map(|number| segment(number, 0, 5, 2 * DAY_NS)));
        let waiting = merge(segments.iter(), 0, &RollUp::default(), Eagerness::AsNeeded).map(|merge| merge.waiting);
        assert_eq!(waiting, Some(25));
        assert_eq!(planned(&segments, 0, Eagerness::AsNeeded), (17..25).collect::<Vec<_>>());
        segments.retain(|segment| segment.min_sequence < 17);
        assert_eq!(planned(&segments, 0, Eagerness::AsNeeded), (8..17).collect::<Vec<_>>());
    }

    #[test]
    fn tables_are_never_mixed() {
        let mut segments: Vec<_> = (0..8).map(|number| segment(number, 0, 10, 5)).collect();
        segments[0].table = Table::SpanMetrics;
        segments[0].bucket_ns = METRIC_BUCKET_NS;
        assert_eq!(planned(&segments, 0, Eagerness::AsNeeded), Vec::<u64>::new());
        assert_eq!(planned(&segments, 0, Eagerness::Everything), [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn thinned_segments_are_merged_among_themselves() {
        let mut segments: Vec<_> = (0..16).map(|number| segment(number, 0, 10, 5)).collect();
        segments.iter_mut().skip(9).for_each(|segment| segment.thinned = true);
        assert_eq!(planned(&segments, 0, Eagerness::AsNeeded), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(planned(&segments[2..], 0, Eagerness::AsNeeded), Vec::<u64>::new());
        assert_eq!(planned(&segments[8..], 0, Eagerness::Everything), [9, 10, 11, 12, 13, 14, 15]);
    }

    #[test]
    fn the_oldest_day_that_is_over_is_thinned() {
        let mut segments: Vec<_> =
            [0, 1, 2 * DAY_NS - 1, 2 * DAY_NS].map(|start| segment(start as u64, 0, 10, start)).into();
        segments.push(SegmentRow { table: Table::SpanMetrics, ..segment(9, 0, 10, 0) });
        let day = |now_ns: i64, is_due: &dyn Fn(i64) -> bool| {
            let found = thin(segments.iter(), now_ns, Duration::from_secs(3_600), is_due);
            found.map(|(day, files)| (day / DAY_NS, files.len()))
        };
        let over = DAY_NS + HOUR_NS + SETTLE_NS;
        assert_eq!((day(over - 1, &|_| true), day(over, &|_| true)), (None, Some((0, 2))));
        assert_eq!((day(over, &|day| day > 0), day(over + DAY_NS, &|day| day > 0)), (None, Some((1, 1))));
        assert_eq!(thin(segments.iter(), i64::MAX, Duration::MAX, |_| true), None);
        segments.iter_mut().for_each(|segment| segment.thinned = true);
        assert_eq!(thin(segments.iter(), i64::MAX, Duration::ZERO, |_| true), None);
    }

    #[test]
    fn a_merged_segment_has_a_bounded_size() {
        let segments: Vec<_> = (0..9).map(|number| segment(number, 0, MAX_SPAN_ROWS / 3, 5)).collect();
        assert_eq!(planned(&segments, 0, Eagerness::AsNeeded).len(), 3);
        let full: Vec<_> = (0..9).map(|number| segment(number, 0, MAX_SPAN_ROWS, 5)).collect();
        assert_eq!(planned(&full, 0, Eagerness::Everything), Vec::<u64>::new());
        let nearly: Vec<_> = (0..9).map(|number| segment(number, 0, MAX_SPAN_ROWS - 1, 5)).collect();
        assert_eq!(planned(&nearly, 0, Eagerness::Everything), Vec::<u64>::new());
    }

    #[test]
    fn leftovers_of_a_past_day_are_put_together() {
        let segments: Vec<_> = (0..4u32).map(|number| segment(number.into(), number, 10, 5)).collect();
        assert_eq!(planned(&segments, DAY_NS, Eagerness::AsNeeded), Vec::<u64>::new());
        assert_eq!(planned(&segments, DAY_NS + SETTLE_NS, Eagerness::AsNeeded), [0, 1, 2, 3]);
        assert_eq!(planned(&segments[..3], i64::MAX, Eagerness::AsNeeded), Vec::<u64>::new());
    }

    #[test]
    fn metrics_that_have_become_old_are_rewritten_once() {
        let roll_up = RollUp { minutes_after: Duration::from_secs(100), hours_after: Duration::from_secs(1_000_000) };
        let fine = SegmentRow { table: Table::SpanMetrics, bucket_ns: METRIC_BUCKET_NS, ..segment(1, 0, 10, 0) };
        let wide = SegmentRow { bucket_ns: 6 * METRIC_BUCKET_NS, ..fine.clone() };
        let planned = |segment: &SegmentRow, now_s: i64| {
            merge([segment].into_iter(), now_s * 1_000_000_000, &roll_up, Eagerness::AsNeeded)
                .map(|merge| merge.inputs.len())
        };
        assert_eq!((planned(&fine, 99), planned(&fine, 100), planned(&wide, 100)), (None, Some(1), None));
        assert_eq!(planned(&wide, 1_000_000), Some(1));
        assert_eq!(planned(&segment(1, 0, 10, 0), 1_000_000), None, "spans have no buckets");
    }

    #[test]
    fn merging_ends() {
        // Whatever comes in, planning again and again comes to an end, and rewrites little.
        let mut segments: Vec<_> = (0..500).map(|number| segment(number, 0, 100_000, number as i64)).collect();
        let mut rewritten = 0;
        while let Some(Merge { inputs, .. }) = merge(segments.iter(), 0, &RollUp::default(), Eagerness::AsNeeded) {
            let files: Vec<String> = inputs.iter().map(|input| input.file.clone()).collect();
            let level = inputs.iter().map(|input| input.level).max().unwrap() + 1;
            let rows = inputs.iter().map(|input| input.rows).sum();
            let first = inputs.iter().map(|input| input.min_sequence).min().unwrap();
            segments.retain(|segment| !files.contains(&segment.file));
            segments.push(segment(first, level, rows, first as i64));
            segments.last_mut().unwrap().file = format!("{first}-{level}");
            rewritten += rows;
        }
        assert!(segments.len() < 30, "{} segments left", segments.len());
        assert!(rewritten <= 3 * 50_000_000, "{rewritten} rows rewritten");
    }

    #[test]
    fn what_is_too_old_or_too_much_goes() {
        let retention = Retention {
            spans: Duration::from_nanos(100),
            span_metrics: Duration::from_nanos(1_000),
            max_bytes: Some(25),
            ..Retention::default()
        };
        let mut segments: Vec<_> = [899, 900, 950, 999].map(|start| segment(start as u64, 0, 10, start)).into();
        segments.push(SegmentRow { table: Table::SpanMetrics, ..segment(1, 0, 5, 1) });
        let gone: Vec<_> =
            expired(segments.iter(), 1_000, &retention).iter().map(|(gone, why)| (gone.min_sequence, *why)).collect();
        assert_eq!(gone, [(899, Reason::Age), (900, Reason::Size)]);
        assert_eq!(expired(segments.iter(), i64::MAX, &Retention::default()), []);
    }

    #[test]
    fn each_signal_has_an_age_of_its_own() {
        let age = |number: u64| Duration::from_nanos(number);
        let retention = Retention {
            spans: age(100),
            span_metrics: age(200),
            metrics: age(300),
            logs: age(400),
            profiles: age(500),
            max_bytes: None,
        };
        let of = |table, start_ns| SegmentRow { table, ..segment(1, 0, 10, start_ns) };
        let tables = [
            (Table::Spans, 100),
            (Table::Exceptions, 100),
            (Table::SpanMetrics, 200),
            (Table::Libraries, 200),
            (Table::MetricPoints, 300),
            (Table::Logs, 400),
            (Table::ProfileSamples, 500),
        ];
        for (table, age) in tables {
            let (kept, old) = (of(table, 1_000 - age), of(table, 999 - age));
            assert_eq!(expired([&kept].into_iter(), 1_000, &retention), [], "{table:?}");
            assert_eq!(expired([&old].into_iter(), 1_000, &retention), [(&old, Reason::Age)], "{table:?}");
        }
    }

    #[test]
    fn a_stack_stays_while_a_sample_may_point_to_it() {
        let of = |table, (min_sequence, max_sequence), start_ns| SegmentRow {
            table,
            file: format!("{table:?}-{min_sequence}"),
            min_sequence,
            max_sequence,
            ..segment(1, 0, 10, start_ns)
        };
        let retention = Retention { profiles: Duration::from_nanos(100), ..Retention::default() };
        // The stacks were seen long ago, and so were most of the samples.
        let segments = [
            of(Table::ProfileSamples, (1, 5), 800),
            of(Table::ProfileSamples, (6, 9), 950),
            of(Table::Stacks, (1, 3), 800),
            of(Table::Stacks, (4, 6), 850),
            of(Table::Frames, (7, 9), 1),
            of(Table::Frames, (1, 5), 990),
        ];
        let gone: Vec<&str> =
            expired(segments.iter(), 1_000, &retention).iter().map(|(gone, _)| gone.file.as_str()).collect();
        assert_eq!(gone, ["ProfileSamples-1", "Stacks-1", "Frames-1"]);
    }
}
