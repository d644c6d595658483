//! Tags, which other processes get, and links, which stay in this one.
//!
//! A byte tag is the string tag's bytes: its layout is the agent's own affair. A link says in which process
//! it was made, and counts in no other.

use std::sync::Arc;

use pitviper_agent::{Baggage, SpanContext};
use pitviper_model::{SpanId, TraceId};

/// What a link begins with.
const MAGIC: &[u8; 4] = b"PVL2";
const IDS: usize = 16 + 8 + 8;
/// Magic, process, ids and flags.
const FIXED: usize = 4 + 4 + IDS + 1;
/// Longest link that is read, in bytes: three texts, which are a service's name, a trace state and baggage.
const MAX_LINK_BYTES: usize = FIXED + 3 * (2 + u16::MAX as usize);

/// What a link leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Linked {
    pub(crate) context: SpanContext,
    pub(crate) service: Option<Arc<str>>,
}

/// The tag for another process; `None` for what is not recorded, so that nobody goes on with half a trace.
pub(crate) fn tag(context: &SpanContext) -> Option<String> {
    (context.is_valid() && context.is_sampled()).then(|| pitviper_agent::dynatrace_tag(context))
}

/// Writes a link.
pub(crate) fn link(context: &SpanContext, service: Option<&str>) -> Vec<u8> {
    let baggage = context.baggage.as_ref().map(|baggage| baggage.header());
    let texts = [service, context.trace_state.as_deref(), baggage];
    let mut link = Vec::with_capacity(FIXED + texts.iter().map(|text| 2 + text.map_or(0, str::len)).sum::<usize>());
    link.extend(MAGIC);
    link.extend(std::process::id().to_le_bytes());
    link.extend(context.trace_id.0);
    link.extend(context.span_id.0);
    link.extend(context.local_root.0);
    link.push(context.flags);
    for text in texts {
        // All of them are bounded far below this where they are made.
        let (length, text) = match text.map(|text| (u16::try_from(text.len()), text)) {
            Some((Ok(length), text)) => (length, text),
            _ => (0, ""),
        };
        link.extend(length.to_le_bytes());
        link.extend(text.as_bytes());
    }
    link
}

/// Reads a link; `None` for what is none, or was made in another process.
pub(crate) fn read_link(link: &[u8]) -> Option<Linked> {
    if link.len() > MAX_LINK_BYTES {
        return None;
    }
    let rest = link.strip_prefix(MAGIC)?.strip_prefix(&std::process::id().to_le_bytes())?;
    let (trace_id, rest) = rest.split_first_chunk::<16>()?;
    let (span_id, rest) = rest.split_first_chunk::<8>()?;
    let (local_root, rest) = rest.split_first_chunk::<8>()?;
    let (flags, rest) = rest.split_first()?;
    let (service, rest) = text(rest)?;
    let (trace_state, rest) = text(rest)?;
    let (baggage, rest) = text(rest)?;
    let context = SpanContext {
        trace_id: TraceId(*trace_id),
        span_id: SpanId(*span_id),
        flags: *flags,
        is_remote: false,
        trace_state: trace_state.map(Arc::from),
        baggage: baggage.and_then(|header| Baggage::parse(header).0).map(Arc::new),
        local_root: SpanId(*local_root),
    };
    (context.is_valid() && rest.is_empty()).then(|| Linked { context, service: service.map(Arc::from) })
}

/// The text that the bytes begin with, if it is not empty, and what follows it.
fn text(bytes: &[u8]) -> Option<(Option<&str>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    let text = std::str::from_utf8(text).ok()?;
    Some(((!text.is_empty()).then_some(text), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_back_and_counts_in_this_process_only() {
        let context = SpanContext {
            trace_id: TraceId([7; 16]),
            span_id: SpanId([9; 8]),
            flags: 1,
            is_remote: false,
            trace_state: None,
            baggage: None,
            local_root: SpanId([5; 8]),
        };
        let (baggage, _) = Baggage::parse("tier=gold,who=%C3%BC");
        let carrying =
            SpanContext { trace_state: Some("a=b,c=d".into()), baggage: baggage.map(Arc::new), ..context.clone() };
        for (context, service) in [(&context, None), (&context, Some("billing")), (&carrying, Some("billing"))] {
            let written = link(context, service);
            let read = read_link(&written).unwrap();
            assert_eq!((&read.context, read.service.as_deref()), (context, service));
        }
        let written = link(&carrying, None);
        let mut foreign = written.clone();
        foreign[4] ^= 1;
        assert_eq!(read_link(&foreign), None);
        for end in 0..written.len() {
            assert_eq!(read_link(&written[..end]), None);
        }
        assert_eq!(read_link(&[b'x'; MAX_LINK_BYTES + 1]), None);
    }
}
