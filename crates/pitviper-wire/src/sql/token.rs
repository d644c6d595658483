//! The tokens of a statement, as its dialect reads them.

use super::Dialect;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// White space or a comment.
    Space,
    /// A literal: a text, a number, bits.
    Value,
    /// What stands for a parameter.
    Placeholder,
    /// A keyword, or a name without quotes.
    Word,
    /// A name in quotes.
    Quoted,
    /// Any other character; `::` is one.
    Symbol,
}

/// A token and where it ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    pub(super) end: usize,
}

impl Token<'_> {
    /// Whether it is this keyword, given in upper case.
    pub(super) fn is(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    /// Whether it is one of these keywords, given in upper case.
    pub(super) fn is_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }

    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }
}

/// Reads a statement token by token.
pub(super) struct Tokens<'a> {
    statement: &'a str,
    dialect: Dialect,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(statement: &'a str, dialect: Dialect) -> Self {
        Self { statement, dialect, at: 0 }
    }

    /// Where the token at the start of `rest` ends, and what it is.
    fn read(&self, rest: &str) -> (Kind, usize) {
        let first = rest.chars().next().unwrap_or(' ');
        let bytes = rest.as_bytes();
        let second = bytes.get(1).copied().unwrap_or(0);
        if let Some(length) = self.space(rest, first) {
            return (Kind::Space, length);
        }
        match first {
            '\'' => (Kind::Value, quoted(rest, 1, b'\'', self.dialect == Dialect::Mysql)),
            '"' if self.dialect == Dialect::Mysql => (Kind::Value, quoted(rest, 1, b'"', true)),
            '"' => (Kind::Quoted, quoted(rest, 1, b'"', false)),
            '`' if self.dialect != Dialect::Postgresql => (Kind::Quoted, quoted(rest, 1, b'`', false)),
            '[' if self.dialect == Dialect::Sqlite => (Kind::Quoted, rest.find(']').map_or(rest.len(), |end| end + 1)),
            '0'..='9' => (Kind::Value, number(rest)),
            '.' if second.is_ascii_digit() => (Kind::Value, number(rest)),
            '$' if self.dialect == Dialect::Postgresql => dollar(rest),
            '?' if self.dialect == Dialect::Sqlite => (Kind::Placeholder, 1 + word(&rest[1..])),
            '?' => (Kind::Placeholder, 1),
            '%' => percent(rest),
            ':' if second == b':' => (Kind::Symbol, 2),
            ':' | '@' | '$' => self.named(rest),
            _ if is_word(first) => self.word(rest),
            _ => (Kind::Symbol, first.len_utf8()),
        }
    }

    /// The length of the white space or comment that `rest` begins with.
    fn space(&self, rest: &str, first: char) -> Option<usize> {
        let line = match self.dialect {
            Dialect::Postgresql => rest.starts_with("--"),
            Dialect::Sqlite => rest.starts_with("--"),
            // MySQL takes two dashes before anything else for two signs.
            Dialect::Mysql => first == '#' || (rest.starts_with("--") && rest[2..].chars().next().is_none_or(is_space)),
        };
        if line {
            let ends: &[char] = if self.dialect == Dialect::Postgresql { &['\n', '\r'] } else { &['\n'] };
            return Some(rest.find(ends).unwrap_or(rest.len()));
        }
        if rest.starts_with("/*") {
            return Some(comment(rest, self.dialect == Dialect::Postgresql));
        }
        is_space(first).then(|| rest.find(|other| !is_space(other)).unwrap_or(rest.len()))
    }

    /// `:name`, `@name` and `$name`.
    fn named(&self, rest: &str) -> (Kind, usize) {
        let after = &rest[1..];
        let digit = after.starts_with(|next: char| next.is_ascii_digit());
        // Elsewhere these are operators before a number: @5, [1:2].
        if !after.starts_with(is_word) || (digit && self.dialect != Dialect::Sqlite) {
            return (Kind::Symbol, 1);
        }
        (Kind::Placeholder, 1 + word(after))
    }

    /// A word, or a text that letters stand before: `E'…'`, `x'…'`.
    fn word(&self, rest: &str) -> (Kind, usize) {
        let length = word(rest);
        let prefix = rest.as_bytes()[0].to_ascii_lowercase();
        if length == 1 && rest[1..].starts_with('\'') && matches!(prefix, b'x' | b'b' | b'n' | b'e') {
            let escapes = match self.dialect {
                Dialect::Postgresql => prefix == b'e',
                Dialect::Mysql => true,
                Dialect::Sqlite => false,
            };
            return (Kind::Value, quoted(rest, 2, b'\'', escapes));
        }
        (Kind::Word, length)
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let rest = &self.statement[self.at..];
        if rest.is_empty() {
            return None;
        }
        let (kind, length) = self.read(rest);
        self.at += length;
        Some(Token { kind, text: &rest[..length], end: self.at })
    }
}

