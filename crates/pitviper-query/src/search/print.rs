//! The canonical text of a query.

use std::fmt::{self, Formatter};

use super::ast::{
    Aggregate, Expr, Field, Matcher, Measured, Number, Pipe, Query, Reserved, Sampled, SpanSet, Text, alias,
};
use super::units::{duration_text, number_text};

pub(super) fn query(query: &Query, f: &mut Formatter<'_>) -> fmt::Result {
    match &query.spans {
        SpanSet::Matching(condition) if query.pipes.is_empty() => {
            condition.as_ref().map_or(Ok(()), |condition| expr(condition, f))
        }
        spans => {
            span_set(spans, f)?;
            query.pipes.iter().try_for_each(|pipe| write!(f, " {pipe}"))
        }
    }
}

fn span_set(set: &SpanSet, f: &mut Formatter<'_>) -> fmt::Result {
    let (parts, between) = match set {
        SpanSet::Matching(condition) => return braces(condition.as_ref(), f),
        SpanSet::Related(left, relation, condition) => {
            span_set(left, f)?;
            write!(f, " {} ", relation.as_str())?;
            return braces(condition.as_ref(), f);
        }
        SpanSet::All(parts) => (parts, " && "),
        SpanSet::Any(parts) => (parts, " || "),
    };
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        span_set(part, f)?;
    }
    Ok(())
}

fn braces(condition: Option<&Expr>, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str("{")?;
    condition.map_or(Ok(()), |condition| expr(condition, f))?;
    f.write_str("}")
}

pub(super) fn pipe(pipe: &Pipe, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "| {}(", pipe.aggregate.as_str())?;
    let counts = pipe.aggregate == Aggregate::Count;
    match &pipe.measured {
        _ if counts => {}
        Measured::Duration => f.write_str("duration")?,
        Measured::Attribute(key) => field(&Field::Attribute(key.clone()), f)?,
    }
    if let Some(condition) = &pipe.of {
        f.write_str(if counts { "" } else { ", " })?;
        expr(condition, f)?;
    }
    let is_time = !counts && pipe.measured == Measured::Duration;
    let value = if is_time { duration_text(pipe.value) } else { number_text(pipe.value) };
    write!(f, ") {} {value}", pipe.comparison.as_str())
}

pub(super) fn expr(expr: &Expr, f: &mut Formatter<'_>) -> fmt::Result {
    match expr {
        Expr::And(parts) => joined(parts, " ", f),
        Expr::Or(parts) => joined(parts, " OR ", f),
        Expr::Not(inner) => {
            f.write_str("-")?;
            operand(inner, f)
        }
        Expr::Word(word) => text(word, f),
        Expr::Field(name, matcher) => {
            field(name, f)?;
            f.write_str(":")?;
            self::matcher(name, matcher, f)
        }
        Expr::Kind(kind) => write!(f, "kind:{}", kind.as_str()),
        Expr::Status(status) => write!(f, "status:{}", status.as_str()),
        Expr::Trace(id) => write!(f, "trace:{id}"),
        Expr::Span(id) => write!(f, "span:{id}"),
        Expr::IsRoot => f.write_str("is:root"),
        Expr::IsEntry => f.write_str("is:entry"),
        Expr::Root(term) => {
            f.write_str("root.")?;
            self::expr(term, f)
        }
        Expr::Sampled(Sampled { function: None, .. }) => f.write_str("has:profile"),
        Expr::Sampled(Sampled { function: Some(function), .. }) => {
            f.write_str("fn:")?;
            self::matcher(&Field::Name, &Matcher::Text(function.clone()), f)
        }
        Expr::Slowest(slowest) => write!(f, "slowest:{}%", number_text(slowest.percent)),
        Expr::Always => f.write_str("duration:*"),
    }
}

fn joined(parts: &[Expr], between: &str, f: &mut Formatter<'_>) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        operand(part, f)?;
    }
    Ok(())
}

