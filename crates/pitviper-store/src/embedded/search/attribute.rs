//! Functions over attribute maps and text that the query engine does not have.
//!
//! Each has what it looks for built in, and works on a whole batch: equality first searches the
//! bytes of all values at once and is done when they do not occur, which is most batches.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::builder::BooleanBuilder;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, MapArray, StringArray};
use arrow::datatypes::{DataType, Float64Type, Int32Type};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use memchr::memmem;

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

macro_rules! identity_by_fields {
    ($name:ident: $($field:ident),+) => {
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                $(self.$field == other.$field)&&+
            }
        }

        impl Eq for $name {}

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                $(self.$field.hash(state);)+
            }
        }
    };
}

/// `(attrs, resource)`: whether the span's attribute, or else its resource's, passes.
#[derive(Debug)]
pub(super) struct AttributeText {
    key: String,
    test: TextTest,
    signature: Signature,
}

identity_by_fields!(AttributeText: key, test);

impl AttributeText {
    pub(super) fn new(key: String, test: TextTest) -> Self {
        Self { key, test, signature: Signature::any(2, Volatility::Immutable) }
    }

    fn test_resource(&self, text: &str) -> bool {
        let resource = read_resource(text).unwrap_or_default();
        resource.attributes.get(&self.key).is_some_and(|value| self.test.holds(&value.to_text()))
    }
}

impl ScalarUDFImpl for AttributeText {
    fn name(&self) -> &str {
        "attribute_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let map = arrays[0].as_map();
        let (keys, values) = (map.keys().as_string::<i32>(), map.values().as_string::<i32>());
        let resources = arrays[1].as_dictionary::<Int32Type>();
        let resource_passes: Vec<bool> = resources
            .values()
            .as_string::<i32>()
            .iter()
            .map(|text| self.test_resource(text.unwrap_or_default()))
            .collect();
        let by_resource =
            |row: usize| resource_passes.get(resources.keys().value(row) as usize).copied().unwrap_or(false);
        if self.test.excludes(value_bytes(values)) && !resource_passes.contains(&true) {
            return Ok(booleans((0..map.len()).map(|_| false)));
        }
        Ok(booleans((0..map.len()).map(|row| match find_key(map, keys, row, &self.key) {
            Some(at) => self.test.holds(values.value(at)),
            None => by_resource(row),
        })))
    }
}

/// `(attrs_num)`: whether the span's numeric attribute lies in the range.
#[derive(Debug)]
pub(super) struct AttributeNumber {
    key: String,
    range: NumberRange,
    /// The range's bits, because floats cannot be hashed.
    identity: [Option<(u64, bool)>; 2],
    signature: Signature,
}

identity_by_fields!(AttributeNumber: key, identity);

impl AttributeNumber {
    pub(super) fn new(key: String, range: NumberRange) -> Self {
        let identity = [range.low, range.high].map(|bound| bound.map(|bound| (bound.value.to_bits(), bound.inclusive)));
        Self { key, range, identity, signature: Signature::any(1, Volatility::Immutable) }
    }

    fn holds(&self, number: f64) -> bool {
        let above = self.range.low.is_none_or(|low| number > low.value || low.inclusive && number == low.value);
        let below = self.range.high.is_none_or(|high| number < high.value || high.inclusive && number == high.value);
        above && below
    }
}

impl ScalarUDFImpl for AttributeNumber {
    fn name(&self) -> &str {
        "attribute_number"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let map = arrays[0].as_map();
        let (keys, numbers) = (map.keys().as_string::<i32>(), map.values().as_primitive::<Float64Type>());
        Ok(booleans(
            (0..map.len())
                .map(|row| find_key(map, keys, row, &self.key).is_some_and(|at| self.holds(numbers.value(at)))),
        ))
    }
}

/// `(name, service, status_message, attrs)`: whether the text stands in one of them, in any case.
#[derive(Debug)]
pub(super) struct ContainsText {
    lower: String,
    signature: Signature,
}

identity_by_fields!(ContainsText: lower);

impl ContainsText {
    pub(super) fn new(text: &str) -> Self {
        Self { lower: text.to_lowercase(), signature: Signature::any(4, Volatility::Immutable) }
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

    fn dictionary(&self, array: &ArrayRef) -> Vec<bool> {
        each_by_dictionary(array, |text| self.holds(text))
    }
}

/// Tests each text of a dictionary once, and answers for the rows that refer to them.
fn each_by_dictionary(array: &ArrayRef, test: impl Fn(&str) -> bool) -> Vec<bool> {
    let array = array.as_dictionary::<Int32Type>();
    let holds: Vec<bool> =
        array.values().as_string::<i32>().iter().map(|text| test(text.unwrap_or_default())).collect();
    array.keys().values().iter().map(|&key| holds.get(key as usize).copied().unwrap_or(false)).collect()
}

impl ScalarUDFImpl for ContainsText {
    fn name(&self) -> &str {
        "contains_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let (names, services) = (self.dictionary(&arrays[0]), self.dictionary(&arrays[1]));
        let messages = arrays[2].as_string::<i32>();
        let map = arrays[3].as_map();
        let values = map.values().as_string::<i32>();
        let offsets = map.value_offsets();
        Ok(booleans((0..map.len()).map(|row| {
            names[row]
                || services[row]
                || messages.is_valid(row) && self.holds(messages.value(row))
                || (offsets[row] as usize..offsets[row + 1] as usize).any(|at| self.holds(values.value(at)))
        })))
    }
}

/// `(text)`: whether the pattern is found in the text of a column, in a dictionary or not. No text is
/// no match.
#[derive(Debug)]
pub(super) struct MatchesPattern {
    pattern: Pattern,
    signature: Signature,
}

identity_by_fields!(MatchesPattern: pattern);

impl MatchesPattern {
    pub(super) fn new(pattern: Pattern) -> Self {
        Self { pattern, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for MatchesPattern {
    fn name(&self) -> &str {
        "matches_pattern"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        if let Some(texts) = arrays[0].as_string_opt::<i32>() {
            return Ok(booleans(texts.iter().map(|text| text.is_some_and(|text| self.pattern.is_match(text)))));
        }
        Ok(booleans(each_by_dictionary(&arrays[0], |text| self.pattern.is_match(text)).into_iter()))
    }
}

fn booleans(values: impl ExactSizeIterator<Item = bool>) -> ColumnarValue {
    let mut builder = BooleanBuilder::with_capacity(values.len());
    values.for_each(|value| builder.append_value(value));
    let array: BooleanArray = builder.finish();
    ColumnarValue::Array(Arc::new(array))
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
