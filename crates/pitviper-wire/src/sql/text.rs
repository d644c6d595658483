//! A statement's text without its values.

use super::Dialect;
use super::token::{Kind, Token};

/// What a value follows, and a column alone less often.
const BEFORE_VALUE: [&str; 7] = ["LIKE", "GLOB", "MATCH", "REGEXP", "IS", "BETWEEN", "DEFAULT"];
/// Words that stand for a value.
const VALUES: [&str; 4] = ["NULL", "TRUE", "FALSE", "DEFAULT"];

/// What closes a [`Group`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closed {
    Parenthesis,
    Bracket,
    /// Nothing does: the rows after VALUES end with what is no row.
    Nothing,
}

/// Something between parentheses or brackets, or the rows after VALUES: items with commas between.
#[derive(Debug)]
struct Group {
    closed: Closed,
    /// Whether its items are what IN, VALUES and ARRAY have: those that repeat are left out.
    list: bool,
    /// Whether nothing came yet in the item under way.
    empty: bool,
    /// Whether the item under way is made of values alone.
    values: bool,
    /// Where the item under way begins in the output.
    start: usize,
    /// Where in the output the item lies that the following ones are compared with.
    kept: Option<(usize, usize)>,
    /// Whether that one is made of values alone, and so is all the group.
    kept_values: bool,
}

/// Writes a statement with `?` for its values.
pub(super) struct Text<'a> {
    statement: &'a str,
    dialect: Dialect,
    out: String,
    /// Whether white space came since the last token.
    spaced: bool,
    groups: Vec<Group>,
    /// The last three tokens, the last one first.
    before: [Option<Token<'a>>; 3],
    /// Where the statement under way begins in the output, and where the one before it lies.
    start: usize,
    previous: (usize, usize),
}

impl<'a> Text<'a> {
    pub(super) fn new(statement: &'a str, dialect: Dialect) -> Self {
        let out = String::with_capacity(statement.len().min(1024));
        Self {
            statement,
            dialect,
            out,
            spaced: false,
            groups: Vec::new(),
            before: [None; 3],
            start: 0,
            previous: (0, 0),
        }
    }

