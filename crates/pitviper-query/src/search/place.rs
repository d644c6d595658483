//! What is being written at one place of a query, and what the rest of the query says.
//!
//! The text before the cursor is read by the parser, so that a place means here what it means there;
//! then its tokens are gone through once. What follows the cursor only says where the piece under the
//! cursor ends, and which other terms there are.

use super::MAX_QUERY_BYTES;
use super::ast::{Expr, Field, Reserved, SpanSet, alias};
use super::combine;
use super::lexer::{Context, Lexer, Token};
use super::parser::{Range, parse};
use super::tokens::TokenKind;

/// What is being written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// The piece under the cursor, in bytes; empty where a new one begins.
    pub(crate) replace: (usize, usize),
    /// What that piece says up to the cursor, without quotes and backslashes.
    pub(crate) written: String,
    /// What can stand there.
    pub(crate) expects: Expects,
    /// What has to hold of the span beside what is being written; `None` when nothing has to.
    pub(crate) rest: Option<Expr>,
}

/// What can stand at a place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expects {
    /// A term.
    Term(TermPlace),
    /// The value of a field.
    Value(ValuePlace),
    /// What relates conditions in braces, or a function behind them.
    Relation,
    /// A function's name. Says whether parentheses follow it already.
    Function { is_called: bool },
    /// The `duration` or attribute that a function is of.
    Argument,
    /// How the result of a function compares.
    Comparison { counts: bool },
    /// The number that the result of a function compares with.
    Number { counts: bool },
    /// Nothing that could be offered.
    Nothing,
}

/// Where a term stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TermPlace {
    /// Behind `@`, where only an attribute's name can stand.
    pub(crate) attribute: bool,
    /// Whether a term stands before it, so that `AND` and `OR` make sense.
    pub(crate) follows: bool,
    /// Right behind what relates conditions, where braces can open.
    pub(crate) opens: bool,
}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ValuePlace {
    /// What the value is of.
    pub(crate) subject: Subject,
    /// The field's name as it is meant.
    pub(crate) name: String,
    /// Where the field's name stands, with its colon, in bytes.
    pub(crate) key: (usize, usize),
    /// Behind a comparison or in a range, where only a number can stand.
    pub(crate) compared: bool,
    /// Between the parentheses of several values.
    pub(crate) grouped: bool,
}

/// What a field is, by the values it can have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Subject {
    /// Text, or for attributes perhaps a number.
    Text(Field),
    /// The span's kind.
    Kind,
    /// The span's status.
    Status,
    /// The span's place in its trace.
    Is,
    /// How long the span took.
    Duration,
    /// A share of spans.
    Share,
    /// A function that samples have in their stack.
    Function,
    /// What there is of a span besides itself.
    Has,
    /// A trace or a span.
    Id,
}

/// How many things are wrong with a text. One beyond the limit has more than any other.
pub(crate) fn error_count(text: &str) -> usize {
    if text.len() > MAX_QUERY_BYTES { usize::MAX } else { parse(text).errors.len() }
}

impl Place {
    /// The place of a cursor, in bytes. `None` when the text is beyond the limit.
    pub(crate) fn of(text: &str, cursor: usize) -> Option<Self> {
        if text.len() > MAX_QUERY_BYTES {
            return None;
        }
        let cursor = floor_char(text, cursor);
        let before = parse(&text[..cursor]);
        let whole = parse(text);
        let mut tokens = before.tokens;
        let mut piece = tokens.pop_if(|(range, kind)| range.1 == cursor && goes_on(&text[range.0..range.1], *kind));
        let mut scan = Scan::new(text);
        tokens.into_iter().for_each(|(range, kind)| scan.step(range, kind));
        // Behind a brace, `>` may become `>>`; elsewhere it is what the next term is related by.
        if let Some((range, kind)) = piece.filter(|(_, kind)| *kind == TokenKind::Relation)
            && scan.state != State::Behind
        {
            scan.step(range, kind);
            piece = None;
        }
        let (mut from, mut to) = piece.map_or((cursor, cursor), |(range, _)| range);
        if text[..from].ends_with('@') && text[from..].starts_with('"') {
            from -= 1;
        }
        let state = scan.state_at(from);
        let grows = |range: &Range, kind: TokenKind| match piece {
            Some((piece, _)) => range.0 == piece.0 && range.1 >= cursor,
            None => range.0 == cursor && begins(state, kind),
        };
        let token = whole.tokens.iter().position(|(range, kind)| grows(range, *kind));
        if let Some(at) = token {
            to = whole.tokens[at].0.1;
        }
        let next = token.map_or(0, |at| at + 1);
        let is_called = whole.tokens.get(next).is_some_and(|(range, _)| text[range.0..range.1] == *"(");
        let raw = &text[from..cursor];
        let anchor = match (scan.parentheses.first(), state) {
            (Some(open), _) => *open,
            (None, State::Value(key) | State::Compared(key) | State::Group(key) | State::Ends(key)) => key.0,
            (None, _) => from,
        };
        let rest = if scan.in_call {
            members(&whole.query.spans)
        } else if scan.has_or {
            None
        } else {
            let terms = whole.terms.get(before.terms.len().saturating_sub(1));
            let others = terms.into_iter().flatten().filter(|(range, _)| {
                let touches = range.0 < to && anchor < range.1 || range.0 == anchor && to > from;
                !touches
            });
            combine(others.map(|(_, term)| term.clone()).collect(), Expr::And)
        };
        let attribute = raw.starts_with('@');
        let written = meaning(raw.strip_prefix('@').unwrap_or(raw));
        let expects = scan.expects(state, attribute, is_called);
        let rest = if expects == Expects::Argument { members(&whole.query.spans) } else { rest };
        let is_of_spans = matches!(expects, Expects::Term(_) | Expects::Value(_) | Expects::Argument);
        Some(Self { replace: (from, to), written, expects, rest: rest.filter(|_| is_of_spans) })
    }
}

