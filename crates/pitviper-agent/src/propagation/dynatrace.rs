//! Dynatrace's tag `FW4;…;6h<trace id>;7h<span id>`, in the header `X-dynaTrace`.
//!
//! Its format is not published. Seen in the wild, beside W3C's headers of the same call, it is a list of
//! fields separated by semicolons, and of the fields that begin with a number and an `h`, 6 is the trace id
//! and 7 the span id. The others (cluster, server, agent, path and more) mean something to Dynatrace's own
//! agents only. They are kept in the trace state and passed on as they came.

use pitviper_model::{SpanId, TraceId};

use super::trace_state::{MAX_VALUE_BYTES, member, with_member};
use super::{Carrier, Field, Losses, SpanContext};

/// The member of the trace state that keeps the fields we cannot use.
const KEY: &str = "pitviper";
/// What the tag and that member begin with.
const VERSION: &str = "FW4";
/// Longest tag that is looked at, in bytes; real ones have about 200.
const MAX_TAG_BYTES: usize = 1_024;
/// What stands for the fields of a trace that did not come from Dynatrace: cluster, server, agent, tag,
/// link, tenant and path.
const NO_FIELDS: &str = "FW4;0;0;0;0;0;0;0";
const TRACE_ID: &str = "6h";
const SPAN_ID: &str = "7h";

/// Reads the tag; `None` unless it has both ids. Dynatrace tags what it records, so the trace counts as
/// sampled.
pub(super) fn extract<C: Carrier>(carrier: &C, losses: &mut Losses) -> Option<SpanContext> {
    let tag = carrier.get(Field::Dynatrace)?;
    let context = parse(tag.as_ref().trim(), losses);
    losses.invalid += u64::from(context.is_none());
    context
}

fn parse(tag: &str, losses: &mut Losses) -> Option<SpanContext> {
    if tag.len() > MAX_TAG_BYTES || tag.split(';').next()? != VERSION {
        return None;
    }
    let value = |prefix: &str| tag.split(';').find_map(|field| field.strip_prefix(prefix));
    let trace_id: TraceId = value(TRACE_ID)?.parse().ok()?;
    let span_id: SpanId = value(SPAN_ID)?.parse().ok()?;
    let mut context = SpanContext::remote(trace_id, span_id, true);
    let others: Vec<&str> =
        tag.split(';').filter(|field| !field.starts_with(TRACE_ID) && !field.starts_with(SPAN_ID)).collect();
    let others = others.join(";");
    let fits = others.len() <= MAX_VALUE_BYTES
        && others.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b',' && byte != b'=');
    if fits {
        context.trace_state = with_member(None, KEY, &others);
    } else {
        losses.invalid += 1;
    }
    context.is_valid().then_some(context)
}

/// Writes the tag.
pub(super) fn inject(context: &SpanContext, put: &mut impl FnMut(Field, &str)) {
    put(Field::Dynatrace, &dynatrace_tag(context));
}

/// Dynatrace's tag for another process: the fields that came with the trace, and who we are.
#[must_use]
pub fn dynatrace_tag(context: &SpanContext) -> String {
    let kept = member(context.trace_state.as_deref(), KEY).filter(|kept| kept.starts_with(VERSION));
    let others = kept.unwrap_or(NO_FIELDS);
    format!("{others};{TRACE_ID}{};{SPAN_ID}{}", context.trace_id, context.span_id)
}

/// Reads Dynatrace's tag; `None` unless it has both ids.
#[must_use]
pub fn read_dynatrace_tag(tag: &str) -> Option<SpanContext> {
    parse(tag.trim(), &mut Losses::default())
}