    /// Takes the next token; returns it as it was understood.
    pub(super) fn push(&mut self, mut token: Token<'a>) -> Token<'a> {
        if token.kind == Kind::Space {
            self.spaced = true;
            return token;
        }
        if self.is_quoted_value(&token) {
            token.kind = Kind::Value;
        }
        self.leave_rows(&token);
        match token.text {
            "," if token.kind == Kind::Symbol => self.end_item(),
            ")" | "]" if token.kind == Kind::Symbol => self.close(token.text),
            ";" if token.kind == Kind::Symbol && self.groups.is_empty() => self.end_statement(),
            _ => self.note(&token),
        }
        self.write(if token.kind == Kind::Value { "?" } else { token.text });
        self.enter(&token);
        self.before = [Some(token), self.before[0], self.before[1]];
        token
    }

    /// The text.
    pub(super) fn finish(mut self) -> String {
        while !self.groups.is_empty() {
            self.end_item();
            self.groups.pop();
        }
        self.end_statement();
        self.out
    }

    /// Ends the statement under way. Drivers join statements that differ in their values alone: those are
    /// shown once.
    fn end_statement(&mut self) {
        let (start, end) = self.previous;
        let this = self.out[self.start..].trim_start_matches([';', ' ']);
        if end > start && this == self.out[start..end].trim_start_matches([';', ' ']) {
            self.out.truncate(end);
        } else {
            self.previous = (self.start, self.out.len());
        }
        self.start = self.out.len();
    }

    fn write(&mut self, text: &str) {
        if self.spaced && !self.out.is_empty() {
            self.out.push(' ');
        }
        self.spaced = false;
        if text != ","
            && let Some(group) = self.groups.last_mut()
            && group.empty
        {
            group.start = self.out.len();
            group.empty = false;
        }
        self.out.push_str(text);
    }

    /// What a token says about the item it is in.
    fn note(&mut self, token: &Token<'a>) {
        let opens = token.is_symbol("(") || token.is_symbol("[");
        let value = matches!(token.kind, Kind::Value | Kind::Placeholder)
            || token.is_symbol("-")
            || token.is_symbol("+")
            || token.is_any(&VALUES);
        let Some(group) = self.groups.last_mut() else { return };
        // What is in a group of its own counts when that is closed.
        if !value && !opens {
            group.values = false;
        }
        if group.list && group.kept.is_none() && group.empty && token.is_any(&["SELECT", "WITH"]) {
            group.list = false;
        }
    }

    /// Opens a group when the token begins one.
    fn enter(&mut self, token: &Token<'a>) {
        let before = self.before[0];
        let after = |keywords: &[&str]| before.is_some_and(|before| before.is_any(keywords));
        let first_of_list = self.groups.last().is_some_and(|group| {
            // A row in a list, and not the arguments of a function.
            group.list && group.start + token.text.len() == self.out.len()
        });
        match token.text {
            "(" if token.kind == Kind::Symbol => {
                let row = self.groups.last().is_some_and(|group| group.closed == Closed::Nothing);
                let list = first_of_list || row || after(&["IN"]);
                self.open(Closed::Parenthesis, list);
            }
            "[" if token.kind == Kind::Symbol => self.open(Closed::Bracket, first_of_list || after(&["ARRAY"])),
            _ if token.is_any(&["VALUES", "VALUE"]) => self.open(Closed::Nothing, true),
            _ => {}
        }
    }

    fn open(&mut self, closed: Closed, list: bool) {
        let start = self.out.len();
        self.groups.push(Group { closed, list, empty: true, values: true, start, kept: None, kept_values: true });
    }

    /// Ends the rows after VALUES when the token is no part of them.
    fn leave_rows(&mut self, token: &Token<'a>) {
        while let Some(group) = self.groups.last()
            && group.closed == Closed::Nothing
        {
            let row = group.empty && (token.is_symbol("(") || token.is("ROW"));
            let opens = token.is_symbol("(") && self.before[0].is_some_and(|before| before.is("ROW"));
            if row || opens || (token.is_symbol(",") && !group.empty) {
                return;
            }
            self.end_item();
            self.groups.pop();
        }
    }

    /// Ends the item under way. In a list it is left out when it is a value like the one before, or the
    /// same as that.
    fn end_item(&mut self) {
        let Some(group) = self.groups.last_mut() else { return };
        let (start, end) = (group.start, self.out.len());
        if group.empty {
            return;
        }
        match group.kept {
            Some((kept_start, kept_end)) if group.list => {
                let same = self.out[start..end] == self.out[kept_start..kept_end];
                if same || (group.values && group.kept_values) {
                    self.out.truncate(kept_end);
                } else {
                    group.kept = Some((start, end));
                    group.kept_values = group.kept_values && group.values;
                }
            }
            _ => {
                group.kept_values = group.kept_values && group.values;
                group.kept = Some((start, end));
            }
        }
        group.empty = true;
        group.values = true;
    }

    /// Closes the innermost group that ends so; a closing character without one is written as it is.
    fn close(&mut self, text: &str) {
        let closed = if text == ")" { Closed::Parenthesis } else { Closed::Bracket };
        if !self.groups.iter().rev().take(MAX_UNCLOSED).any(|group| group.closed == closed) {
            return;
        }
        self.end_item();
        while let Some(group) = self.groups.pop() {
            let found = group.closed == closed;
            if let Some(outer) = self.groups.last_mut() {
                outer.values &= group.list && group.kept_values && group.kept.is_some();
            }
            if found {
                return;
            }
        }
    }

    /// Whether a token in double quotes is taken for a text.
    ///
    /// Standard SQL has names in them. SQLite takes one for a text when no column has that name, which
    /// only the database knows; here it is one where values are usual: after a comparison, and in the
    /// lists of `IN` and `VALUES`. A name with a table before or after it (`"post"."id"`, as object
    /// mappers write) is a name everywhere. So a column may be masked, `a = "b"`, which costs a little
    /// of the text; a value elsewhere, `lower("x")`, is shown.
    fn is_quoted_value(&self, token: &Token<'a>) -> bool {
        if self.dialect != Dialect::Sqlite || !token.text.starts_with('"') {
            return false;
        }
        let Some(last) = self.before[0] else { return false };
        if self.statement[token.end..].trim_start().starts_with('.') {
            return false;
        }
        if last.is("AND") {
            return self.before[2].is_some_and(|third| third.is("BETWEEN"));
        }
        let listed = self.groups.last().is_some_and(|group| group.list && group.closed == Closed::Parenthesis);
        last.is_any(&BEFORE_VALUE)
            || ["=", "<", ">"].iter().any(|comparison| last.is_symbol(comparison))
            || ((last.is_symbol("(") || last.is_symbol(",")) && listed)
    }
}

/// Groups that were opened and not closed before a closing character is taken for a lone one. A statement
/// that the database accepts has no such groups.
const MAX_UNCLOSED: usize = 16;
