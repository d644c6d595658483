//! The parser: recursive descent with bounded depth. It goes on after an error, so that one answer
//! names all that is wrong.
//!
//! This file reads conditions: terms and what combines them. [`value`] reads what stands behind a
//! field's colon, [`structure`] what stands around conditions.

mod structure;
mod value;

use super::ast::{Expr, Query, Reserved, alias};
use super::error::{RawError, SyntaxError, SyntaxErrors};
use super::lexer::{Context, Key, Lexer, Spanned, Token, Word};
use super::tokens::{TokenKind, kind};
use super::{MAX_DEPTH, MAX_QUERY_BYTES, MAX_TERMS};

/// Errors beyond these are not reported; the first ones are what the user repairs first.
const MAX_ERRORS: usize = 16;

/// From and to, in bytes.
pub(super) type Range = (usize, usize);

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// All that is wrong with it, by position.
    pub fn parse(text: &str) -> Result<Self, SyntaxErrors> {
        if text.len() > MAX_QUERY_BYTES {
            return Err(SyntaxErrors(vec![RawError::too_long(text).locate(text)]));
        }
        let parsed = parse(text);
        if parsed.errors.is_empty() { Ok(parsed.query) } else { Err(SyntaxErrors(locate(parsed.errors, text))) }
    }
}

/// All that the parser learns of a text.
#[derive(Debug)]
pub(super) struct Parsed {
    /// What could be read; the whole query when there are no errors.
    pub(super) query: Query,
    /// All that is wrong, in no order.
    pub(super) errors: Vec<RawError>,
    /// Every token that was read, by position.
    pub(super) tokens: Vec<(Range, TokenKind)>,
    /// For each condition, the terms that it joins by *and*.
    pub(super) terms: Vec<Vec<(Range, Expr)>>,
    /// Where each pipe stands, with the bar in front.
    pub(super) pipes: Vec<Range>,
    /// What reading it took.
    #[cfg(test)]
    pub(super) steps: usize,
}

/// Reads a text of at most [`MAX_QUERY_BYTES`].
pub(super) fn parse(text: &str) -> Parsed {
    let mut parser = Parser {
        lexer: Lexer::new(text),
        peeked: None,
        errors: Vec::new(),
        terms: 0,
        patterns: 0,
        tokens: Vec::new(),
        all_terms: Vec::new(),
        pipes: Vec::new(),
    };
    let query = parser.query();
    Parsed {
        query,
        errors: parser.errors,
        tokens: parser.tokens,
        terms: parser.all_terms,
        pipes: parser.pipes,
        #[cfg(test)]
        steps: parser.lexer.steps(),
    }
}

/// The first errors, by position, as the user sees them.
pub(super) fn locate(mut errors: Vec<RawError>, text: &str) -> Vec<SyntaxError> {
    errors.sort_by_key(|error| (error.from, error.to));
    errors.truncate(MAX_ERRORS);
    errors.into_iter().map(|error| error.locate(text)).collect()
}

/// What people write between a field and its value elsewhere.
const COMPARISONS: [&str; 6] = [">", ">=", "<", "<=", "=", "!="];

/// Tokens that no condition goes on behind.
macro_rules! ends_condition {
    () => {
        Token::End
            | Token::Close
            | Token::BraceOpen
            | Token::BraceClose
            | Token::Relation(_)
            | Token::Both
            | Token::Either
            | Token::Pipe
    };
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The next token, read as part of a term.
    peeked: Option<Spanned>,
    errors: Vec<RawError>,
    terms: usize,
    patterns: usize,
    tokens: Vec<(Range, TokenKind)>,
    all_terms: Vec<Vec<(Range, Expr)>>,
    pipes: Vec<Range>,
}

impl Parser<'_> {
    fn error(&mut self, error: RawError) {
        self.errors.push(error);
    }

    /// The next token; unreadable ones are reported and skipped.
    fn read(&mut self, context: Context) -> Spanned {
        loop {
            match self.lexer.next(context) {
                Ok(token) => {
                    if let Some(kind) = kind(&token.token, context) {
                        self.tokens.push((token.range, kind));
                    }
                    return token;
                }
                Err(error) => {
                    self.tokens.push(((error.from, error.to), TokenKind::Error));
                    self.error(error);
                }
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

    /// `a b OR c`, up to what ends a condition.
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

    /// `a b AND c`, up to an `OR` or what ends a condition.
    fn all_of(&mut self, depth: usize) -> Option<Expr> {
        let mut parts = Vec::new();
        let mut and: Option<Range> = None;
        loop {
            let next = self.peek();
            match next.token {
                Token::Or | ends_condition!() => {
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
                    let part = self.unary(depth);
                    if depth == 0 {
                        self.remember_term(next.range.0, part.as_ref());
                    }
                    parts.extend(part);
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
                Token::And | Token::Or | ends_condition!() => {
                    let not = last.map_or(range, |not| not.range);
                    let error = if token.token == Token::BraceOpen {
                        RawError::new(not, "braces cannot be negated; negate the terms between them")
                    } else {
                        let message = "there is nothing to negate here; quote a dash that is meant as text";
                        RawError::new(not, message).fix("")
                    };
                    self.error(error);
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

    /// Keeps a term of the condition's highest level, which ends where reading has come to.
    fn remember_term(&mut self, from: usize, term: Option<&Expr>) {
        let to = self.peeked.as_ref().map_or(self.lexer.position(), |next| next.range.0);
        let written = self.lexer.source().get(from..to).unwrap_or_default().trim_end();
        if let (Some(terms), Some(term)) = (self.all_terms.last_mut(), term) {
            terms.push(((from, from + written.len()), term.clone()));
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
                let error = match close.token {
                    Token::BraceClose | Token::End => self.unclosed(open, close.range.0),
                    _ => RawError::new(open, "parentheses stand between braces, not around them"),
                };
                self.error(error);
            }
            self.peeked = Some(close);
        } else if inner.is_none() && self.errors.len() == errors {
            self.error(RawError::new((open.0, close.range.1), "there is nothing between the parentheses").fix(""));
        }
        inner
    }

    /// The error of a parenthesis that is still open at `end`.
    fn unclosed(&self, open: Range, end: usize) -> RawError {
        let written = self.lexer.source().get(open.0..end).unwrap_or_default().trim_end();
        RawError::new((open.0, open.0 + written.len()), "the closing parenthesis is missing").fix(format!("{written})"))
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
        if !word.quoted && COMPARISONS.contains(&word.text.as_str()) {
            let message = format!("`{}` compares behind a field's colon, as in `duration:>100ms`", word.text);
            self.error(RawError::new(range, message));
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
        let renamed = alias(&key.name).filter(|_| !key.attribute);
        let attribute = |name: &str| Key { name: name.to_owned(), attribute: true, root: key.root };
        let key = &renamed.map_or_else(|| key.clone(), attribute);
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
        if key.root {
            values = values.into_iter().map(|value| Expr::Root(Box::new(value))).collect();
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
                Token::End | Token::BraceClose => {
                    let error = self.unclosed(open, range.0);
                    self.error(error);
                    self.peeked = Some(token);
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
}

fn negate(inner: Expr) -> Expr {
    match inner {
        Expr::Not(inner) => *inner,
        other => Expr::Not(Box::new(other)),
    }
}

/// Puts parts together, flat: parts of the same combination become parts of the whole.
pub(crate) fn combine(parts: Vec<Expr>, whole: fn(Vec<Expr>) -> Expr) -> Option<Expr> {
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
#[path = "../tests.rs"]
mod tests;

#[cfg(test)]
#[path = "../structure_tests.rs"]
mod structure_tests;
