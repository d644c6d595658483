//! The tree of a selection's stacks, by columns, as a flame graph draws it.

use pitviper_store::Store;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::samples::Samples;
use super::selection::{Selection, wrong};
use super::tree::{Functions, ROOT, Tree};
use crate::QueryError;
use crate::views::{Answer, Meta};

/// Most nodes of one answer.
pub const MAX_NODES: u32 = 100_000;

/// Which stacks to put together, and how.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProfileMergeRequest)]
pub struct MergeRequest {
    /// Which samples.
    pub selection: Selection,
    /// Samples to compare them with.
    pub baseline: Option<Selection>,
    /// Most nodes, at most 100000, which is the default: the largest are kept.
    pub max_nodes: Option<u32>,
    /// Whether frames of one function differ by line; otherwise the line is the one that has most.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub lines: bool,
}

fn yes() -> bool {
    true
}

/// A tree of calls by columns: every list has a value for each node, in the order (depth, x).
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct MergedProfile {
    /// What was sampled.
    #[serde(rename = "type")]
    pub sample_type: String,
    /// The unit of all values; empty when there are none.
    pub unit: String,
    /// The sum of all values.
    pub total: i64,
    /// How many samples.
    pub samples: u64,
    /// What was measured in the states that the selection excludes.
    pub excluded: i64,
    /// The sum of all values of the baseline, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline_total: Option<i64>,
    /// Texts that frames point to.
    pub strings: Vec<String>,
    /// Places in the code that nodes point to.
    pub frames: Vec<MergedFrame>,
    /// How many callers a node has; zero for the root, which is the first.
    pub depth: Vec<u32>,
    /// Where a node begins, in the unit: its parent's beginning and the widths of its siblings before it.
    pub x: Vec<i64>,
    /// What was measured in a node and all it called.
    pub w: Vec<i64>,
    /// What was measured in a node alone.
    #[serde(rename = "self")]
    pub own: Vec<i64>,
    /// How many samples go through a node.
    pub n: Vec<u64>,
    /// Which of `frames` a node is; -1 for the root.
    pub frame: Vec<i32>,
    /// Which node called a node; -1 for the root.
    pub parent: Vec<i32>,
    /// `w` of the baseline, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub w_base: Option<Vec<i64>>,
    /// `self` of the baseline, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_base: Option<Vec<i64>>,
    /// The width of the widest node that is left out; zero when none is.
    pub dropped_below: i64,
    /// How many samples are in no node: of stacks that are rarer than the most that are looked at.
    pub left_out_samples: u64,
    /// Whether samples that were sent twice may be counted twice.
    pub may_repeat: bool,
}

/// A place in the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
pub struct MergedFrame {
    /// The function, as its place in `strings`.
    #[serde(rename = "fn")]
    pub function: u32,
    /// The file, likewise.
    pub file: u32,
    /// The line, from one; zero when not known.
    pub line: u32,
    /// The package, as its place in `strings`; an empty one when it is the application's or not known.
    pub pkg: u32,
    /// Whether it is the application's own code.
    pub in_app: bool,
}

/// Puts the stacks of a selection together, and beside them those of another.
///
/// # Errors
/// When a parameter is not usable or the store fails.
pub async fn merge(
    store: &dyn Store,
    request: &MergeRequest,
    now_us: i64,
) -> Result<Answer<MergedProfile>, QueryError> {
    let max_nodes = request.max_nodes.unwrap_or(MAX_NODES);
    if !(1..=MAX_NODES).contains(&max_nodes) {
        return Err(wrong("max_nodes", format!("has to be between 1 and {MAX_NODES}")));
    }
    let window = request.selection.window(now_us)?;
    let mut selections = vec![(&request.selection, window)];
    if let Some(baseline) = &request.baseline {
        selections.push((baseline, baseline.window(now_us)?));
    }
    let samples = Samples::load(store, &selections).await?;
    let mut meta = samples.meta(&window);
    let data = drawn(&samples, request, max_nodes as usize, &mut meta);
    Ok(Answer { data, meta })
}

pub(super) fn drawn(samples: &Samples, request: &MergeRequest, max_nodes: usize, meta: &mut Meta) -> MergedProfile {
    let functions = Functions::of(samples, request.lines);
    let tree = Tree::of(samples, &functions);
    if tree.is_cut {
        meta.exact = false;
        meta.warnings.push("there are too many different stacks to tell all apart; choose a shorter range".to_owned());
    }
    let (order, dropped_below) = tree.largest(&functions, max_nodes);
    let mut drawn = MergedProfile {
        sample_type: request.selection.kind().to_owned(),
        unit: samples.unit.clone(),
        total: samples.sums[0].total,
        samples: samples.sums[0].samples,
        excluded: samples.sums[0].excluded,
        baseline_total: samples.sums.get(1).map(|sums| sums.total),
        dropped_below,
        left_out_samples: samples.sums[0].left_out,
        may_repeat: samples.may_repeat,
        ..MergedProfile::default()
    };
    let mut legend = Legend::default();
    // Where each node is drawn, and where its next child begins.
    let mut drawn_at = vec![0; tree.nodes.len()];
    let mut next_x = vec![0_i64; order.len()];
    for (at, place) in order.iter().enumerate() {
        let node = &tree.nodes[*place];
        drawn_at[*place] = at;
        let is_root = *place == ROOT;
        let parent = drawn_at[node.parent];
        let x = next_x[parent];
        if !is_root {
            next_x[parent] = x.saturating_add(node.total[0]);
        }
        next_x[at] = x;
        drawn.depth.push(node.depth);
        drawn.x.push(x);
        drawn.w.push(node.total[0]);
        drawn.own.push(node.own[0]);
        drawn.n.push(node.samples);
        let frame = (!is_root).then(|| legend.frame(&functions, node.function, &mut drawn));
        drawn.frame.push(frame.map_or(-1, |frame| i32::try_from(frame).unwrap_or(-1)));
        drawn.parent.push(if is_root { -1 } else { i32::try_from(parent).unwrap_or(-1) });
    }
    if samples.sums.len() > 1 {
        drawn.w_base = Some(order.iter().map(|place| tree.nodes[*place].total[1]).collect());
        drawn.self_base = Some(order.iter().map(|place| tree.nodes[*place].own[1]).collect());
    }
    drawn
}

/// Frames and texts that were told, each once.
#[derive(Default)]
struct Legend {
    frames: FxHashMap<u32, usize>,
    texts: FxHashMap<String, u32>,
}

impl Legend {
    fn frame(&mut self, functions: &Functions, function: u32, drawn: &mut MergedProfile) -> usize {
        if let Some(known) = self.frames.get(&function) {
            return *known;
        }
        let frame = &functions.frames[function as usize];
        let mut text = |text: &str| match self.texts.get(text) {
            Some(place) => *place,
            None => {
                let place = drawn.strings.len() as u32;
                self.texts.insert(text.to_owned(), place);
                drawn.strings.push(text.to_owned());
                place
            }
        };
        let (function_text, file, pkg) = (text(&frame.function), text(&frame.file), text(&frame.library));
        let told = MergedFrame { function: function_text, file, line: frame.line, pkg, in_app: frame.in_app };
        drawn.frames.push(told);
        self.frames.insert(function, drawn.frames.len() - 1);
        drawn.frames.len() - 1
    }
}
