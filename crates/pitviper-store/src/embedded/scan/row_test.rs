//! Tests of text and attribute maps, each over a whole batch of rows.
//!
//! What is looked for is first searched in the bytes of all values at once, and is done when it does
//! not occur, which is most batches. A text of a dictionary is tested once, however many rows have it.

use std::cell::RefCell;

use arrow::array::{Array, ArrayRef, AsArray, MapArray, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use memchr::{memchr2_iter, memmem};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::filter::{DurationLimits, NumberRange, Pattern};
use crate::schema::read_resource;

/// Resources of which a search remembers whether they pass.
const MAX_REMEMBERED_RESOURCES: usize = 4_096;
/// The bytes that text of telemetry is full of, the most frequent first; others are rarer.
const FREQUENT_BYTES: &[u8] = b"e tasrion0lc1d/-.p2u3m4h5g6f7b8_9vyw:xkqjz";

/// The letters beyond ASCII that are ASCII, or begin with it, in lower case.
const BECOME_ASCII: [&str; 2] = ["\u{212a}", "\u{130}"];

/// What is asked of a text.
#[derive(Debug, Clone)]
pub(super) enum TextTest {
    Equals(String),
    Wildcard(String),
    Regex(Pattern),
    Exists,
}

impl TextTest {
    pub(super) fn holds(&self, text: &str) -> bool {
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
            // Each part between the stars stands in what fits.
            Self::Wildcard(pattern) => pattern.split('*').any(|part| memmem::find(values, part.as_bytes()).is_none()),
            Self::Regex(_) | Self::Exists => false,
        }
    }
}

