//! What a span hands to other processes and what they hand over, in the formats that are in use.
//!
//! Each format has a file: it reads from a [`Carrier`] and writes [`Field`]s. Between them a
//! [`SpanContext`] holds everything, so that a trace may come in one format and go on in another: what
//! only Datadog and B3 know (the sampling priority, the origin, tags of the trace) lies in the trace state,
//! in the member that Datadog's own tracers read.
//!
//! Invariants: a reader never panics and never allocates more than its bounds; what cannot be read or does
//! not fit is left out and counted in [`Losses`].

mod b3;
mod baggage;
mod datadog;
mod dynatrace;
mod field;
mod trace_context;
mod trace_state;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use pitviper_model::{SpanId, TraceId};

pub use baggage::{Baggage, Member};
pub use dynatrace::{dynatrace_tag, read_dynatrace_tag};
pub use field::{Carrier, Field};

/// The flag that says the trace is recorded.
pub(crate) const SAMPLED: u8 = 1;
/// The flag that says the trace id's low bits are random (level 2), as those of our own roots are.
pub(crate) const RANDOM: u8 = 2;

/// What a span tells others of itself, and what it passes on.
#[derive(Debug, Clone, Default)]
pub struct SpanContext {
    /// The trace; invalid when there is none, and only baggage or trace state came along.
    pub trace_id: TraceId,
    /// The span; invalid when a trace was begun by something that has no span, such as a browser.
    pub span_id: SpanId,
    /// W3C trace flags.
    pub flags: u8,
    /// Whether it came from another process.
    pub is_remote: bool,
    /// W3C trace state; `None` when empty.
    pub trace_state: Option<Arc<str>>,
    /// What the application passes along; `None` when empty.
    pub baggage: Option<Arc<Baggage>>,
    /// The span that began its request in this process; invalid where that is not known.
    pub local_root: SpanId,
}

// Where a span is in this process is nothing that it tells others.
impl PartialEq for SpanContext {
    fn eq(&self, other: &Self) -> bool {
        (self.trace_id, self.span_id, self.flags, self.is_remote)
            == (other.trace_id, other.span_id, other.flags, other.is_remote)
            && self.trace_state == other.trace_state
            && self.baggage == other.baggage
    }
}

impl Eq for SpanContext {}

impl SpanContext {
    /// The context of a span in another process.
    fn remote(trace_id: TraceId, span_id: SpanId, sampled: bool) -> Self {
        let flags = if sampled { SAMPLED } else { 0 };
        let (trace_state, baggage, local_root) = (None, None, SpanId::INVALID);
        Self { trace_id, span_id, flags, is_remote: true, trace_state, baggage, local_root }
    }

    /// Whether the trace is recorded.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The same after somebody decided about the trace: a priority of Datadog's, which keeps it from 1 up, and
    /// who decided, such as `-4` for the application.
    #[must_use]
    pub fn decided(&self, priority: i32, decision: &str) -> Self {
        let flags = if priority > 0 { self.flags | SAMPLED } else { self.flags & !SAMPLED };
        Self { flags, trace_state: datadog::decided(self, priority, decision), ..self.clone() }
    }

    /// The sampling priority that Datadog's tracers would be told.
    #[must_use]
    pub fn priority(&self) -> i32 {
        datadog::priority(self)
    }

    /// Whether both ids are there.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.trace_id.is_valid() && self.span_id.is_valid()
    }
}

/// A format in which contexts are exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// W3C Trace Context: `traceparent` and `tracestate`.
    TraceContext = 1,
    /// W3C Baggage.
    Baggage = 2,
    /// Datadog's `x-datadog-*`.
    Datadog = 3,
    /// B3 in one header.
    B3 = 4,
    /// B3 in several headers.
    B3Multi = 5,
    /// Dynatrace's tag, `X-dynaTrace`.
    Dynatrace = 6,
}

impl Format {
    const ALL: [Self; 6] = [Self::TraceContext, Self::Baggage, Self::Datadog, Self::B3, Self::B3Multi, Self::Dynatrace];

    /// The format of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "tracecontext" => Some(Self::TraceContext),
            "baggage" => Some(Self::Baggage),
            "datadog" => Some(Self::Datadog),
            "b3" => Some(Self::B3),
            "b3multi" => Some(Self::B3Multi),
            "dynatrace" => Some(Self::Dynatrace),
            _ => None,
        }
    }

    /// What it writes.
    #[must_use]
    pub fn fields(self) -> &'static [Field] {
        match self {
            Self::TraceContext => &[Field::Traceparent, Field::Tracestate],
            Self::Baggage => &[Field::Baggage],
            Self::Datadog => &datadog::FIELDS,
            Self::B3 => &[Field::B3],
            Self::B3Multi => &b3::FIELDS,
            Self::Dynatrace => &[Field::Dynatrace],
        }
    }
}

