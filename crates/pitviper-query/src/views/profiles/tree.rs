//! Stacks put together to a tree: what is called from where, by value.

use pitviper_model::Frame;
use rustc_hash::{FxHashMap, FxHashSet};

use super::samples::Samples;

/// Most nodes of a tree before small ones are left out. What lies deeper counts for the node above.
const MAX_BUILD_NODES: usize = 2_000_000;

/// The place of the root.
pub(super) const ROOT: usize = 0;

/// What a node has of a selection, and of the one it is compared with.
pub(super) type Pair = [i64; 2];

/// What frames are told apart by.
#[derive(Debug, Default)]
pub(super) struct Functions {
    /// The function of each frame.
    pub(super) of_frame: Vec<u32>,
    /// A frame of each function.
    pub(super) frames: Vec<Frame>,
}

impl Functions {
    /// Frames told apart by line, or functions with the line that most was measured in.
    pub(super) fn of(samples: &Samples, by_line: bool) -> Self {
        let mut known: FxHashMap<(&str, &str, &str, bool, u32), u32> = FxHashMap::default();
        let mut functions = Self::default();
        for frame in &samples.frames {
            let line = if by_line { frame.line } else { 0 };
            let key = (&*frame.function, &*frame.file, &*frame.library, frame.in_app, line);
            let next = known.len() as u32;
            let function = *known.entry(key).or_insert(next);
            if function == next {
                functions.frames.push(frame.clone());
            }
            functions.of_frame.push(function);
        }
        if !by_line {
            functions.choose_lines(samples);
        }
        functions
    }

    /// Gives each function the line that has the largest share of what was measured through it.
    fn choose_lines(&mut self, samples: &Samples) {
        let mut of_frame = vec![0_u64; samples.frames.len()];
        for (stack, value, _) in samples.sums.iter().flat_map(|sums| &sums.rows) {
            for frame in &samples.stacks[*stack] {
                let sum = &mut of_frame[*frame as usize];
                *sum = sum.saturating_add(value.unsigned_abs());
            }
        }
        let mut best = vec![(0, u32::MAX); self.frames.len()];
        for ((frame, value), function) in samples.frames.iter().zip(of_frame).zip(&self.of_frame) {
            let best = &mut best[*function as usize];
            // Of lines with as much, the first.
            if value > best.0 || (value == best.0 && frame.line < best.1) {
                *best = (value, frame.line);
            }
        }
        self.frames.iter_mut().zip(best).for_each(|(frame, (_, line))| frame.line = line);
    }
}

/// A call of a function from another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) parent: usize,
    /// Its function; of the root's no matter.
    pub(super) function: u32,
    pub(super) depth: u32,
    /// What was measured in it and what it called.
    pub(super) total: Pair,
    /// What was measured in it alone.
    pub(super) own: Pair,
    /// Samples through it, of the selection.
    pub(super) samples: u64,
}

/// The nodes of a tree, parents first.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    /// Whether there were too many nodes to tell all apart.
    pub(super) is_cut: bool,
}

impl Tree {
    /// The tree of all stacks, the outermost functions below the root.
    pub(super) fn of(samples: &Samples, functions: &Functions) -> Self {
        Self::within(samples, functions, MAX_BUILD_NODES)
    }

    fn within(samples: &Samples, functions: &Functions, max_nodes: usize) -> Self {
        let mut tree = Self { nodes: vec![Node::default()], is_cut: false };
        let mut children: FxHashMap<(usize, u32), usize> = FxHashMap::default();
        for (side, sums) in samples.sums.iter().take(2).enumerate() {
            for (stack, value, count) in &sums.rows {
                let mut at = ROOT;
                tree.add(at, side, *value, *count);
                for frame in samples.stacks[*stack].iter().rev() {
                    let function = functions.of_frame[*frame as usize];
                    at = match children.get(&(at, function)) {
                        Some(child) => *child,
                        None if tree.nodes.len() == max_nodes => {
                            tree.is_cut = true;
                            break;
                        }
                        None => {
                            let child = tree.nodes.len();
                            let depth = tree.nodes[at].depth + 1;
                            tree.nodes.push(Node { parent: at, function, depth, ..Node::default() });
                            children.insert((at, function), child);
                            child
                        }
                    };
                    tree.add(at, side, *value, *count);
                }
                let own = &mut tree.nodes[at].own[side];
                *own = own.saturating_add(*value);
            }
        }
        tree
    }

