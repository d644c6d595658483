//! Trees and functions equal a plain evaluation of each stack.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::merge::{MAX_NODES, MergeRequest, MergedProfile, drawn};
use super::super::samples::Sums;
use super::*;
use crate::views::Meta;

fn frame(name: u8, line: u32) -> Frame {
    Frame { function: format!("f{name}"), file: "app.py".to_owned(), line, in_app: true, library: String::new() }
}

/// A stack's functions with their lines, its value, and that of the baseline.
type Sampled = (Vec<(u8, u32)>, i64, i64);

/// Samples of stacks of named functions with lines, the innermost first, each with what two selections have.
fn samples(stacks: &[Sampled]) -> Samples {
    let mut places: BTreeMap<(u8, u32), u32> = BTreeMap::new();
    let mut samples = Samples { sums: vec![Sums::default(), Sums::default()], ..Samples::default() };
    for (number, (stack, value, base)) in stacks.iter().enumerate() {
        let frames = stack.iter().map(|(name, line)| {
            let next = places.len() as u32;
            *places.entry((*name, *line)).or_insert_with(|| {
                samples.frames.push(frame(*name, *line));
                next
            })
        });
        samples.stacks.push(frames.collect());
        for (sums, value) in samples.sums.iter_mut().zip([*value, *base]) {
            if value > 0 {
                sums.rows.push((number, value, 2));
                sums.total += value;
                sums.samples += 2;
            }
        }
    }
    samples
}

fn merged(samples: &Samples, lines: bool, max_nodes: usize) -> MergedProfile {
    drawn(samples, &MergeRequest { lines, ..MergeRequest::default() }, max_nodes, &mut Meta::exact())
}

/// What each path of functions from the root has, by a plain loop: total, own and samples.
type ByPath = BTreeMap<Vec<String>, (Pair, Pair, u64)>;

fn name(function: &str, line: u32) -> String {
    format!("{function}:{line}")
}

fn naive(samples: &Samples, lines: bool) -> ByPath {
    let mut all = ByPath::new();
    for (side, sums) in samples.sums.iter().enumerate() {
        for (stack, value, count) in &sums.rows {
            let frames = samples.stacks[*stack].iter().rev().map(|place| &samples.frames[*place as usize]);
            let whole: Vec<String> =
                frames.map(|frame| name(&frame.function, if lines { frame.line } else { 0 })).collect();
            for length in 0..=whole.len() {
                let of = all.entry(whole[..length].to_vec()).or_default();
                of.0[side] += value;
                if length == whole.len() {
                    of.1[side] += value;
                }
                of.2 += if side == 0 { *count } else { 0 };
            }
        }
    }
    all.entry(Vec::new()).or_default();
    all
}

/// The same of a drawn tree, which is checked for its form on the way.
fn read(drawn: &MergedProfile, lines: bool) -> ByPath {
    let mut paths: Vec<Vec<String>> = Vec::new();
    let mut all = ByPath::new();
    let (w_base, self_base) = (drawn.w_base.as_ref().unwrap(), drawn.self_base.as_ref().unwrap());
    for at in 0..drawn.depth.len() {
        let mut path = Vec::new();
        if at == 0 {
            assert_eq!((drawn.frame[0], drawn.parent[0], drawn.depth[0], drawn.x[0]), (-1, -1, 0, 0));
        } else {
            let parent = drawn.parent[at] as usize;
            assert!(parent < at && drawn.depth[at] == drawn.depth[parent] + 1);
            assert!(drawn.x[at] >= drawn.x[parent]);
            assert!(drawn.x[at] + drawn.w[at] <= drawn.x[parent] + drawn.w[parent], "children fit into their parent");
            assert!((drawn.depth[at - 1], drawn.x[at - 1]) <= (drawn.depth[at], drawn.x[at]), "in order");
            let frame = drawn.frames[drawn.frame[at] as usize];
            let line = if lines { frame.line } else { 0 };
            path.clone_from(&paths[parent]);
            path.push(name(&drawn.strings[frame.function as usize], line));
        }
        let of = ([drawn.w[at], w_base[at]], [drawn.own[at], self_base[at]], drawn.n[at]);
        assert!(all.insert(path.clone(), of).is_none(), "a call is there once");
        paths.push(path);
    }
    all
}

