//! Which spans a search wants: the tree that the search language is parsed into and that each
//! store compiles to its own engine.

use pitviper_model::{SpanId, SpanKind, StatusCode, TraceId};

/// A condition on one span.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Filter {
    /// Every span.
    #[default]
    All,
    /// All of these hold.
    And(Vec<Filter>),
    /// At least one of these holds.
    Or(Vec<Filter>),
    /// This does not hold. A span without the field does not have the value, so it matches.
    Not(Box<Filter>),
    /// A text field compares so.
    Text(TextField, TextMatch),
    /// A text or number field is there.
    Exists(TextField),
    /// A number field lies in the range, both ends as said.
    Number(NumberField, NumberRange),
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
    /// This text, in any case, stands in the name, the service, the status message or the value of
    /// an attribute.
    FullText(String),
}

/// A field that holds text. The text of a number is its decimal form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TextField {
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
    /// The explanation of an error status.
    StatusMessage,
    /// A span attribute, or a resource attribute when the span has none of that name.
    Attribute(String),
}

/// A field that holds a number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NumberField {
    /// The span's duration in nanoseconds.
    DurationNs,
    /// A numeric span attribute.
    Attribute(String),
}

/// How text compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextMatch {
    /// Equal, case counts.
    Equals(String),
    /// The pattern with `*` for any run of characters; case counts.
    Wildcard(String),
}

/// A range of numbers; `None` leaves that end open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NumberRange {
    /// Lower end.
    pub low: Option<Bound>,
    /// Upper end.
    pub high: Option<Bound>,
}

/// One end of a range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// The number at the end.
    pub value: f64,
    /// Whether the number itself belongs to the range.
    pub inclusive: bool,
}
