//! DDSketch: Datadog's distributions, as histograms of our own.
//!
//! Source: sketches-go's `ddsketch.proto`; libdatadog's sketch has the mapping that is written there. Bin
//! `i` holds values from `gamma^(i - offset)` to `gamma` times that. Each bin's values become as many of
//! its geometric middle, so a value is off by half a bin (0.8 %) and then by half a bucket of ours (1.1 %):
//! 1.9 % at most.

use std::collections::HashMap;

use pitviper_model::ExpHistogram;

/// Most bins of one sketch; libdatadog makes 2048 at most.
const MAX_BINS: usize = 8_192;

/// A bin beyond this is no duration.
const MAX_VALUE: f64 = u64::MAX as f64;

#[derive(Clone, PartialEq, prost::Message)]
struct Sketch {
    #[prost(message, optional, tag = "1")]
    mapping: Option<Mapping>,
    #[prost(message, optional, tag = "2")]
    positive: Option<Store>,
    #[prost(double, tag = "4")]
    zero_count: f64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Mapping {
    #[prost(double, tag = "1")]
    gamma: f64,
    #[prost(double, tag = "2")]
    index_offset: f64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Store {
    #[prost(map = "sint32, double", tag = "1")]
    bins: HashMap<i32, f64>,
    #[prost(double, repeated, tag = "2")]
    contiguous: Vec<f64>,
    #[prost(sint32, tag = "3")]
    contiguous_offset: i32,
}

/// What a sketch holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Sketched {
    pub(super) durations: ExpHistogram,
    /// The middle of its first bin; zero when it has none.
    pub(super) min: u64,
    /// The middle of its last bin.
    pub(super) max: u64,
}

/// Reads a sketch of nanoseconds; `None` when it is damaged or not one.
pub(super) fn read(bytes: &[u8]) -> Option<Sketched> {
    let mut read = Sketched::default();
    if bytes.is_empty() {
        return Some(read);
    }
    let sketch = <Sketch as prost::Message>::decode(bytes).ok()?;
    let mapping = sketch.mapping?;
    let store = sketch.positive.unwrap_or_default();
    if !(mapping.gamma > 1.0 && mapping.gamma.is_finite() && mapping.index_offset.is_finite())
        || store.bins.len() + store.contiguous.len() > MAX_BINS
    {
        return None;
    }
    read.durations.record_many(0, counted(sketch.zero_count));
    let contiguous = (i64::from(store.contiguous_offset)..).zip(store.contiguous.iter().copied());
    let single = store.bins.iter().map(|(index, count)| (i64::from(*index), *count));
    let mut first = (sketch.zero_count > 0.0).then_some(0);
    for (index, count) in contiguous.chain(single) {
        let count = counted(count);
        if count == 0 {
            continue;
        }
        let middle = mapping.gamma.powf(index as f64 + 0.5 - mapping.index_offset);
        // Not a number, too, is none.
        if !(0.0..MAX_VALUE).contains(&middle) {
            return None;
        }
        let middle = middle.round() as u64;
        read.durations.record_many(middle, count);
        first = Some(first.map_or(middle, |first: u64| first.min(middle)));
        read.max = read.max.max(middle);
    }
    read.min = first.unwrap_or_default();
    Some(read)
}

/// A count; clients write them as floats, which they may have scaled.
fn counted(count: f64) -> u64 {
    if count > 0.0 { count.round().min(u64::from(u32::MAX) as f64) as u64 } else { 0 }
}

#[cfg(test)]
pub(super) mod tests {
    use prost::Message as _;

    use super::*;

    const GAMMA: f64 = 1.015_625;
    const OFFSET: f64 = 1_338.5;

    /// A sketch as libdatadog writes it.
    pub(in super::super) fn sketch(values: &[u64]) -> Vec<u8> {
        let mut bins: HashMap<i32, f64> = HashMap::new();
        for value in values {
            let index = ((*value as f64).ln() / GAMMA.ln() + OFFSET).floor();
            *bins.entry(index as i32).or_default() += 1.0;
        }
        let mapping = Some(Mapping { gamma: GAMMA, index_offset: OFFSET });
        let positive = Some(Store { bins, ..Store::default() });
        Sketch { mapping, positive, zero_count: 0.0 }.encode_to_vec()
    }

    #[test]
    fn quantiles_are_within_two_percent() {
        let values: Vec<u64> = (1..=10_000).map(|number| number * 1_000).collect();
        let read = read(&sketch(&values)).unwrap();
        assert_eq!(read.durations.count(), 10_000);
        for (q, exact) in [(0.01, 1e5), (0.5, 5e6), (0.95, 9.5e6), (0.99, 9.9e6)] {
            let estimate = read.durations.quantile(q).unwrap();
            assert!((estimate / exact - 1.0f64).abs() < 0.02, "{q}: {estimate} is not {exact}");
        }
        assert!((read.max as f64 / 1e7 - 1.0).abs() < 0.009 && (read.min as f64 / 1e3 - 1.0).abs() < 0.009);
    }

    #[test]
    fn contiguous_bins_are_bins() {
        let mapping = Some(Mapping { gamma: GAMMA, index_offset: OFFSET });
        let store = Store { contiguous: vec![2.0, 0.0, 1.0], contiguous_offset: 2_000, ..Store::default() };
        let bytes = Sketch { mapping, positive: Some(store), zero_count: 4.0 }.encode_to_vec();
        let read = read(&bytes).unwrap();
        assert_eq!((read.durations.count(), read.durations.zeros(), read.min), (7, 4, 0));
    }

    #[test]
    fn what_is_no_sketch_is_refused() {
        assert_eq!(read(b""), Some(Sketched::default()));
        assert_eq!(read(b"\xff"), None);
        let broken = |gamma, index_offset, bin| {
            let mapping = Some(Mapping { gamma, index_offset });
            let positive = Some(Store { bins: [(bin, 1.0)].into(), ..Store::default() });
            read(&Sketch { mapping, positive, zero_count: 0.0 }.encode_to_vec())
        };
        for (gamma, offset, bin) in [(1.0, 0.0, 1), (f64::NAN, 0.0, 1), (2.0, f64::INFINITY, 1), (2.0, 0.0, i32::MAX)] {
            assert_eq!(broken(gamma, offset, bin), None, "{gamma} {offset} {bin}");
        }
        let mapping = Some(Mapping { gamma: 1.01, index_offset: 0.0 });
        let positive = Some(Store { contiguous: vec![0.0; MAX_BINS + 1], ..Store::default() });
        assert_eq!(read(&Sketch { mapping, positive, zero_count: 0.0 }.encode_to_vec()), None);
    }
}
