//! Thinning: of days that are over for a while, the traces worth keeping stay whole, and of the others
//! a share. Metrics are apart and stay exact.
//!
//! A day's segments are decided on together and swapped in one manifest transaction, so a query sees
//! a trace whole or not at all, and a crash leaves the day as it was or thinned. Segments of a day
//! that come later are thinned the same way, beside what the day has kept.

mod decide;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use parking_lot::Mutex;
use pitviper_model::TraceId;
use rustc_hash::{FxHashMap, FxHashSet};

use self::decide::{Decision, decide};
use super::plan::{self, DAY_NS, Eagerness};
use super::{Pace, UpkeepContext, engine, replace};
use crate::embedded::manifest::{Manifest, SegmentRow};
use crate::embedded::segment::Segment;
use crate::embedded::segment_write::{SegmentPlace, SegmentWriter};
use crate::schema::Table;
use crate::store::{StoreError, TimeRange};

/// A day is looked at again after this long, when late spans came or it could not be thinned.
const LOOK_AGAIN: Duration = Duration::from_secs(3_600);

/// When spans are thinned, and how much of them stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thinning {
    /// How long after its end a day is kept whole.
    pub after: Duration,
    /// Share of the traces without a reason to be kept that stay all the same, 0 to 1.
    pub share: f64,
    /// Most traces remembered while deciding on a day, about 17 bytes each; of a day with more worth
    /// keeping, everything stays, which is counted.
    pub max_traces: usize,
}

impl Default for Thinning {
    /// Never.
    fn default() -> Self {
        Self { after: Duration::MAX, share: Self::DEFAULT_SHARE, max_traces: Self::DEFAULT_MAX_TRACES }
    }
}

impl Thinning {
    /// Default of [`Thinning::share`].
    pub const DEFAULT_SHARE: f64 = 0.1;
    /// Default of [`Thinning::max_traces`].
    pub const DEFAULT_MAX_TRACES: usize = 4_000_000;

    /// Whether a trace of this hash is of the share that stays.
    fn stays(&self, hash: u64) -> bool {
        (hash as f64) < self.share * 2f64.powi(64)
    }
}

/// Why a trace stays, the most telling first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::embedded) enum Kept {
    /// A span failed.
    Error,
    /// An attribute asks for it.
    Rule,
    /// A span took longer than its operation's 99th percentile of the day.
    Slow,
    /// An operation was seen few times in the day.
    Rare,
    /// It has spans outside of what is thinned.
    Crossing,
    /// By chance.
    Share,
}

impl Kept {
    /// All, in order.
    pub(in crate::embedded) const ALL: [Self; 6] =
        [Self::Error, Self::Rule, Self::Slow, Self::Rare, Self::Crossing, Self::Share];

    /// Its name among the store's figures.
    pub(in crate::embedded) fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Rule => "rule",
            Self::Slow => "slow",
            Self::Rare => "rare",
            Self::Crossing => "crossing",
            Self::Share => "share",
        }
    }

    /// Names in the manifest of how many spans and traces stayed for the reason.
    fn counters(self) -> [&'static str; 2] {
        match self {
            Self::Error => ["spans_kept_error", "traces_kept_error"],
            Self::Rule => ["spans_kept_rule", "traces_kept_rule"],
            Self::Slow => ["spans_kept_slow", "traces_kept_slow"],
            Self::Rare => ["spans_kept_rare", "traces_kept_rare"],
            Self::Crossing => ["spans_kept_crossing", "traces_kept_crossing"],
            Self::Share => ["spans_kept_share", "traces_kept_share"],
        }
    }
}

/// Counts spans let go, in the manifest.
const SPANS_THINNED: &str = "spans_thinned";

/// What thinning did ever; what it left whole, since the store was opened.
#[derive(Debug, Default)]
pub(in crate::embedded) struct ThinFigures {
    /// Spans let go.
    pub(in crate::embedded) spans_thinned: AtomicU64,
    /// In the order of [`Kept::ALL`].
    pub(in crate::embedded) spans_kept: [AtomicU64; Kept::ALL.len()],
    pub(in crate::embedded) traces_kept: [AtomicU64; Kept::ALL.len()],
    /// Times a day was left whole because deciding would have taken too much memory.
    pub(in crate::embedded) left_whole: AtomicU64,
}

impl ThinFigures {
    /// What the manifest has counted.
    pub(super) fn load(manifest: &Manifest) -> Result<Self, StoreError> {
        let figures = Self { spans_thinned: manifest.counter(SPANS_THINNED)?.into(), ..Self::default() };
        for reason in Kept::ALL {
            let [spans, traces] = reason.counters();
            figures.spans_kept[reason as usize].store(manifest.counter(spans)?, Ordering::Relaxed);
            figures.traces_kept[reason as usize].store(manifest.counter(traces)?, Ordering::Relaxed);
        }
        Ok(figures)
    }
}

/// When days were looked at, by their start.
pub(super) type Looked = Mutex<FxHashMap<i64, Instant>>;

