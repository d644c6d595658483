//! The parser: recursive descent with bounded depth. It goes on after an error, so that one answer
//! names all that is wrong.

use pitviper_model::{SpanKind, StatusCode};

use super::ast::{Expr, Field, Matcher, Number, Query, Reserved, Text};
use super::error::{RawError, SyntaxErrors, nearest};
use super::lexer::{Context, Key, Lexer, Spanned, Token, Word};
use super::units;
use super::{MAX_DEPTH, MAX_QUERY_BYTES, MAX_TERMS};

/// Errors beyond these are not reported; the first ones are what the user repairs first.
const MAX_ERRORS: usize = 16;

type Range = (usize, usize);

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// All that is wrong with it, by position.
    pub fn parse(text: &str) -> Result<Self, SyntaxErrors> {
        if text.len() > MAX_QUERY_BYTES {
            let message = format!("the query is longer than {MAX_QUERY_BYTES} bytes");
            return Err(SyntaxErrors(vec![RawError::new((0, text.len()), message).locate(text)]));
        }
        let mut parser = Parser { lexer: Lexer::new(text), peeked: None, errors: Vec::new(), terms: 0 };
        let root = parser.query();
        if parser.errors.is_empty() {
            return Ok(Self { root });
        }
        parser.errors.sort_by_key(|error| (error.from, error.to));
        parser.errors.truncate(MAX_ERRORS);
        Err(SyntaxErrors(parser.errors.into_iter().map(|error| error.locate(text)).collect()))
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The next token, read as part of a term.
    peeked: Option<Spanned>,
    errors: Vec<RawError>,
    terms: usize,
}

