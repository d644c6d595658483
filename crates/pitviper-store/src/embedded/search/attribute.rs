//! Functions over attribute maps and text that the query engine does not have.
//!
//! Each has what it looks for built in, and works on a whole batch: equality first searches the
//! bytes of all values at once and is done when they do not occur, which is most batches.

use arrow::array::{Array, ArrayRef, AsArray, MapArray, StringArray};
use arrow::datatypes::{Float64Type, Int32Type};
use memchr::memmem;

use super::row_function::RowTest;
use crate::filter::{NumberRange, Pattern};
use crate::schema::read_resource;

/// What is asked of an attribute's text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum TextTest {
    Equals(String),
    Wildcard(String),
    Regex(Pattern),
    Exists,
}

impl TextTest {
    fn holds(&self, text: &str) -> bool {
        match self {
            Self::Equals(wanted) => text == wanted,
            Self::Wildcard(pattern) => matches_wildcard(pattern, text),
            Self::Regex(pattern) => pattern.is_match(text),
            Self::Exists => true,
        }
    }

    /// Whether none of the values can pass, judged from their bytes.
    fn excludes(&self, values: &[u8]) -> bool {
        match self {
            Self::Equals(wanted) => memmem::find(values, wanted.as_bytes()).is_none(),
            Self::Wildcard(_) | Self::Regex(_) | Self::Exists => false,
        }
    }
}

/// Whether the pattern with `*` for any run of characters fits all of the text.
fn matches_wildcard(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    // The earliest place of each part leaves the most for the parts behind it.
    for part in middle.split('*') {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(last)
}

/// The bytes that the offsets of a sliced array really cover.
fn value_bytes(values: &StringArray) -> &[u8] {
    let offsets = values.value_offsets();
    &values.value_data()[offsets[0] as usize..offsets[offsets.len() - 1] as usize]
}

/// The entry of the last occurrence of the key in a row.
fn find_key(map: &MapArray, keys: &StringArray, row: usize, key: &str) -> Option<usize> {
    let offsets = map.value_offsets();
    (offsets[row] as usize..offsets[row + 1] as usize).rev().find(|&at| keys.value(at) == key)
}

/// `(attrs, resource)`: whether the span's attribute, or else its resource's, passes.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct AttributeText {
    pub(super) key: String,
    pub(super) test: TextTest,
}

impl AttributeText {
    fn test_resource(&self, text: &str) -> bool {
        let resource = read_resource(text).unwrap_or_default();
        resource.attributes.get(&self.key).is_some_and(|value| self.test.holds(&value.to_text()))
    }
}

impl RowTest for AttributeText {
    const NAME: &'static str = "attribute_text";

    fn test(&self, columns: &[ArrayRef]) -> Vec<bool> {
        let map = columns[0].as_map();
        let (keys, values) = (map.keys().as_string::<i32>(), map.values().as_string::<i32>());
        let by_resource = each_by_dictionary(&columns[1], |text| self.test_resource(text));
        if self.test.excludes(value_bytes(values)) && !by_resource.contains(&true) {
            return by_resource;
        }
        (0..map.len())
            .map(|row| match find_key(map, keys, row, &self.key) {
                Some(at) => self.test.holds(values.value(at)),
                None => by_resource[row],
            })
            .collect()
    }
}

/// `(attrs_num)`: whether the span's numeric attribute lies in the range.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct AttributeNumber {
    key: String,
    /// Each end as its bits, because floats have no identity, and whether it belongs to the range.
    ends: [Option<(u64, bool)>; 2],
}

impl AttributeNumber {
    pub(super) fn new(key: String, range: NumberRange) -> Self {
        let ends = [range.low, range.high].map(|end| end.map(|end| (end.value.to_bits(), end.inclusive)));
        Self { key, ends }
    }

    fn holds(&self, number: f64) -> bool {
        let [low, high] = self.ends.map(|end| end.map(|(bits, inclusive)| (f64::from_bits(bits), inclusive)));
        low.is_none_or(|(low, inclusive)| number > low || inclusive && number == low)
            && high.is_none_or(|(high, inclusive)| number < high || inclusive && number == high)
    }
}

