//! Writing a page that shows a profile: one file that needs nothing else, neither network nor server.

use std::collections::HashMap;
use std::fmt::Write as _;

use pitviper_model::json::write_text;

use crate::Profile;

const PAGE: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/flame.js");

/// Writes a profile as a page with a flame graph and a table of functions under a title.
#[must_use]
pub fn write_html(profile: &Profile, title: &str) -> String {
    let mut page = String::with_capacity(PAGE.len() + STYLE.len() + SCRIPT.len() + 64 * profile.samples.len());
    // What is put in is not looked through again: it may hold anything.
    let mut rest = PAGE;
    while let Some((before, after)) = rest.split_once("{{") {
        page.push_str(before);
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        match name {
            "title" => page.push_str(&escape(title)),
            "style" => page.push_str(STYLE),
            "script" => page.push_str(SCRIPT),
            // A script's text ends at the first `</`, wherever that is.
            _ => page.push_str(&data(profile).replace('<', "\\u003c")),
        }
        rest = after;
    }
    page.push_str(rest);
    page
}

/// The profile as the script reads it; what samples do not differ in for a reader is summed up.
fn data(profile: &Profile) -> String {
    let mut texts = Texts::default();
    let mut out = String::from(r#"{"types":["#);
    for (index, kind) in profile.types.iter().enumerate() {
        out.push_str(if index == 0 { "[" } else { ",[" });
        write_text(&kind.name, &mut out);
        out.push(',');
        write_text(&kind.unit, &mut out);
        out.push(']');
    }
    let _ = write!(out, r#"],"start_ms":{},"duration_ns":{}"#, profile.time_unix_nano / 1_000_000, profile.duration_ns);
    out.push_str(r#","frames":["#);
    for (index, frame) in profile.frames.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let (function, file) = (texts.of(&frame.function), texts.of(&frame.file));
        let (library, in_app) = (texts.of(&frame.library), u8::from(frame.in_app));
        let _ = write!(out, "{comma}[{function},{file},{},{library},{in_app}]", frame.line);
    }
    out.push_str(r#"],"stacks":["#);
    for (index, stack) in profile.stacks.iter().enumerate() {
        out.push_str(if index == 0 { "[" } else { ",[" });
        let known = stack.iter().filter(|frame| (**frame as usize) < profile.frames.len());
        for (depth, frame) in known.enumerate() {
            let _ = write!(out, "{}{frame}", if depth == 0 { "" } else { "," });
        }
        out.push(']');
    }
    out.push_str(r#"],"samples":["#);
    for (index, (key, values)) in sums(profile).into_iter().enumerate() {
        let (stack, thread, state) = key;
        let _ = write!(out, "{}[{stack},{},{}", if index == 0 { "" } else { "," }, texts.of(thread), texts.of(state));
        for value in values {
            let _ = write!(out, ",{value}");
        }
        out.push(']');
    }
    out.push_str(r#"],"texts":["#);
    for (index, text) in texts.texts.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_text(text, &mut out);
    }
    out.push_str("]}");
    out
}

/// A stack, a thread and a state.
type Key<'a> = (u32, &'a str, &'a str);

/// Sums of values, in the order in which their keys come.
fn sums(profile: &Profile) -> Vec<(Key<'_>, Vec<i64>)> {
    let mut places: HashMap<Key<'_>, usize> = HashMap::new();
    let mut sums: Vec<(Key<'_>, Vec<i64>)> = Vec::new();
    for (sample, _) in profile.stacked() {
        let key = (sample.stack, sample.text("thread").unwrap_or_default(), sample.text("state").unwrap_or_default());
        let place = *places.entry(key).or_insert_with(|| {
            sums.push((key, vec![0; profile.types.len()]));
            sums.len() - 1
        });
        for (sum, value) in sums[place].1.iter_mut().zip(&sample.values) {
            *sum = sum.saturating_add(*value);
        }
    }
    sums
}

#[derive(Default)]
struct Texts<'a> {
    texts: Vec<&'a str>,
    known: HashMap<&'a str, usize>,
}

impl<'a> Texts<'a> {
    fn of(&mut self, text: &'a str) -> usize {
        *self.known.entry(text).or_insert_with(|| {
            self.texts.push(text);
            self.texts.len() - 1
        })
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
