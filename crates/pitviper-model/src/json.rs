//! Values as JSON that loses nothing.
//!
//! Plain JSON cannot tell bytes from text nor hold a float that is not finite, and an object must
//! not lose the order or the repetition of its keys. So bytes are `{"$bytes":"hex"}`, such floats are
//! `{"$double":"NaN"}`, and a map with a key that begins with `$` is `{"$map":{…}}`. All else is the
//! JSON anyone would write, which keeps what is stored readable for other tools. Integers have no
//! point or exponent, floats always do.

use std::fmt::Write as _;

use crate::{Attributes, Value};

/// How a map begins that has a key with `$`. No other map can: its first key would have one.
pub const ESCAPED_MAP: &str = "{\"$map\":";

/// Appends a value.
pub fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => write_text(text, out),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Int(number) => write_display(number, out),
        Value::Double(number) if number.is_finite() => write_debug(number, out),
        Value::Double(number) => {
            out.push_str("{\"$double\":\"");
            write_display(number, out);
            out.push_str("\"}");
        }
        Value::Bytes(bytes) => {
            out.push_str("{\"$bytes\":\"");
            write_hex(bytes, out);
            out.push_str("\"}");
        }
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(value, out);
            }
            out.push(']');
        }
        Value::Map(attributes) => write_map(attributes, out),
    }
}

/// Appends attributes as a value.
pub fn write_map(attributes: &Attributes, out: &mut String) {
    let escape = attributes.iter().any(|(key, _)| key.starts_with('$'));
    if escape {
        out.push_str(ESCAPED_MAP);
    }
    write_attributes(attributes, out);
    if escape {
        out.push('}');
    }
}

fn write_attributes(attributes: &Attributes, out: &mut String) {
    out.push('{');
    for (index, (key, value)) in attributes.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_text(key, out);
        out.push(':');
        write_value(value, out);
    }
    out.push('}');
}

/// Appends text in quotes.
pub fn write_text(text: &str, out: &mut String) {
    out.push('"');
    let mut clean_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[clean_from..at]);
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
        clean_from = at + 1;
    }
    out.push_str(&text[clean_from..]);
    out.push('"');
}

/// Appends bytes as lower-case hex.
pub fn write_hex(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

fn write_display(value: &impl std::fmt::Display, out: &mut String) {
    let _ = write!(out, "{value}");
}

fn write_debug(value: &impl std::fmt::Debug, out: &mut String) {
    let _ = write!(out, "{value:?}");
}
