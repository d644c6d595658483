//! W3C Trace Context, both ways. Source: W3C Recommendation "Trace Context", level 2.

use std::sync::Arc;

use pitviper_model::{SpanId, TraceId};

/// The flag that says the trace is recorded.
pub(crate) const SAMPLED: u8 = 1;
/// The flag that says the trace id's low bits are random (level 2), as those of our own roots are.
pub(crate) const RANDOM: u8 = 2;

/// Longest `tracestate` that is passed on, in bytes. The specification asks for at least 512.
const MAX_TRACE_STATE_BYTES: usize = 512;
/// Most list members in a `tracestate`.
const MAX_TRACE_STATE_MEMBERS: usize = 32;

/// What a span tells others of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// W3C trace flags.
    pub flags: u8,
    /// Whether it came from another process.
    pub is_remote: bool,
    /// W3C trace state; `None` when empty.
    pub trace_state: Option<Arc<str>>,
}

impl SpanContext {
    /// Whether the trace is recorded.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Whether both ids are there.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.trace_id.is_valid() && self.span_id.is_valid()
    }
}

/// Reads the two headers; `None` unless `traceparent` is valid. A bad `tracestate` is dropped alone.
#[must_use]
pub fn parse_trace_context(traceparent: &str, tracestate: Option<&str>) -> Option<SpanContext> {
    let text = traceparent.trim().as_bytes();
    // version "-" trace-id "-" parent-id "-" flags, two hex digits for version and flags.
    const LENGTH: usize = 55;
    let version_zero = text.starts_with(b"00");
    let long_enough = text.len() == LENGTH || (!version_zero && text.len() > LENGTH && text[LENGTH] == b'-');
    if !long_enough || [text[2], text[35], text[52]] != [b'-'; 3] {
        return None;
    }
    // Upper-case digits are invalid here, unlike in our own parsers.
    if text[..LENGTH].iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let part = |range: std::ops::Range<usize>| std::str::from_utf8(&text[range]).ok();
    let version = u8::from_str_radix(part(0..2)?, 16).ok()?;
    if version == 0xff {
        return None;
    }
    let trace_id: TraceId = part(3..35)?.parse().ok()?;
    let span_id: SpanId = part(36..52)?.parse().ok()?;
    let flags = u8::from_str_radix(part(53..55)?, 16).ok()?;
    let context = SpanContext {
        trace_id,
        span_id,
        flags: flags & (SAMPLED | RANDOM),
        is_remote: true,
        trace_state: tracestate.and_then(valid_trace_state),
    };
    context.is_valid().then_some(context)
}

fn valid_trace_state(text: &str) -> Option<Arc<str>> {
    let text = text.trim();
    let fits = !text.is_empty()
        && text.len() <= MAX_TRACE_STATE_BYTES
        && text.split(',').count() <= MAX_TRACE_STATE_MEMBERS
        && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        && text.split(',').all(|member| member.trim().is_empty() || member.contains('='));
    fits.then(|| text.into())
}

/// Writes a `traceparent` header.
#[must_use]
pub fn format_traceparent(context: &SpanContext) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(55);
    let mut put = |bytes: &[u8]| {
        for byte in bytes {
            out.push(DIGITS[usize::from(byte >> 4)] as char);
            out.push(DIGITS[usize::from(byte & 15)] as char);
        }
        out.push('-');
    };
    put(&[0]);
    put(&context.trace_id.0);
    put(&context.span_id.0);
    put(&[context.flags]);
    out.pop();
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn round_trips() {
        let context = parse_trace_context(GOOD, Some("vendor=a,other=b")).unwrap();
        assert!(context.is_sampled() && context.is_remote);
        assert_eq!(context.trace_state.as_deref(), Some("vendor=a,other=b"));
        assert_eq!(format_traceparent(&context), GOOD);
    }

    #[test]
    fn refuses_what_the_specification_refuses() {
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-0",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(parse_trace_context(bad, None), None, "{bad}");
        }
    }

    #[test]
    fn accepts_later_versions_with_more_behind() {
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert!(parse_trace_context(later, None).is_some());
        assert!(parse_trace_context("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.", None).is_none());
    }

    #[test]
    fn drops_a_bad_trace_state_alone() {
        for bad in ["no-equals-sign", "a=\u{7f}", &"a=b,".repeat(33), &"x".repeat(600)] {
            assert_eq!(parse_trace_context(GOOD, Some(bad)).unwrap().trace_state, None);
        }
    }

    proptest! {
        #[test]
        fn never_panics(parent in ".{0,80}", state in ".{0,80}") {
            let _ = parse_trace_context(&parent, Some(&state));
        }
    }
}