/// Whether the pattern with `*` for any run of characters fits all of the text.
pub(in crate::embedded) fn matches_wildcard(pattern: &str, text: &str) -> bool {
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

/// Which rows took at least as long as the limit of their service and name.
pub(super) fn slower_than(
    limits: &DurationLimits,
    services: &ArrayRef,
    names: &ArrayRef,
    durations: &ArrayRef,
) -> BooleanBuffer {
    let (services, names) = (services.as_dictionary::<Int32Type>(), names.as_dictionary::<Int32Type>());
    let (service_texts, name_texts) = (services.values().as_string::<i32>(), names.values().as_string::<i32>());
    let durations = durations.as_primitive::<Int64Type>().values();
    // Each service and name of the batch is looked up once.
    let mut known: FxHashMap<(i32, i32), i64> = FxHashMap::default();
    BooleanBuffer::collect_bool(durations.len(), |row| {
        let (service, name) = (services.keys().value(row), names.keys().value(row));
        let limit = || {
            let limit = limits.get(service_texts.value(service as usize), name_texts.value(name as usize));
            limit.unwrap_or(i64::MAX)
        };
        durations[row] >= *known.entry((service, name)).or_insert_with(limit)
    })
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

/// Whether the span's attribute, or else its resource's, passes.
#[derive(Debug)]
pub(super) struct AttributeText {
    key: String,
    test: TextTest,
    /// Reading a resource is dear, and each page has the same few.
    resources: Mutex<FxHashMap<Box<str>, bool>>,
}

impl AttributeText {
    pub(super) fn new(key: String, test: TextTest) -> Self {
        Self { key, test, resources: Mutex::default() }
    }

    fn test_resource(&self, text: &str) -> bool {
        if let Some(&known) = self.resources.lock().get(text) {
            return known;
        }
        let resource = read_resource(text).unwrap_or_default();
        let holds = resource.attributes.get(&self.key).is_some_and(|value| self.test.holds(&value.to_text()));
        let mut resources = self.resources.lock();
        if resources.len() >= MAX_REMEMBERED_RESOURCES {
            resources.clear();
        }
        resources.insert(Box::from(text), holds);
        holds
    }

    /// Rows of the columns `db_system` and `resource` that may pass, where the key is the name of a
    /// database system and the value no other attribute's: text is promoted to a column of its own.
    pub(super) fn may_hold(&self, systems: &StringArray, resources: &ArrayRef) -> BooleanBuffer {
        let by_resource = by_dictionary(resources, |text| self.test_resource(text));
        match systems.nulls() {
            Some(nulls) => &by_resource | nulls.inner(),
            None => BooleanBuffer::new_set(systems.len()),
        }
    }

    /// Which rows of the columns `attrs` and `resource` pass.
    pub(super) fn mask(&self, map: &MapArray, resources: &ArrayRef) -> BooleanBuffer {
        let (keys, values) = (map.keys().as_string::<i32>(), map.values().as_string::<i32>());
        let by_resource = by_dictionary(resources, |text| self.test_resource(text));
        if self.test.excludes(value_bytes(values)) && by_resource.count_set_bits() == 0 {
            return by_resource;
        }
        BooleanBuffer::collect_bool(map.len(), |row| match find_key(map, keys, row, &self.key) {
            Some(at) => self.test.holds(values.value(at)),
            None => by_resource.value(row),
        })
    }
}

/// Whether the span's numeric attribute lies in the range.
#[derive(Debug)]
pub(super) struct AttributeNumber {
    pub(super) key: String,
    pub(super) range: NumberRange,
}

impl AttributeNumber {
    fn holds(&self, number: f64) -> bool {
        let NumberRange { low, high } = self.range;
        low.is_none_or(|low| number > low.value || low.inclusive && number == low.value)
            && high.is_none_or(|high| number < high.value || high.inclusive && number == high.value)
    }

    /// Which rows of the column `attrs_num` pass.
    pub(super) fn mask(&self, map: &MapArray) -> BooleanBuffer {
        let (keys, numbers) = (map.keys().as_string::<i32>(), map.values().as_primitive::<Float64Type>());
        BooleanBuffer::collect_bool(map.len(), |row| {
            find_key(map, keys, row, &self.key).is_some_and(|at| self.holds(numbers.value(at)))
        })
    }
}

/// Whether the text stands in the name, the service, the status message or a value of an attribute,
/// in any case.
#[derive(Debug)]
pub(super) struct ContainsText {
    lower: String,
    /// Which byte of it to look for first: the one that is met least.
    rarest: usize,
}

impl ContainsText {
    pub(super) fn new(text: &str) -> Self {
        let lower = text.to_lowercase();
        let rank = |byte: u8| FREQUENT_BYTES.iter().position(|known| *known == byte).unwrap_or(FREQUENT_BYTES.len());
        let rarest = lower.bytes().enumerate().max_by_key(|(_, byte)| rank(*byte)).map_or(0, |(at, _)| at);
        Self { lower, rarest }
    }

    fn holds(&self, text: &str) -> bool {
        if self.lower.is_empty() {
            return true;
        }
        if !text.is_ascii() || !self.lower.is_ascii() {
            return text.to_lowercase().contains(&self.lower);
        }
        self.places(text.as_bytes()).next().is_some()
    }

    /// Where it begins in bytes that are all ASCII, as it is itself, and not empty.
    fn places<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        let lower = self.lower.as_bytes();
        let byte = lower[self.rarest];
        memchr2_iter(byte, byte.to_ascii_uppercase(), text)
            .filter_map(|at| at.checked_sub(self.rarest))
            .filter(|&at| text.get(at..at + lower.len()).is_some_and(|part| part.eq_ignore_ascii_case(lower)))
    }

    /// Calls with each value that it stands in, in order; with some more than once.
    fn each_value(&self, values: &StringArray, mut found: impl FnMut(usize)) {
        let bytes = value_bytes(values);
        if self.lower.is_empty() || !self.lower.is_ascii() || !bytes.is_ascii() {
            let holds = |&at: &usize| values.is_valid(at) && self.holds(values.value(at));
            return (0..values.len()).filter(holds).for_each(found);
        }
        let offsets = values.value_offsets();
        let base = offsets[0] as usize;
        for place in self.places(bytes) {
            let (begin, end) = (base + place, base + place + self.lower.len());
            let at = offsets.partition_point(|&offset| offset as usize <= begin) - 1;
            // The end of one value and the beginning of the next are not text that stands in either.
            if end <= offsets[at + 1] as usize && values.is_valid(at) {
                found(at);
            }
        }
    }

    /// Whether it may stand in bytes that hold texts, with others between them; `None` when bytes
    /// cannot tell.
    pub(super) fn may_stand_in(&self) -> Option<impl Fn(&[u8]) -> bool + '_> {
        let is_plain = self.lower.is_ascii() && !self.lower.is_empty();
        is_plain.then_some(|bytes: &[u8]| {
            self.places(bytes).next().is_some()
                || BECOME_ASCII.iter().any(|letter| memmem::find(bytes, letter.as_bytes()).is_some())
        })
    }

    /// Which rows of the columns `name` and `service`, and `status_message` pass by those.
    pub(super) fn mask_outside(&self, named: [&ArrayRef; 2], messages: &StringArray) -> BooleanBuffer {
        let mut found = vec![false; messages.len()];
        self.each_value(messages, |row| found[row] = true);
        named
            .into_iter()
            .fold(BooleanBuffer::from(found), |mask, texts| &mask | &by_dictionary(texts, |text| self.holds(text)))
    }

    /// Which rows of the column `attrs` pass by that.
    pub(super) fn mask_attributes(&self, map: &MapArray) -> BooleanBuffer {
        let mut found = vec![false; map.len()];
        let offsets = map.value_offsets();
        self.each_value(map.values().as_string::<i32>(), |at| {
            let row = offsets.partition_point(|&offset| offset as usize <= at);
            // A sliced map has values before its first row and behind its last.
            if (1..=found.len()).contains(&row) {
                found[row - 1] = true;
            }
        });
        BooleanBuffer::from(found)
    }
}

