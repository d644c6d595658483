//! What the pieces of a query are, for whoever colours them.

use serde::Serialize;
use utoipa::ToSchema;

use super::lexer::{Context, Token};
use super::units;

/// What a piece of a query is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// A field's name, with its colon.
    Field,
    /// The text a field compares with.
    Value,
    /// The number a field or a function compares with, with its unit.
    Number,
    /// A regular expression, with its slashes.
    Regex,
    /// Text that is looked for anywhere.
    Word,
    /// What combines or negates terms, or compares.
    Operator,
    /// A parenthesis, bracket or brace, or a comma within.
    Bracket,
    /// What relates or joins conditions in braces.
    Relation,
    /// The bar before a function.
    Pipe,
    /// A function's name.
    Function,
    /// What belongs to nothing.
    Error,
}

/// The kind of a token by where it was read; `None` for the end, and for a value that is not there.
pub(super) fn kind(token: &Token, context: Context) -> Option<TokenKind> {
    Some(match token {
        Token::End => return None,
        Token::Text(word) if word.text.is_empty() && !word.quoted => return None,
        Token::Text(_) if context == Context::Term || context == Context::Structure => TokenKind::Word,
        Token::Text(word) if !word.quoted && is_number(&word.text) => TokenKind::Number,
        Token::Text(_) if context == Context::Call => TokenKind::Field,
        Token::Text(_) => TokenKind::Value,
        Token::Field(_) => TokenKind::Field,
        Token::Regex(_) => TokenKind::Regex,
        Token::And | Token::Or | Token::Not | Token::Minus | Token::Compare(_) | Token::To => TokenKind::Operator,
        Token::Open | Token::Close | Token::RangeOpen | Token::RangeClose => TokenKind::Bracket,
        Token::BraceOpen | Token::BraceClose | Token::Comma => TokenKind::Bracket,
        Token::Relation(_) | Token::Both | Token::Either => TokenKind::Relation,
        Token::Pipe => TokenKind::Pipe,
    })
}

fn is_number(text: &str) -> bool {
    units::split(text)
        .is_some_and(|(number, unit)| units::scaled(number, unit).is_some() || units::nanoseconds(unit).is_some())
}