    fn add(&mut self, node: usize, side: usize, value: i64, samples: u64) {
        let node = &mut self.nodes[node];
        node.total[side] = node.total[side].saturating_add(value);
        if side == 0 {
            node.samples += samples;
        }
    }

    /// The places of the largest nodes, as many as may be, in the order (depth, siblings by name), and how
    /// much the largest of those that are left out has.
    pub(super) fn largest(&self, functions: &Functions, max_nodes: usize) -> (Vec<usize>, i64) {
        let weight = |node: usize| self.nodes[node].total.iter().map(|value| value.unsigned_abs()).max().unwrap_or(0);
        let mut by_weight: Vec<usize> = (0..self.nodes.len()).collect();
        // Parents come before their children, which have no more than they and a later place.
        by_weight.sort_by_key(|node| (std::cmp::Reverse(weight(*node)), *node));
        let mut is_kept = vec![false; self.nodes.len()];
        let mut kept = 0;
        let mut dropped_below = 0;
        for node in by_weight {
            if kept < max_nodes && (node == ROOT || is_kept[self.nodes[node].parent]) {
                is_kept[node] = true;
                kept += 1;
            } else {
                dropped_below = dropped_below.max(weight(node));
            }
        }
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        for (place, node) in self.nodes.iter().enumerate().skip(1).filter(|(place, _)| is_kept[*place]) {
            children[node.parent].push(place);
        }
        let ranks = ranks(&functions.frames);
        let mut order = Vec::with_capacity(kept);
        order.push(ROOT);
        let mut next = 0;
        while next < order.len() {
            let below = &mut children[order[next]];
            below.sort_unstable_by_key(|child| ranks[self.nodes[*child].function as usize]);
            order.append(below);
            next += 1;
        }
        (order, i64::try_from(dropped_below).unwrap_or(i64::MAX))
    }
}

/// The place of each function by name, file and line.
fn ranks(frames: &[Frame]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..frames.len() as u32).collect();
    let key = |place: &u32| {
        let frame = &frames[*place as usize];
        (&frame.function, &frame.file, frame.line, &frame.library, frame.in_app)
    };
    order.sort_unstable_by(|left, right| key(left).cmp(&key(right)));
    let mut ranks = vec![0; frames.len()];
    order.iter().enumerate().for_each(|(rank, place)| ranks[*place as usize] = rank as u32);
    ranks
}

/// What each function has of a selection, counted once a stack however often it is in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OfFunction {
    pub(super) own: Pair,
    pub(super) total: Pair,
    /// Samples it is in, of the first selection.
    pub(super) samples: u64,
}

/// What each function has.
pub(super) fn by_function(samples: &Samples, functions: &Functions) -> Vec<OfFunction> {
    let mut all = vec![OfFunction::default(); functions.frames.len()];
    let mut seen: FxHashSet<u32> = FxHashSet::default();
    for (side, sums) in samples.sums.iter().take(2).enumerate() {
        for (stack, value, count) in &sums.rows {
            let frames = &samples.stacks[*stack];
            if let Some(innermost) = frames.first() {
                let own = &mut all[functions.of_frame[*innermost as usize] as usize].own[side];
                *own = own.saturating_add(*value);
            }
            seen.clear();
            for frame in frames {
                let function = functions.of_frame[*frame as usize];
                if seen.insert(function) {
                    let of = &mut all[function as usize];
                    of.total[side] = of.total[side].saturating_add(*value);
                    of.samples += if side == 0 { *count } else { 0 };
                }
            }
        }
    }
    all
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
