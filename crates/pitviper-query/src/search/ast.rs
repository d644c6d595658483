//! What a query is once it is parsed.

use std::fmt;

use pitviper_model::{SpanId, SpanKind, StatusCode, TraceId};

/// A parsed query.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Query {
    /// The condition; `None` when every span matches.
    pub root: Option<Expr>,
}

/// A condition on one span. The parser keeps it flat: no `And` right within an `And`, no `Or` right
/// within an `Or`, neither with fewer than two parts, no `Not` of a `Not`.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// All of these hold.
    And(Vec<Expr>),
    /// At least one of these holds.
    Or(Vec<Expr>),
    /// This does not hold.
    Not(Box<Expr>),
    /// This text stands somewhere in the span, in any case.
    Word(String),
    /// A field compares so.
    Field(Field, Matcher),
    /// The span has this kind.
    Kind(SpanKind),
    /// The span has this status.
    Status(StatusCode),
    /// The span belongs to this trace.
    Trace(TraceId),
    /// The span has this id.
    Span(SpanId),
    /// The span has no parent.
    IsRoot,
    /// The span is where work enters a service.
    IsEntry,
    /// The span has the field, which every span has.
    Always,
}

/// A field whose value is text or a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// The service's name.
    Service,
    /// The span's name.
    Name,
    /// The deployment environment.
    Environment,
    /// The service's version.
    Version,
    /// The host's name.
    Host,
    /// The span's duration.
    Duration,
    /// An attribute.
    Attribute(String),
}

/// How a field compares.
#[derive(Debug, Clone, PartialEq)]
pub enum Matcher {
    /// The field is there.
    Exists,
    /// The field's text is this.
    Text(Text),
    /// The field's number compares so.
    Compare(Comparison, Number),
    /// The field's number lies between these, ends included; `None` leaves that end open.
    Range(Option<Number>, Option<Number>),
}

/// Text to compare with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// Exactly this.
    Literal(String),
    /// A pattern in which every `*` stands for any run of characters.
    Wildcard(String),
}

/// Which way a number compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

impl Comparison {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
        }
    }
}

/// A finite number: nanoseconds for [`Field::Duration`], as it is for attributes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number(pub f64);

/// Names with a meaning of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reserved {
    Service,
    Name,
    Kind,
    Status,
    Duration,
    Trace,
    Span,
    Environment,
    Version,
    Host,
    Is,
}

impl Reserved {
    /// Names, the canonical one of each meaning first.
    pub(super) const NAMES: [(&'static str, Self); 15] = [
        ("service", Self::Service),
        ("name", Self::Name),
        ("request", Self::Name),
        ("operation", Self::Name),
        ("kind", Self::Kind),
        ("status", Self::Status),
        ("duration", Self::Duration),
        ("trace", Self::Trace),
        ("trace_id", Self::Trace),
        ("span", Self::Span),
        ("span_id", Self::Span),
        ("env", Self::Environment),
        ("version", Self::Version),
        ("host", Self::Host),
        ("is", Self::Is),
    ];

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, reserved)| *reserved)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::print::field(self, f)
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.as_ref().map_or(Ok(()), |root| super::print::expr(root, f))
    }
}