fn stacks() -> impl Strategy<Value = Vec<Sampled>> {
    vec((vec((0..4_u8, 1..3_u32), 0..6), 0..50_i64, 0..50_i64), 0..20)
}

proptest! {
    #[test]
    fn a_tree_equals_a_plain_evaluation(stacks in stacks(), lines in any::<bool>()) {
        let samples = samples(&stacks);
        let drawn = merged(&samples, lines, MAX_NODES as usize);
        prop_assert_eq!(read(&drawn, lines), naive(&samples, lines));
        prop_assert_eq!((drawn.total, drawn.dropped_below), (samples.sums[0].total, 0));
    }

    #[test]
    fn of_a_cut_tree_the_largest_nodes_are_left(stacks in stacks(), max_nodes in 1..20_usize) {
        let samples = samples(&stacks);
        let (whole, cut) = (read(&merged(&samples, true, MAX_NODES as usize), true), merged(&samples, true, max_nodes));
        let left = read(&cut, true);
        prop_assert_eq!(left.len(), whole.len().min(max_nodes));
        prop_assert!(left.iter().all(|(path, of)| whole[path] == *of));
        let widest = |of: &(Pair, Pair, u64)| of.0[0].max(of.0[1]);
        let lost = whole.iter().filter(|(path, _)| !left.contains_key(*path)).map(|(_, of)| widest(of)).max();
        prop_assert_eq!(cut.dropped_below, lost.unwrap_or(0));
        prop_assert!(left.values().all(|of| widest(of) >= lost.unwrap_or(0)));
    }

    #[test]
    fn functions_equal_a_plain_evaluation(stacks in stacks()) {
        let samples = samples(&stacks);
        let functions = Functions::of(&samples, false);
        let measured = by_function(&samples, &functions);
        for (function, of) in functions.frames.iter().zip(&measured) {
            let mut expected = OfFunction::default();
            for (stack, value, base) in &stacks {
                let names: Vec<String> = stack.iter().map(|(name, _)| format!("f{name}")).collect();
                for (side, value) in [*value, *base].into_iter().enumerate() {
                    if names.first() == Some(&function.function) {
                        expected.own[side] += value;
                    }
                    if names.contains(&function.function) {
                        expected.total[side] += value;
                        expected.samples += if side == 0 && value > 0 { 2 } else { 0 };
                    }
                }
            }
            prop_assert_eq!(*of, expected, "{}", function.function);
        }
        let names: BTreeSet<&str> = functions.frames.iter().map(|frame| frame.function.as_str()).collect();
        prop_assert_eq!(names.len(), functions.frames.len());
    }
}

#[test]
fn a_function_has_the_line_that_most_was_measured_in() {
    let samples = samples(&[(vec![(1, 7), (0, 3)], 5, 0), (vec![(1, 8), (0, 3)], 6, 0), (vec![(1, 9), (0, 3)], 0, 2)]);
    let functions = Functions::of(&samples, false);
    let lines: Vec<(&str, u32)> = functions.frames.iter().map(|frame| (&*frame.function, frame.line)).collect();
    assert_eq!(lines, [("f1", 8), ("f0", 3)]);
}

#[test]
fn what_is_too_deep_to_be_told_apart_counts_above() {
    let samples = samples(&[(vec![(3, 1), (2, 1), (1, 1)], 5, 0), (vec![(2, 2), (1, 1)], 4, 0)]);
    let tree = Tree::within(&samples, &Functions::of(&samples, true), 3);
    let totals: Vec<(i64, i64)> = tree.nodes.iter().map(|node| (node.total[0], node.own[0])).collect();
    assert_eq!((totals, tree.is_cut), (vec![(9, 0), (9, 4), (5, 5)], true));
}
