//! The samples of selections with their stacks, each stack and frame read once.

use pitviper_model::{Frame, FrameId, StackId};
use pitviper_store::{ProfileDimension, ProfileQuery, Store, TimeRange};
use rustc_hash::FxHashMap;

use super::selection::{ExportRequest, Selection, TOLD_LATER_NS};
use crate::QueryError;
use crate::views::{Answer, Meta, Window};

/// The function that stands for a stack that is not known any more.
const UNKNOWN: &str = "<unknown>";

/// What one selection has.
#[derive(Debug, Clone, Default)]
pub(super) struct Sums {
    /// Stack, value and samples; the stacks are places in [`Samples::stacks`].
    pub(super) rows: Vec<(usize, i64, u64)>,
    /// The sum of all values, also of stacks that are left out.
    pub(super) total: i64,
    /// How many samples, likewise.
    pub(super) samples: u64,
    /// How many samples are in stacks that are left out.
    pub(super) left_out: u64,
    /// The largest value of one sample of each stack.
    pub(super) largest: FxHashMap<usize, i64>,
    /// What was measured in the states that are excluded.
    pub(super) excluded: i64,
}

/// The samples of several selections.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub(super) frames: Vec<Frame>,
    /// Places in [`Samples::frames`], the innermost first.
    pub(super) stacks: Vec<Vec<u32>>,
    /// The id of each stack.
    pub(super) ids: Vec<StackId>,
    pub(super) sums: Vec<Sums>,
    /// The unit of the values; empty when there are none.
    pub(super) unit: String,
    pub(super) may_repeat: bool,
    pub(super) warnings: Vec<String>,
}

/// Samples as they go into a file.
#[derive(Debug, Default)]
pub struct ProfileExport {
    /// What was sampled.
    pub sample_type: String,
    /// The unit of the values.
    pub unit: String,
    /// Start of the range, in nanoseconds since the Unix epoch.
    pub start_ns: i64,
    /// End of the range, exclusive.
    pub end_ns: i64,
    /// Places in the code.
    pub frames: Vec<Frame>,
    /// Places in `frames`, the innermost first.
    pub stacks: Vec<Vec<u32>>,
    /// The value of each stack, as its place in `stacks`.
    pub values: Vec<(u32, i64)>,
}

/// The samples of a selection by stack, to be written to a file.
///
/// # Errors
/// When a parameter is not usable or the store fails.
pub async fn export(
    store: &dyn Store,
    request: &ExportRequest,
    now_us: i64,
) -> Result<Answer<ProfileExport>, QueryError> {
    let window = request.selection.window(now_us)?;
    let mut samples = Samples::load(store, &[(&request.selection, window)]).await?;
    let meta = samples.meta(&window);
    let sums = samples.sums.swap_remove(0);
    let place = |stack: usize| u32::try_from(stack).expect("a store tells fewer rows than that");
    let data = ProfileExport {
        sample_type: request.selection.kind().to_owned(),
        unit: samples.unit,
        start_ns: window.range.start_ns,
        end_ns: window.range.end_ns,
        frames: samples.frames,
        stacks: samples.stacks,
        values: sums.rows.iter().map(|(stack, value, _)| (place(*stack), *value)).collect(),
    };
    Ok(Answer { data, meta })
}