/// A condition that holds for every span of the set; `None` when there is none.
fn members(set: &SpanSet) -> Option<Expr> {
    match set {
        SpanSet::Matching(condition) | SpanSet::Related(_, _, condition) => condition.clone(),
        SpanSet::All(parts) | SpanSet::Any(parts) => {
            let parts: Option<Vec<Expr>> = parts.iter().map(members).collect();
            combine(parts?, Expr::Or)
        }
    }
}

/// Whether more may be written to a token that ends at the cursor.
fn goes_on(written: &str, kind: TokenKind) -> bool {
    match kind {
        TokenKind::Word | TokenKind::Value | TokenKind::Number | TokenKind::Regex => true,
        TokenKind::Function | TokenKind::Relation => true,
        TokenKind::Field => !written.ends_with(':'),
        TokenKind::Operator => written.starts_with(char::is_alphabetic),
        TokenKind::Error => written.starts_with(['"', '/']),
        TokenKind::Bracket | TokenKind::Pipe => false,
    }
}

/// Whether a token that begins at the cursor is what can be written there.
fn begins(state: State, kind: TokenKind) -> bool {
    match state {
        State::Term | State::Operand => matches!(kind, TokenKind::Word | TokenKind::Field),
        State::Value(_) | State::Compared(_) | State::Group(_) | State::Ends(_) => {
            matches!(kind, TokenKind::Value | TokenKind::Number | TokenKind::Regex)
        }
        State::Call => kind == TokenKind::Function,
        State::Measured => kind == TokenKind::Number,
        State::Opened => kind == TokenKind::Field,
        State::Behind | State::Named | State::Argued | State::Called | State::Done => false,
    }
}

/// The text that is meant by a piece, as far as it is written.
fn meaning(raw: &str) -> String {
    let (raw, quoted) = raw.strip_prefix('"').map_or((raw, false), |raw| (raw, true));
    let mut text = String::with_capacity(raw.len());
    let mut characters = raw.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next()),
            '"' if quoted => break,
            other => text.push(other),
        }
    }
    text
}

fn floor_char(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// What was read last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A term, or nothing of a condition yet.
    Term,
    /// A field's name.
    Value(Range),
    /// A comparison behind a field's name.
    Compared(Range),
    /// The parenthesis before several values.
    Group(Range),
    /// The bracket of a range.
    Ends(Range),
    /// A closing brace.
    Behind,
    /// What relates conditions.
    Operand,
    /// The bar before a function.
    Call,
    /// A function's name.
    Named,
    /// Its parenthesis, where `duration` has to follow.
    Opened,
    /// The `duration`.
    Argued,
    /// Its closing parenthesis.
    Called,
    /// How it compares.
    Measured,
    /// The number it compares with.
    Done,
}

