//! W3C Baggage: what an application passes along with its calls. Source: W3C "Propagation format for
//! distributed context: Baggage".

use std::fmt::Write as _;

use super::{Carrier, Field, Losses};

/// Most members, as the specification asks for at least.
const MAX_MEMBERS: usize = 64;
/// Longest header, in bytes, likewise.
const MAX_BYTES: usize = 8_192;

/// One thing an application passes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its key, decoded.
    pub key: String,
    /// Its value, decoded.
    pub value: String,
    /// What else was said of it, `a=b;c`, as it came.
    pub properties: String,
}

/// All that an application passes along: members with different keys, within the bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baggage {
    members: Vec<Member>,
    header: String,
}

impl Baggage {
    /// Baggage of these members, and how many of them had no room. Of two of a key the last counts.
    /// `None` when nothing is left.
    #[must_use]
    pub fn new(members: impl IntoIterator<Item = Member>) -> (Option<Self>, u64) {
        let mut kept: Vec<Member> = Vec::new();
        let mut dropped = 0;
        for member in members {
            if member.key.is_empty() {
                dropped += 1;
            } else if let Some(same) = kept.iter_mut().find(|other| other.key == member.key) {
                *same = member;
            } else if kept.len() < MAX_MEMBERS {
                kept.push(member);
            } else {
                dropped += 1;
            }
        }
        let mut header = String::new();
        kept.retain(|member| {
            let before = header.len();
            append(&mut header, member);
            let fits = header.len() <= MAX_BYTES;
            if !fits {
                header.truncate(before);
                dropped += 1;
            }
            fits
        });
        ((!kept.is_empty()).then_some(Self { members: kept, header }), dropped)
    }

    /// Reads the header.
    pub(super) fn extract<C: Carrier>(carrier: &C, losses: &mut Losses) -> Option<std::sync::Arc<Self>> {
        let text = carrier.get(Field::Baggage)?;
        let (baggage, dropped) = Self::parse(text.as_ref());
        losses.baggage += dropped;
        baggage.map(std::sync::Arc::new)
    }

    /// Reads a header, and counts what is no member or has no room.
    #[must_use]
    pub fn parse(text: &str) -> (Option<Self>, u64) {
        // Whatever lies behind the bound is not looked at: it can only be too much.
        let end = text.floor_char_boundary(MAX_BYTES);
        let (read, rest) = match text[..end].rfind(',') {
            Some(comma) if end < text.len() => (&text[..comma], text[comma + 1..].split(',').count() as u64),
            _ if end < text.len() => ("", 1),
            _ => (text, 0),
        };
        let mut invalid = rest;
        let members = read.split(',').map(str::trim).filter(|part| !part.is_empty());
        let members: Vec<Member> = members
            .filter_map(|part| {
                let member = parse_member(part);
                invalid += u64::from(member.is_none());
                member
            })
            .collect();
        let (baggage, dropped) = Self::new(members);
        (baggage, dropped + invalid)
    }

    /// What it consists of, in its order.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.members.iter().find(|member| member.key == key).map(|member| member.value.as_str())
    }

    /// It as a header.
    #[must_use]
    pub fn header(&self) -> &str {
        &self.header
    }
}

fn parse_member(text: &str) -> Option<Member> {
    let (pair, properties) = text.split_once(';').unwrap_or((text, ""));
    let (key, value) = pair.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let is_pair = !key.is_empty() && key.bytes().all(is_key_byte) && value.bytes().all(is_value_byte);
    let properties = properties.trim();
    let are_properties = properties.bytes().all(|byte| (0x20..0x7f).contains(&byte) || byte == b'\t');
    (is_pair && are_properties).then(|| Member {
        key: decoded(key),
        value: decoded(value),
        properties: properties.to_owned(),
    })
}

/// A byte of a token (RFC 9110).
fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A byte that values may have as it is.
fn is_value_byte(byte: u8) -> bool {
    (0x21..0x7f).contains(&byte) && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

/// The text behind percent signs; bytes that are no UTF-8 become U+FFFD, and signs that stand for nothing stay.
fn decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|digit| (*digit as char).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (byte, digit(0), digit(1)) {
            out.push((high * 16 + low) as u8);
            rest = &after[2..];
        } else {
            out.push(byte);
            rest = after;
        }
    }
    String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn append(out: &mut String, member: &Member) {
    if !out.is_empty() {
        out.push(',');
    }
    encode(out, &member.key, is_key_byte);
    out.push('=');
    encode(out, &member.value, is_value_byte);
    if !member.properties.is_empty() {
        out.push(';');
        out.push_str(&member.properties);
    }
}

fn encode(out: &mut String, text: &str, is_plain: fn(u8) -> bool) {
    for byte in text.bytes() {
        if is_plain(byte) && byte != b'%' {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}
