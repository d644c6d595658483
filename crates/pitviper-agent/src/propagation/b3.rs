//! B3, in one header and in several. Source: openzipkin/b3-propagation.
//!
//! Trace ids of 64 bits are read, and written with zeros before them. The debug flag asks for the trace to
//! be kept, as a user's sampling priority of Datadog's does, and is kept as that.

use pitviper_model::{SpanId, TraceId};

use super::{Carrier, Field, Losses, SpanContext, datadog};

pub(super) const FIELDS: [Field; 4] = [Field::B3TraceId, Field::B3SpanId, Field::B3Sampled, Field::B3Flags];

/// What is said about recording the trace.
enum Decision {
    Left,
    Made(bool),
    Debug,
}

impl Decision {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "" => Some(Self::Left),
            "1" | "true" => Some(Self::Made(true)),
            "0" | "false" => Some(Self::Made(false)),
            "d" => Some(Self::Debug),
            _ => None,
        }
    }
}

/// Reads the one header, or else the several; `None` unless both ids are valid.
pub(super) fn extract<C: Carrier>(
    carrier: &C,
    losses: &mut Losses,
    keeps: &impl Fn(TraceId) -> bool,
) -> Option<SpanContext> {
    if let Some(single) = carrier.get(Field::B3) {
        let single = single.as_ref().trim();
        // A decision alone names no trace that could go on.
        if matches!(single, "0" | "1" | "d") {
            return None;
        }
        let mut parts = single.splitn(4, '-');
        let (trace, span, decision) = (parts.next(), parts.next(), parts.next());
        let read = context(trace, span, Decision::parse(decision.unwrap_or_default()), keeps);
        losses.invalid += u64::from(read.is_none());
        if read.is_some() {
            return read;
        }
    }
    let trace = carrier.get(Field::B3TraceId)?;
    let span = carrier.get(Field::B3SpanId);
    let debug = carrier.get(Field::B3Flags).is_some_and(|flags| flags.as_ref().trim() == "1");
    let sampled = carrier.get(Field::B3Sampled);
    let decision = if debug {
        Some(Decision::Debug)
    } else {
        Decision::parse(sampled.as_ref().map_or("", |sampled| sampled.as_ref().trim()))
    };
    let read = context(Some(trace.as_ref().trim()), span.as_ref().map(|span| span.as_ref().trim()), decision, keeps);
    losses.invalid += u64::from(read.is_none());
    read
}

fn context(
    trace: Option<&str>,
    span: Option<&str>,
    decision: Option<Decision>,
    keeps: &impl Fn(TraceId) -> bool,
) -> Option<SpanContext> {
    let trace = trace?;
    let trace_id = if trace.len() == 16 {
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&trace.parse::<SpanId>().ok()?.0);
        TraceId(bytes)
    } else {
        trace.parse().ok()?
    };
    let sampled = match decision.as_ref()? {
        Decision::Left => keeps(trace_id),
        Decision::Made(sampled) => *sampled,
        Decision::Debug => true,
    };
    let mut context = SpanContext::remote(trace_id, span?.parse().ok()?, sampled);
    if let Some(Decision::Debug) = decision {
        datadog::ask_for(&mut context);
    }
    context.is_valid().then_some(context)
}

/// Writes the one header.
pub(super) fn inject(context: &SpanContext, put: &mut impl FnMut(Field, &str)) {
    let decision = match (context.is_sampled(), datadog::is_asked_for(context)) {
        (_, true) => "d",
        (true, _) => "1",
        (false, _) => "0",
    };
    put(Field::B3, &format!("{}-{}-{decision}", context.trace_id, context.span_id));
}

/// Writes the several headers.
pub(super) fn inject_multi(context: &SpanContext, put: &mut impl FnMut(Field, &str)) {
    put(Field::B3TraceId, &context.trace_id.to_string());
    put(Field::B3SpanId, &context.span_id.to_string());
    // Debug says that the trace is recorded, and then nothing else may.
    if datadog::is_asked_for(context) {
        put(Field::B3Flags, "1");
    } else {
        put(Field::B3Sampled, if context.is_sampled() { "1" } else { "0" });
    }
}
