//! Which spans a search wants: the tree that the search language is parsed into and that each
//! store compiles to its own engine.

use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use pitviper_model::{SpanId, SpanKind, StatusCode, TraceId};
use regex::{Regex, RegexBuilder};

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
    /// The span belongs to one of these traces.
    Traces(Vec<TraceId>),
    /// The span has this id.
    Span(SpanId),
    /// The span has one of these ids.
    Spans(Vec<SpanId>),
    /// The span is one of these.
    Known(KnownSpans),
    /// The span has no parent.
    IsRoot,
    /// The span is where work enters a service.
    IsEntry,
    /// The span took at least as long as the limit for its service and name; spans without a limit do not
    /// match.
    SlowerThan(DurationLimits),
    /// This text, in any case, stands in the name, the service, the status message or the value of
    /// an attribute.
    FullText(String),
}

/// Spans that were found before.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct KnownSpans(Arc<[(TraceId, SpanId)]>);

impl KnownSpans {
    /// These, in any order.
    pub fn new(spans: impl IntoIterator<Item = (TraceId, SpanId)>) -> Self {
        let mut spans: Vec<_> = spans.into_iter().collect();
        spans.sort_unstable();
        spans.dedup();
        Self(spans.into())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn contains(&self, trace_id: TraceId, span_id: SpanId) -> bool {
        self.0.binary_search(&(trace_id, span_id)).is_ok()
    }

    /// Their traces, each once, in order.
    #[must_use]
    pub fn traces(&self) -> Vec<TraceId> {
        let mut traces: Vec<TraceId> = self.0.iter().map(|(trace_id, _)| *trace_id).collect();
        traces.dedup();
        traces
    }
}

/// Durations in nanoseconds by service and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct DurationLimits(Arc<[(String, String, i64)]>);

impl DurationLimits {
    /// Limits by service and name; of several for the same the least counts.
    pub fn new(limits: impl IntoIterator<Item = (String, String, i64)>) -> Self {
        let mut limits: Vec<_> = limits.into_iter().collect();
        limits.sort_unstable();
        limits.dedup_by(|right, left| (&left.0, &left.1) == (&right.0, &right.1));
        Self(limits.into())
    }

    /// The limit for a service and name.
    #[must_use]
    pub fn get(&self, service: &str, name: &str) -> Option<i64> {
        let place = self.0.binary_search_by(|limit| (limit.0.as_str(), limit.1.as_str()).cmp(&(service, name)));
        place.ok().map(|place| self.0[place].2)
    }
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
    /// The pattern is found somewhere in the text. A field that is not there does not match.
    Regex(Pattern),
}

/// A regular expression that is known to be valid and small enough to run over every span. Matching
/// takes time in proportion to the text, whatever the pattern.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatternError {
    /// Where in the pattern, in bytes.
    pub range: Range<usize>,
    /// What is wrong there.
    pub message: String,
}

impl Pattern {
    /// Longest pattern, in bytes.
    pub const MAX_BYTES: usize = 1_000;
    /// Largest compiled pattern, in bytes; each thread may use as much again while it matches.
    const MAX_PROGRAM_BYTES: usize = 1024 * 1024;
    /// Deepest nesting of groups.
    const MAX_NESTING: u32 = 50;

    /// Compiles a pattern in the syntax of the `regex` crate; `(?i)` in front ignores case.
    ///
    /// # Errors
    /// When the pattern is not valid, or too large once compiled.
    pub fn new(source: &str) -> Result<Self, PatternError> {
        let whole = 0..source.len();
        if source.len() > Self::MAX_BYTES {
            let message = format!("the pattern is longer than {} bytes", Self::MAX_BYTES);
            return Err(PatternError { range: whole, message });
        }
        // The compiler says what is wrong, but only the parser says where.
        let mut parser = regex_syntax::ParserBuilder::new().nest_limit(Self::MAX_NESTING).build();
        if let Err(error) = parser.parse(source) {
            let (range, message) = match &error {
                regex_syntax::Error::Parse(error) => (offsets(error.span()), error.kind().to_string()),
                regex_syntax::Error::Translate(error) => (offsets(error.span()), error.kind().to_string()),
                other => (whole, other.to_string()),
            };
            return Err(PatternError { range, message });
        }
        let too_large = |_| PatternError {
            range: whole,
            message: "the pattern is too large; shorten its repetitions such as `{1000}`".to_owned(),
        };
        RegexBuilder::new(source)
            .nest_limit(Self::MAX_NESTING)
            .size_limit(Self::MAX_PROGRAM_BYTES)
            .dfa_size_limit(Self::MAX_PROGRAM_BYTES)
            .build()
            .map(Self)
            .map_err(too_large)
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the pattern is found in the text.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

fn offsets(span: &regex_syntax::ast::Span) -> Range<usize> {
    span.start.offset..span.end.offset
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source() == other.source()
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source().hash(state);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_anywhere_and_with_flags() {
        let check = |pattern: &str, text: &str| Pattern::new(pattern).unwrap().is_match(text);
        assert!(check("create$", "POST /create") && !check("^create", "POST /create"));
        assert!(check("(?i)post", "POST") && !check("post", "POST"));
        assert!(check(r"^\/users\/\d+$", "/users/17"));
    }

    #[test]
    fn a_wrong_pattern_says_where() {
        let wrong = |pattern: &str| Pattern::new(pattern).unwrap_err();
        assert_eq!(wrong("ab(c").range, 2..3);
        assert_eq!(wrong("a[z-a]").range, 2..5);
        assert_eq!(wrong(r"a\p{Nope}").range, 1..9);
        assert_eq!(wrong("a**{").range.start, 3);
    }

    #[test]
    fn a_large_pattern_is_refused() {
        let refused = |pattern: &str| Pattern::new(pattern).unwrap_err().message;
        assert!(refused(r"(\w{100}){100}").contains("too large"));
        assert!(refused(&"a".repeat(Pattern::MAX_BYTES + 1)).contains("longer than"));
        assert!(refused(&format!("{}a{}", "(".repeat(400), ")".repeat(400))).contains("nest"));
    }
}
