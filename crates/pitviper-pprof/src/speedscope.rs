//! Writing the JSON that speedscope.app reads: a profile for each type and thread.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pitviper_model::json::write_text;

use crate::{LabelValue, Profile, Sample};

/// Writes a profile for speedscope under a name. Samples stand in the order of their times, where they have any.
#[must_use]
pub fn write_speedscope(profile: &Profile, name: &str) -> String {
    let mut out = String::from(r#"{"$schema":"https://www.speedscope.app/file-format-schema.json","exporter":"#);
    write_text(concat!("pitviper@", env!("CARGO_PKG_VERSION")), &mut out);
    out.push_str(r#","name":"#);
    write_text(name, &mut out);
    out.push_str(r#","activeProfileIndex":0,"shared":{"frames":["#);
    for (index, frame) in profile.frames.iter().enumerate() {
        out.push_str(if index == 0 { r#"{"name":"# } else { r#",{"name":"# });
        write_text(&frame.function, &mut out);
        if !frame.file.is_empty() {
            out.push_str(r#","file":"#);
            write_text(&frame.file, &mut out);
        }
        if frame.line > 0 {
            let _ = write!(out, r#","line":{}"#, frame.line);
        }
        out.push('}');
    }
    out.push_str(r#"]},"profiles":["#);
    let mut first = true;
    for (column, kind) in profile.types.iter().enumerate() {
        for (thread, samples) in by_thread(profile, column) {
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            let title = if thread.is_empty() { kind.name.clone() } else { format!("{} · {thread}", kind.name) };
            write_profile(&mut out, profile, &title, unit(&kind.unit), &samples, column);
        }
    }
    out.push_str("]}");
    out
}

/// The samples of a type that are above zero, which is all that speedscope takes, by thread.
fn by_thread(profile: &Profile, column: usize) -> BTreeMap<&str, Vec<(&Sample, &[u32])>> {
    let mut threads: BTreeMap<&str, Vec<(&Sample, &[u32])>> = BTreeMap::new();
    for (sample, stack) in profile.stacked() {
        if sample.values.get(column).is_some_and(|value| *value > 0) {
            threads.entry(sample.text("thread").unwrap_or_default()).or_default().push((sample, stack));
        }
    }
    for samples in threads.values_mut() {
        samples.sort_by_key(|(sample, _)| match sample.label("end_timestamp_ns") {
            Some(LabelValue::Number(time)) => *time,
            _ => i64::MAX,
        });
    }
    threads
}

fn write_profile(
    out: &mut String,
    profile: &Profile,
    title: &str,
    unit: &str,
    samples: &[(&Sample, &[u32])],
    column: usize,
) {
    out.push_str(r#"{"type":"sampled","name":"#);
    write_text(title, out);
    let total = samples.iter().fold(0i64, |sum, (sample, _)| sum.saturating_add(sample.values[column]));
    let _ = write!(out, r#","unit":"{unit}","startValue":0,"endValue":{total},"samples":["#);
    for (index, (_, stack)) in samples.iter().enumerate() {
        out.push_str(if index == 0 { "[" } else { ",[" });
        let known = stack.iter().rev().filter(|frame| (**frame as usize) < profile.frames.len());
        for (depth, frame) in known.enumerate() {
            let _ = write!(out, "{}{frame}", if depth == 0 { "" } else { "," });
        }
        out.push(']');
    }
    out.push_str(r#"],"weights":["#);
    for (index, (sample, _)) in samples.iter().enumerate() {
        let _ = write!(out, "{}{}", if index == 0 { "" } else { "," }, sample.values[column]);
    }
    out.push_str("]}");
}

/// The unit by its name there.
fn unit(unit: &str) -> &'static str {
    match unit {
        "nanoseconds" => "nanoseconds",
        "microseconds" => "microseconds",
        "milliseconds" => "milliseconds",
        "seconds" => "seconds",
        "bytes" => "bytes",
        _ => "none",
    }
}
