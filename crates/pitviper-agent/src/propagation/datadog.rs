//! Datadog's headers. Their ids are decimal and 64 bits long; the upper half of a trace id is a tag.
//!
//! What W3C's fields have no place for is kept as Datadog's tracers keep it there: in the member `dd` of
//! the trace state, with `s` for the sampling priority, `o` for the origin, `p` for the last span of a
//! Datadog tracer, and `t.x` for the trace's tag `_dd.p.x`.

use std::fmt::Write as _;
use std::sync::Arc;

use pitviper_model::{SpanId, TraceId};

use super::trace_state::{MAX_VALUE_BYTES, member, with_member};
use super::{Carrier, Field, Losses, SpanContext};

pub(super) const FIELDS: [Field; 5] =
    [Field::DatadogTraceId, Field::DatadogParentId, Field::DatadogPriority, Field::DatadogOrigin, Field::DatadogTags];

/// The member of the trace state.
const KEY: &str = "dd";
/// Longest `x-datadog-tags`, in bytes, either way.
const MAX_TAGS_BYTES: usize = 512;
/// What tags of a trace begin with.
const TAG: &str = "_dd.p.";
/// The tag that is the upper half of the trace id.
const UPPER_HALF: &str = "_dd.p.tid";
/// A tag of old that grows with every service and that nobody reads any more.
const OBSOLETE: &str = "_dd.p.upstream_services";
/// Who decided that a trace is kept, if nobody said: the default.
const DEFAULT_DECISION: &str = "-0";
/// The least priority of a trace that its user asked to keep.
const USER_KEEP: i32 = 2;

/// Reads the headers; `None` unless there is a valid trace id.
pub(super) fn extract<C: Carrier>(
    carrier: &C,
    losses: &mut Losses,
    keeps: &impl Fn(TraceId) -> bool,
) -> Option<SpanContext> {
    let text = carrier.get(Field::DatadogTraceId)?;
    let Some(lower) = decimal(text.as_ref()).filter(|id| *id != 0) else {
        losses.invalid += 1;
        return None;
    };
    // A browser's trace has no span.
    let parent = carrier.get(Field::DatadogParentId).and_then(|id| decimal(id.as_ref())).unwrap_or(0);
    let priority = carrier.get(Field::DatadogPriority).and_then(|text| text.as_ref().trim().parse::<i32>().ok());
    let origin = carrier.get(Field::DatadogOrigin);
    let mut tags = carrier.get(Field::DatadogTags);
    if tags.as_ref().is_some_and(|tags| tags.as_ref().len() > MAX_TAGS_BYTES) {
        losses.invalid += 1;
        tags = None;
    }
    let tags = tags.as_ref().map_or("", AsRef::as_ref);
    let upper = pairs(tags).find(|(key, _)| *key == UPPER_HALF).and_then(|(_, value)| upper_half(value));
    let trace_id = TraceId((u128::from(upper.unwrap_or(0)) << 64 | u128::from(lower)).to_be_bytes());
    let sampled = priority.map_or_else(|| keeps(trace_id), |priority| priority > 0);

    let mut kept = String::new();
    if let Some(priority) = priority {
        put(&mut kept, "s", &priority.to_string(), losses);
    }
    if let Some(origin) = origin {
        put(&mut kept, "o", origin.as_ref(), losses);
    }
    if parent != 0 {
        put(&mut kept, "p", &format!("{parent:016x}"), losses);
    }
    for (key, value) in pairs(tags) {
        if let Some(name) = key.strip_prefix(TAG).filter(|_| key != UPPER_HALF && key != OBSOLETE) {
            put(&mut kept, &format!("t.{name}"), value, losses);
        }
    }
    let trace_state = if kept.is_empty() { None } else { with_member(None, KEY, &kept) };
    Some(SpanContext { trace_state, ..SpanContext::remote(trace_id, SpanId(parent.to_be_bytes()), sampled) })
}

fn decimal(text: &str) -> Option<u64> {
    let text = text.trim();
    // The parser of numbers takes a sign.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn upper_half(text: &str) -> Option<u64> {
    let is_half = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_half.then(|| u64::from_str_radix(text, 16).ok())?
}

