//! The values of fields: text, patterns, numbers with units, ranges, and fields that have few values.

use pitviper_model::{SpanKind, StatusCode};
use pitviper_store::filter::{DurationLimits, Pattern};

use super::{Parser, Range};
use crate::search::MAX_PATTERNS;
use crate::search::ast::{
    Comparison, Expr, Field, Matcher, Number, Reserved, STATUS_CODES, Sampled, SampledSpans, Slowest, Text,
};
use crate::search::error::{RawError, nearest};
use crate::search::lexer::{Context, Key, Spanned, Token, Word};
use crate::search::print::status_class;
use crate::search::units;

impl Parser<'_> {
    /// One value of a field. `term` is where the field stands.
    pub(super) fn value(&mut self, reserved: Option<Reserved>, key: &Key, token: Spanned, term: Range) -> Option<Expr> {
        if !self.count_term(token.range) {
            return None;
        }
        let range = token.range;
        let matcher = match token.token {
            Token::Compare(Comparison::Equal) if reserved != Some(Reserved::Duration) => {
                return self.equal_value(reserved, key, range, term.0);
            }
            Token::Compare(comparison) => {
                let (value, at) = self.plain_text(Context::Value, range);
                let number = self.number(reserved, key, &value, at)?;
                Matcher::Compare(comparison, number)
            }
            Token::RangeOpen => self.range(reserved, key, range)?,
            Token::Text(word) => return self.text_value(reserved, key, &word, (term.0, range.0, range.1)),
            Token::Regex(pattern) => return self.regex_value(reserved, key, &pattern, range),
            _ => return None,
        };
        let field = match reserved {
            Some(Reserved::Duration) => Field::Duration,
            None => Field::Attribute(key.name.clone()),
            Some(_) => {
                let message = format!("`{}` is not a number; only `duration` and attributes compare", key.name);
                self.error(RawError::new((range.0, self.lexer.position()), message));
                return None;
            }
        };
        Some(Expr::Field(field, matcher))
    }

    /// What follows `key:=`, which is what could follow the colon alone, but for numbers of attributes
    /// compared as text. `sign` is where the sign stands.
    fn equal_value(&mut self, reserved: Option<Reserved>, key: &Key, sign: Range, term: usize) -> Option<Expr> {
        let start = self.lexer.position();
        let has_value = !self.lexer.source()[start..].starts_with(['(', ')', '[', '<', '>', '=']);
        if has_value {
            let value = self.read(Context::Value);
            let at = (term, value.range.0, value.range.1);
            match value.token {
                Token::Text(word) if word.quoted || !word.text.is_empty() => {
                    return self.text_value(reserved, key, &word, at);
                }
                Token::Regex(pattern) => return self.regex_value(reserved, key, &pattern, value.range),
                _ => {}
            }
        }
        self.error(RawError::new(sign, "a value has to follow `=`; several stand in parentheses without it"));
        None
    }

    /// The text that follows a comparison or stands at the end of a range.
    fn plain_text(&mut self, context: Context, before: Range) -> (String, Range) {
        let start = self.lexer.position();
        if context == Context::Value && self.lexer.source()[start..].starts_with(['(', ')', '[', '<', '>', '=', '"']) {
            return (String::new(), before);
        }
        let token = self.read(context);
        match token.token {
            Token::Text(word) if !word.text.is_empty() => (word.text, token.range),
            _ => (String::new(), before),
        }
    }

    fn range(&mut self, reserved: Option<Reserved>, key: &Key, open: Range) -> Option<Matcher> {
        let mut ends: [Option<(String, Range)>; 2] = [None, None];
        let mut at = 0;
        let mut well_formed = true;
        loop {
            let token = self.read(Context::Range);
            match token.token {
                Token::RangeClose => break,
                Token::To if at == 0 => at = 1,
                Token::Text(word) if ends[at].is_none() => ends[at] = Some((word.text, token.range)),
                Token::End | Token::BraceClose => {
                    let range = (open.0, token.range.0);
                    self.peeked = Some(token);
                    self.error(RawError::new(range, "the closing bracket is missing; a range is `[100ms TO 1s]`"));
                    return None;
                }
                _ => well_formed = false,
            }
        }
        let [Some((low, low_at)), Some((high, high_at))] = ends else {
            let range = (open.0, self.lexer.position());
            self.error(RawError::new(range, "a range is `[low TO high]`, with `*` for an open end"));
            return None;
        };
        if !well_formed {
            let range = (open.0, self.lexer.position());
            self.error(RawError::new(range, "a range is `[low TO high]`").fix(format!("[{low} TO {high}]")));
            return None;
        }
        let low = if low == "*" { None } else { Some(self.number(reserved, key, &low, low_at)?) };
        let high = if high == "*" { None } else { Some(self.number(reserved, key, &high, high_at)?) };
        if let (Some(low), Some(high)) = (low, high)
            && low.0 > high.0
        {
            self.error(RawError::new((low_at.0, high_at.1), "the range is empty: its low end is above its high end"));
            return None;
        }
        Some(Matcher::Range(low, high))
    }

    fn number(&mut self, reserved: Option<Reserved>, key: &Key, text: &str, range: Range) -> Option<Number> {
        let quantity = if reserved == Some(Reserved::Duration) { Quantity::Duration } else { Quantity::Number };
        self.quantity(quantity, &key.name, text, range)
    }

    /// A number with its unit. `name` is what compares with it.
    pub(super) fn quantity(&mut self, quantity: Quantity, name: &str, text: &str, range: Range) -> Option<Number> {
        let Some((number, unit)) = units::split(text) else {
            let example = if quantity == Quantity::Duration { "100ms" } else { "500" };
            self.error(RawError::new(range, format!("`{name}` compares with a number such as {example}")));
            return None;
        };
        let digits = &text[..text.len() - unit.len()];
        let read = match quantity {
            Quantity::Duration => units::nanoseconds(unit).map(|nanoseconds| number * nanoseconds),
            Quantity::Number => units::scaled(number, unit),
            Quantity::Count => unit.is_empty().then_some(number),
        };
        match read {
            Some(value) if value.is_finite() && (value >= 0.0 || quantity != Quantity::Duration) => Some(Number(value)),
            Some(_) if quantity == Quantity::Duration => {
                self.error(RawError::new(range, "a duration is not negative and not beyond all bounds"));
                None
            }
            Some(_) => {
                self.error(RawError::new(range, "the number is beyond all bounds"));
                None
            }
            None => {
                self.error(unit_error(quantity, digits, unit, range));
                None
            }
        }
    }

    /// `key:text`. `at` is where the field, and where its value starts and ends.
    fn text_value(
        &mut self,
        reserved: Option<Reserved>,
        key: &Key,
        word: &Word,
        at: (usize, usize, usize),
    ) -> Option<Expr> {
        let range = (at.1, at.2);
        if word.wildcard && word.literal_star {
            let message = "`*` cannot both stand for itself and for any text in one value; quote the value";
            self.error(RawError::new(range, message));
            return None;
        }
        let exists = word.wildcard && word.text.bytes().all(|byte| byte == b'*');
        if exists && reserved == Some(Reserved::Has) {
            return Some(sampled(None));
        }
        if reserved == Some(Reserved::Function) {
            let text = if word.wildcard { Text::Wildcard } else { Text::Literal };
            return Some(sampled((!exists).then(|| text(word.text.clone()))));
        }
        let field = match (text_field(reserved, key), reserved) {
            (Some(field), _) => field,
            (None, Some(reserved)) if !exists => return self.keyword_value(reserved, word, at),
            (None, _) => return Some(Expr::Always),
        };
        let class = if word.quoted { None } else { status_class(&word.text) };
        let holds_status = matches!(&field, Field::Attribute(key) if STATUS_CODES.contains(&key.as_str()));
        let matcher = if exists {
            Matcher::Exists
        } else if let Some(class) = class.filter(|_| holds_status) {
            if !(1..=5).contains(&class) {
                self.error(RawError::new(range, "the classes of HTTP statuses are 1xx to 5xx"));
                return None;
            }
            Matcher::StatusClass(class)
        } else if word.wildcard {
            Matcher::Text(Text::Wildcard(word.text.clone()))
        } else {
            Matcher::Text(Text::Literal(word.text.clone()))
        };
        Some(Expr::Field(field, matcher))
    }

    /// `key:/pattern/`. `range` includes the slashes.
    fn regex_value(&mut self, reserved: Option<Reserved>, key: &Key, pattern: &str, range: Range) -> Option<Expr> {
        let is_function = reserved == Some(Reserved::Function);
        let field = text_field(reserved, key);
        if field.is_none() && !is_function {
            let message = format!("`{}` is not text, so it cannot be compared with a pattern", key.name);
            self.error(RawError::new(range, message));
            return None;
        }
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            self.error(RawError::new(range, format!("the query has more than {MAX_PATTERNS} patterns")));
            return None;
        }
        match Pattern::new(pattern) {
            Ok(pattern) => Some(match field {
                Some(field) => Expr::Field(field, Matcher::Text(Text::Regex(pattern))),
                None => sampled(Some(Text::Regex(pattern))),
            }),
            Err(error) => {
                let start = range.0 + 1;
                let at =
                    if error.range.is_empty() { range } else { (start + error.range.start, start + error.range.end) };
                self.error(RawError::new(at, error.message));
                None
            }
        }
    }

    /// The value of a field that has few or that are ids.
    fn keyword_value(&mut self, reserved: Reserved, word: &Word, at: (usize, usize, usize)) -> Option<Expr> {
        let lower = word.text.to_lowercase();
        let parsed = match reserved {
            Reserved::Kind => SpanKind::parse(&lower).map(Expr::Kind),
            Reserved::Status => STATUSES.into_iter().find(|code| code.as_str() == lower).map(Expr::Status),
            Reserved::Is => match lower.as_str() {
                "root" => Some(Expr::IsRoot),
                "entry" => Some(Expr::IsEntry),
                "error" => Some(Expr::Status(StatusCode::Error)),
                _ => None,
            },
            Reserved::Has => (lower == "profile").then(|| sampled(None)),
            Reserved::Slowest => units::split(&lower)
                .filter(|(percent, unit)| *unit == "%" && *percent > 0.0 && *percent < 100.0)
                .map(|(percent, _)| {
                    Expr::Slowest(Slowest { percent: Number(percent), limits: DurationLimits::default() })
                }),
            Reserved::Trace => lower.parse().ok().map(Expr::Trace),
            Reserved::Span => lower.parse().ok().map(Expr::Span),
            _ => None,
        };
        if parsed.is_none() {
            self.error(keyword_error(reserved, &lower, at));
        }
        parsed
    }
}

