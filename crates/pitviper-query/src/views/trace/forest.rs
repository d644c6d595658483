//! The spans of a trace as trees, in display order.
//!
//! Everything here is iterative: a trace may be one chain of tens of thousands of spans. Parent ids
//! come from outside, so they may name spans that are missing, or run in circles.

use std::cmp::Reverse;

use pitviper_model::{SpanId, SpanKind, StatusCode};
use pitviper_store::TraceSpan;
use pitviper_store::questions::kin::Kin;
use rustc_hash::FxHashMap;

use super::{FLAG_ERROR, FLAG_MISSING_PARENT, FLAG_SKEW_CORRECTED};

const NONE: u32 = u32::MAX;

/// A span in its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// Index of the span in the trace.
    pub(crate) span: u32,
    /// Row of the parent.
    pub(crate) parent: Option<u32>,
    pub(crate) depth: u32,
    /// Start after correction, in nanoseconds since the epoch.
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
    /// Whether the parent waited for this span: it is the other side of the parent's call.
    pub(crate) answers_parent: bool,
    /// Error, missing parent and skew; the critical path is not known yet.
    pub(crate) flags: u8,
}

impl Row {
    /// Whether the span names a parent that is not here.
    pub(crate) fn parent_is_missing(&self) -> bool {
        self.flags & FLAG_MISSING_PARENT != 0
    }
}

/// All trees of a trace.
#[derive(Debug)]
pub(crate) struct Forest {
    /// In display order: depth first, children by start.
    pub(crate) rows: Vec<Row>,
    /// Children of row `r`: `children[first_child[r]..first_child[r + 1]]`, rows in display order.
    first_child: Vec<u32>,
    children: Vec<u32>,
    /// Earliest start, in nanoseconds since the epoch.
    pub(crate) start_ns: i64,
    /// Latest end.
    pub(crate) end_ns: i64,
}

impl Forest {
    /// Sorts the spans into trees.
    pub(crate) fn grow(spans: &[TraceSpan]) -> Self {
        let mut parents = find_parents(spans.iter().map(|span| (span.span_id, span.parent_span_id)));
        cut_cycles(&mut parents, |span| spans[span].start_ns);
        let flag = |(span, parent): (&TraceSpan, &u32)| {
            let error = if span.status == StatusCode::Error { FLAG_ERROR } else { 0 };
            let is_missing = span.parent_span_id.is_valid() && *parent == NONE;
            if is_missing { error | FLAG_MISSING_PARENT } else { error }
        };
        let mut flags: Vec<u8> = spans.iter().zip(&parents).map(flag).collect();
        let (mut first, mut children) = lists(parents.iter().copied());
        let starts = correct_clocks(spans, &parents, &first, &children, &mut flags);
        for window in first.windows(2) {
            children[window[0] as usize..window[1] as usize]
                .sort_unstable_by_key(|&span| (starts[span as usize], span));
        }
        let rows = display_order(spans, &parents, &first, &children, &starts, &flags);
        (first, children) = lists(rows.iter().map(|row| row.parent.unwrap_or(NONE)));
        let start_ns = rows.iter().map(|row| row.start_ns).min().unwrap_or(0);
        let end_ns = rows.iter().map(|row| row.end_ns).max().unwrap_or(0);
        Self { rows, first_child: first, children, start_ns, end_ns }
    }

    /// The children of a row, in display order.
    pub(crate) fn children(&self, row: u32) -> &[u32] {
        let from = self.first_child[row as usize] as usize;
        let to = self.first_child[row as usize + 1] as usize;
        &self.children[from..to]
    }

    /// For each row, the nanoseconds of its duration in which none of its children was running.
    /// Children may overlap each other and reach beyond their parent.
    pub(crate) fn self_times(&self) -> Vec<u64> {
        let own = |(index, row): (usize, &Row)| {
            let mut covered_to = row.start_ns;
            let mut own = 0;
            for child in self.children(index as u32) {
                let child = &self.rows[*child as usize];
                let from = child.start_ns.clamp(covered_to, row.end_ns);
                own += from.abs_diff(covered_to);
                covered_to = child.end_ns.clamp(from, row.end_ns);
            }
            own + row.end_ns.abs_diff(covered_to)
        };
        self.rows.iter().enumerate().map(own).collect()
    }