impl Samples {
    /// Reads the samples of selections.
    pub(super) async fn load(store: &dyn Store, selections: &[(&Selection, Window)]) -> Result<Self, QueryError> {
        let mut samples = Self::default();
        let mut places: FxHashMap<StackId, usize> = FxHashMap::default();
        // The stacks that each range has first.
        let mut wanted: Vec<(TimeRange, Vec<StackId>)> = Vec::new();
        for (selection, window) in selections {
            let mut sums = Sums::default();
            let mut new = Vec::new();
            let mut by_stack: FxHashMap<usize, (i64, u64)> = FxHashMap::default();
            for query in selection.queries(store, window).await? {
                for query in selection.excluded(&query) {
                    sums.excluded = sums.excluded.saturating_add(store.profile(&query).await?.value);
                }
                let answer = store.profile(&ProfileQuery { group_by: vec![ProfileDimension::Unit], ..query }).await?;
                samples.may_repeat |= answer.may_repeat;
                sums.total = sums.total.saturating_add(answer.value);
                sums.samples += answer.samples;
                sums.left_out += answer.samples;
                for row in &answer.rows {
                    samples.see_unit(&row.labels[0]);
                    sums.left_out -= row.samples;
                    let place = *places.entry(row.stack).or_insert_with(|| {
                        new.push(row.stack);
                        samples.ids.push(row.stack);
                        samples.ids.len() - 1
                    });
                    let sum = by_stack.entry(place).or_default();
                    *sum = (sum.0.saturating_add(row.value), sum.1 + row.samples);
                    let largest = sums.largest.entry(place).or_default();
                    *largest = row.largest.max(*largest);
                }
            }
            sums.rows = by_stack.into_iter().map(|(stack, (value, samples))| (stack, value, samples)).collect();
            sums.rows.sort_unstable_by_key(|(stack, value, _)| (std::cmp::Reverse(*value), *stack));
            samples.sums.push(sums);
            // Stacks are known by the day of their samples, which may be told after the range.
            let end_ns = window.range.end_ns.saturating_add(TOLD_LATER_NS);
            wanted.push((TimeRange { end_ns, ..window.range }, new));
        }
        samples.read_stacks(store, &wanted).await?;
        let left_out: u64 = samples.sums.iter().map(|sums| sums.left_out).sum();
        if left_out > 0 {
            samples.warnings.push(format!("{left_out} samples of rare stacks are left out; choose a shorter range"));
        }
        Ok(samples)
    }

    fn see_unit(&mut self, unit: &str) {
        if self.unit.is_empty() {
            unit.clone_into(&mut self.unit);
        } else if self.unit != unit {
            let warning = "values of different units are added up".to_owned();
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }

    /// Reads what stacks and frames are.
    async fn read_stacks(&mut self, store: &dyn Store, wanted: &[(TimeRange, Vec<StackId>)]) -> Result<(), QueryError> {
        let mut known: FxHashMap<StackId, Vec<u32>> = FxHashMap::default();
        let mut places: FxHashMap<FrameId, u32> = FxHashMap::default();
        for (range, ids) in wanted.iter().filter(|(_, ids)| !ids.is_empty()) {
            let stacks = store.stacks(*range, ids).await?;
            let mut new: Vec<FrameId> = stacks.iter().flat_map(|(_, frames)| frames).copied().collect();
            new.sort_unstable();
            new.dedup();
            new.retain(|id| !places.contains_key(id));
            for (id, frame) in store.frames(*range, &new).await? {
                places.insert(id, self.place(frame));
            }
            for (id, frames) in stacks {
                let mut place = |id: &FrameId| match places.get(id) {
                    Some(place) => *place,
                    None => {
                        let place = self.frames.len() as u32;
                        self.frames.push(unknown());
                        places.insert(*id, place);
                        place
                    }
                };
                known.insert(id, frames.iter().map(&mut place).collect());
            }
        }
        let mut lost = 0;
        let mut unknown_place = None;
        for id in &self.ids {
            let stack = known.remove(id).unwrap_or_else(|| {
                lost += 1;
                let place = *unknown_place.get_or_insert_with(|| {
                    self.frames.push(unknown());
                    self.frames.len() as u32 - 1
                });
                vec![place]
            });
            self.stacks.push(stack);
        }
        if lost > 0 {
            self.warnings.push(format!("{lost} stacks are not known any more; they are drawn as {UNKNOWN}"));
        }
        Ok(())
    }

    fn place(&mut self, frame: Frame) -> u32 {
        self.frames.push(frame);
        u32::try_from(self.frames.len() - 1).expect("stacks have fewer frames than that")
    }

    /// For each frame whether it is of the function, and of the file if there is one.
    pub(super) fn are_of(&self, function: &str, file: Option<&str>) -> Vec<bool> {
        let is_it = |frame: &Frame| frame.function == function && file.is_none_or(|file| frame.file == file);
        self.frames.iter().map(is_it).collect()
    }

    /// How an answer made of them came about.
    pub(super) fn meta(&self, window: &Window) -> Meta {
        let exact = self.warnings.is_empty() && !self.may_repeat;
        Meta { exact, warnings: self.warnings.clone(), ..Meta::over(window) }
    }
}

fn unknown() -> Frame {
    Frame { function: UNKNOWN.to_owned(), ..Frame::default() }
}
