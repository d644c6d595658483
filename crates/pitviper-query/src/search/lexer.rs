//! Splits a query into tokens. What a character means depends on where it stands, so the parser
//! says what it is reading.

use super::ast::{Comparison, Relation};
use super::error::RawError;

/// A token and where it stands, in bytes.
#[derive(Debug, Clone)]
pub(super) struct Spanned {
    pub(super) token: Token,
    pub(super) range: (usize, usize),
}

/// The smallest meaningful pieces.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Minus,
    /// A field's name with the colon behind it.
    Field(Key),
    Compare(Comparison),
    RangeOpen,
    RangeClose,
    To,
    Text(Word),
    /// A regular expression, without its slashes.
    Regex(String),
    /// `{` before a condition.
    BraceOpen,
    /// `}` behind a condition.
    BraceClose,
    /// What relates two conditions in braces.
    Relation(Relation),
    /// `&&` between conditions in braces.
    Both,
    /// `||` between conditions in braces.
    Either,
    /// `|` before a function of a trace's spans.
    Pipe,
    /// Between the arguments of a function.
    Comma,
    End,
}

/// A field's name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    pub(super) name: String,
    /// Whether it can only be an attribute: behind `@` or between quotes.
    pub(super) attribute: bool,
    /// Whether it is a field of the trace's root rather than of the span: behind `root.`.
    pub(super) root: bool,
}

/// Text as it is meant, with what its stars mean.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Word {
    pub(super) text: String,
    /// Whether a `*` in it stands for any run of characters.
    pub(super) wildcard: bool,
    /// Whether a `*` in it stands for itself.
    pub(super) literal_star: bool,
    pub(super) quoted: bool,
}

/// What the parser is reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    /// A term or what combines terms.
    Term,
    /// What stands behind a field's colon.
    Value,
    /// The values between the parentheses behind a field's colon.
    Group,
    /// The ends between brackets.
    Range,
    /// What stands behind a closing brace.
    Structure,
    /// A function behind `|`, outside of the conditions in its parentheses.
    Call,
}

