//! The operations of a statement and what they work on.

use super::token::{Kind, Token};

/// The longest summary, in bytes, as the conventions have it.
const MAX_SUMMARY_BYTES: usize = 255;
/// Names of common table expressions that are told from tables.
const MAX_EXPRESSIONS: usize = 32;

/// Statements within statements, where one can begin.
const INNER: [&str; 5] = ["INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"];
/// What comes between an operation and the name of its table.
const BEFORE_NAME: [&str; 17] = [
    "IF",
    "NOT",
    "EXISTS",
    "ONLY",
    "OR",
    "REPLACE",
    "IGNORE",
    "ABORT",
    "FAIL",
    "ROLLBACK",
    "LOW_PRIORITY",
    "HIGH_PRIORITY",
    "DELAYED",
    "LATERAL",
    "CONCURRENTLY",
    "INTO",
    "ON",
];
/// What comes where the name of a table would, and is none.
const NO_NAME: [&str; 6] = ["SELECT", "SET", "VALUES", "WHERE", "DUMPFILE", "OUTFILE"];
/// Kinds of things that are created, altered and dropped.
const OBJECTS: [&str; 5] = ["TABLE", "VIEW", "INDEX", "SEQUENCE", "SCHEMA"];
/// Operations on such things.
const DEFINITIONS: [&str; 8] = ["CREATE", "ALTER", "DROP", "LOCK", "REFRESH", "RENAME", "OPTIMIZE", "TRUNCATE"];
/// What may stand between EXPLAIN and the statement it explains.
const EXPLAINED: [&str; 6] = ["EXPLAIN", "ANALYZE", "VERBOSE", "QUERY", "PLAN", "EXTENDED"];
/// Operations whose first name is what they work on.
const NAMED: [&str; 9] = ["INSERT", "UPDATE", "MERGE", "REPLACE", "TRUNCATE", "PRAGMA", "CALL", "EXEC", "COPY"];
/// What ends the list of tables after FROM.
const AFTER_TABLES: [&str; 13] = [
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "FETCH",
    "WINDOW",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "SET",
    "RETURNING",
];

/// What is known of the statement, or of what is between two parentheses in it.
#[derive(Debug, Default, Clone, Copy)]
struct Level {
    /// It reads rows: FROM names tables.
    query: bool,
    /// After FROM: a comma brings another table.
    tables: bool,
    /// After WITH and before the statement it belongs to: a comma brings another expression.
    expressions: bool,
}

/// What the next name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Nothing,
    /// A table, unless a parenthesis after it says that it is a function.
    Table,
    /// A table that may have a list of columns after it, and other things.
    Target,
    /// A common table expression.
    Expression,
}

/// Collects the summary.
#[derive(Debug)]
pub(super) struct Summary<'a> {
    out: String,
    operation: String,
    levels: Vec<Level>,
    expected: Expected,
    /// Whether an operation may begin here.
    start: bool,
    /// Whether the statement's first operation is one whose words are not operations (GRANT SELECT).
    mute: bool,
    /// Whether the statement defines something that was not named yet.
    definition: bool,
    /// The name under way, with its quotes, and what it is.
    name: String,
    name_is: Expected,
    expressions: Vec<&'a str>,
    before: [Option<Token<'a>>; 2],
    /// Where in the output the words of the statement begin, and where those of the one before it lie.
    statement: usize,
    previous: (usize, usize),
}

impl Default for Summary<'_> {
    fn default() -> Self {
        Self {
            out: String::new(),
            operation: String::new(),
            levels: vec![Level::default()],
            expected: Expected::Nothing,
            start: true,
            mute: false,
            definition: false,
            name: String::new(),
            name_is: Expected::Nothing,
            expressions: Vec::new(),
            before: [None; 2],
            statement: 0,
            previous: (0, 0),
        }
    }
}

impl<'a> Summary<'a> {
    /// Takes the next token.
    pub(super) fn push(&mut self, token: &Token<'a>) {
        if token.kind == Kind::Space {
            return;
        }
        if !self.continue_name(token) {
            self.end_name(token.is_symbol("("));
            match token.kind {
                Kind::Word => self.word(token),
                Kind::Quoted => self.begin_name(token),
                Kind::Symbol => self.symbol(token.text),
                Kind::Value | Kind::Placeholder => self.expected = Expected::Nothing,
                Kind::Space => {}
            }
        }
        self.before = [Some(*token), self.before[0]];
    }

    /// The summary and the first operation.
    pub(super) fn finish(mut self) -> (String, String) {
        self.end_name(false);
        self.end_statement();
        if self.operation.is_empty() {
            // All of it is in parentheses.
            self.operation = self.out.split(' ').next().unwrap_or_default().to_owned();
        }
        if self.out.is_empty() {
            self.out.push_str("SQL");
        }
        (self.out, self.operation)
    }