/// The length of a quoted token whose content begins at `start`. The quote twice is the quote itself;
/// without an end it is all there is.
fn quoted(rest: &str, start: usize, quote: u8, escapes: bool) -> usize {
    let bytes = rest.as_bytes();
    let mut at = start;
    while at < bytes.len() {
        if bytes[at] == quote {
            if bytes.get(at + 1) != Some(&quote) {
                return at + 1;
            }
            at += 1;
        } else if bytes[at] == b'\\' && escapes {
            at += 1;
        }
        at += 1;
    }
    // What a backslash escapes may be the first byte of several; the content ends with all of them.
    rest.len()
}

fn comment(rest: &str, nests: bool) -> usize {
    let bytes = rest.as_bytes();
    let (mut at, mut depth) = (2, 1);
    while at + 1 < bytes.len() {
        if bytes[at] == b'*' && bytes[at + 1] == b'/' {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else if nests && bytes[at] == b'/' && bytes[at + 1] == b'*' {
            depth += 1;
            at += 2;
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// A word that begins with a digit is a number (0x1F, 1_000, 2.5e-3) or a mistake, such as a value
/// without quotes.
fn number(rest: &str) -> usize {
    let mut characters = rest.char_indices().peekable();
    let mut exponent = false;
    while let Some((at, character)) = characters.next() {
        let signed = exponent
            && matches!(character, '+' | '-')
            && characters.peek().is_some_and(|(_, next)| next.is_ascii_digit());
        // A dollar begins something of its own.
        if !(signed || character == '.' || (is_word(character) && character != '$')) {
            return at;
        }
        exponent = matches!(character, 'e' | 'E');
    }
    rest.len()
}

/// `$1`, or a text between `$tag$` and the same again.
fn dollar(rest: &str) -> (Kind, usize) {
    let after = &rest[1..];
    if after.starts_with(|next: char| next.is_ascii_digit()) {
        return (Kind::Placeholder, 1 + after.find(|next: char| !next.is_ascii_digit()).unwrap_or(after.len()));
    }
    let tag = after.find(|next: char| next == '$' || !is_word(next)).unwrap_or(after.len());
    if !after[tag..].starts_with('$') {
        return (Kind::Symbol, 1);
    }
    let open = tag + 2;
    (Kind::Value, rest[open..].find(&rest[..open]).map_or(rest.len(), |end| open + end + open))
}

/// `%s` and `%(name)s`, as drivers have them that put values in themselves; else an operator.
fn percent(rest: &str) -> (Kind, usize) {
    let after = &rest[1..];
    let near = &after[..after.floor_char_boundary(MAX_PLACEHOLDER)];
    let name = if after.starts_with('(') { near.find(')').map(|end| end + 1) } else { Some(0) };
    let Some(name) = name else { return (Kind::Symbol, 1) };
    let kind = &after[name..];
    if kind.starts_with(['s', 'b', 't']) && !kind[1..].starts_with(is_word) {
        return (Kind::Placeholder, 1 + name + 1);
    }
    (Kind::Symbol, 1)
}

/// The longest name of a parameter in `%(name)s`, in bytes; looking for its end stays short that way.
const MAX_PLACEHOLDER: usize = 128;

/// The length of the word that `rest` begins with.
fn word(rest: &str) -> usize {
    rest.find(|character| !is_word(character)).unwrap_or(rest.len())
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric()
        || character == '_'
        || character == '$'
        || (!character.is_ascii() && !is_space(character))
}

fn is_space(character: char) -> bool {
    character.is_whitespace() || character.is_control()
}
