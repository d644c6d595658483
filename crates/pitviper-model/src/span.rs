//! Spans and what hangs on them.

use std::sync::Arc;

use crate::{Attributes, Resource, Scope, SpanId, TraceId};

/// The role a span plays in a call between services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum SpanKind {
    /// Work inside a service.
    #[default]
    Internal = 1,
    /// The handling of a request from outside.
    Server = 2,
    /// A request to another service or database.
    Client = 3,
    /// The sending of a message.
    Producer = 4,
    /// The handling of a message.
    Consumer = 5,
}

impl SpanKind {
    /// All kinds, in the order of their OTLP numbers.
    pub const ALL: [Self; 5] = [Self::Internal, Self::Server, Self::Client, Self::Producer, Self::Consumer];

    /// The kind an OTLP number means; an unspecified or unknown number is [`SpanKind::Internal`],
    /// as OpenTelemetry asks for.
    #[must_use]
    pub fn from_otlp(number: i32) -> Self {
        Self::ALL.into_iter().find(|kind| *kind as i32 == number).unwrap_or_default()
    }

    /// The kind's name: `internal`, `server`, `client`, `producer` or `consumer`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether a span of this kind is where a service takes up work from outside.
    #[must_use]
    pub fn is_entry(self) -> bool {
        matches!(self, Self::Server | Self::Consumer)
    }
}

/// What a span says of its own success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum StatusCode {
    /// Nothing was said.
    #[default]
    Unset = 0,
    /// The application declared success.
    Ok = 1,
    /// The operation failed.
    Error = 2,
}

impl StatusCode {
    /// The code an OTLP number means; an unknown number is [`StatusCode::Unset`].
    #[must_use]
    pub fn from_otlp(number: i32) -> Self {
        match number {
            1 => Self::Ok,
            2 => Self::Error,
            _ => Self::Unset,
        }
    }

    /// The code's name: `unset`, `ok` or `error`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unset => "unset",
            Self::Ok => "ok",
            Self::Error => "error",
        }
    }
}

/// Status code and the text that explains an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// The code.
    pub code: StatusCode,
    /// Why it failed; empty unless the code is [`StatusCode::Error`].
    pub message: String,
}

/// Something that happened at one moment of a span: an exception, a log line.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Event {
    /// When, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// What; `exception` by convention for exceptions.
    pub name: String,
    /// Details.
    pub attributes: Attributes,
    /// How many details the sender left out.
    pub dropped_attributes_count: u32,
}

/// A reference to a span that caused this one without being its parent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Link {
    /// The other span's trace.
    pub trace_id: TraceId,
    /// The other span.
    pub span_id: SpanId,
    /// Its W3C trace state.
    pub trace_state: String,
    /// Details.
    pub attributes: Attributes,
    /// How many details the sender left out.
    pub dropped_attributes_count: u32,
    /// Its W3C trace flags.
    pub flags: u32,
}

/// One timed operation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Span {
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: SpanId,
    /// The span it is part of; [`SpanId::INVALID`] for a root.
    pub parent_span_id: SpanId,
    /// The W3C trace state it was made under.
    pub trace_state: String,
    /// OTLP span flags: the W3C trace flags in the low byte, and whether the parent is remote.
    pub flags: u32,
    /// What was done, with few distinct values: a route, not a URL.
    pub name: String,
    /// The role it plays.
    pub kind: SpanKind,
    /// When it began, in nanoseconds since the Unix epoch.
    pub start_time_unix_nano: u64,
    /// When it ended, in nanoseconds since the Unix epoch.
    pub end_time_unix_nano: u64,
    /// Details.
    pub attributes: Attributes,
    /// How many details the sender left out.
    pub dropped_attributes_count: u32,
    /// What happened during it.
    pub events: Vec<Event>,
    /// How many events the sender left out.
    pub dropped_events_count: u32,
    /// Spans that caused it.
    pub links: Vec<Link>,
    /// How many links the sender left out.
    pub dropped_links_count: u32,
    /// Whether it succeeded.
    pub status: Status,
}

impl Span {
    /// How long it took, in nanoseconds; zero when the clock ran backwards.
    #[must_use]
    pub fn duration_nano(&self) -> u64 {
        self.end_time_unix_nano.saturating_sub(self.start_time_unix_nano)
    }
}

/// Spans that one instrumentation library made.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScopeSpans {
    /// The library.
    pub scope: Arc<Scope>,
    /// Its spans.
    pub spans: Vec<Span>,
}

/// Spans that one process sent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResourceSpans {
    /// The process.
    pub resource: Arc<Resource>,
    /// Its spans, by library.
    pub scopes: Vec<ScopeSpans>,
}

impl ResourceSpans {
    /// How many spans there are in all scopes.
    #[must_use]
    pub fn span_count(&self) -> usize {
        self.scopes.iter().map(|scope| scope.spans.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_kinds_are_internal() {
        assert_eq!(SpanKind::from_otlp(2), SpanKind::Server);
        assert_eq!(SpanKind::from_otlp(0), SpanKind::Internal);
        assert_eq!(SpanKind::from_otlp(99), SpanKind::Internal);
        for kind in SpanKind::ALL {
            assert_eq!(SpanKind::parse(kind.as_str()), Some(kind));
        }
    }

    #[test]
    fn a_clock_that_ran_backwards_gives_no_duration() {
        let span = Span { start_time_unix_nano: 10, end_time_unix_nano: 4, ..Span::default() };
        assert_eq!(span.duration_nano(), 0);
    }
}