    fn level(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    fn symbol(&mut self, symbol: &str) {
        match symbol {
            "(" => {
                self.start = false;
                self.levels.push(Level::default());
                self.expected = Expected::Nothing;
            }
            ")" => {
                self.levels.pop();
                self.expected = Expected::Nothing;
            }
            "," => {
                let level = *self.level();
                self.expected = match level {
                    Level { expressions: true, .. } => Expected::Expression,
                    Level { tables: true, .. } => Expected::Table,
                    _ => Expected::Nothing,
                };
            }
            ";" => {
                self.end_statement();
                self.levels.clear();
                self.expected = Expected::Nothing;
                self.start = true;
                self.mute = false;
            }
            _ => {}
        }
    }

    /// Drivers join statements that differ in their values alone: those are named once.
    fn end_statement(&mut self) {
        let (start, end) = self.previous;
        if self.out[self.statement..].trim_start() == self.out[start..end].trim_start() {
            self.out.truncate(self.statement);
        } else {
            self.previous = (self.statement, self.out.len());
            self.statement = self.out.len();
        }
    }

    fn word(&mut self, token: &Token<'a>) {
        let start = std::mem::take(&mut self.start);
        let after_parenthesis = self.before[0].is_some_and(|before| before.is_symbol("("));
        let after_expressions = self.level().expressions && self.before[0].is_some_and(|before| before.is_symbol(")"));
        if token.is("WITH") && (start || after_parenthesis) {
            self.level().expressions = true;
            self.expected = Expected::Expression;
        } else if token.is("EXPLAIN") && start {
            self.operate(token);
            self.start = true;
        } else if start && token.is_any(&EXPLAINED) && self.before[0].is_some_and(|before| before.is_any(&EXPLAINED)) {
            self.start = true;
        } else if start
            || (!self.mute && self.begins_inner(token, after_parenthesis || after_expressions || self.is_prepared()))
        {
            self.begin_operation(token);
        } else if self.expected == Expected::Nothing {
            self.keyword(token);
        } else if token.is_any(&NO_NAME) {
            self.expected = Expected::Nothing;
        } else if !token.is_any(&BEFORE_NAME) && !token.is_any(&OBJECTS) && !token.is("RECURSIVE") {
            self.begin_name(token);
        }
    }

    fn begins_inner(&self, token: &Token<'a>, here: bool) -> bool {
        let qualified = self.before[0].is_some_and(|before| before.is_symbol("."));
        !qualified && (token.is("SELECT") || (here && token.is_any(&INNER)))
    }

    /// Whether the statement that PREPARE is about comes now.
    fn is_prepared(&self) -> bool {
        self.operation == "PREPARE" && self.before[0].is_some_and(|before| before.is_any(&["PREPARE", "AS"]))
    }

    fn begin_operation(&mut self, token: &Token<'a>) {
        self.operate(token);
        let outermost = self.levels.len() <= 1;
        self.mute |= outermost && token.is_any(&["GRANT", "REVOKE"]);
        self.definition = outermost && token.is_any(&DEFINITIONS);
        let level = self.level();
        level.expressions = false;
        level.tables = false;
        level.query = token.is_any(&["SELECT", "DELETE", "UPDATE"]);
        self.expected = if token.is_any(&NAMED) { Expected::Target } else { Expected::Nothing };
    }

    /// A word in the midst of a statement.
    fn keyword(&mut self, token: &Token<'a>) {
        let level = *self.level();
        let after_distinct = self.before[0].is_some_and(|before| before.is("DISTINCT"))
            && self.before[1].is_some_and(|before| before.is_any(&["IS", "NOT"]));
        if token.is("FROM") && level.query && !after_distinct {
            self.level().tables = true;
            self.expected = Expected::Table;
        } else if (token.is("JOIN") && level.query) || (token.is("USING") && self.operation == "MERGE") {
            self.expected = Expected::Table;
        } else if token.is("INTO") || (self.definition && token.is_any(&OBJECTS)) {
            self.definition = false;
            self.expected = Expected::Target;
        } else if token.is_any(&AFTER_TABLES) {
            self.level().tables = false;
        }
    }

    fn begin_name(&mut self, token: &Token<'a>) {
        let expected = std::mem::replace(&mut self.expected, Expected::Nothing);
        if expected == Expected::Expression {
            if self.expressions.len() < MAX_EXPRESSIONS {
                self.expressions.push(token.text);
            }
        } else if expected != Expected::Nothing {
            self.name_is = expected;
            self.name.push_str(token.text);
        }
    }

    /// Whether a token belongs to the name under way: `schema.table`.
    fn continue_name(&mut self, token: &Token<'a>) -> bool {
        if self.name_is == Expected::Nothing {
            return false;
        }
        let after_dot = self.before[0].is_some_and(|before| before.is_symbol("."));
        let part = after_dot && matches!(token.kind, Kind::Word | Kind::Quoted);
        if part || token.is_symbol(".") {
            self.name.push_str(token.text);
            return true;
        }
        false
    }

    /// Ends the name under way; before a parenthesis it may have been a function's.
    fn end_name(&mut self, before_parenthesis: bool) {
        let is = std::mem::replace(&mut self.name_is, Expected::Nothing);
        if is == Expected::Nothing {
            return;
        }
        let mut name = std::mem::take(&mut self.name);
        let function = is == Expected::Table && before_parenthesis;
        if !function && !self.expressions.iter().any(|expression| expression.eq_ignore_ascii_case(&name)) {
            name.retain(|character| !matches!(character, '"' | '`' | '[' | ']'));
            self.append(&name);
        }
        name.clear();
        self.name = name;
    }

    fn operate(&mut self, token: &Token<'a>) {
        let operation = token.text.to_ascii_uppercase();
        self.append(&operation);
        if self.operation.is_empty() && self.levels.len() <= 1 {
            self.operation = operation;
        }
    }

    /// Adds a word, if there is space for all of it.
    fn append(&mut self, word: &str) {
        let space = usize::from(!self.out.is_empty());
        if self.out.len() + space + word.len() <= MAX_SUMMARY_BYTES {
            if space > 0 {
                self.out.push(' ');
            }
            self.out.push_str(word);
        }
    }
}