/// Thins the oldest day that is due, leaving out those tried. False when there is none.
pub(super) fn thin_next(
    context: &UpkeepContext,
    now_ns: i64,
    eagerness: Eagerness,
    tried: &mut FxHashSet<i64>,
) -> Result<bool, StoreError> {
    let snapshot = context.flush.tiers.snapshot();
    let rows = snapshot.segments.iter().map(|segment| &segment.row);
    let is_due = |day: i64| {
        let looked = context.looked.lock().get(&day).is_some_and(|looked| looked.elapsed() < LOOK_AGAIN);
        !tried.contains(&day) && (eagerness == Eagerness::Everything || !looked)
    };
    let Some((day_ns, files)) = plan::thin(rows, now_ns, context.thinning.after, is_due) else { return Ok(false) };
    tried.insert(day_ns);
    context.looked.lock().insert(day_ns, Instant::now());
    let files: FxHashSet<&str> = files.iter().map(|row| row.file.as_str()).collect();
    let is_target = |segment: &Arc<Segment>| files.contains(segment.row.file.as_str());
    let targets: Vec<Arc<Segment>> = snapshot.segments.iter().filter(|segment| is_target(segment)).cloned().collect();
    let range = TimeRange { start_ns: day_ns, end_ns: day_ns.saturating_add(DAY_NS) };
    let began = Instant::now();
    let mut pace = Pace::new(context);
    let kept = match decide(&snapshot, &targets, range, &context.thinning, &mut pace)? {
        Decision::Keep(kept) => kept,
        Decision::TooMuch(what) => {
            context.thinned.left_whole.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(day_ns, what, "a day is left whole: deciding what to keep of it would take too much memory");
            return Ok(true);
        }
    };
    let mut counts = [0; Kept::ALL.len()];
    let mut written = Vec::new();
    for target in &targets {
        written.extend(rewrite(context, target, &kept, &mut counts, &mut pace)?);
    }
    let before: u64 = targets.iter().map(|target| target.row.rows).sum();
    let after: u64 = written.iter().map(|row| row.rows).sum();
    let traces = Kept::ALL.map(|reason| kept.values().filter(|known| **known == reason).count() as u64);
    let mut counted = vec![(SPANS_THINNED, before - after)];
    for reason in Kept::ALL {
        let [spans_name, traces_name] = reason.counters();
        counted.extend([(spans_name, counts[reason as usize]), (traces_name, traces[reason as usize])]);
    }
    replace(context, &files, written, &counted)?;
    let figures = &context.thinned;
    figures.spans_thinned.fetch_add(before - after, Ordering::Relaxed);
    for reason in Kept::ALL {
        figures.spans_kept[reason as usize].fetch_add(counts[reason as usize], Ordering::Relaxed);
        figures.traces_kept[reason as usize].fetch_add(traces[reason as usize], Ordering::Relaxed);
    }
    tracing::info!(day_ns, before, after, took_ms = began.elapsed().as_millis() as u64, "thinned a day");
    Ok(true)
}

/// Writes what stays of a segment; none when nothing does.
fn rewrite(
    context: &UpkeepContext,
    segment: &Segment,
    kept: &FxHashMap<u64, Kept>,
    counts: &mut [u64; Kept::ALL.len()],
    pace: &mut Pace<'_>,
) -> Result<Option<SegmentRow>, StoreError> {
    let writes = segment.writes()?;
    let place = SegmentPlace {
        dir: &context.flush.segments_dir,
        temporary_dir: &context.flush.temporary_dir,
        sequences: (segment.row.min_sequence, segment.row.max_sequence),
        level: segment.row.level + 1,
        bucket_ns: 0,
        written_ns: segment.row.written_ns,
        thinned: true,
        writes: writes.as_ref(),
    };
    let mut writer = SegmentWriter::create(place, Table::Spans)?;
    let mut rows = 0;
    for batch in segment.stream()? {
        let batch = batch.map_err(engine)?;
        let ids = batch.column_by_name("trace_id").expect("the schema has the column").as_fixed_size_binary();
        let reasons: Vec<Option<Kept>> = trace_hashes(ids.value_data()).map(|hash| kept.get(&hash).copied()).collect();
        reasons.iter().flatten().for_each(|reason| counts[*reason as usize] += 1);
        let stays = BooleanArray::from_iter(reasons.iter().map(|reason| Some(reason.is_some())));
        let batch = filter_record_batch(&batch, &stays).map_err(engine)?;
        if batch.num_rows() > 0 {
            rows += batch.num_rows();
            writer.write(&batch)?;
        }
        pace.rest()?;
    }
    if rows == 0 {
        // What was begun lies in the temporary directory.
        writer.discard();
        return Ok(None);
    }
    writer.finish().map(Some)
}

/// The hashes of trace ids that lie one behind the other.
fn trace_hashes(ids: &[u8]) -> impl Iterator<Item = u64> {
    ids.as_chunks::<16>().0.iter().map(|id| hash(TraceId(*id)))
}

/// A hash whose bits are all good, whatever the ids are like. It is the same on every machine and
/// day, so that a late span meets the decision on its trace again.
fn hash(trace_id: TraceId) -> u64 {
    let (high, low) = ((u128::from_be_bytes(trace_id.0) >> 64) as u64, u128::from_be_bytes(trace_id.0) as u64);
    let mut mixed = high.rotate_left(32) ^ low;
    for factor in [0xbf58_476d_1ce4_e5b9u64, 0x94d0_49bb_1331_11eb] {
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(factor);
    }
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_a_share_whatever_the_ids_are_like() {
        for make in [|n: u128| n, |n: u128| n << 64, |n: u128| (n << 100) | 7] {
            let thinning = Thinning { share: 0.1, ..Thinning::default() };
            let kept = (0..100_000u128).filter(|n| thinning.stays(hash(TraceId(make(*n).to_be_bytes())))).count();
            assert!((9_700..10_300).contains(&kept), "{kept} of 100,000");
        }
        let all = Thinning { share: 1.0, ..Thinning::default() };
        let none = Thinning { share: 0.0, ..Thinning::default() };
        assert_eq!((all.stays(u64::MAX - 2_048), none.stays(0)), (true, false));
    }
}
