//! Attribute values and attribute lists.

use crate::json;

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
    /// How many bytes its text takes, at least about: bytes as hex, numbers as eight.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::String(text) => text.len(),
            Self::Bytes(bytes) => bytes.len() * 2,
            Self::Array(values) => values.iter().map(Self::size_bytes).sum(),
            Self::Map(list) => list.size_bytes(),
            Self::Bool(_) | Self::Int(_) | Self::Double(_) => 8,
        }
    }

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

    /// The one text form used for storing and comparing: text as it is, numbers in decimal, bytes as
    /// hex, lists and maps as the JSON of [`json`].
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        match self {
            Self::String(text) => return text.clone(),
            Self::Double(number) if !number.is_finite() => return number.to_string(),
            Self::Bytes(bytes) => json::write_hex(bytes, &mut out),
            other => json::write_value(other, &mut out),
        }
        out
    }
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
    /// How many bytes keys and values take together, as [`Value::size_bytes`] counts them.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.iter().map(|(key, value)| key.len() + value.size_bytes()).sum()
    }

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
    fn text_has_no_quotes_around_it() {
        let bytes = Value::Bytes(vec![0, 0xab, 0xff]);
        assert_eq!(bytes.to_text(), "00abff");
        assert_eq!(Value::from(f64::NAN).to_text(), "NaN");
        assert_eq!(Value::from(1.0).to_text(), "1.0");
        assert_eq!(Value::from("a \"b\"").to_text(), "a \"b\"");
    }

    #[test]
    fn nested_values_lose_nothing() {
        let text = |values: Vec<Value>| Value::Array(values).to_text();
        assert_eq!(text(vec![true.into(), 7.into(), 1.0.into()]), "[true,7,1.0]");
        assert_eq!(text(vec!["quote\"".into(), "line\nend\u{1}".into()]), "[\"quote\\\"\",\"line\\nend\\u0001\"]");
        assert_eq!(text(vec![Value::Bytes(vec![0, 0xab])]), "[{\"$bytes\":\"00ab\"}]");
        assert_eq!(text(vec![f64::NAN.into()]), "[{\"$double\":\"NaN\"}]");
    }
}
