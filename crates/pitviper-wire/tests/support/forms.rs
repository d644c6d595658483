//! Trees in the forms that messages have: MessagePack and JSON.

use super::tree::Tree;

/// MessagePack, with the longest form of every length.
pub(crate) fn write_msgpack(tree: &Tree, out: &mut Vec<u8>) {
    let head = |out: &mut Vec<u8>, byte: u8, length: usize| {
        out.push(byte);
        out.extend_from_slice(&(length as u32).to_be_bytes());
    };
    match tree {
        Tree::Number(number) => {
            out.push(0xcf);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Tree::Float(number) => {
            out.push(0xcb);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Tree::Word(word) => out.push(match word {
            None => 0xc0,
            Some(false) => 0xc2,
            Some(true) => 0xc3,
        }),
        Tree::Text(text) => {
            // What is no text is bytes.
            head(out, if std::str::from_utf8(text).is_ok() { 0xdb } else { 0xc6 }, text.len());
            out.extend_from_slice(text);
        }
        Tree::List(items) => {
            head(out, 0xdd, items.len());
            items.iter().for_each(|item| write_msgpack(item, out));
        }
        Tree::Map(pairs) => {
            head(out, 0xdf, pairs.len());
            for (name, value) in pairs {
                write_msgpack(name, out);
                write_msgpack(value, out);
            }
        }
    }
}

/// JSON, as far as it can say it.
pub(crate) fn write_json(tree: &Tree, out: &mut String) {
    match tree {
        Tree::Number(number) => out.push_str(&number.to_string()),
        Tree::Float(number) => out.push_str(&format!("{number:e}")),
        Tree::Word(None) => out.push_str("null"),
        Tree::Word(Some(flag)) => out.push_str(&flag.to_string()),
        Tree::Text(text) => out.push_str(&serde_json::Value::from(String::from_utf8_lossy(text)).to_string()),
        Tree::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                write_json(item, out);
            }
            out.push(']');
        }
        Tree::Map(pairs) => {
            out.push('{');
            for (at, (name, value)) in pairs.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                match name {
                    Tree::Text(_) => write_json(name, out),
                    other => {
                        let mut text = String::new();
                        write_json(other, &mut text);
                        write_json(&Tree::Text(text.into_bytes()), out);
                    }
                }
                out.push(':');
                write_json(value, out);
            }
            out.push('}');
        }
    }
}

/// Reads JSON; names that are whole numbers are numbers, as MessagePack has them.
pub(crate) fn read_json(text: &str) -> Tree {
    fn tree(value: serde_json::Value) -> Tree {
        match value {
            serde_json::Value::Null => Tree::Word(None),
            serde_json::Value::Bool(flag) => Tree::Word(Some(flag)),
            serde_json::Value::Number(number) => {
                number.as_u64().map_or_else(|| Tree::Float(number.as_f64().unwrap()), Tree::Number)
            }
            serde_json::Value::String(text) => Tree::Text(text.into_bytes()),
            serde_json::Value::Array(items) => Tree::List(items.into_iter().map(tree).collect()),
            serde_json::Value::Object(pairs) => {
                let name = |name: String| name.parse().map_or_else(|_| Tree::Text(name.into_bytes()), Tree::Number);
                Tree::Map(pairs.into_iter().map(|(of, value)| (name(of), tree(value))).collect())
            }
        }
    }
    tree(serde_json::from_str(text).unwrap())
}