/// Reads tokens off the text.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Whether a closing brace ends a word: the text before it opened one.
    braced: bool,
    /// Characters looked at and tokens read, to show that time grows with the text alone.
    #[cfg(test)]
    steps: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            braced: false,
            #[cfg(test)]
            steps: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn source(&self) -> &'a str {
        self.text
    }

    /// Gives up on the rest of the text.
    pub(super) fn skip_to_end(&mut self) {
        self.at = self.text.len();
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn skip_whitespace(&mut self) {
        self.at = self.text.len() - self.text[self.at..].trim_start().len();
    }

    pub(super) fn next(&mut self, context: Context) -> Result<Spanned, RawError> {
        if context != Context::Value {
            self.skip_whitespace();
        }
        let start = self.at;
        let token = self.token(context);
        #[cfg(test)]
        {
            self.steps += 1 + self.at - start;
        }
        let token = token?;
        Ok(Spanned { token, range: (start, self.at) })
    }

    fn token(&mut self, context: Context) -> Result<Token, RawError> {
        let Some(first) = self.peek() else { return Ok(Token::End) };
        match context {
            Context::Term => return self.term_token(first),
            Context::Structure => return self.structure_token(first),
            Context::Call => return self.call_token(first),
            Context::Value | Context::Group | Context::Range => {}
        }
        if first == '}' && self.braced && matches!(context, Context::Group | Context::Range) {
            self.at += 1;
            self.braced = false;
            return Ok(Token::BraceClose);
        }
        let single = match (first, context) {
            ('(', Context::Value) => Some(Token::Open),
            (')', Context::Value | Context::Group) => Some(Token::Close),
            ('[', Context::Value | Context::Group) => Some(Token::RangeOpen),
            (']', Context::Range) => Some(Token::RangeClose),
            _ => None,
        };
        if let Some(token) = single {
            self.at += 1;
            return Ok(token);
        }
        if context != Context::Range && matches!(first, '<' | '>' | '=') {
            return Ok(self.comparison(first));
        }
        if first == '"' {
            return self.quoted().map(Token::Text);
        }
        if first == '/' && context != Context::Range {
            return self.regex_or_path();
        }
        let start = self.at;
        let word = self.raw(|c| matches!(c, '(' | ')' | '"') || (c == ']' && context == Context::Range));
        if word.text.is_empty() && context != Context::Value {
            // Only a character that ends a word can stand here; it belongs to nothing.
            self.at += first.len_utf8();
            return Err(RawError::new((start, self.at), format!("`{first}` does not belong here")).fix(""));
        }
        Ok(match (context, &self.text[start..self.at]) {
            (Context::Group, "OR") => Token::Or,
            (Context::Range, "TO") => Token::To,
            _ => Token::Text(word),
        })
    }

    fn term_token(&mut self, first: char) -> Result<Token, RawError> {
        let start = self.at;
        if let Some(token) = self.structure() {
            return Ok(token);
        }
        let token = match first {
            '(' => Token::Open,
            ')' => Token::Close,
            '-' => Token::Minus,
            ':' => {
                self.at += 1;
                let range = (start, self.at);
                return Err(RawError::new(
                    range,
                    "the field's name before `:` is missing; quote text that starts with a colon",
                ));
            }
            '@' => return self.attribute_key(),
            '"' => {
                let word = self.quoted()?;
                if self.peek() != Some(':') || word.text.is_empty() {
                    return Ok(Token::Text(word));
                }
                self.at += 1;
                return Ok(Token::Field(Key { name: word.text, attribute: true, root: false }));
            }
            _ => return self.word_or_key(),
        };
        self.at += 1;
        Ok(token)
    }

    /// Reads what ends a condition, or begins one between braces.
    fn structure(&mut self) -> Option<Token> {
        let rest = &self.text[self.at..];
        let (token, length) = match rest.as_bytes() {
            [b'{', ..] => (Token::BraceOpen, 1),
            [b'}', ..] => (Token::BraceClose, 1),
            [b'&', b'&', ..] => (Token::Both, 2),
            [b'|', b'|', ..] => (Token::Either, 2),
            [b'|', ..] => (Token::Pipe, 1),
            [b'>', b'>', ..] => (Token::Relation(Relation::Descendant), 2),
            [b'<', b'<', ..] => (Token::Relation(Relation::Ancestor), 2),
            _ => return None,
        };
        match token {
            Token::BraceOpen => self.braced = true,
            Token::BraceClose => self.braced = false,
            _ => {}
        }
        self.at += length;
        Some(token)
    }

    fn structure_token(&mut self, first: char) -> Result<Token, RawError> {
        if let Some(token) = self.structure() {
            return Ok(token);
        }
        let relation = match first {
            '>' => Relation::Child,
            '<' => Relation::Parent,
            '~' => Relation::Sibling,
            _ => return self.term_token(first),
        };
        self.at += 1;
        Ok(Token::Relation(relation))
    }

    fn call_token(&mut self, first: char) -> Result<Token, RawError> {
        let start = self.at;
        let token = match first {
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '|' => Token::Pipe,
            '<' | '>' | '=' => return Ok(self.comparison(first)),
            '"' => return self.quoted().map(Token::Text),
            '@' => {
                self.at += 1;
                let word = match self.peek() {
                    Some('"') => self.quoted()?,
                    _ => self.raw(|c| matches!(c, '(' | ')' | '"' | ',' | '|' | '<' | '>' | '=')),
                };
                // What can only be an attribute's name is marked as quotes would mark it.
                return Ok(Token::Text(Word { quoted: true, ..word }));
            }
            _ => {
                let word = self.raw(|c| matches!(c, '(' | ')' | '"' | ',' | '|' | '<' | '>' | '='));
                if self.at > start {
                    return Ok(Token::Text(word));
                }
                // A closing brace, which ends words and belongs to nothing here.
                self.at += first.len_utf8();
                return Err(RawError::new((start, self.at), format!("`{first}` does not belong here")).fix(""));
            }
        };
        self.at += 1;
        Ok(token)
    }

    /// Reads `/pattern/`, or a value that merely begins with a slash, such as a path. It is a pattern
    /// when the next slash that is not escaped stands at the value's end.
    fn regex_or_path(&mut self) -> Result<Token, RawError> {
        let start = self.at;
        let body = &self.text[start + 1..];
        let slash = unescaped_slash(body);
        #[cfg(test)]
        {
            self.steps += slash.unwrap_or(body.len());
        }
        let Some(end) = slash else { return Ok(Token::Text(self.path())) };
        let pattern = &body[..end];
        let ends_value = |next: char| next.is_whitespace() || next == ')' || next == '}' && self.braced;
        let at_value_end = body[end + 1..].chars().next().is_none_or(ends_value);
        if !at_value_end || pattern.is_empty() {
            return Ok(Token::Text(self.path()));
        }
        let spaces = unescaped_spaces(pattern);
        if !spaces {
            self.at = start + 1 + end + 1;
            return Ok(Token::Regex(pattern.to_owned()));
        }
        // `/users` and behind it a term that ends with a slash is likely where there are no fields.
        if pattern.contains([':', '"']) || pattern.split_whitespace().any(|word| KEYWORDS.contains(&word)) {
            return Ok(Token::Text(self.path()));
        }
        if pattern.starts_with(char::is_whitespace) {
            return Ok(Token::Text(self.path()));
        }
        self.at = start + 1 + end + 1;
        let message = r"a space in a pattern is written `\s`; quote a value that is not a pattern";
        Err(RawError::new((start, self.at), message).fix(format!("/{}/", escape_spaces(pattern))))
    }

    fn path(&mut self) -> Word {
        self.raw(|c| matches!(c, '(' | ')' | '"'))
    }

    fn word_or_key(&mut self) -> Result<Token, RawError> {
        let start = self.at;
        if let Some(key) = self.attribute_of_root() {
            return Ok(Token::Field(key));
        }
        if let Some(length) = compared_name(&self.text[start..]) {
            self.at += length;
            return Ok(Token::Field(key_of(self.text[start..self.at].to_owned())));
        }
        let word = self.raw(|c| matches!(c, '(' | ')' | '"' | ':'));
        if self.peek() == Some(':') {
            self.at += 1;
            return Ok(Token::Field(key_of(word.text)));
        }
        // Compared as written: an escaped keyword is a word.
        Ok(match &self.text[start..self.at] {
            "AND" => Token::And,
            "OR" => Token::Or,
            "NOT" => Token::Not,
            _ => Token::Text(word),
        })
    }

    /// Reads `root.@key:` or `root."key":`, if that is what follows.
    fn attribute_of_root(&mut self) -> Option<Key> {
        let start = self.at;
        if !self.text[start..].starts_with(ROOT) {
            return None;
        }
        self.at += ROOT.len();
        let token = match self.peek() {
            Some('@' | '"') => self.term_token(self.peek()?),
            _ => Ok(Token::End),
        };
        if let Ok(Token::Field(key)) = token {
            return Some(Key { root: true, ..key });
        }
        self.at = start;
        None
    }

    /// Reads `@key:`. Anything else that starts with `@` is a word.
    fn attribute_key(&mut self) -> Result<Token, RawError> {
        let start = self.at;
        self.at += 1;
        let key =
            if self.peek() == Some('"') { self.quoted()? } else { self.raw(|c| matches!(c, '(' | ')' | '"' | ':')) };
        if self.peek() == Some(':') && !key.text.is_empty() {
            self.at += 1;
            return Ok(Token::Field(Key { name: key.text, attribute: true, root: false }));
        }
        self.at = start + 1;
        if let Some(length) = compared_name(&self.text[self.at..]) {
            self.at += length;
            let name = self.text[start + 1..self.at].to_owned();
            return Ok(Token::Field(Key { name, attribute: true, root: false }));
        }
        let mut word = self.raw(|c| matches!(c, '(' | ')' | '"' | ':'));
        word.text.insert(0, '@');
        Ok(Token::Text(word))
    }

    fn comparison(&mut self, first: char) -> Token {
        self.at += 1;
        let or_equal = self.peek() == Some('=');
        self.at += usize::from(or_equal);
        Token::Compare(match (first, or_equal) {
            ('>', false) => Comparison::Greater,
            ('>', true) => Comparison::GreaterOrEqual,
            ('=', _) => Comparison::Equal,
            (_, false) => Comparison::Less,
            (_, true) => Comparison::LessOrEqual,
        })
    }

    /// Reads up to white space or a character that ends the word. A backslash takes the special
    /// meaning off the next character.
    fn raw(&mut self, ends: impl Fn(char) -> bool) -> Word {
        let mut word = Word { text: String::new(), wildcard: false, literal_star: false, quoted: false };
        let rest = &self.text[self.at..];
        let mut characters = rest.char_indices();
        let mut length = rest.len();
        // Braces within a word, as in `/users/{id}`, belong to it.
        let mut open_braces = 0_usize;
        while let Some((index, character)) = characters.next() {
            let closes = character == '}' && open_braces == 0 && self.braced;
            if character.is_whitespace() || closes || ends(character) {
                length = index;
                break;
            }
            match character {
                '{' => open_braces += 1,
                '}' => open_braces = open_braces.saturating_sub(1),
                _ => {}
            }
            if character == '\\' {
                let escaped = characters.next().map_or('\\', |(_, escaped)| escaped);
                word.literal_star |= escaped == '*';
                word.text.push(escaped);
            } else {
                word.wildcard |= character == '*';
                word.text.push(character);
            }
        }
        self.at += length;
        word
    }

    fn quoted(&mut self) -> Result<Word, RawError> {
        let start = self.at;
        let mut text = String::new();
        let mut characters = self.text[start + 1..].char_indices();
        while let Some((index, character)) = characters.next() {
            match character {
                '"' => {
                    self.at = start + 1 + index + 1;
                    let literal_star = text.contains('*');
                    return Ok(Word { text, wildcard: false, literal_star, quoted: true });
                }
                '\\' => text.push(characters.next().map_or('\\', |(_, escaped)| escaped)),
                other => text.push(other),
            }
        }
        self.skip_to_end();
        let written = &self.text[start..];
        Err(RawError::new((start, self.at), "the closing quote is missing").fix(format!("{written}\"")))
    }
}