    /// The tree that stands for the trace: the earliest without a parent, or else, when all parents
    /// are missing, the longest.
    pub(crate) fn main_root(&self) -> Option<u32> {
        let mut roots = self.rows.iter().enumerate().filter(|(_, row)| row.parent.is_none());
        let whole = roots.clone().find(|(_, row)| row.flags & FLAG_MISSING_PARENT == 0);
        let longest = || roots.by_ref().min_by_key(|(_, row)| Reverse(row.end_ns.saturating_sub(row.start_ns)));
        whole.or_else(longest).map(|(index, _)| index as u32)
    }
}

/// Who stands above whom in a trace, with circles of parents cut as in a [`Forest`].
pub(crate) struct Ancestry {
    /// By span, the place of its parent.
    pub(crate) parents: Vec<Option<usize>>,
    /// Places so that a parent comes before its children.
    pub(crate) downwards: Vec<usize>,
}

impl Ancestry {
    pub(crate) fn of(spans: &[Kin]) -> Self {
        let mut parents = find_parents(spans.iter().map(|span| (span.span_id, span.parent_span_id)));
        cut_cycles(&mut parents, |span| spans[span].start_ns);
        let (first, children) = lists(parents.iter().copied());
        let mut downwards: Vec<usize> = (0..spans.len()).filter(|span| parents[*span] == NONE).collect();
        let mut next = 0;
        while let Some(&parent) = downwards.get(next) {
            next += 1;
            let below = &children[first[parent] as usize..first[parent + 1] as usize];
            downwards.extend(below.iter().map(|&child| child as usize));
        }
        let place = |parent: u32| (parent != NONE).then_some(parent as usize);
        Self { parents: parents.into_iter().map(place).collect(), downwards }
    }
}

/// Parents by index, of spans by id and parent's id; [`NONE`] for roots and for spans whose parent is
/// not here.
fn find_parents(spans: impl Iterator<Item = (SpanId, SpanId)> + Clone) -> Vec<u32> {
    let places: FxHashMap<SpanId, u32> = spans.clone().zip(0..).map(|((id, _), place)| (id, place)).collect();
    let parent = |(_, parent): (SpanId, SpanId)| match parent.is_valid() {
        true => places.get(&parent).copied().unwrap_or(NONE),
        false => NONE,
    };
    spans.map(parent).collect()
}

/// Turns the earliest span of each circle of parents into a root.
fn cut_cycles(parents: &mut [u32], start_ns: impl Fn(usize) -> i64) {
    /// Spans are marked with the walk that saw them first; this one is seen by none.
    const UNSEEN: u32 = NONE;
    let mut seen_by = vec![UNSEEN; parents.len()];
    for walk in 0..parents.len() as u32 {
        let mut at = walk;
        while at != NONE && seen_by[at as usize] == UNSEEN {
            seen_by[at as usize] = walk;
            at = parents[at as usize];
        }
        if at == NONE || seen_by[at as usize] != walk {
            continue;
        }
        // This walk came back to itself, so `at` lies on a circle.
        let mut earliest = at;
        let mut next = parents[at as usize];
        while next != at {
            if (start_ns(next as usize), next) < (start_ns(earliest as usize), earliest) {
                earliest = next;
            }
            next = parents[next as usize];
        }
        parents[earliest as usize] = NONE;
    }
}