impl Parser<'_> {
    fn error(&mut self, error: RawError) {
        self.errors.push(error);
    }

    /// The next token; unreadable ones are reported and skipped.
    fn read(&mut self, context: Context) -> Spanned {
        loop {
            match self.lexer.next(context) {
                Ok(token) => return token,
                Err(error) => self.error(error),
            }
        }
    }

    fn peek(&mut self) -> Spanned {
        if self.peeked.is_none() {
            self.peeked = Some(self.read(Context::Term));
        }
        self.peeked.clone().expect("was filled in the line above")
    }

    fn take(&mut self) -> Spanned {
        let token = self.peek();
        self.peeked = None;
        token
    }

    fn query(&mut self) -> Option<Expr> {
        let mut alternatives = Vec::new();
        loop {
            alternatives.extend(self.any_of(0));
            let token = self.take();
            if token.token == Token::End {
                break;
            }
            // Only a closing parenthesis stops `any_of` before the end.
            self.error(RawError::new(token.range, "there is no opening parenthesis for this one").fix(""));
        }
        combine(alternatives, Expr::And)
    }

    /// `a b OR c`, up to a closing parenthesis or the end.
    fn any_of(&mut self, depth: usize) -> Option<Expr> {
        let mut alternatives = Vec::new();
        let mut or: Option<Range> = None;
        loop {
            let part = self.all_of(depth);
            let next = self.peek();
            let missing = part.is_none() && self.errors.is_empty();
            if let Some(range) = or.filter(|_| missing) {
                self.error(RawError::new(range, "`OR` needs a term on its right").fix(""));
            }
            alternatives.extend(part);
            if next.token != Token::Or {
                return combine(alternatives, Expr::Or);
            }
            if missing && or.is_none() {
                self.error(RawError::new(next.range, "`OR` needs a term on its left").fix(""));
            }
            or = Some(next.range);
            self.take();
        }
    }

    /// `a b AND c`, up to an `OR`, a closing parenthesis or the end.
    fn all_of(&mut self, depth: usize) -> Option<Expr> {
        let mut parts = Vec::new();
        let mut and: Option<Range> = None;
        loop {
            let next = self.peek();
            match next.token {
                Token::End | Token::Close | Token::Or => {
                    if let Some(range) = and {
                        self.error(RawError::new(range, "`AND` needs a term on its right").fix(""));
                    }
                    return combine(parts, Expr::And);
                }
                Token::And => {
                    if parts.is_empty() && self.errors.is_empty() {
                        self.error(RawError::new(next.range, "`AND` needs a term on its left").fix(""));
                    }
                    and = Some(next.range);
                    self.take();
                }
                _ => {
                    and = None;
                    parts.extend(self.unary(depth));
                }
            }
        }
    }

    fn unary(&mut self, depth: usize) -> Option<Expr> {
        let mut negated = false;
        let mut last: Option<Spanned> = None;
        loop {
            let token = self.take();
            let range = token.range;
            match token.token {
                Token::Not | Token::Minus => {
                    negated = !negated;
                    last = Some(token);
                    continue;
                }
                Token::End | Token::Close | Token::And | Token::Or => {
                    let not = last.map_or(range, |not| not.range);
                    self.error(
                        RawError::new(not, "there is nothing to negate here; quote a dash that is meant as text")
                            .fix(""),
                    );
                    self.peeked = Some(token);
                    return None;
                }
                _ => {
                    let inner = self.atom(token, depth)?;
                    return Some(if negated { negate(inner) } else { inner });
                }
            }
        }
    }

    fn atom(&mut self, token: Spanned, depth: usize) -> Option<Expr> {
        match token.token {
            Token::Open => self.parentheses(token.range, depth),
            Token::Field(key) => self.field(&key, token.range),
            Token::Text(word) => self.word(&word, token.range),
            _ => None,
        }
    }

    fn parentheses(&mut self, open: Range, depth: usize) -> Option<Expr> {
        if depth >= MAX_DEPTH {
            self.error(RawError::new(open, format!("parentheses nest deeper than {MAX_DEPTH}")));
            self.lexer.skip_to_end();
            return None;
        }
        let errors = self.errors.len();
        let inner = self.any_of(depth + 1);
        let close = self.take();
        if close.token != Token::Close {
            // The text may end in the middle of something that was already reported.
            if self.errors.len() == errors {
                let range = (open.0, self.lexer.source().len());
                let fix = format!("{})", &self.lexer.source()[open.0..]);
                self.error(RawError::new(range, "the closing parenthesis is missing").fix(fix));
            }
            self.peeked = Some(close);
        } else if inner.is_none() && self.errors.len() == errors {
            self.error(RawError::new((open.0, close.range.1), "there is nothing between the parentheses").fix(""));
        }
        inner
    }

    fn count_term(&mut self, range: Range) -> bool {
        self.terms += 1;
        if self.terms == MAX_TERMS + 1 {
            self.error(RawError::new(range, format!("the query has more than {MAX_TERMS} terms")));
            self.lexer.skip_to_end();
        }
        self.terms <= MAX_TERMS
    }

    fn word(&mut self, word: &Word, range: Range) -> Option<Expr> {
        if !self.count_term(range) {
            return None;
        }
        if !word.wildcard {
            if word.text.is_empty() {
                self.error(RawError::new(range, "there is no text between the quotes").fix(""));
                return None;
            }
            return Some(Expr::Word(word.text.clone()));
        }
        let inner = word.text.trim_matches('*');
        if inner.contains('*') || word.literal_star {
            let message = "a bare word is looked for anywhere, so `*` has no use within it; name a field";
            self.error(RawError::new(range, message).fix(format!("name:{}", &self.lexer.source()[range.0..range.1])));
            return None;
        }
        Some(if inner.is_empty() { Expr::Always } else { Expr::Word(inner.to_owned()) })
    }

    fn field(&mut self, key: &Key, range: Range) -> Option<Expr> {
        let reserved = if key.attribute { None } else { Reserved::parse(&key.name) };
        let mut values = Vec::new();
        let errors = self.errors.len();
        let first = self.read(Context::Value);
        let readable = self.errors.len() == errors;
        match first.token {
            Token::Open => self.group(reserved, key, first.range, &mut values),
            Token::Close => {
                self.missing_value(key, range);
                self.peeked = Some(first);
            }
            Token::End if !readable => {}
            Token::End => self.missing_value(key, range),
            Token::Text(ref word) if word.text.is_empty() && !word.quoted => self.missing_value(key, range),
            _ => values.extend(self.value(reserved, key, first, (range.0, range.1))),
        }
        combine(values, Expr::Or)
    }

    fn missing_value(&mut self, key: &Key, range: Range) {
        let rest = &self.lexer.source()[range.1..];
        let spaces = rest.len() - rest.trim_start().len();
        let name = &key.name;
        if spaces > 0
            && rest.trim_start().starts_with(|c: char| c.is_alphanumeric() || matches!(c, '"' | '<' | '>' | '*'))
        {
            let message = format!("the value of `{name}` has to follow the colon without a space");
            self.error(RawError::new((range.1, range.1 + spaces), message).fix(""));
        } else {
            let message = format!("`{name}` has no value; write `{name}:*` for any");
            let written = &self.lexer.source()[range.0..range.1];
            self.error(RawError::new(range, message).fix(format!("{written}*")));
        }
    }

    /// The values of `key:(a OR b)`.
    fn group(&mut self, reserved: Option<Reserved>, key: &Key, open: Range, values: &mut Vec<Expr>) {
        let errors = self.errors.len();
        let mut expects_value = true;
        loop {
            let token = self.read(Context::Group);
            let range = token.range;
            match token.token {
                Token::Close => {
                    if expects_value && self.errors.len() == errors {
                        self.error(RawError::new((open.0, range.1), "a value is missing before this parenthesis"));
                    }
                    return;
                }
                Token::End => {
                    let fix = format!("{})", &self.lexer.source()[open.0..]);
                    self.error(RawError::new((open.0, range.1), "the closing parenthesis is missing").fix(fix));
                    return;
                }
                Token::Or if expects_value => {
                    self.error(RawError::new(range, "`OR` needs a value on its left").fix(""));
                }
                Token::Or => expects_value = true,
                _ => {
                    if !expects_value {
                        let written = &self.lexer.source()[range.0..range.1];
                        let message = "values within the parentheses are joined by `OR`";
                        self.error(RawError::new(range, message).fix(format!("OR {written}")));
                    }
                    expects_value = false;
                    values.extend(self.value(reserved, key, token, open));
                }
            }
        }
    }

    /// One value of a field. `term` is where the field stands.
    fn value(&mut self, reserved: Option<Reserved>, key: &Key, token: Spanned, term: Range) -> Option<Expr> {
        if !self.count_term(token.range) {
            return None;
        }
        let range = token.range;
        let matcher = match token.token {
            Token::Compare(comparison) => {
                let (value, at) = self.plain_text(Context::Value, range);
                let number = self.number(reserved, key, &value, at)?;
                Matcher::Compare(comparison, number)
            }
            Token::RangeOpen => self.range(reserved, key, range)?,
            Token::Text(word) => return self.text_value(reserved, key, &word, (term.0, range.0, range.1)),
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

    /// The text that follows a comparison or stands at the end of a range.
    fn plain_text(&mut self, context: Context, before: Range) -> (String, Range) {
        let start = self.lexer.position();
        if context == Context::Value && self.lexer.source()[start..].starts_with(['(', ')', '[', '<', '>', '"']) {
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
                Token::End => {
                    let range = (open.0, token.range.1);
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

    /// A number; with its unit for a duration.
    fn number(&mut self, reserved: Option<Reserved>, key: &Key, text: &str, range: Range) -> Option<Number> {
        let is_duration = reserved == Some(Reserved::Duration);
        let Some((number, unit)) = units::split(text) else {
            let example = if is_duration { "100ms" } else { "500" };
            self.error(RawError::new(range, format!("`{}` compares with a number such as {example}", key.name)));
            return None;
        };
        let digits = text.len() - unit.len();
        if !is_duration {
            if unit.is_empty() {
                return Some(Number(number));
            }
            let message = format!("`{unit}` is not part of a number; only `duration` has units");
            self.error(RawError::new(range, message).fix(&text[..digits]));
            return None;
        }
        match units::nanoseconds(unit) {
            Some(nanoseconds) if number >= 0.0 && (number * nanoseconds).is_finite() => {
                Some(Number(number * nanoseconds))
            }
            Some(_) => {
                self.error(RawError::new(range, "a duration is not negative and not beyond all bounds"));
                None
            }
            None if unit.is_empty() => {
                let message = "a duration needs a unit: ns, us, ms, s, m or h";
                self.error(RawError::new(range, message).fix(format!("{text}ms")));
                None
            }
            None => {
                let error = RawError::new(range, format!("`{unit}` is not a unit; use ns, us, ms, s, m or h"));
                let lower = unit.to_lowercase();
                let meant = match lower.as_str() {
                    "sec" | "secs" | "second" | "seconds" => Some("s"),
                    "min" | "mins" | "minute" | "minutes" => Some("m"),
                    "msec" | "millis" => Some("ms"),
                    other => units::UNITS.iter().map(|(name, _)| *name).find(|name| *name == other),
                };
                self.error(match meant {
                    Some(meant) => error.fix(format!("{}{meant}", &text[..digits])),
                    None => error,
                });
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
        let field = match reserved {
            None => Field::Attribute(key.name.clone()),
            Some(Reserved::Service) => Field::Service,
            Some(Reserved::Name) => Field::Name,
            Some(Reserved::Environment) => Field::Environment,
            Some(Reserved::Version) => Field::Version,
            Some(Reserved::Host) => Field::Host,
            Some(_) if exists => return Some(Expr::Always),
            Some(reserved) => return self.keyword_value(reserved, word, at),
        };
        let matcher = if exists {
            Matcher::Exists
        } else if word.wildcard {
            Matcher::Text(Text::Wildcard(word.text.clone()))
        } else {
            Matcher::Text(Text::Literal(word.text.clone()))
        };
        Some(Expr::Field(field, matcher))
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

fn negate(inner: Expr) -> Expr {
    match inner {
        Expr::Not(inner) => *inner,
        other => Expr::Not(Box::new(other)),
    }
}

/// Puts parts together, flat: parts of the same combination become parts of the whole.
fn combine(parts: Vec<Expr>, whole: fn(Vec<Expr>) -> Expr) -> Option<Expr> {
    let is_and = matches!(whole(Vec::new()), Expr::And(_));
    let mut flat = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Expr::And(inner) if is_and => flat.extend(inner),
            Expr::Or(inner) if !is_and => flat.extend(inner),
            other => flat.push(other),
        }
    }
    if flat.len() > 1 { Some(whole(flat)) } else { flat.pop() }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
