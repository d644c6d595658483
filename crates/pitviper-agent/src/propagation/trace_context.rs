//! W3C Trace Context. Source: W3C Recommendation "Trace Context", level 2.

use pitviper_model::{SpanId, TraceId};

use super::{Carrier, Field, Losses, RANDOM, SAMPLED, SpanContext, trace_state};

/// version "-" trace-id "-" parent-id "-" flags, two hex digits for version and flags.
const LENGTH: usize = 55;

/// Reads the two fields; `None` unless `traceparent` is valid. A bad `tracestate` is dropped alone.
#[inline]
pub(super) fn extract<C: Carrier>(carrier: &C, losses: &mut Losses) -> Option<SpanContext> {
    let text = carrier.get(Field::Traceparent)?;
    let Some(mut context) = parse(text.as_ref()) else {
        losses.invalid += 1;
        return None;
    };
    if let Some(state) = carrier.get(Field::Tracestate) {
        context.trace_state = trace_state::parse(state.as_ref(), losses);
    }
    Some(context)
}

fn parse(traceparent: &str) -> Option<SpanContext> {
    let text = traceparent.trim_ascii().as_bytes();
    let version_zero = text.starts_with(b"00");
    let long_enough = text.len() == LENGTH || (!version_zero && text.len() > LENGTH && text[LENGTH] == b'-');
    if !long_enough || [text[2], text[35], text[52]] != [b'-'; 3] {
        return None;
    }
    let [version] = digits(&text[..2])?;
    if version == 0xff {
        return None;
    }
    let (trace_id, span_id) = (TraceId(digits(&text[3..35])?), SpanId(digits(&text[36..52])?));
    let [flags] = digits(&text[53..LENGTH])?;
    let flags = flags & (SAMPLED | RANDOM);
    let context = SpanContext { flags, ..SpanContext::remote(trace_id, span_id, false) };
    context.is_valid().then_some(context)
}

/// The bytes that hex digits stand for. Upper-case ones are invalid here, unlike in our own parsers.
#[inline]
fn digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

#[inline]
fn digit(text: u8) -> Option<u8> {
    match text {
        b'0'..=b'9' => Some(text - b'0'),
        b'a'..=b'f' => Some(text - b'a' + 10),
        _ => None,
    }
}

/// Writes both fields.
#[inline]
pub(super) fn inject(context: &SpanContext, put: &mut impl FnMut(Field, &str)) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = [b'-'; LENGTH];
    let mut write = |at: usize, bytes: &[u8]| {
        for (pair, byte) in out[at..].chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
    };
    write(0, &[0]);
    write(3, &context.trace_id.0);
    write(36, &context.span_id.0);
    write(53, &[context.flags]);
    put(Field::Traceparent, std::str::from_utf8(&out).expect("hex digits and hyphens are ASCII"));
    if let Some(state) = &context.trace_state {
        put(Field::Tracestate, state);
    }
}