/// Children by parent: those of `p` are `children[first[p]..first[p + 1]]`, in the order given.
fn lists(parents: impl ExactSizeIterator<Item = u32> + Clone) -> (Vec<u32>, Vec<u32>) {
    let mut first = vec![0u32; parents.len() + 1];
    for parent in parents.clone().filter(|parent| *parent != NONE) {
        first[parent as usize + 1] += 1;
    }
    for index in 1..first.len() {
        first[index] += first[index - 1];
    }
    let mut next = first.clone();
    let mut children = vec![0u32; first[first.len() - 1] as usize];
    for (child, parent) in parents.enumerate().filter(|(_, parent)| *parent != NONE) {
        let place = &mut next[parent as usize];
        children[*place as usize] = child as u32;
        *place += 1;
    }
    (first, children)
}

/// Starts after correction.
///
/// Two services' clocks differ. That shows where a span starts before its parent in another service,
/// or where a call is answered after it had ended. The span and all below it, which the same clock
/// timed, are then moved: to the middle of the parent, the best guess when both ways take equally
/// long, or to the parent's start when it is longer than the parent. Within a service, and where a
/// child only ends late, nothing is moved: that is what asynchronous work looks like.
fn correct_clocks(spans: &[TraceSpan], parents: &[u32], first: &[u32], children: &[u32], flags: &mut [u8]) -> Vec<i64> {
    let mut starts: Vec<i64> = spans.iter().map(|span| span.start_ns).collect();
    let mut shifts = vec![0i64; spans.len()];
    // Parents come before their children in this list.
    let mut waiting: Vec<u32> = (0..spans.len() as u32).filter(|span| parents[*span as usize] == NONE).collect();
    let mut next = 0;
    while let Some(&parent) = waiting.get(next) {
        next += 1;
        let parent = parent as usize;
        let above = &spans[parent];
        let (parent_start, parent_end) = (starts[parent], end(starts[parent], above.duration_ns));
        for &child in &children[first[parent] as usize..first[parent + 1] as usize] {
            waiting.push(child);
            let child = child as usize;
            let span = &spans[child];
            let start = span.start_ns.saturating_add(shifts[parent]);
            let late_answer = is_answer(above, span) && start > parent_end;
            let moved = if span.service != above.service && (start < parent_start || late_answer) {
                flags[child] |= FLAG_SKEW_CORRECTED;
                let slack = above.duration_ns.saturating_sub(span.duration_ns);
                end(parent_start, slack / 2)
            } else {
                start
            };
            shifts[child] = moved.saturating_sub(span.start_ns);
            starts[child] = moved;
        }
    }
    starts
}

/// Whether the span is the other side of the call its parent waits for.
fn is_answer(parent: &TraceSpan, span: &TraceSpan) -> bool {
    parent.kind == SpanKind::Client && span.kind == SpanKind::Server
}

fn end(start_ns: i64, duration_ns: u64) -> i64 {
    start_ns.saturating_add(i64::try_from(duration_ns).unwrap_or(i64::MAX))
}

fn display_order(
    spans: &[TraceSpan],
    parents: &[u32],
    first: &[u32],
    children: &[u32],
    starts: &[i64],
    flags: &[u8],
) -> Vec<Row> {
    let mut roots: Vec<u32> = (0..spans.len() as u32).filter(|span| parents[*span as usize] == NONE).collect();
    roots.sort_unstable_by_key(|&span| (starts[span as usize], span));
    let mut rows: Vec<Row> = Vec::with_capacity(spans.len());
    // Last in, first out; hence the children go in backwards.
    let mut waiting: Vec<(u32, Option<u32>)> = roots.into_iter().rev().map(|root| (root, None)).collect();
    while let Some((at, parent)) = waiting.pop() {
        let row = rows.len() as u32;
        let index = at as usize;
        let above = parent.map(|parent: u32| rows[parent as usize]);
        rows.push(Row {
            span: at,
            parent,
            depth: above.map_or(0, |above| above.depth + 1),
            start_ns: starts[index],
            end_ns: end(starts[index], spans[index].duration_ns),
            answers_parent: above.is_some_and(|above| is_answer(&spans[above.span as usize], &spans[index])),
            flags: flags[index],
        });
        let own = &children[first[index] as usize..first[index + 1] as usize];
        waiting.extend(own.iter().rev().map(|child| (*child, Some(row))));
    }
    rows
}