/// Which formats are read and written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Propagation {
    /// Those that are read: the first that names a trace counts.
    pub extract: Vec<Format>,
    /// Those that are written.
    pub inject: Vec<Format>,
    /// Keys of baggage that spans get as attributes; `*` for all.
    pub baggage_attributes: Vec<String>,
}

impl Default for Propagation {
    fn default() -> Self {
        Self {
            extract: vec![Format::TraceContext, Format::Baggage, Format::Datadog],
            inject: vec![Format::TraceContext, Format::Baggage],
            baggage_attributes: Vec::new(),
        }
    }
}

/// A list of formats that is read without a lock: four bits for each, the first one lowest.
#[derive(Debug, Default)]
pub(crate) struct AtomicFormats(AtomicU32);

impl AtomicFormats {
    pub(crate) fn store(&self, formats: &[Format]) {
        let mut seen: Vec<Format> = Vec::new();
        for format in formats {
            if !seen.contains(format) {
                seen.push(*format);
            }
        }
        let packed = seen.iter().rev().fold(0, |packed, format| packed << 4 | *format as u32);
        self.0.store(packed, Ordering::Relaxed);
    }

    pub(crate) fn load(&self) -> Formats {
        Formats(self.0.load(Ordering::Relaxed))
    }
}

/// The formats of an [`AtomicFormats`], in their order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Formats(u32);

impl Iterator for Formats {
    type Item = Format;

    fn next(&mut self) -> Option<Format> {
        let index = (self.0 & 15) as usize;
        self.0 >>= 4;
        Format::ALL.get(index.checked_sub(1)?).copied()
    }
}

/// What could not be taken over.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Losses {
    /// Fields that are there and cannot be read.
    pub(crate) invalid: u64,
    /// Members of baggage that are no members, or beyond the bounds.
    pub(crate) baggage: u64,
}

/// Reads what another process handed over; `None` when that is nothing.
///
/// Where a format leaves it to the receiver whether the trace is recorded, `keeps` decides.
pub(crate) fn extract<C: Carrier>(
    formats: Formats,
    carrier: &C,
    losses: &mut Losses,
    keeps: impl Fn(TraceId) -> bool,
) -> Option<SpanContext> {
    let mut found: Option<SpanContext> = None;
    let mut baggage = None;
    for format in formats {
        match (format, &mut found) {
            (Format::Baggage, _) => baggage = Baggage::extract(carrier, losses),
            (Format::TraceContext, None) => found = trace_context::extract(carrier, losses),
            (Format::TraceContext, Some(first)) => {
                // Whoever wrote both formats said more in this one.
                let same = trace_context::extract(carrier, losses).filter(|same| same.trace_id == first.trace_id);
                if let Some(same) = same {
                    first.span_id = same.span_id;
                    first.trace_state = same.trace_state.or_else(|| first.trace_state.take());
                }
            }
            (_, Some(_)) => {}
            (Format::Datadog, None) => found = datadog::extract(carrier, losses, &keeps),
            // As OpenTelemetry has it, either name reads both forms.
            (Format::B3 | Format::B3Multi, None) => found = b3::extract(carrier, losses, &keeps),
            (Format::Dynatrace, None) => found = dynatrace::extract(carrier, losses),
        }
    }
    match (found, baggage) {
        (Some(context), baggage) => Some(SpanContext { baggage, ..context }),
        (None, None) => None,
        (None, baggage) => {
            Some(SpanContext { baggage, ..SpanContext::remote(TraceId::INVALID, SpanId::INVALID, false) })
        }
    }
}

/// Writes what another process is to know.
pub(crate) fn inject(formats: Formats, context: &SpanContext, mut put: impl FnMut(Field, &str)) {
    for format in formats {
        match format {
            Format::Baggage => {
                if let Some(baggage) = &context.baggage {
                    put(Field::Baggage, baggage.header());
                }
            }
            // Without a span there is baggage at most.
            _ if !context.is_valid() => {}
            Format::TraceContext => trace_context::inject(context, &mut put),
            Format::Datadog => datadog::inject(context, &mut put),
            Format::B3 => b3::inject(context, &mut put),
            Format::B3Multi => b3::inject_multi(context, &mut put),
            Format::Dynatrace => dynatrace::inject(context, &mut put),
        }
    }
}

#[cfg(test)]
mod tests;
