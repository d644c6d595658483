//! What a query is once it is parsed.

use std::fmt;

use pitviper_model::{SpanId, SpanKind, StatusCode, TraceId};
use pitviper_store::filter::{DurationLimits, KnownSpans, Pattern};

/// A parsed query.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Query {
    /// The spans that match.
    pub spans: SpanSet,
    /// What has to hold of all matching spans of a trace together.
    pub pipes: Vec<Pipe>,
}

impl Query {
    /// Whether any condition is on the trace's root.
    #[must_use]
    pub fn asks_for_roots(&self) -> bool {
        let conditions = self.spans.conditions().into_iter().flatten();
        conditions
            .chain(self.pipes.iter().filter_map(|pipe| pipe.of.as_ref()))
            .any(|condition| !condition.root_terms().is_empty())
    }

    /// Calls with every term of every condition: what is neither *and*, *or* nor *not*.
    pub(crate) fn terms(&self, visit: &mut dyn FnMut(&Expr)) {
        let pipes = self.pipes.iter().filter_map(|pipe| pipe.of.as_ref());
        self.spans.conditions().into_iter().flatten().chain(pipes).for_each(|condition| condition.terms(visit));
    }

    /// The same, to change them.
    pub(crate) fn terms_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        let pipes = self.pipes.iter_mut().filter_map(|pipe| pipe.of.as_mut());
        self.spans.conditions_mut().into_iter().chain(pipes).for_each(|condition| condition.terms_mut(visit));
    }

    /// Whether of some term not all spans are known for which it holds.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        let mut is_cut = false;
        self.terms(&mut |term| is_cut |= matches!(term, Expr::Sampled(Sampled { spans, .. }) if !spans.complete));
        is_cut
    }
}

impl Expr {
    /// What it asks of the trace's root, term by term from left to right.
    #[must_use]
    pub fn root_terms(&self) -> Vec<&Self> {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().flat_map(Self::root_terms).collect(),
            Self::Not(inner) => inner.root_terms(),
            Self::Root(term) => vec![term],
            _ => Vec::new(),
        }
    }

    fn terms(&self, visit: &mut dyn FnMut(&Self)) {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.terms(visit)),
            Self::Not(inner) | Self::Root(inner) => inner.terms(visit),
            term => visit(term),
        }
    }

    fn terms_mut(&mut self, visit: &mut dyn FnMut(&mut Self)) {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter_mut().for_each(|part| part.terms_mut(visit)),
            Self::Not(inner) | Self::Root(inner) => inner.terms_mut(visit),
            term => visit(term),
        }
    }
}

/// Spans of one trace. The parser keeps it flat: no `All` right within an `All`, no `Any` right
/// within an `Any`, neither with fewer than two parts.
#[derive(Debug, Clone, PartialEq)]
pub enum SpanSet {
    /// Spans for which the condition holds; every span when there is none.
    Matching(Option<Expr>),
    /// Spans for which the condition holds and that are so related to a span of another set.
    Related(Box<SpanSet>, Relation, Option<Expr>),
    /// The spans of all of these sets, when none of the sets is empty.
    All(Vec<SpanSet>),
    /// The spans of all of these sets.
    Any(Vec<SpanSet>),
}

impl Default for SpanSet {
    fn default() -> Self {
        Self::Matching(None)
    }
}

impl SpanSet {
    /// The conditions between braces, from left to right.
    #[must_use]
    pub fn conditions(&self) -> Vec<Option<&Expr>> {
        match self {
            Self::Matching(condition) => vec![condition.as_ref()],
            Self::Related(left, _, condition) => {
                let mut conditions = left.conditions();
                conditions.push(condition.as_ref());
                conditions
            }
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::conditions).collect(),
        }
    }

    fn conditions_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Self::Matching(condition) => condition.iter_mut().collect(),
            Self::Related(left, _, condition) => left.conditions_mut().into_iter().chain(condition).collect(),
            Self::All(parts) | Self::Any(parts) => parts.iter_mut().flat_map(Self::conditions_mut).collect(),
        }
    }

    /// Puts another condition in place of the numbered one, counted from left to right.
    pub(super) fn replace(&mut self, number: usize, with: Option<Expr>) {
        match self {
            Self::Matching(condition) => *condition = with,
            Self::Related(left, _, condition) => {
                if number < left.conditions().len() {
                    left.replace(number, with);
                } else {
                    *condition = with;
                }
            }
            Self::All(parts) | Self::Any(parts) => {
                let mut number = number;
                for part in parts {
                    let count = part.conditions().len();
                    if number < count {
                        return part.replace(number, with);
                    }
                    number -= count;
                }
            }
        }
    }
}