fn sampled(function: Option<Text>) -> Expr {
    Expr::Sampled(Sampled { function, spans: SampledSpans::default() })
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    /// Time, which needs a unit.
    Duration,
    /// Anything, perhaps bytes or percent.
    Number,
    /// Things, which have no unit.
    Count,
}

fn unit_error(quantity: Quantity, digits: &str, unit: &str, range: Range) -> RawError {
    match quantity {
        Quantity::Duration if unit.is_empty() => {
            RawError::new(range, "a duration needs a unit: ns, us, ms, s, m or h").fix(format!("{digits}ms"))
        }
        Quantity::Duration => {
            let error = RawError::new(range, format!("`{unit}` is not a unit; use ns, us, ms, s, m or h"));
            match units::meant(unit) {
                Some(meant) => error.fix(format!("{digits}{meant}")),
                None => error,
            }
        }
        Quantity::Number => {
            let message = format!("`{unit}` is not a unit of attributes; use KB, MB, GB, KiB, MiB, GiB, % or none");
            RawError::new(range, message).fix(digits)
        }
        Quantity::Count => RawError::new(range, format!("`{unit}` is too much: a count has no unit")).fix(digits),
    }
}

/// The field, when its value is text.
fn text_field(reserved: Option<Reserved>, key: &Key) -> Option<Field> {
    match reserved {
        None => Some(Field::Attribute(key.name.clone())),
        Some(Reserved::Service) => Some(Field::Service),
        Some(Reserved::Name) => Some(Field::Name),
        Some(Reserved::Environment) => Some(Field::Environment),
        Some(Reserved::Version) => Some(Field::Version),
        Some(Reserved::Host) => Some(Field::Host),
        Some(_) => None,
    }
}

