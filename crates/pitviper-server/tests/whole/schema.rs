//! Checks JSON against the schemas of the OpenAPI document.
//!
//! Knows the keywords the document uses and refuses others, so that nothing goes unchecked unnoticed.

use serde_json::Value;

/// Checks a value. `Err` says what is wrong and where.
pub(crate) fn check(document: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let Some(rules) = schema.as_object() else {
        return Err(format!("{place}: the schema is {schema}"));
    };
    for (keyword, rule) in rules {
        check_keyword(document, rules, keyword, rule, value, place)?;
    }
    Ok(())
}

fn check_keyword(
    document: &Value,
    rules: &serde_json::Map<String, Value>,
    keyword: &str,
    rule: &Value,
    value: &Value,
    place: &str,
) -> Result<(), String> {
    let wrong = |what: String| Err(format!("{place}: {what}, got {value}"));
    match keyword {
        "description" | "format" | "default" | "title" => Ok(()),
        "$ref" => {
            let pointer = rule.as_str().unwrap().trim_start_matches('#');
            let target = document.pointer(pointer).ok_or(format!("{place}: {rule} is not in the document"))?;
            check(document, target, value, place)
        }
        "type" => {
            let kinds: Vec<&str> = match rule {
                Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
                kind => kind.as_str().into_iter().collect(),
            };
            if kinds.iter().any(|kind| is_of(value, kind)) { Ok(()) } else { wrong(format!("should be {rule}")) }
        }
        "enum" => {
            if rule.as_array().unwrap().contains(value) {
                Ok(())
            } else {
                wrong(format!("should be one of {rule}"))
            }
        }
        "minimum" => match value.as_f64() {
            Some(number) if number < rule.as_f64().unwrap() => wrong(format!("is below {rule}")),
            _ => Ok(()),
        },
        "required" => {
            let missing = |name: &&Value| value.is_object() && value.get(name.as_str().unwrap()).is_none();
            match rule.as_array().unwrap().iter().find(missing) {
                Some(name) => wrong(format!("{name} is missing")),
                None => Ok(()),
            }
        }
        "properties" => {
            let Some(object) = value.as_object() else { return Ok(()) };
            let schemas = rule.as_object().unwrap();
            for (name, member) in object {
                match schemas.get(name) {
                    Some(schema) => check(document, schema, member, &format!("{place}.{name}"))?,
                    None if rules.contains_key("additionalProperties") => {}
                    None => return wrong(format!("{name} is not documented")),
                }
            }
            Ok(())
        }
        "additionalProperties" if rule == &Value::Bool(true) => Ok(()),
        "additionalProperties" => {
            let named = rules.get("properties");
            for (name, member) in value.as_object().into_iter().flatten() {
                if named.is_none_or(|named| named.get(name).is_none()) {
                    check(document, rule, member, &format!("{place}.{name}"))?;
                }
            }
            Ok(())
        }
        "propertyNames" => Ok(()),
        "prefixItems" => {
            let schemas = rule.as_array().unwrap();
            let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
            if items.len() != schemas.len() {
                return wrong(format!("should have {} members", schemas.len()));
            }
            items
                .iter()
                .zip(schemas)
                .enumerate()
                .try_for_each(|(index, (item, schema))| check(document, schema, item, &format!("{place}[{index}]")))
        }
        // What comes behind `prefixItems` was counted there.
        "items" if rule == &Value::Bool(false) => Ok(()),
        "items" => value
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
            .try_for_each(|(index, item)| check(document, rule, item, &format!("{place}[{index}]"))),
        "oneOf" | "anyOf" => {
            let outcomes: Vec<_> =
                rule.as_array().unwrap().iter().map(|schema| check(document, schema, value, place)).collect();
            let passed = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
            match (keyword, passed) {
                (_, 0) => wrong(format!("fits none of {outcomes:?}")),
                ("oneOf", 2..) => wrong("fits several".to_owned()),
                _ => Ok(()),
            }
        }
        other => Err(format!("{place}: the keyword {other} is not known to this check")),
    }
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

#[test]
fn finds_what_is_wrong() {
    use serde_json::json;
    let document = json!({ "s": { "type": "object", "required": ["a"], "properties": { "a": { "type": "integer", "minimum": 0 } } } });
    let schema = json!({ "type": "array", "items": { "oneOf": [{ "$ref": "#/s" }, { "type": "null" }] } });
    assert_eq!(check(&document, &schema, &json!([{ "a": 1 }, null]), "x"), Ok(()));
    for wrong in [json!([{}]), json!([{ "a": -1 }]), json!([{ "a": 1, "b": 2 }]), json!([1]), json!({})] {
        assert!(check(&document, &schema, &wrong, "x").is_err(), "{wrong}");
    }
}