/// Tests each text that rows of a dictionary refer to once, and answers for the rows.
pub(super) fn by_dictionary(array: &ArrayRef, test: impl Fn(&str) -> bool) -> BooleanBuffer {
    let array = array.as_dictionary::<Int32Type>();
    let (keys, texts) = (array.keys().values(), array.values().as_string::<i32>());
    let known: RefCell<Vec<Option<bool>>> = RefCell::new(vec![None; texts.len()]);
    BooleanBuffer::collect_bool(keys.len(), |row| {
        let key = keys[row] as usize;
        match known.borrow_mut().get_mut(key) {
            Some(Some(answer)) => *answer,
            Some(unknown) => *unknown.insert(test(texts.value(key))),
            None => false,
        }
    })
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

    #[test]
    fn bytes_tell_where_text_may_stand() {
        let may =
            |needle: &str, bytes: &str| ContainsText::new(needle).may_stand_in().map(|test| test(bytes.as_bytes()));
        assert_eq!(may("kelvin", "\u{212a}elvin"), Some(true), "the sign is a letter in lower case");
        assert_eq!((may("dead", "a DEAD end"), may("dead", "alive")), (Some(true), Some(false)));
        assert_eq!((may("ä", "a"), may("", "a")), (None, None));
        // Whatever else becomes ASCII in lower case has to be known.
        let becomes = |letter: &char| !letter.is_ascii() && letter.to_lowercase().any(|lower| lower.is_ascii());
        let known: Vec<String> = ('\0'..=char::MAX).filter(becomes).map(String::from).collect();
        assert!(known.iter().all(|letter| BECOME_ASCII.contains(&letter.as_str())), "{known:?}");
    }

    #[test]
    fn text_does_not_reach_over_the_end_of_a_value() {
        let found = |needle: &str, values: &[&str]| {
            let mut found = Vec::new();
            ContainsText::new(needle).each_value(&StringArray::from(values.to_vec()), |at| found.push(at));
            found.dedup();
            found
        };
        assert_eq!(found("dead", &["de", "ad", "DEADLOCK", "", "a dead end"]), [2, 4]);
        assert_eq!(found("dead", &["é", "dead", "de", "adé"]), [1]);
        assert_eq!(found("z", &[]), [0usize; 0]);
        let sliced = StringArray::from(vec!["dead", "x", "dead"]).slice(1, 2);
        let mut places = Vec::new();
        ContainsText::new("dead").each_value(&sliced, |at| places.push(at));
        assert_eq!(places, [1]);
    }
}