/// How spans of a trace are related. Read from left to right: in `{A} >> {B}`, B lies below A.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `>>`: the right one lies somewhere below the left one.
    Descendant,
    /// `>`: the left one is the parent of the right one.
    Child,
    /// `<<`: the right one lies somewhere above the left one.
    Ancestor,
    /// `<`: the right one is the parent of the left one.
    Parent,
    /// `~`: both have the same parent, and are not the same span.
    Sibling,
}

impl Relation {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Descendant, Self::Child, Self::Ancestor, Self::Parent, Self::Sibling];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Descendant => ">>",
            Self::Child => ">",
            Self::Ancestor => "<<",
            Self::Parent => "<",
            Self::Sibling => "~",
        }
    }
}

/// A condition on the matching spans of one trace together.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipe {
    /// What is worked out.
    pub aggregate: Aggregate,
    /// Of which of the matching spans; of all when there is no condition.
    pub of: Option<Expr>,
    /// How it compares.
    pub comparison: Comparison,
    /// With what: nanoseconds, a number of spans for [`Aggregate::Count`], or one as attributes have it.
    pub value: Number,
    /// What of the spans is worked out; nothing of interest for [`Aggregate::Count`].
    pub measured: Measured,
}

/// What of a trace's spans is worked out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Measured {
    /// How long they took.
    #[default]
    Duration,
    /// A numeric attribute; spans without it are left out.
    Attribute(String),
}

/// How it is worked out of a trace's spans. Of no spans, only the count and the sum are there; the
/// others compare with nothing, which does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// How many there are.
    Count,
    /// The sum of their durations.
    Sum,
    /// The mean of their durations.
    Average,
    /// The longest duration.
    Longest,
    /// The shortest duration.
    Shortest,
}

impl Aggregate {
    /// Names.
    pub(super) const NAMES: [(&'static str, Self); 5] = [
        ("count", Self::Count),
        ("sum", Self::Sum),
        ("avg", Self::Average),
        ("max", Self::Longest),
        ("min", Self::Shortest),
    ];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Average => "avg",
            Self::Longest => "max",
            Self::Shortest => "min",
        }
    }
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
    /// The root of the span's trace is so. One term, never `And`, `Or`, `Not` or another `Root`.
    Root(Box<Expr>),
    /// The span is among the slowest of its service and name.
    Slowest(Slowest),
    /// A profiler took samples in the span.
    Sampled(Sampled),
    /// The span has the field, which every span has.
    Always,
}

/// Which spans are the slowest of their service and name.
#[derive(Debug, Clone, PartialEq)]
pub struct Slowest {
    /// Which share of them, in percent, between 0 and 100.
    pub percent: Number,
    /// From which duration on a span is one of them. The parser does not know; a view fills it in.
    pub limits: DurationLimits,
}

/// Which samples a span has.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// The function that their stack has; any stack when there is none.
    pub function: Option<Text>,
    /// The spans that have such samples. The parser does not know; a view fills it in.
    pub spans: SampledSpans,
}

/// Spans that were sampled.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledSpans {
    /// By trace and id.
    pub known: KnownSpans,
    /// By id alone, where the profiler tells no trace.
    pub ids: Vec<SpanId>,
    /// Whether these are all.
    pub complete: bool,
}

impl Default for SampledSpans {
    fn default() -> Self {
        Self { known: KnownSpans::default(), ids: Vec::new(), complete: true }
    }
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
    /// The field is an HTTP status of this class: 5 for 500 to 599.
    StatusClass(u8),
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
    /// A regular expression that is found somewhere in the text.
    Regex(Pattern),
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
    /// `=`
    Equal,
}

impl Comparison {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Greater, Self::GreaterOrEqual, Self::Less, Self::LessOrEqual, Self::Equal];
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
            Self::Equal => "=",
        }
    }

    /// Whether a number on the left compares so with one on the right.
    #[must_use]
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Equal => left == right,
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
    Slowest,
    Function,
    Has,
}

impl Reserved {
    /// Names, the canonical one of each meaning first.
    pub(super) const NAMES: [(&'static str, Self); 18] = [
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
        ("slowest", Self::Slowest),
        ("fn", Self::Function),
        ("has", Self::Has),
    ];

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, reserved)| *reserved)
    }
}

/// Other names of attributes, as people know them.
pub(super) const ALIASES: [(&str, &str); 1] = [("http.status", STATUS_CODE)];

/// The attribute with the HTTP status.
pub(super) const STATUS_CODE: &str = "http.response.status_code";

/// Attributes that hold an HTTP status; the second is its name in older instrumentations.
pub(super) const STATUS_CODES: [&str; 2] = [STATUS_CODE, "http.status_code"];

/// The attribute that a name written without `@` stands for, when it is another.
pub(super) fn alias(name: &str) -> Option<&'static str> {
    ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, attribute)| *attribute)
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::print::field(self, f)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::print::expr(self, f)
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::print::pipe(self, f)
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::print::query(self, f)
    }
}
