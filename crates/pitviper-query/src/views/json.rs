//! Attributes as JSON.

use std::sync::Arc;

use pitviper_model::{Attributes, Value};
use serde::ser::{Serialize, SerializeMap, Serializer};
use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Shared text that serialises as a plain string.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(pub Arc<str>);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Attributes as a JSON object: text, numbers, booleans, lists and objects as such, bytes as hex.
/// Of a repeated key the last value counts.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonAttributes(pub Attributes);

impl PartialSchema for JsonAttributes {
    fn schema() -> RefOr<Schema> {
        let object = ObjectBuilder::new()
            .description(Some("Attributes by key, each with its own type."))
            .additional_properties(Some(AdditionalProperties::FreeForm(true)));
        RefOr::T(Schema::Object(object.build()))
    }
}

impl ToSchema for JsonAttributes {}

impl Serialize for JsonAttributes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Borrowed(&self.0).serialize(serializer)
    }
}

struct Borrowed<'a>(&'a Attributes);

impl Serialize for Borrowed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = &self.0.0;
        let mut map = serializer.serialize_map(None)?;
        for (index, (key, value)) in pairs.iter().enumerate() {
            // Attribute lists are short, so looking ahead is cheaper than a set of keys.
            if !pairs[index + 1..].iter().any(|(later, _)| later == key) {
                map.serialize_entry(key, &BorrowedValue(value))?;
            }
        }
        map.end()
    }
}

/// A value as JSON, as one of [`JsonAttributes`] is.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonValue(pub Value);

impl Serialize for JsonValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        BorrowedValue(&self.0).serialize(serializer)
    }
}

struct BorrowedValue<'a>(&'a Value);

impl Serialize for BorrowedValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::String(text) => serializer.serialize_str(text),
            Value::Bool(flag) => serializer.serialize_bool(*flag),
            Value::Int(number) => serializer.serialize_i64(*number),
            Value::Double(number) if number.is_finite() => serializer.serialize_f64(*number),
            Value::Double(number) => serializer.collect_str(number),
            Value::Bytes(bytes) => serializer.collect_str(&Hex(bytes)),
            Value::Array(values) => serializer.collect_seq(values.iter().map(BorrowedValue)),
            Value::Map(attributes) => Borrowed(attributes).serialize(serializer),
        }
    }
}

/// Bytes as hex digits.
struct Hex<'a>(&'a [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_types_and_the_last_of_a_repeated_key() {
        let mut attributes = Attributes::default();
        attributes.set("text", "a");
        attributes.set("whole", 7);
        attributes.set("real", 0.5);
        attributes.set("none", f64::NAN);
        attributes.set("bytes", Value::Bytes(vec![0, 255]));
        attributes.set("list", Value::Array(vec![true.into(), Value::Map(Attributes::default())]));
        attributes.0.push(("text".into(), "b".into()));
        let json = serde_json::to_string(&JsonAttributes(attributes)).unwrap();
        assert_eq!(json, r#"{"whole":7,"real":0.5,"none":"NaN","bytes":"00ff","list":[true,{}],"text":"b"}"#);
    }
}