/// Goes through the tokens before the cursor.
struct Scan<'a> {
    text: &'a str,
    state: State,
    /// Where the last token ended.
    end: usize,
    /// Where the parentheses of the condition opened that are still open.
    parentheses: Vec<usize>,
    /// Whether alternatives stand on the condition's highest level.
    has_or: bool,
    /// Whether the condition has a term.
    has_term: bool,
    /// Whether the condition is that of a function.
    in_call: bool,
    /// Whether the last function counts.
    counts: bool,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            state: State::Term,
            end: 0,
            parentheses: Vec::new(),
            has_or: false,
            has_term: false,
            in_call: false,
            counts: false,
        }
    }

    fn step(&mut self, range: Range, kind: TokenKind) {
        let written = &self.text[range.0..range.1];
        // White space behind a field's name ends the field, and behind a comparison too.
        self.state = self.state_at(range.0);
        self.end = range.1;
        match (self.state, kind, written) {
            // What may follow `=` is what may follow the colon, but for durations.
            (State::Value(key), TokenKind::Operator, "=")
                if subject(&self.text[key.0..key.1]).is_none_or(|(subject, _)| subject != Subject::Duration) => {}
            (State::Value(key), TokenKind::Operator, _) if written.starts_with(['<', '>', '=']) => {
                self.state = State::Compared(key);
            }
            (State::Value(key), TokenKind::Bracket, "(") => self.state = State::Group(key),
            (State::Value(key), TokenKind::Bracket, "[") => self.state = State::Ends(key),
            (
                State::Value(_) | State::Compared(_),
                TokenKind::Value | TokenKind::Number | TokenKind::Regex | TokenKind::Error,
                _,
            ) => self.state = State::Term,
            (State::Group(_), TokenKind::Bracket, ")") | (State::Ends(_), TokenKind::Bracket, "]") => {
                self.state = State::Term;
            }
            (State::Group(_) | State::Ends(_), TokenKind::Bracket, "}") => self.state = State::Behind,
            (State::Group(_) | State::Ends(_), ..) => {}
            (State::Call, TokenKind::Function, name) => {
                self.counts = name == "count";
                self.state = State::Named;
            }
            (State::Named, TokenKind::Bracket, "(") if self.counts => {
                self.begin(State::Term);
                self.in_call = true;
                self.parentheses.push(range.0);
            }
            (State::Named, TokenKind::Bracket, "(") => self.state = State::Opened,
            (State::Opened, TokenKind::Field, name) => {
                // From here on it says whether the number has no unit of time.
                self.counts = name != "duration";
                self.state = State::Argued;
            }
            (State::Argued, TokenKind::Bracket, ")") => self.state = State::Called,
            (State::Argued, TokenKind::Bracket, ",") => {
                self.begin(State::Term);
                self.in_call = true;
                self.parentheses.push(range.0);
            }
            (State::Called, TokenKind::Operator, _) => self.state = State::Measured,
            (State::Measured, TokenKind::Number | TokenKind::Field, _) => self.state = State::Done,
            _ => self.condition(range, kind, written),
        }
    }

    fn condition(&mut self, range: Range, kind: TokenKind, written: &str) {
        match (kind, written) {
            (TokenKind::Relation, _) => self.begin(State::Operand),
            (TokenKind::Pipe, _) => self.begin(State::Call),
            (TokenKind::Bracket, "{") => self.begin(State::Term),
            (TokenKind::Bracket, "}") => self.begin(State::Behind),
            (TokenKind::Bracket, "(") => {
                self.state = State::Term;
                self.parentheses.push(range.0);
            }
            (TokenKind::Bracket, ")") => {
                self.parentheses.pop();
                self.has_term = true;
                let is_over = self.in_call && self.parentheses.is_empty();
                self.state = if is_over { State::Called } else { State::Term };
                self.in_call &= !is_over;
            }
            (TokenKind::Field, _) => {
                self.has_term = true;
                self.state = State::Value(range);
            }
            (TokenKind::Operator, _) => {
                self.has_or |= written == "OR" && self.parentheses.is_empty();
                self.state = State::Term;
            }
            _ => {
                self.has_term = true;
                self.state = State::Term;
            }
        }
    }

    /// Begins another condition, or what stands between conditions.
    fn begin(&mut self, state: State) {
        self.state = state;
        self.parentheses.clear();
        self.has_or = false;
        self.has_term = false;
        self.in_call = false;
    }

    /// The state for a token that begins at `from`.
    fn state_at(&self, from: usize) -> State {
        match self.state {
            State::Value(_) | State::Compared(_) if from > self.end => State::Term,
            state => state,
        }
    }

    fn expects(&self, state: State, attribute: bool, is_called: bool) -> Expects {
        let value = |key: Range, compared, grouped| {
            let Some((subject, name)) = subject(&self.text[key.0..key.1]) else { return Expects::Nothing };
            Expects::Value(ValuePlace { subject, name, key, compared, grouped })
        };
        match state {
            State::Term | State::Operand => {
                let opens = state == State::Operand;
                Expects::Term(TermPlace { attribute, follows: self.has_term, opens })
            }
            State::Value(key) => value(key, false, false),
            State::Compared(key) => value(key, true, false),
            State::Group(key) => value(key, false, true),
            State::Ends(key) => value(key, true, true),
            State::Behind => Expects::Relation,
            State::Call => Expects::Function { is_called },
            State::Opened => Expects::Argument,
            State::Called => Expects::Comparison { counts: self.counts },
            State::Measured => Expects::Number { counts: self.counts },
            State::Named | State::Argued | State::Done => Expects::Nothing,
        }
    }
}