impl RowTest for AttributeNumber {
    const NAME: &'static str = "attribute_number";

    fn test(&self, columns: &[ArrayRef]) -> Vec<bool> {
        let map = columns[0].as_map();
        let (keys, numbers) = (map.keys().as_string::<i32>(), map.values().as_primitive::<Float64Type>());
        (0..map.len())
            .map(|row| find_key(map, keys, row, &self.key).is_some_and(|at| self.holds(numbers.value(at))))
            .collect()
    }
}

/// `(name, service, status_message, attrs)`: whether the text stands in one of them, in any case.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ContainsText {
    lower: String,
}

impl ContainsText {
    pub(super) fn new(text: &str) -> Self {
        Self { lower: text.to_lowercase() }
    }

    fn holds(&self, text: &str) -> bool {
        if !text.is_ascii() || !self.lower.is_ascii() {
            return text.to_lowercase().contains(&self.lower);
        }
        let (text, lower) = (text.as_bytes(), self.lower.as_bytes());
        let Some(&first) = lower.first() else { return true };
        memchr::memchr2_iter(first, first.to_ascii_uppercase(), text)
            .any(|at| text.get(at..at + lower.len()).is_some_and(|part| part.eq_ignore_ascii_case(lower)))
    }
}

impl RowTest for ContainsText {
    const NAME: &'static str = "contains_text";

    fn test(&self, columns: &[ArrayRef]) -> Vec<bool> {
        let names = each_by_dictionary(&columns[0], |text| self.holds(text));
        let services = each_by_dictionary(&columns[1], |text| self.holds(text));
        let messages = columns[2].as_string::<i32>();
        let map = columns[3].as_map();
        let values = map.values().as_string::<i32>();
        let offsets = map.value_offsets();
        (0..map.len())
            .map(|row| {
                names[row]
                    || services[row]
                    || messages.is_valid(row) && self.holds(messages.value(row))
                    || (offsets[row] as usize..offsets[row + 1] as usize).any(|at| self.holds(values.value(at)))
            })
            .collect()
    }
}

/// `(text)`: whether the pattern is found in the text of a column, in a dictionary or not. No text is
/// no match.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct MatchesPattern {
    pub(super) pattern: Pattern,
}

impl RowTest for MatchesPattern {
    const NAME: &'static str = "matches_pattern";

    fn test(&self, columns: &[ArrayRef]) -> Vec<bool> {
        if let Some(texts) = columns[0].as_string_opt::<i32>() {
            return texts.iter().map(|text| text.is_some_and(|text| self.pattern.is_match(text))).collect();
        }
        each_by_dictionary(&columns[0], |text| self.pattern.is_match(text))
    }
}

/// Tests each text of a dictionary once, and answers for the rows that refer to them.
fn each_by_dictionary(array: &ArrayRef, test: impl Fn(&str) -> bool) -> Vec<bool> {
    let array = array.as_dictionary::<Int32Type>();
    let holds: Vec<bool> =
        array.values().as_string::<i32>().iter().map(|text| test(text.unwrap_or_default())).collect();
    array.keys().values().iter().map(|&key| holds.get(key as usize).copied().unwrap_or(false)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_fit_whole_texts() {
        let check = |pattern: &str, text: &str, expect: bool| {
            assert_eq!(matches_wildcard(pattern, text), expect, "{pattern} on {text}");
        };
        check("GET /users/*", "GET /users/7", true);
        check("GET /users/*", "PUT /users/7", false);
        check("*users*", "GET /users/7", true);
        check("a*b*c", "aXbYc", true);
        check("a*b*c", "aXcYb", false);
        check("a*a", "a", false);
        check("*", "", true);
        check("**", "x", true);
        check("a", "ab", false);
        check("é*", "éa", true);
    }

    #[test]
    fn text_is_found_in_any_case() {
        let check = |needle: &str, text: &str, expect: bool| {
            assert_eq!(ContainsText::new(needle).holds(text), expect, "{needle} in {text}");
        };
        check("timeout", "Connection TIMEOUT after 5 s", true);
        check("TIME", "a time", true);
        check("timeouts", "timeout", false);
        check("ärger", "Großer ÄRGER", true);
        check("", "anything", true);
    }
}
