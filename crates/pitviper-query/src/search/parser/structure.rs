//! What stands around conditions: braces, what relates the spans between them, and functions of a
//! trace's spans.

use super::value::Quantity;
use super::{Parser, Range};
use crate::search::ast::{Aggregate, Expr, Measured, Pipe, Query, Reserved, SpanSet, alias};
use crate::search::error::{RawError, nearest};
use crate::search::lexer::{Context, Spanned, Token};
use crate::search::tokens::TokenKind;
use crate::search::{MAX_PIPES, MAX_SPAN_SETS};

/// A condition and how it was written.
struct Operand {
    condition: Option<Expr>,
    braced: bool,
    range: Range,
}

impl Operand {
    fn is_missing(&self) -> bool {
        !self.braced && self.condition.is_none()
    }
}

impl Parser<'_> {
    pub(super) fn query(&mut self) -> Query {
        let (spans, mut next) = self.span_set();
        let mut pipes = Vec::new();
        while next.token != Token::End {
            if next.token == Token::Pipe {
                pipes.extend(self.pipe(next.range));
            } else {
                let message = "nothing but another function can follow a function, as in `| count() > 5`";
                self.error(RawError::new(next.range, message));
                self.skip_pipe(Some(next));
            }
            next = self.operator();
        }
        Query { spans, pipes }
    }

    /// What stands between conditions.
    fn operator(&mut self) -> Spanned {
        self.peeked.take().unwrap_or_else(|| self.read(Context::Structure))
    }

    /// `{a} >> {b} && {c}`, and the token that ends it.
    fn span_set(&mut self) -> (SpanSet, Spanned) {
        let mut any = Vec::new();
        let mut all = Vec::new();
        let mut left = self.operand();
        let mut set = SpanSet::Matching(left.condition.take());
        let mut left_is_missing = !left.braced && set == SpanSet::Matching(None);
        loop {
            let next = self.operator();
            match next.token {
                Token::End | Token::Pipe => {
                    all.push(set);
                    any.push(together(all, SpanSet::All));
                    return (together(any, SpanSet::Any), next);
                }
                Token::Relation(relation) => {
                    if left_is_missing {
                        self.missing_operand(next.range, relation.as_str(), "left");
                    }
                    left = self.right_operand(&next);
                    set = SpanSet::Related(Box::new(set), relation, left.condition.take());
                }
                Token::Both | Token::And | Token::BraceOpen => {
                    self.check_joined(&next, left.braced);
                    left = if next.token == Token::BraceOpen { self.braces(next.range) } else { self.joined(&next) };
                    all.push(std::mem::replace(&mut set, SpanSet::Matching(left.condition.take())));
                }
                Token::Either | Token::Or => {
                    self.check_joined(&next, left.braced);
                    left = self.joined(&next);
                    all.push(std::mem::replace(&mut set, SpanSet::Matching(left.condition.take())));
                    let last = all.pop();
                    let before = std::mem::take(&mut all);
                    any.push(together(before.into_iter().chain(last).collect(), SpanSet::All));
                }
                _ => self.out_of_place(next),
            }
            left_is_missing = false;
        }
    }

    /// Reports what cannot stand between conditions, and reads on behind it.
    fn out_of_place(&mut self, token: Spanned) {
        let error = match token.token {
            Token::Close => RawError::new(token.range, "there is no opening parenthesis for this one").fix(""),
            Token::BraceClose => RawError::new(token.range, "there is no opening brace for this one").fix(""),
            _ => {
                let error = RawError::new(token.range, "terms beside braces have to stand between braces too");
                self.peeked = Some(token);
                error
            }
        };
        self.error(error);
        self.any_of(0);
    }

    /// A condition in braces, or one without that goes up to what ends it.
    fn operand(&mut self) -> Operand {
        let first = self.peek();
        if first.token == Token::BraceOpen {
            self.peeked = None;
            return self.braces(first.range);
        }
        self.begin_terms(first.range);
        let condition = self.any_of(0);
        self.close_terms(condition.as_ref());
        let end = self.peek().range.0;
        let written = self.lexer.source().get(first.range.0..end).unwrap_or_default().trim_end().len();
        Operand { condition, braced: false, range: (first.range.0, first.range.0 + written) }
    }

    fn right_operand(&mut self, operator: &Spanned) -> Operand {
        let operand = self.operand();
        if operand.is_missing() {
            let written = self.lexer.source().get(operator.range.0..operator.range.1).unwrap_or_default();
            self.missing_operand(operator.range, written, "right");
        }
        operand
    }

    /// What stands on the right of `&&` and `||`, which only join what is in braces.
    fn joined(&mut self, operator: &Spanned) -> Operand {
        let operand = self.right_operand(operator);
        if !operand.braced && self.errors.is_empty() {
            let written = self.lexer.source().get(operand.range.0..operand.range.1).unwrap_or_default();
            let error = RawError::new(operand.range, "what is joined to braces has to stand between braces too")
                .fix(format!("{{{written}}}"));
            self.error(error);
        }
        operand
    }

    fn missing_operand(&mut self, operator: Range, written: &str, side: &str) {
        if self.errors.is_empty() {
            let message = format!("`{written}` needs a condition on its {side}; `{{}}` stands for any span");
            let fix = if side == "left" { format!("{{}} {written}") } else { format!("{written} {{}}") };
            self.error(RawError::new(operator, message).fix(fix));
        }
    }

    /// Reports what was written for `&&` and `||` between braces, and those where there are none.
    fn check_joined(&mut self, operator: &Spanned, left_is_braced: bool) {
        let range = operator.range;
        let error = match operator.token {
            Token::BraceOpen if !self.errors.is_empty() => return,
            Token::BraceOpen => RawError::new(
                range,
                "what relates these spans to those before is missing; write `>>` for below, `&&` for both",
            )
            .fix("&& {"),
            Token::And => RawError::new(range, "conditions in braces are joined by `&&`").fix("&&"),
            Token::Or => RawError::new(range, "conditions in braces are joined by `||`").fix("||"),
            Token::Both if !left_is_braced => {
                RawError::new(range, "terms are joined by `AND`, or by nothing").fix("AND")
            }
            Token::Either if !left_is_braced => RawError::new(range, "terms are joined by `OR`").fix("OR"),
            _ => return,
        };
        self.error(error);
    }

    /// Reads on behind `{`.
    fn braces(&mut self, open: Range) -> Operand {
        self.begin_terms(open);
        let mut condition = None;
        loop {
            let errors = self.errors.len();
            let part = self.any_of(0);
            condition = condition.or(part);
            let next = self.take();
            let range = next.range;
            let error = match next.token {
                Token::BraceClose => {
                    self.close_terms(condition.as_ref());
                    return Operand { condition, braced: true, range: (open.0, range.1) };
                }
                Token::End => {
                    if self.errors.len() == errors {
                        let written = self.lexer.source()[open.0..].trim_end();
                        let end = open.0 + written.len();
                        let fix = format!("{written}}}");
                        self.error(RawError::new((open.0, end), "the closing brace is missing").fix(fix));
                    }
                    self.peeked = Some(next);
                    return Operand { condition, braced: true, range: (open.0, range.1) };
                }
                Token::Close => RawError::new(range, "there is no opening parenthesis for this one").fix(""),
                Token::Both => {
                    RawError::new(range, "within braces, terms are joined by `AND`, or by nothing").fix("AND")
                }
                Token::Either => RawError::new(range, "within braces, terms are joined by `OR`").fix("OR"),
                Token::BraceOpen => RawError::new(range, "braces do not stand within braces; use parentheses"),
                Token::Pipe => RawError::new(range, "a function stands behind the braces, not within"),
                _ => RawError::new(range, "this relates spans, so it stands between braces, not within"),
            };
            self.error(error);
        }
    }

    fn begin_terms(&mut self, at: Range) {
        self.all_terms.push(Vec::new());
        if self.all_terms.len() > MAX_SPAN_SETS {
            self.error(RawError::new(at, format!("the query has more than {MAX_SPAN_SETS} conditions to relate")));
            self.lexer.skip_to_end();
        }
    }

    /// A condition of alternatives is one term, whatever its alternatives join.
    fn close_terms(&mut self, condition: Option<&Expr>) {
        let Some(terms) = self.all_terms.last_mut() else { return };
        if let (Some(whole @ Expr::Or(_)), [first, .., last]) = (condition, terms.as_slice()) {
            *terms = vec![((first.0.0, last.0.1), whole.clone())];
        }
    }

    /// Reads on behind `|`.
    fn pipe(&mut self, bar: Range) -> Option<Pipe> {
        let pipe = self.call(bar);
        if pipe.is_none() {
            self.skip_pipe(None);
        } else if self.pipes.len() >= MAX_PIPES {
            self.error(RawError::new(bar, format!("the query has more than {MAX_PIPES} functions")));
            self.lexer.skip_to_end();
            return None;
        } else {
            self.pipes.push((bar.0, self.lexer.position()));
        }
        pipe
    }

    /// Goes on before the next `|`.
    fn skip_pipe(&mut self, first: Option<Spanned>) {
        let mut token = first.or_else(|| self.peeked.take()).unwrap_or_else(|| self.read(Context::Call));
        while !matches!(token.token, Token::Pipe | Token::End) {
            token = self.read(Context::Call);
        }
        self.peeked = Some(token);
    }

    /// `count(condition) > 5` or `sum(duration, condition) > 1s`.
    fn call(&mut self, bar: Range) -> Option<Pipe> {
        let (aggregate, name) = self.function(bar)?;
        let open = self.read(Context::Call);
        if open.token != Token::Open {
            let written = aggregate.as_str();
            let message = format!("`{written}` is a function, so parentheses have to follow it");
            let fix = if aggregate == Aggregate::Count { "count()".to_owned() } else { format!("{written}(duration)") };
            self.error(RawError::new(name, message).fix(fix));
            self.peeked = Some(open);
            return None;
        }
        let (measured, of) = match aggregate {
            Aggregate::Count => {
                let closes_at_once = self.peek().token == Token::Close;
                if closes_at_once {
                    self.take();
                    (Measured::Duration, None)
                } else {
                    (Measured::Duration, Some(self.argument(open.range)?))
                }
            }
            _ => self.measured_argument(aggregate, open.range)?,
        };
        let compared = self.read(Context::Call);
        let Token::Compare(comparison) = compared.token else {
            let example = if aggregate == Aggregate::Count { "5" } else { "100ms" };
            let range = (name.0, open.range.1);
            let message = format!("what `{}` works out has to be compared, as in `… > {example}`", aggregate.as_str());
            self.error(RawError::new(range, message));
            self.peeked = Some(compared);
            return None;
        };
        let number = self.read(Context::Call);
        let Token::Text(text) = &number.token else {
            self.error(RawError::new(compared.range, "a number has to follow the comparison"));
            self.peeked = Some(number);
            return None;
        };
        let quantity = match (aggregate, &measured) {
            (Aggregate::Count, _) => Quantity::Count,
            (_, Measured::Duration) => Quantity::Duration,
            (_, Measured::Attribute(_)) => Quantity::Number,
        };
        let value = self.quantity(quantity, aggregate.as_str(), &text.text, number.range)?;
        Some(Pipe { aggregate, of, comparison, value, measured })
    }

    fn function(&mut self, bar: Range) -> Option<(Aggregate, Range)> {
        let name = self.read(Context::Call);
        let Token::Text(word) = &name.token else {
            self.error(RawError::new(bar, "a function has to follow `|`, as in `| count() > 5`"));
            self.peeked = Some(name);
            return None;
        };
        if let Some((_, kind)) = self.tokens.last_mut() {
            *kind = TokenKind::Function;
        }
        let known = Aggregate::NAMES.iter().find(|(known, _)| *known == word.text);
        if known.is_none() {
            let message = format!("`{}` is not a function; use count, sum, avg, max or min", word.text);
            let error = RawError::new(name.range, message);
            self.error(match nearest(&word.text, Aggregate::NAMES.iter().map(|(known, _)| *known)) {
                Some(meant) => error.fix(meant),
                None => error,
            });
        }
        known.map(|(_, aggregate)| (*aggregate, name.range))
    }

    /// The condition up to the closing parenthesis.
    fn argument(&mut self, open: Range) -> Option<Expr> {
        let errors = self.errors.len();
        let condition = self.any_of(1);
        let close = self.take();
        if close.token == Token::Close {
            if condition.is_none() && self.errors.len() == errors {
                self.error(RawError::new(close.range, "a condition is missing before this parenthesis"));
            }
            return condition;
        }
        if self.errors.len() == errors {
            self.error(RawError::new(open, "the closing parenthesis is missing"));
        }
        self.peeked = Some(close);
        None
    }

    /// `duration)` or `duration, condition)`, with an attribute in place of the duration or not.
    fn measured_argument(&mut self, aggregate: Aggregate, open: Range) -> Option<(Measured, Option<Expr>)> {
        let of = self.read(Context::Call);
        let Some(measured) = measured(&of.token) else {
            let message =
                format!("`{}` is of the spans' duration, or of an attribute that is a number", aggregate.as_str());
            let is_missing = of.token == Token::Close;
            let range = if is_missing { open } else { of.range };
            let error = RawError::new(range, message);
            self.error(error.fix(if is_missing { "(duration" } else { "duration" }));
            self.peeked = Some(of);
            return None;
        };
        let next = self.read(Context::Call);
        match next.token {
            Token::Close => Some((measured, None)),
            Token::Comma => self.argument(open).map(|of| (measured, Some(of))),
            _ => {
                self.error(RawError::new(open, "the closing parenthesis is missing"));
                self.peeked = Some(next);
                None
            }
        }
    }
}

/// What a function is of; `None` for what is not a name, or that of a field that is no number.
fn measured(token: &Token) -> Option<Measured> {
    let Token::Text(word) = token else { return None };
    match word.text.as_str() {
        "" => None,
        name if word.quoted => Some(Measured::Attribute(name.to_owned())),
        "duration" => Some(Measured::Duration),
        name if Reserved::parse(name).is_some() || name.starts_with("root.") || name.contains([':', '*']) => None,
        name => Some(Measured::Attribute(alias(name).unwrap_or(name).to_owned())),
    }
}

/// Puts sets together; one alone stays as it is.
fn together(mut sets: Vec<SpanSet>, whole: fn(Vec<SpanSet>) -> SpanSet) -> SpanSet {
    match (sets.len(), sets.pop()) {
        (0 | 1, last) => last.unwrap_or_default(),
        (_, last) => {
            sets.extend(last);
            whole(sets)
        }
    }
}
