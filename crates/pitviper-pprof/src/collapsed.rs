//! Writing collapsed stacks, the lines that Brendan Gregg's `flamegraph.pl` and its kin read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pitviper_model::Frame;

use crate::Profile;

/// Writes one type of a profile as collapsed stacks: a line a stack, the outermost frame first, with the sum
/// of its values. Empty where the profile has no such type.
#[must_use]
pub fn write_collapsed(profile: &Profile, kind: &str) -> String {
    let Some(column) = profile.type_index(kind) else { return String::new() };
    let names: Vec<String> = profile.frames.iter().map(name).collect();
    let mut lines: BTreeMap<String, i64> = BTreeMap::new();
    for (sample, stack) in profile.stacked() {
        let value = sample.values.get(column).copied().unwrap_or_default();
        if value == 0 {
            continue;
        }
        let frames = stack.iter().rev().filter_map(|frame| names.get(*frame as usize));
        let line = frames.map(String::as_str).collect::<Vec<_>>().join(";");
        let sum = lines.entry(line).or_default();
        *sum = sum.saturating_add(value);
    }
    let mut out = String::new();
    for (line, value) in lines {
        let _ = writeln!(out, "{line} {value}");
    }
    out
}

/// A frame's name, without what separates frames and lines.
fn name(frame: &Frame) -> String {
    let name = match (frame.file.as_str(), frame.line) {
        ("", _) => frame.function.clone(),
        (file, 0) => format!("{} ({file})", frame.function),
        (file, line) => format!("{} ({file}:{line})", frame.function),
    };
    name.replace(';', ":").replace(['\n', '\r'], " ")
}
