//! OTLP/JSON into the model. Source: OTLP specification, "JSON Protobuf Encoding": ids are hex,
//! 64-bit integers may be strings, enums may be names, unknown fields are ignored, and `null`
//! stands for a default.

use std::sync::Arc;

use base64::Engine as _;
use pitviper_model::{Attributes, Resource, Scope, SpanId, TraceId, Value};
use serde::{Deserialize, Deserializer, de};

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A document whose fields may be missing or null.
macro_rules! document {
    ($name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct $name {
            $(#[serde(deserialize_with = "or_default")] $field: $type),*
        }
    };
}

mod logs;
mod metrics;
mod profiles;
mod traces;

pub(super) use logs::RECORD_BYTES;
pub use logs::logs_from_json;
pub use metrics::metrics_from_json;
pub(super) use metrics::{EXEMPLAR_BYTES, POINT_BYTES};
pub use profiles::{ProfilesError, profiles_from_json};
pub use traces::traces_from_json;
pub(super) use traces::{LINK_BYTES, SPAN_BYTES};

/// What an attribute takes while it is decoded, beyond its text, in bytes.
pub(super) const PAIR_BYTES: usize = size_of::<KeyValue>() + size_of::<(String, Value)>();

/// What a number of a list takes while it is decoded, in bytes: as it was sent and in the model, in
/// lists that grew to twice their size.
pub(super) const NUMBER_BYTES: usize = 2 * (size_of::<Integer<u64>>() + size_of::<u64>());

document!(ResourceDocument { attributes: Vec<KeyValue>, dropped_attributes_count: u32 });
document!(ScopeDocument { name: String, version: String, attributes: Vec<KeyValue> });
document!(KeyValue { key: String, value: AnyValue });
document!(AnyValue {
    string_value: Option<String>,
    bool_value: Option<bool>,
    int_value: Option<Integer<i64>>,
    double_value: Option<Float>,
    array_value: Option<ArrayDocument>,
    kvlist_value: Option<KvlistDocument>,
    bytes_value: Option<Base64>,
});
document!(ArrayDocument { values: Vec<AnyValue> });
document!(KvlistDocument { values: Vec<KeyValue> });

/// A 64-bit integer as a number or as text.
#[derive(Default)]
struct Integer<T>(T);

impl<'de, T: TryFrom<i128> + std::str::FromStr> Deserialize<'de> for Integer<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Unsigned(u64),
            Signed(i64),
            Text(String),
        }
        let parsed = match Form::deserialize(deserializer)? {
            Form::Unsigned(number) => T::try_from(i128::from(number)).ok(),
            Form::Signed(number) => T::try_from(i128::from(number)).ok(),
            Form::Text(text) => text.parse().ok(),
        };
        parsed.map(Self).ok_or_else(|| de::Error::custom("not a 64-bit integer in range"))
    }
}

/// A float as a number, or as the text JSON has no number for.
#[derive(Default)]
struct Float(f64);

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(f64),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(number) => Ok(Self(number)),
            Form::Text(text) => {
                text.parse().map(Self).map_err(|_| de::Error::custom("not a number, NaN, Infinity or -Infinity"))
            }
        }
    }
}

#[derive(Default)]
struct Base64(Vec<u8>);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        base64::engine::general_purpose::STANDARD.decode(text).map(Self).map_err(de::Error::custom)
    }
}

/// An enum as its number or its name.
#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrName {
    Number(i32),
    Name(String),
}

impl ResourceDocument {
    fn into_model(self, schema_url: String) -> Arc<Resource> {
        Arc::new(Resource {
            attributes: attributes(self.attributes),
            dropped_attributes_count: self.dropped_attributes_count,
            schema_url,
        })
    }
}

impl ScopeDocument {
    fn into_model(self, schema_url: String) -> Arc<Scope> {
        Arc::new(Scope { name: self.name, version: self.version, attributes: attributes(self.attributes), schema_url })
    }
}

fn attributes(pairs: Vec<KeyValue>) -> Attributes {
    Attributes(pairs.into_iter().map(|pair| (pair.key, pair.value.into_model())).collect())
}

impl AnyValue {
    /// The value, unless there is none.
    fn into_model_if_any(self) -> Option<Value> {
        let has_any = self.string_value.is_some()
            || self.bool_value.is_some()
            || self.int_value.is_some()
            || self.double_value.is_some()
            || self.array_value.is_some()
            || self.kvlist_value.is_some()
            || self.bytes_value.is_some();
        has_any.then(|| self.into_model())
    }

    fn into_model(self) -> Value {
        if let Some(text) = self.string_value {
            Value::String(text)
        } else if let Some(flag) = self.bool_value {
            Value::Bool(flag)
        } else if let Some(number) = self.int_value {
            Value::Int(number.0)
        } else if let Some(number) = self.double_value {
            Value::Double(number.0)
        } else if let Some(array) = self.array_value {
            Value::Array(array.values.into_iter().map(Self::into_model).collect())
        } else if let Some(list) = self.kvlist_value {
            Value::Map(attributes(list.values))
        } else if let Some(bytes) = self.bytes_value {
            Value::Bytes(bytes.0)
        } else {
            Value::String(String::new())
        }
    }
}

fn trace_id(text: &str) -> TraceId {
    text.parse().unwrap_or_default()
}

fn span_id(text: &str) -> SpanId {
    text.parse().unwrap_or_default()
}