fn pairs(tags: &str) -> impl Iterator<Item = (&str, &str)> {
    tags.split(',').filter_map(|pair| pair.trim().split_once('='))
}

/// Adds a part to the member, if it still fits.
fn put(out: &mut String, key: &str, value: &str, losses: &mut Losses) {
    if out.len() + key.len() + value.len() + 2 > MAX_VALUE_BYTES {
        losses.invalid += 1;
        return;
    }
    if !out.is_empty() {
        out.push(';');
    }
    out.extend(
        key.chars().map(|c| if matches!(c, '!'..='~') && !matches!(c, ',' | ';' | '=' | ':') { c } else { '_' }),
    );
    out.push(':');
    out.extend(value.chars().map(|c| match c {
        '=' => '~',
        ',' | ';' | '~' => '_',
        ' '..='}' => c,
        _ => '_',
    }));
}

/// The parts of the member.
fn parts(context: &SpanContext) -> impl Iterator<Item = (&str, &str)> {
    let kept = member(context.trace_state.as_deref(), KEY).unwrap_or_default();
    kept.split(';').filter_map(|part| part.trim().split_once(':'))
}

/// The sampling priority: what was handed over, unless it contradicts what was decided since.
pub(super) fn priority(context: &SpanContext) -> i32 {
    let given = parts(context).find(|(key, _)| *key == "s").and_then(|(_, value)| value.parse::<i32>().ok());
    match (context.is_sampled(), given) {
        (true, Some(given)) if given > 0 => given,
        (false, Some(given)) if given <= 0 => given,
        (sampled, _) => i32::from(sampled),
    }
}

/// Whether the trace's user asked for it to be kept.
pub(super) fn is_asked_for(context: &SpanContext) -> bool {
    priority(context) >= USER_KEEP
}

/// Says that the trace's user asked for it to be kept.
pub(super) fn ask_for(context: &mut SpanContext) {
    context.trace_state = with_member(context.trace_state.as_deref(), KEY, &format!("s:{USER_KEEP}"));
}

/// The trace state after a decision about the trace; all else that Datadog's member says stays.
pub(super) fn decided(context: &SpanContext, priority: i32, decision: &str) -> Option<Arc<str>> {
    let mut kept = format!("s:{priority};t.dm:{decision}");
    for (key, value) in parts(context).filter(|(key, _)| !matches!(*key, "s" | "t.dm")) {
        if kept.len() + key.len() + value.len() + 2 <= MAX_VALUE_BYTES {
            let _ = write!(kept, ";{key}:{value}");
        }
    }
    with_member(context.trace_state.as_deref(), KEY, &kept)
}

/// Writes the headers.
pub(super) fn inject(context: &SpanContext, put: &mut impl FnMut(Field, &str)) {
    let trace_id = u128::from_be_bytes(context.trace_id.0);
    let (upper, lower) = ((trace_id >> 64) as u64, trace_id as u64);
    put(Field::DatadogTraceId, &lower.to_string());
    put(Field::DatadogParentId, &u64::from_be_bytes(context.span_id.0).to_string());
    let priority = priority(context);
    put(Field::DatadogPriority, &priority.to_string());
    let mut tags = String::new();
    let mut decided = false;
    if upper != 0 {
        let _ = write!(tags, "{UPPER_HALF}={upper:016x}");
    }
    for (key, value) in parts(context) {
        let value = value.replace('~', "=");
        if key == "o" {
            put(Field::DatadogOrigin, &value);
        }
        let Some(name) = key.strip_prefix("t.") else { continue };
        if name == "tid" || (name == "dm" && priority <= 0) {
            continue;
        }
        decided |= name == "dm";
        if tags.len() + TAG.len() + name.len() + value.len() + 2 <= MAX_TAGS_BYTES {
            let comma = if tags.is_empty() { "" } else { "," };
            let _ = write!(tags, "{comma}{TAG}{name}={value}");
        }
    }
    if priority > 0 && !decided {
        let comma = if tags.is_empty() { "" } else { "," };
        let _ = write!(tags, "{comma}{TAG}dm={DEFAULT_DECISION}");
    }
    if !tags.is_empty() {
        put(Field::DatadogTags, &tags);
    }
}
