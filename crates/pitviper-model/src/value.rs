//! Attribute values and attribute lists.

use std::fmt::Write as _;

/// A value an attribute can have, as in OpenTelemetry's `AnyValue`.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    String(String),
    /// True or false.
    Bool(bool),
    /// A signed 64-bit integer.
    Int(i64),
    /// A 64-bit float.
    Double(f64),
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// A list of values.
    Array(Vec<Value>),
    /// A nested list of attributes.
    Map(Attributes),
}

impl Value {
    /// The text, when the value is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, when the value is an integer.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The number, when the value is an integer or a float.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Double(number) => Some(*number),
            _ => None,
        }
    }

    /// The one text form used for storing and comparing: text as it is, numbers in decimal, lists
    /// and maps as JSON, bytes as hex without quotes.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::String(text) => text.clone(),
            Self::Double(number) if !number.is_finite() => number.to_string(),
            Self::Bytes(bytes) => {
                let mut out = String::with_capacity(bytes.len() * 2);
                write_hex(bytes, &mut out);
                out
            }
            other => {
                let mut out = String::new();
                other.write_json(&mut out);
                out
            }
        }
    }

    /// Appends the value as JSON. Bytes become a hex string; a float that is not finite becomes a
    /// string, because JSON has no number for it.
    pub fn write_json(&self, out: &mut String) {
        match self {
            Self::String(text) => write_json_string(text, out),
            Self::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Self::Int(number) => {
                let _ = write!(out, "{number}");
            }
            Self::Double(number) if number.is_finite() => {
                let _ = write!(out, "{number:?}");
            }
            Self::Double(number) => {
                let _ = write!(out, "\"{number}\"");
            }
            Self::Bytes(bytes) => {
                out.push('"');
                write_hex(bytes, out);
                out.push('"');
            }
            Self::Array(values) => {
                out.push('[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    value.write_json(out);
                }
                out.push(']');
            }
            Self::Map(attributes) => attributes.write_json(out),
        }
    }
}

fn write_hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
}

fn write_json_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if (control as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", control as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Double(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

/// Attributes in the order they were set. Keys are unique when built with [`Attributes::set`]; a
/// list taken from the wire may repeat a key, and then the last one counts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attributes(pub Vec<(String, Value)>);

impl Attributes {
    /// The value under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The text under `key`, when it is text.
    #[must_use]
    pub fn get_str(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }

    /// The text under the first of `keys` that has one. For attributes that were renamed.
    #[must_use]
    pub fn first_str(&self, keys: &[&str]) -> Option<&str> {
        keys.iter().find_map(|key| self.get_str(key))
    }

    /// Sets `key`, replacing what it had.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        let key = key.into();
        let value = value.into();
        match self.0.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key, value)),
        }
    }

    /// The pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many pairs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends the attributes as a JSON object.
    pub fn write_json(&self, out: &mut String) {
        out.push('{');
        for (index, (key, value)) in self.0.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            write_json_string(key, out);
            out.push(':');
            value.write_json(out);
        }
        out.push('}');
    }

    /// The attributes as a JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Attributes {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(pairs: T) -> Self {
        Self(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_repeated_key_counts() {
        let attributes: Attributes =
            [("a", 1), ("b", 2), ("a", 3)].map(|(k, v)| (k, Value::Int(v))).into_iter().collect();
        assert_eq!(attributes.get("a"), Some(&Value::Int(3)));
    }

    #[test]
    fn setting_replaces() {
        let mut attributes = Attributes::default();
        attributes.set("a", 1);
        attributes.set("a", "two");
        assert_eq!(attributes.len(), 1);
        assert_eq!(attributes.get_str("a"), Some("two"));
    }

    #[test]
    fn json_escapes_and_keeps_types() {
        let mut attributes = Attributes::default();
        attributes.set("quote\"", "line\nend\u{1}");
        attributes.set("n", 1.0);
        attributes.set("nan", f64::NAN);
        attributes.set("list", Value::Array(vec![true.into(), 7.into()]));
        assert_eq!(
            attributes.to_json(),
            "{\"quote\\\"\":\"line\\nend\\u0001\",\"n\":1.0,\"nan\":\"NaN\",\"list\":[true,7]}"
        );
        assert_eq!(attributes.get("n").unwrap().to_text(), "1.0");
    }

    #[test]
    fn text_has_no_quotes_around_it() {
        let bytes = Value::Bytes(vec![0, 0xab, 0xff]);
        assert_eq!(bytes.to_text(), "00abff");
        assert_eq!(Value::Array(vec![bytes]).to_text(), "[\"00abff\"]", "within JSON it is a string");
        assert_eq!(Value::from(f64::NAN).to_text(), "NaN");
        assert_eq!(Value::from("a \"b\"").to_text(), "a \"b\"");
    }
}
