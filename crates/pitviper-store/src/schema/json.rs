//! Reads back the JSON of [`pitviper_model::json`], in which attributes are stored.

use pitviper_model::json::ESCAPED_MAP;
pub(crate) use pitviper_model::json::{write_hex, write_map, write_text, write_value};
use pitviper_model::{Attributes, Value};

/// Deepest nesting that is read back; deeper input is refused instead of exhausting the stack.
/// Receivers allow less.
const MAX_DEPTH: usize = 512;

/// Reads bytes from hex.
pub(crate) fn read_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// Reads what [`write_value`] wrote; `None` when the text is something else.
pub(crate) fn read_value(text: &str) -> Option<Value> {
    let mut reader = Reader::new(text);
    let value = reader.value(0)?;
    reader.at_end().then_some(value)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn at_end(&self) -> bool {
        self.at == self.text.len()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found.then_some(())
    }

    fn word(&mut self, word: &str, value: Value) -> Option<Value> {
        self.text[self.at..].starts_with(word).then(|| {
            self.at += word.len();
            value
        })
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.peek()? {
            b'"' => self.string().map(Value::String),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'[' => self.array(depth),
            b'{' if self.text[self.at..].starts_with(ESCAPED_MAP) => {
                self.at += ESCAPED_MAP.len();
                let attributes = self.object(depth + 1)?;
                self.take(b'}')?;
                Some(Value::Map(attributes))
            }
            b'{' => self.object(depth).map(unescape),
            _ => self.number(),
        }
    }

    fn array(&mut self, depth: usize) -> Option<Value> {
        self.take(b'[')?;
        let mut values = Vec::new();
        if self.take(b']').is_some() {
            return Some(Value::Array(values));
        }
        loop {
            values.push(self.value(depth + 1)?);
            if self.take(b']').is_some() {
                return Some(Value::Array(values));
            }
            self.take(b',')?;
        }
    }

    fn object(&mut self, depth: usize) -> Option<Attributes> {
        self.take(b'{')?;
        let mut pairs = Vec::new();
        if self.take(b'}').is_some() {
            return Some(Attributes(pairs));
        }
        loop {
            let key = self.string()?;
            self.take(b':')?;
            pairs.push((key, self.value(depth + 1)?));
            if self.take(b'}').is_some() {
                return Some(Attributes(pairs));
            }
            self.take(b',')?;
        }
    }

    fn number(&mut self) -> Option<Value> {
        let rest = &self.text[self.at..];
        let length = rest
            .bytes()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .unwrap_or(rest.len());
        let number = &rest[..length];
        self.at += length;
        if number.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
            number.parse().ok().map(Value::Double)
        } else {
            number.parse().ok().map(Value::Int)
        }
    }

    fn string(&mut self) -> Option<String> {
        self.take(b'"')?;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let length = rest.bytes().position(|byte| byte == b'"' || byte == b'\\')?;
            out.push_str(&rest[..length]);
            self.at += length;
            if self.take(b'"').is_some() {
                return Some(out);
            }
            self.take(b'\\')?;
            let escape = self.text[self.at..].chars().next()?;
            self.at += escape.len_utf8();
            match escape {
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                'u' => {
                    let digits = self.text.get(self.at..self.at + 4)?;
                    self.at += 4;
                    out.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
                }
                other => out.push(other),
            }
        }
    }
}

/// Turns the objects that stand for bytes and special floats back into them.
fn unescape(attributes: Attributes) -> Value {
    if let [(key, value)] = attributes.0.as_slice() {
        match (key.as_str(), value) {
            ("$bytes", Value::String(hex)) => {
                if let Some(bytes) = read_hex(hex) {
                    return Value::Bytes(bytes);
                }
            }
            ("$double", Value::String(text)) => {
                if let Ok(number) = text.parse() {
                    return Value::Double(number);
                }
            }
            _ => {}
        }
    }
    Value::Map(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &Value, expect: &str) {
        let mut out = String::new();
        write_value(value, &mut out);
        assert_eq!(out, expect);
        assert_eq!(read_value(&out).as_ref(), Some(value), "{out}");
    }

    #[test]
    fn values_come_back_as_they_were() {
        check(&Value::from("a\"b\\c\nd\u{1}é"), "\"a\\\"b\\\\c\\nd\\u0001é\"");
        check(&Value::Int(i64::MIN), "-9223372036854775808");
        check(&Value::Double(1.0), "1.0");
        check(&Value::Double(1e300), "1e300");
        check(&Value::Double(f64::INFINITY), "{\"$double\":\"inf\"}");
        check(&Value::Bytes(vec![0, 255]), "{\"$bytes\":\"00ff\"}");
        check(&Value::Array(vec![]), "[]");
        check(&Value::Map(Attributes::default()), "{}");
        let tricky = Attributes(vec![("$bytes".into(), Value::from("00")), ("a".into(), Value::Bool(true))]);
        check(&Value::Map(tricky), "{\"$map\":{\"$bytes\":\"00\",\"a\":true}}");
        check(&Value::Map(Attributes(vec![("$bytes".into(), Value::from("00"))])), "{\"$map\":{\"$bytes\":\"00\"}}");
    }

    #[test]
    fn a_map_that_looks_like_an_escaped_map_survives() {
        let inner = Value::Map(Attributes(vec![("x".into(), Value::Int(1))]));
        check(&Value::Map(Attributes(vec![("$map".into(), inner)])), "{\"$map\":{\"$map\":{\"x\":1}}}");
    }

    #[test]
    fn other_text_is_refused_without_panic() {
        for text in [
            "",
            "{",
            "[1,",
            "\"a",
            "\"\\é",
            "\"\\u12",
            "\"\\ué1\"",
            "nope",
            "1 2",
            "{\"a\"}",
            "{\"a\":1}x",
            "-",
            "1.2.3",
        ] {
            assert_eq!(read_value(text), None, "{text}");
        }
        assert_eq!(read_value(&"[".repeat(100_000)), None);
    }
}