/// What a field's name with its colon is of, and the name as it is meant.
fn subject(written: &str) -> Option<(Subject, String)> {
    // Without a colon where the field is compared at once.
    let written = if written.ends_with(':') { written } else { &format!("{written}:") };
    let Ok(Token::Field(key)) = Lexer::new(written).next(Context::Term).map(|spanned| spanned.token) else {
        return None;
    };
    let reserved = if key.attribute { None } else { Reserved::parse(&key.name) };
    let subject = match reserved {
        Some(Reserved::Service) => Subject::Text(Field::Service),
        Some(Reserved::Name) => Subject::Text(Field::Name),
        Some(Reserved::Environment) => Subject::Text(Field::Environment),
        Some(Reserved::Version) => Subject::Text(Field::Version),
        Some(Reserved::Host) => Subject::Text(Field::Host),
        Some(Reserved::Kind) => Subject::Kind,
        Some(Reserved::Status) => Subject::Status,
        Some(Reserved::Is) => Subject::Is,
        Some(Reserved::Duration) => Subject::Duration,
        Some(Reserved::Slowest) => Subject::Share,
        Some(Reserved::Function) => Subject::Function,
        Some(Reserved::Has) => Subject::Has,
        Some(Reserved::Trace | Reserved::Span) => Subject::Id,
        None => {
            let meant = alias(&key.name).filter(|_| !key.attribute).map_or_else(|| key.name.clone(), str::to_owned);
            Subject::Text(Field::Attribute(meant))
        }
    };
    Some((subject, key.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Query;

    /// The place of the `^` in a text without it.
    fn place(marked: &str) -> Place {
        let cursor = marked.find('^').unwrap();
        Place::of(&marked.replacen('^', "", 1), cursor).unwrap()
    }

    #[track_caller]
    fn check(marked: &str, piece: &str, written: &str, rest: &str) -> Expects {
        let place = place(marked);
        let text = marked.replacen('^', "", 1);
        assert_eq!(&text[place.replace.0..place.replace.1], piece, "{marked}: the piece");
        assert_eq!(place.written, written, "{marked}: what is written");
        let spans = SpanSet::Matching(place.rest);
        assert_eq!(Query { spans, pipes: Vec::new() }.to_string(), rest, "{marked}: the rest");
        place.expects
    }

    #[track_caller]
    fn term(marked: &str, piece: &str, written: &str, rest: &str) -> TermPlace {
        match check(marked, piece, written, rest) {
            Expects::Term(term) => term,
            other => panic!("{marked}: {other:?}"),
        }
    }

    #[track_caller]
    fn value(marked: &str, piece: &str, written: &str, rest: &str) -> ValuePlace {
        match check(marked, piece, written, rest) {
            Expects::Value(value) => value,
            other => panic!("{marked}: {other:?}"),
        }
    }

    #[test]
    fn a_term_is_a_word_or_a_fields_name() {
        assert!(!term("^", "", "", "").follows);
        assert!(!term("ser^", "ser", "ser", "").follows);
        assert!(term("service:a ^", "", "", "service:a").follows);
        term("service:a st^ kind:client", "st", "st", "service:a kind:client");
        term("a ser^vice:x b", "service:", "ser", "a b");
        term("^service:x", "service:", "", "");
        term("-ser^", "ser", "ser", "");
        term("a (service:x OR ^", "", "", "a");
        term("a (service:x ki^) b", "ki", "ki", "a b");
        term("service:a OR ^", "", "", "");
        term("service:a OR^", "OR", "OR", "service:a");
        assert!(term("a @ser^", "@ser", "ser", "a").attribute);
        assert!(term("@\"odd k^", "@\"odd k", "odd k", "").attribute);
        term("status:error \"some wo^rds\" a", "\"some words\"", "some wo", "status:error a");
        // A value that is not there is not the word behind the space.
        term("service: fl^", "fl", "fl", "");
    }

    #[test]
    fn a_value_stands_right_behind_its_fields_name() {
        let service = value("a service:^ b", "", "", "a b");
        assert_eq!((service.subject, service.key, service.compared), (Subject::Text(Field::Service), (2, 10), false));
        value("service:fl^ask a", "flask", "fl", "a");
        value("service:^flask a", "flask", "", "a");
        value("a name:\"POST /cr^", "\"POST /cr", "POST /cr", "a");
        value("a name:\"POST /cr^eate\" b", "\"POST /create\"", "POST /cr", "a b");
        value("name:POST\\ /c^", "POST\\ /c", "POST /c", "");
        value("name:/^GE", "/GE", "/", "");
        assert!(value("a duration:>1^", "1", "1", "a").compared);
        assert!(value("duration:>^", "", "", "").compared);
        assert!(value("size:[1 TO 2^] a", "2", "2", "a").compared);
        let group = value("a k:(x OR ^ b", "", "", "a");
        assert!(group.grouped && !group.compared);
        value("a k:(x OR y^) b", "y", "y", "a b");
        assert_eq!(value("is:^", "", "", "").subject, Subject::Is);
        assert_eq!(value("trace_id:^", "", "", "").subject, Subject::Id);
        let status = Field::Attribute("http.response.status_code".into());
        assert_eq!(value("http.status:5^", "5", "5", "").subject, Subject::Text(status));
        let billing = value("@service:^", "", "", "");
        assert_eq!(billing.subject, Subject::Text(Field::Attribute("service".into())));
        assert_eq!(value("@\"odd key\":^", "", "", "").name, "odd key");
    }

    #[test]
    fn a_condition_in_braces_has_a_rest_of_its_own() {
        term("{service:a ^} >> {b}", "", "", "service:a");
        value("{service:a} >> {kind:client name:^} | count() > 5", "", "", "kind:client");
        value("{service:a} >> {kind:client name:x^", "x", "x", "kind:client");
        value("{service:^a} >> {kind:client}", "a", "", "");
        assert!(term("{service:a} >> ^", "", "", "").opens);
        assert_eq!(check("{service:a}^", "", "", ""), Expects::Relation);
        assert_eq!(check("{service:a} ^", "", "", ""), Expects::Relation);
        assert_eq!(check("{service:a} >^", ">", ">", ""), Expects::Relation);
    }

    #[test]
    fn a_functions_condition_is_of_the_spans_found() {
        assert_eq!(check("service:a | ^", "", "", ""), Expects::Function { is_called: false });
        assert_eq!(check("service:a | co^() > 5", "co", "co", ""), Expects::Function { is_called: true });
        value("{service:a} >> {service:b} | count(kind:^) > 5", "", "", "service:b");
        value("{a} && {b} | sum(duration, kind:c^) > 5s", "c", "c", "a OR b");
        assert_eq!(check("a | sum(^", "", "", "a"), Expects::Argument);
        assert_eq!(check("a b | sum(am^ount) > 5", "amount", "am", "a b"), Expects::Argument);
        assert_eq!(check("a | sum(amount) > ^", "", "", ""), Expects::Number { counts: true });
        value("service=fl^", "fl", "fl", "");
        value("a root.service:fl^", "fl", "fl", "a");
        assert_eq!(value("slowest:^", "", "", "").subject, Subject::Share);
        assert!(value("duration=1^", "1", "1", "").compared);
        assert_eq!(check("a | count() ^", "", "", ""), Expects::Comparison { counts: true });
        assert_eq!(check("a | avg(duration) > 5^", "5", "5", ""), Expects::Number { counts: false });
        assert_eq!(check("a | count() > 5 ^", "", "", ""), Expects::Nothing);
        assert_eq!(check("a | count() > 5 | ^", "", "", ""), Expects::Function { is_called: false });
    }

    #[test]
    fn the_rest_is_what_can_be_read() {
        term("service:a duration:>5 is:rot ^ kind:client", "", "", "service:a kind:client");
        value("status:error service:^ \"never closed", "", "", "status:error");
        assert_eq!(Place::of(&"x".repeat(MAX_QUERY_BYTES + 1), 0), None);
        assert_eq!(Place::of("é", 1).unwrap().replace, (0, 2));
    }
}
