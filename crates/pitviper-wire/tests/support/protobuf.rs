//! Trees as protobuf, read and written.

use super::tree::Tree;

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Protobuf: a map is a message, whose names are its keys; a list is packed numbers.
pub(crate) fn write_protobuf(tree: &Tree, out: &mut Vec<u8>) {
    match tree {
        Tree::Number(number) => varint(*number, out),
        Tree::Float(number) => out.extend_from_slice(&number.to_le_bytes()),
        Tree::Word(word) => out.push((*word == Some(true)).into()),
        Tree::Text(text) => out.extend_from_slice(text),
        Tree::List(items) => items.iter().for_each(|item| write_protobuf(item, out)),
        Tree::Map(pairs) => {
            for (key, value) in pairs {
                let key = if let Tree::Number(key) = key { *key } else { 10 };
                varint(key, out);
                let mut content = Vec::new();
                write_protobuf(value, &mut content);
                // Whatever is not a number has a length, unless its key says otherwise.
                if key & 7 == 2 {
                    varint(content.len() as u64, out);
                }
                out.extend_from_slice(&content);
            }
        }
    }
}

/// Reads a message. What looks like one inside is one, and anything else is bytes.
pub(crate) fn read_protobuf(bytes: &[u8]) -> Option<Tree> {
    fn number(bytes: &mut &[u8]) -> Option<u64> {
        let mut number = 0;
        for (at, byte) in bytes.iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                *bytes = &bytes[at + 1..];
                return Some(number);
            }
        }
        None
    }
    let (mut rest, mut pairs) = (bytes, Vec::new());
    while !rest.is_empty() {
        let key = number(&mut rest).filter(|key| (8..1 << 12).contains(key))?;
        let value = match key & 7 {
            0 => Tree::Number(number(&mut rest)?),
            1 | 5 => {
                let (fixed, after) = rest.split_at_checked(if key & 7 == 1 { 8 } else { 4 })?;
                rest = after;
                Tree::Text(fixed.to_vec())
            }
            2 => {
                let length = usize::try_from(number(&mut rest)?).ok()?;
                let (content, after) = rest.split_at_checked(length)?;
                rest = after;
                let message = read_protobuf(content).filter(|_| !content.is_empty());
                message.unwrap_or_else(|| Tree::Text(content.to_vec()))
            }
            _ => return None,
        };
        pairs.push((Tree::Number(key), value));
    }
    Some(Tree::Map(pairs))
}
