//! Tags, which other processes get, and links, which stay in this one.
//!
//! A byte tag is the string tag's bytes: its layout is the agent's own affair. A link says in which process
//! it was made, and counts in no other.

use std::sync::Arc;

use pitviper_agent::SpanContext;
use pitviper_model::{SpanId, TraceId};

/// What a link begins with.
const MAGIC: &[u8; 4] = b"PVL1";
const IDS: usize = 16 + 8;
/// Magic, process, ids and flags.
const FIXED: usize = 4 + 4 + IDS + 1;
/// Longest link that is read, in bytes.
const MAX_LINK_BYTES: usize = FIXED + 4 * crate::text::MAX_SHORT;

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
    let mut link = Vec::with_capacity(FIXED + service.map_or(0, str::len));
    link.extend(MAGIC);
    link.extend(std::process::id().to_le_bytes());
    link.extend(context.trace_id.0);
    link.extend(context.span_id.0);
    link.push(context.flags);
    link.extend(service.unwrap_or_default().as_bytes());
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
    let (flags, service) = rest.split_first()?;
    let service = std::str::from_utf8(service).ok()?;
    let context = SpanContext {
        trace_id: TraceId(*trace_id),
        span_id: SpanId(*span_id),
        flags: *flags,
        is_remote: false,
        trace_state: None,
        baggage: None,
        local_root: SpanId::INVALID,
    };
    let service = (!service.is_empty()).then(|| Arc::from(service));
    context.is_valid().then_some(Linked { context, service })
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
            local_root: SpanId::INVALID,
        };
        for service in [None, Some("billing")] {
            let written = link(&context, service);
            let read = read_link(&written).unwrap();
            assert_eq!((read.context, read.service.as_deref()), (context.clone(), service));
        }
        let written = link(&context, None);
        let mut foreign = written.clone();
        foreign[4] ^= 1;
        assert_eq!(read_link(&foreign), None);
        for end in 0..written.len() {
            assert_eq!(read_link(&written[..end]), None);
        }
        assert_eq!(read_link(&[b'x'; 5_000]), None);
    }
}
