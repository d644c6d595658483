//! A value of an answer, as JSON and as a field of CSV.

use std::borrow::Cow;

use pitviper_store::questions::sql::SqlValue;
use serde::ser::{Serialize, SerializeMap, Serializer};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::time::iso8601_of;

/// One value: null, true or false, a number, text, a list or an object. Times are ISO 8601 in UTC,
/// whole numbers beyond 64 bits and numbers that are none are text.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell(pub SqlValue);

impl PartialSchema for Cell {
    fn schema() -> RefOr<Schema> {
        serde_json::Value::schema()
    }
}

impl ToSchema for Cell {}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Borrowed(&self.0).serialize(serializer)
    }
}

struct Borrowed<'a>(&'a SqlValue);

impl Serialize for Borrowed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            SqlValue::Null => serializer.serialize_none(),
            SqlValue::Boolean(flag) => serializer.serialize_bool(*flag),
            SqlValue::Integer(number) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(number), _) => serializer.serialize_i64(number),
                (_, Ok(number)) => serializer.serialize_u64(number),
                _ => serializer.collect_str(number),
            },
            SqlValue::Float(number) if number.is_finite() => serializer.serialize_f64(*number),
            SqlValue::Float(number) => serializer.collect_str(number),
            SqlValue::Text(text) => serializer.serialize_str(text),
            SqlValue::Timestamp(time) => serializer.serialize_str(&iso8601_of(*time)),
            SqlValue::List(items) => serializer.collect_seq(items.iter().map(Borrowed)),
            SqlValue::Map(entries) => {
                let mut map = serializer.serialize_map(None)?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    // Of a repeated key the last value counts, as everywhere.
                    if !entries[index + 1..].iter().any(|(later, _)| later == key) {
                        map.serialize_entry(key, &Borrowed(value))?;
                    }
                }
                map.end()
            }
        }
    }
}

impl Cell {
    pub(super) fn as_csv(&self) -> Cow<'_, str> {
        match &self.0 {
            SqlValue::Null => "".into(),
            SqlValue::Text(text) => text.into(),
            SqlValue::Timestamp(time) => iso8601_of(*time).into(),
            SqlValue::Float(number) if !number.is_finite() => number.to_string().into(),
            _ => serde_json::to_string(self).expect("keys of maps are text").into(),
        }
    }
}

/// Adds a line as RFC 4180 has it.
pub(super) fn csv_line<'a>(out: &mut String, fields: impl Iterator<Item = Cow<'a, str>>) {
    for (index, field) in fields.enumerate() {
        if index > 0 {
            out.push(',');
        }
        if field.contains([',', '"', '\r', '\n']) {
            out.push('"');
            out.push_str(&field.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(&field);
        }
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_form_in_json_and_csv() {
        let map = SqlValue::Map(vec![
            ("a".to_owned(), SqlValue::Integer(1)),
            ("b".to_owned(), SqlValue::Null),
            ("a".to_owned(), SqlValue::Text("x,\"y\"".to_owned())),
        ]);
        let values = [
            (SqlValue::Null, "null", ""),
            (SqlValue::Boolean(true), "true", "true"),
            (SqlValue::Integer(i128::from(u64::MAX)), "18446744073709551615", "18446744073709551615"),
            (SqlValue::Float(0.5), "0.5", "0.5"),
            (SqlValue::Float(f64::NEG_INFINITY), "\"-inf\"", "-inf"),
            (SqlValue::Text("a\nb".to_owned()), "\"a\\nb\"", "\"a\nb\""),
            (
                SqlValue::Timestamp(1_700_000_000_000_000_001),
                "\"2023-11-14T22:13:20.000000001Z\"",
                "2023-11-14T22:13:20.000000001Z",
            ),
            (SqlValue::List(vec![SqlValue::Integer(1), SqlValue::Null]), "[1,null]", "\"[1,null]\""),
            (map, r#"{"b":null,"a":"x,\"y\""}"#, r#""{""b"":null,""a"":""x,\""y\""""}""#),
        ];
        for (value, json, csv) in values {
            let cell = Cell(value);
            assert_eq!(serde_json::to_string(&cell).unwrap(), json);
            let mut line = String::new();
            csv_line(&mut line, std::iter::once(cell.as_csv()));
            assert_eq!(line, format!("{csv}\r\n"));
        }
    }
}
