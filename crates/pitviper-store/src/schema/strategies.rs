//! Random model types for the tables' property tests.

use pitviper_model::{Attributes, Resource, Scope, Value};
use proptest::collection::vec;
use proptest::prelude::*;

pub(super) fn text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,12}", Just("$map".to_owned()), Just("$bytes".to_owned()), ".{0,6}"]
}

/// A float that equals itself.
pub(super) fn double() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("NaN equals nothing", |number| !number.is_nan())
}

pub(super) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        text().prop_map(Value::String),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        double().prop_map(Value::Double),
        vec(any::<u8>(), 0..9).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            vec((text(), inner), 0..4).prop_map(|pairs| Value::Map(Attributes(pairs))),
        ]
    })
}

pub(super) fn attributes() -> impl Strategy<Value = Attributes> {
    vec((text(), value()), 0..5).prop_map(Attributes)
}

pub(super) fn resource() -> impl Strategy<Value = Resource> {
    (attributes(), any::<u32>(), text()).prop_map(|(attributes, dropped_attributes_count, schema_url)| Resource {
        attributes,
        dropped_attributes_count,
        schema_url,
    })
}

pub(super) fn scope() -> impl Strategy<Value = Scope> {
    (text(), text(), attributes(), text()).prop_map(|(name, version, attributes, schema_url)| Scope {
        name,
        version,
        attributes,
        schema_url,
    })
}