const STATUSES: [StatusCode; 3] = [StatusCode::Ok, StatusCode::Error, StatusCode::Unset];

fn keyword_error(reserved: Reserved, value: &str, (term, from, to): (usize, usize, usize)) -> RawError {
    let choices = |choices: &[&'static str], message: String| {
        let error = RawError::new((from, to), message);
        match nearest(value, choices.iter().copied()) {
            Some(meant) => error.fix(meant),
            None => error,
        }
    };
    match reserved {
        Reserved::Kind => choices(
            &SpanKind::ALL.map(SpanKind::as_str),
            format!("`{value}` is not a kind; use internal, server, client, producer or consumer"),
        ),
        Reserved::Status if value.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) => {
            RawError::new((term, to), "`status` is ok, error or unset; an HTTP status is an attribute")
                .fix(format!("http.response.status_code:{value}"))
        }
        Reserved::Status => {
            choices(&STATUSES.map(StatusCode::as_str), format!("`{value}` is not a status; use ok, error or unset"))
        }
        Reserved::Is => choices(
            &["root", "entry", "error"],
            format!("`is:{value}` is not known; use is:root, is:entry or is:error"),
        ),
        Reserved::Has => {
            RawError::new((from, to), format!("`has:{value}` is not known; use has:profile")).fix("profile")
        }
        Reserved::Slowest => {
            let message = "the slowest are a share between 0 and 100 percent, as in `slowest:10%`";
            let error = RawError::new((from, to), message);
            let is_share = |(percent, unit): (f64, &str)| unit.is_empty() && percent > 0.0 && percent < 100.0;
            if units::split(value).is_some_and(is_share) { error.fix(format!("{value}%")) } else { error }
        }
        Reserved::Trace => RawError::new((from, to), "a trace id has 32 hex digits"),
        Reserved::Span => RawError::new((from, to), "a span id has 16 hex digits"),
        Reserved::Duration => {
            let error = RawError::new((from, to), "a duration compares: duration:>100ms or duration:[100ms TO 1s]");
            let has_unit = units::split(value).is_some_and(|(_, unit)| units::nanoseconds(unit).is_some());
            if has_unit { error.fix(format!(">={value}")) } else { error }
        }
        _ => RawError::new((from, to), "this value is not known"),
    }
}
