//! Adds to the counts of a sample what the store knows of all spans: attributes and values too rare to be
//! among the newest.

use pitviper_store::questions::aggregate::GroupField;
use pitviper_store::questions::survey::{FieldCounts, KnownAttributes};
use rustc_hash::FxHashMap;

use super::Source;
use super::count::{Counts, Key, KeyCounts, MAX_KEYS, MAX_VALUES, ValueCount, share, value_type};

impl Counts {
    /// Adds keys and values that the sample lacks, behind those that it has. How many spans have them is
    /// told as of so many spans as the sample has, so that all counts can be compared.
    pub(super) fn add_known(&mut self, known: KnownAttributes) {
        if self.sample == 0 {
            return;
        }
        let scale = self.sample as f64 / known.spans.max(1) as f64;
        let scaled = |count: u64| ((count as f64 * scale) as u64).max(1);
        let places: FxHashMap<Key, usize> =
            self.keys.iter().enumerate().map(|(at, counts)| (counts.key.clone(), at)).collect();
        let mut keys = std::mem::take(&mut self.keys);
        for FieldCounts { field, on_span, count, numbers, flags, distinct, values } in known.fields {
            let GroupField::Attribute(name) = field else { continue };
            let key = Key::Attribute(name);
            let values = values.iter().map(|(text, count)| ValueCount::new(text, scaled(*count)));
            match places.get(&key) {
                Some(&at) => {
                    let counts = &mut keys[at];
                    counts.distinct = counts.distinct.max(distinct);
                    let room = MAX_VALUES.saturating_sub(counts.values.len());
                    let is_new = |value: &ValueCount| counts.values.iter().all(|known| known.text != value.text);
                    let new: Vec<ValueCount> = values.filter(is_new).take(room).collect();
                    counts.values.extend(new);
                }
                None if keys.len() < MAX_KEYS && !key.name().is_empty() => keys.push(KeyCounts {
                    key,
                    source: if on_span { Source::Span } else { Source::Resource },
                    value_type: value_type(count, numbers, flags),
                    count: scaled(count),
                    share: share(count, known.spans).min(1.0),
                    distinct,
                    exact: false,
                    // Of many values, all of which stand on one span each, none is listed.
                    unique: distinct > 1 && values.len() == 0,
                    values: values.collect(),
                }),
                None => self.left_out = true,
            }
        }
        let Self { sample, sampled, spans, left_out, .. } = *self;
        *self = Self { spans, ..Self::put_together(sample, sampled, left_out || known.left_out, keys) };
    }
}
