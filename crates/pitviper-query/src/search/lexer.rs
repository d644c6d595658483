//! Splits a query into tokens. What a character means depends on where it stands, so the parser
//! says what it is reading.

use super::ast::Comparison;
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
    End,
}

/// A field's name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    pub(super) name: String,
    /// Whether it can only be an attribute: behind `@` or between quotes.
    pub(super) attribute: bool,
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
}

/// Reads tokens off the text.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
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
        let token = self.token(context)?;
        Ok(Spanned { token, range: (start, self.at) })
    }

    fn token(&mut self, context: Context) -> Result<Token, RawError> {
        let Some(first) = self.peek() else { return Ok(Token::End) };
        if context == Context::Term {
            return self.term_token(first);
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
        if context != Context::Range && matches!(first, '<' | '>') {
            return Ok(self.comparison(first));
        }
        if first == '"' {
            return self.quoted().map(Token::Text);
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
                return Ok(Token::Field(Key { name: word.text, attribute: true }));
            }
            _ => return Ok(self.word_or_key()),
        };
        self.at += 1;
        Ok(token)
    }

    fn word_or_key(&mut self) -> Token {
        let start = self.at;
        let word = self.raw(|c| matches!(c, '(' | ')' | '"' | ':'));
        if self.peek() == Some(':') {
            self.at += 1;
            return Token::Field(Key { name: word.text, attribute: false });
        }
        // Compared as written: an escaped keyword is a word.
        match &self.text[start..self.at] {
            "AND" => Token::And,
            "OR" => Token::Or,
            "NOT" => Token::Not,
            _ => Token::Text(word),
        }
    }

    /// Reads `@key:`. Anything else that starts with `@` is a word.
    fn attribute_key(&mut self) -> Result<Token, RawError> {
        let start = self.at;
        self.at += 1;
        let key =
            if self.peek() == Some('"') { self.quoted()? } else { self.raw(|c| matches!(c, '(' | ')' | '"' | ':')) };
        if self.peek() == Some(':') && !key.text.is_empty() {
            self.at += 1;
            return Ok(Token::Field(Key { name: key.text, attribute: true }));
        }
        self.at = start + 1;
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
        while let Some((index, character)) = characters.next() {
            if character.is_whitespace() || ends(character) {
                length = index;
                break;
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