/// A part of a larger expression, in parentheses when it has parts itself.
fn operand(part: &Expr, f: &mut Formatter<'_>) -> fmt::Result {
    if matches!(part, Expr::And(_) | Expr::Or(_)) {
        f.write_str("(")?;
        expr(part, f)?;
        f.write_str(")")
    } else {
        expr(part, f)
    }
}

pub(super) fn field(field: &Field, f: &mut Formatter<'_>) -> fmt::Result {
    match field {
        Field::Service => f.write_str("service"),
        Field::Name => f.write_str("name"),
        Field::Environment => f.write_str("env"),
        Field::Version => f.write_str("version"),
        Field::Host => f.write_str("host"),
        Field::Duration => f.write_str("duration"),
        Field::Attribute(key) if !is_plain(key) => {
            f.write_str("@")?;
            quoted(key, f)
        }
        Field::Attribute(key) if Reserved::parse(key).is_some() || alias(key).is_some() || key.starts_with("root.") => {
            write!(f, "@{key}")
        }
        Field::Attribute(key) => f.write_str(key),
    }
}

fn matcher(field: &Field, matcher: &Matcher, f: &mut Formatter<'_>) -> fmt::Result {
    let number = |number: Number| match field {
        Field::Duration => duration_text(number),
        _ => number_text(number),
    };
    match matcher {
        Matcher::Exists => f.write_str("*"),
        Matcher::Text(Text::Literal(literal)) => text(literal, f),
        Matcher::Text(Text::Wildcard(pattern)) => {
            for (index, character) in pattern.char_indices() {
                // A slash in front would begin a regular expression, and a brace may end the condition.
                let special = !is_plain_character(character) || matches!(character, '{' | '}');
                if character != '*' && special || index == 0 && character == '/' {
                    f.write_str("\\")?;
                }
                write!(f, "{character}")?;
            }
            Ok(())
        }
        Matcher::Text(Text::Regex(pattern)) => regex(pattern.source(), f),
        Matcher::StatusClass(class) => write!(f, "{class}xx"),
        Matcher::Compare(comparison, value) => write!(f, "{}{}", comparison.as_str(), number(*value)),
        Matcher::Range(low, high) => {
            let end = |end: &Option<Number>| end.map_or("*".to_owned(), number);
            write!(f, "[{} TO {}]", end(low), end(high))
        }
    }
}

fn text(text: &str, f: &mut Formatter<'_>) -> fmt::Result {
    if is_plain(text) { f.write_str(text) } else { quoted(text, f) }
}

fn quoted(text: &str, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str("\"")?;
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            f.write_str("\\")?;
        }
        write!(f, "{character}")?;
    }
    f.write_str("\"")
}

/// A pattern between slashes. What would end it is escaped, unless it was read that way.
fn regex(pattern: &str, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str("/")?;
    let mut escaped = false;
    for character in pattern.chars() {
        if !escaped && (character == '/' || character.is_whitespace()) {
            f.write_str("\\")?;
        }
        escaped = !escaped && character == '\\';
        write!(f, "{character}")?;
    }
    f.write_str("/")
}

/// Whether the text means itself without quotes, wherever it stands. A slash at the end or before a
/// brace could close what a slash before it opened, and an HTTP status has classes.
pub(super) fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(['-', '{'])
        && !text.ends_with('/')
        && !text.contains("/}")
        && braces_are_even(text)
        && status_class(text).is_none()
        && !matches!(text, "AND" | "OR" | "NOT" | "TO")
        && text.chars().all(is_plain_character)
}

/// The class of HTTP statuses that `5xx` stands for.
pub(super) fn status_class(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [class @ b'0'..=b'9', b'x' | b'X', b'x' | b'X'] => Some(class - b'0'),
        _ => None,
    }
}

/// Whether every brace has its counterpart, so that none of them ends what the text stands in.
fn braces_are_even(text: &str) -> bool {
    let mut open = 0_usize;
    for character in text.chars() {
        match character {
            '{' => open += 1,
            '}' if open == 0 => return false,
            '}' => open -= 1,
            _ => {}
        }
    }
    open == 0
}

fn is_plain_character(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '-' | '.' | '/' | '{' | '}')
}
