//! The canonical text of a query.

use std::fmt::{self, Formatter};

use super::ast::{Expr, Field, Matcher, Number, Reserved, Text};
use super::units::{duration_text, number_text};

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
        Field::Attribute(key) if Reserved::parse(key).is_some() => write!(f, "@{key}"),
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
            for character in pattern.chars() {
                if character != '*' && !is_plain_character(character) {
                    f.write_str("\\")?;
                }
                write!(f, "{character}")?;
            }
            Ok(())
        }
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

/// Whether the text means itself without quotes, wherever it stands.
pub(super) fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !matches!(text, "AND" | "OR" | "NOT" | "TO")
        && text.chars().all(is_plain_character)
}

fn is_plain_character(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '-' | '.' | '/' | '{' | '}')
}