/// What stands before the name of a field that the trace's root has.
const ROOT: &str = "root.";

/// A field's name that was written without `@`.
fn key_of(name: String) -> Key {
    match name.strip_prefix(ROOT).filter(|name| !name.is_empty()) {
        Some(name) => Key { name: name.to_owned(), attribute: false, root: true },
        None => Key { name, attribute: false, root: false },
    }
}

/// The length of a field's name at the beginning that is compared without a colon, as in
/// `service=flaskr` and `duration>=2s`. Arrows, tags and double signs are words.
fn compared_name(text: &str) -> Option<usize> {
    let is_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let length = text.find(|c: char| !is_of_name(c))?;
    let (name, rest) = text.split_at(length);
    let rest = [">=", "<=", ">", "<", "="].iter().find_map(|sign| rest.strip_prefix(sign))?;
    let has_value = rest.starts_with(|c: char| !c.is_whitespace() && !matches!(c, '<' | '>' | '=' | '{' | '}' | ')'));
    let is_name = name.starts_with(|c: char| c.is_alphabetic() || c == '_') && !name.ends_with(['-', '/', '.']);
    (is_name && has_value).then_some(length)
}

/// Words that combine terms.
const KEYWORDS: [&str; 3] = ["AND", "OR", "NOT"];

/// The first slash that no backslash stands before.
fn unescaped_slash(text: &str) -> Option<usize> {
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '/' => return Some(index),
            '\\' => {
                characters.next();
            }
            _ => {}
        }
    }
    None
}

fn unescaped_spaces(pattern: &str) -> bool {
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character == '\\' {
            characters.next();
        } else if character.is_whitespace() {
            return true;
        }
    }
    false
}

fn escape_spaces(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut escaped = false;
    for character in pattern.chars() {
        if character.is_whitespace() && !escaped {
            out.push_str("\\s");
        } else {
            out.push(character);
        }
        escaped = !escaped && character == '\\';
    }
    out
}
