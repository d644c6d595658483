//! Two profiles of one process as one.

use std::collections::HashMap;
use std::hash::Hash;

use crate::{Label, Profile, Sample};

impl Profile {
    /// Takes in another profile of the same process: its types beside the own ones (values of one name and unit
    /// are added up), its frames and stacks where they are not known yet, and its samples, those of the same stack
    /// and labels as values of the same sample. What a sample does not tell is zero. The profile then covers
    /// the time of both. Samples of a stack that the other profile does not have are left out.
    pub fn join(&mut self, other: Self) {
        self.cover(&other);
        let types = merge(&mut self.types, other.types);
        let width = self.types.len();
        for sample in &mut self.samples {
            sample.values.resize(width, 0);
        }
        let frames = merge(&mut self.frames, other.frames);
        let frame = |index: u32| frames.get(index as usize).copied();
        let known = other.stacks.into_iter().map(|stack| stack.into_iter().filter_map(frame).collect());
        let stacks = merge(&mut self.stacks, known.collect());
        let samples = other.samples.into_iter().filter_map(|sample| {
            let mut values = vec![0; width];
            for (value, index) in sample.values.into_iter().zip(&types) {
                values[*index as usize] = value;
            }
            Some(Sample { stack: *stacks.get(sample.stack as usize)?, values, ..sample })
        });
        self.add(samples.collect());
    }

    /// Begins where the earlier one does, and ends where the later one does.
    fn cover(&mut self, other: &Self) {
        let end = |profile: &Self| profile.time_unix_nano.saturating_add(profile.duration_ns);
        let last = end(self).max(end(other));
        self.time_unix_nano = match (self.time_unix_nano, other.time_unix_nano) {
            // Without a time there is nothing to compare.
            (0, time) | (time, 0) => time,
            (one, two) => one.min(two),
        };
        self.duration_ns = last.saturating_sub(self.time_unix_nano);
    }

    /// Adds samples with stacks and types of this profile.
    fn add(&mut self, samples: Vec<Sample>) {
        // What they have in common may be as large as all of them: nothing is copied to find it.
        let mut known: HashMap<(u32, &[Label]), usize> = HashMap::with_capacity(self.samples.len());
        for (place, sample) in self.samples.iter().enumerate() {
            known.insert((sample.stack, &sample.labels), place);
        }
        let mut places = Vec::with_capacity(samples.len());
        let mut next = self.samples.len();
        for sample in &samples {
            let place = *known.entry((sample.stack, &sample.labels)).or_insert(next);
            next += usize::from(place == next);
            places.push(place);
        }
        for (place, sample) in places.into_iter().zip(samples) {
            match self.samples.get_mut(place) {
                Some(known) => {
                    for (sum, value) in known.values.iter_mut().zip(sample.values) {
                        *sum = sum.saturating_add(value);
                    }
                }
                None => self.samples.push(sample),
            }
        }
    }
}

/// Adds those of `others` that are not known, and says where each of them is.
fn merge<T: Eq + Hash>(known: &mut Vec<T>, others: Vec<T>) -> Vec<u32> {
    let places: HashMap<&T, u32> = known.iter().zip(0..).collect();
    let mut added = Vec::new();
    let indices = others
        .into_iter()
        .map(|item| {
            places.get(&item).copied().unwrap_or_else(|| {
                added.push(item);
                (known.len() + added.len() - 1) as u32
            })
        })
        .collect();
    known.append(&mut added);
    indices
}

#[cfg(test)]
mod tests {
    use pitviper_model::Frame;

    use super::*;
    use crate::{LabelValue, SampleType};

    fn frame(function: &str) -> Frame {
        Frame { function: function.to_owned(), ..Frame::default() }
    }

    fn kind(name: &str) -> SampleType {
        SampleType { name: name.to_owned(), unit: "bytes".to_owned() }
    }

    fn thread(name: &str) -> Vec<Label> {
        vec![Label { name: "thread".into(), value: LabelValue::Text(name.to_owned()) }]
    }

    fn sample(stack: u32, values: &[i64], labels: Vec<Label>) -> Sample {
        Sample { stack, values: values.to_vec(), labels }
    }

    fn profile(types: &[&str], frames: &[&str], stacks: &[&[u32]], samples: Vec<Sample>) -> Profile {
        Profile {
            time_unix_nano: 100,
            duration_ns: 50,
            types: types.iter().map(|name| kind(name)).collect(),
            frames: frames.iter().map(|name| frame(name)).collect(),
            stacks: stacks.iter().map(|stack| stack.to_vec()).collect(),
            samples,
        }
    }

    #[test]
    fn each_sample_has_all_types_and_what_both_have_is_there_once() {
        let mut one = profile(&["cpu", "wall"], &["a", "b"], &[&[0, 1], &[1]], vec![sample(0, &[1, 2], thread("t"))]);
        one.join(profile(
            &["live", "wall"],
            &["c", "b", "a"],
            &[&[2, 1], &[0, 1]],
            vec![
                sample(0, &[3, 4], thread("t")),
                sample(0, &[5, 0], thread("u")),
                sample(1, &[6, 0], thread("t")),
                sample(9, &[7, 0], thread("t")),
            ],
        ));
        let expected = profile(
            &["cpu", "wall", "live"],
            &["a", "b", "c"],
            &[&[0, 1], &[1], &[2, 1]],
            vec![
                sample(0, &[1, 6, 3], thread("t")),
                sample(0, &[0, 0, 5], thread("u")),
                sample(2, &[0, 0, 6], thread("t")),
            ],
        );
        assert_eq!(one, expected);
    }

    #[test]
    fn it_covers_the_time_of_both() {
        let at = |time_unix_nano, duration_ns| Profile { time_unix_nano, duration_ns, ..Profile::default() };
        let joined = |mut one: Profile, other: Profile| {
            one.join(other);
            (one.time_unix_nano, one.duration_ns)
        };
        assert_eq!(joined(at(100, 50), at(90, 20)), (90, 60));
        assert_eq!(joined(at(100, 50), at(120, 100)), (100, 120));
        assert_eq!(joined(Profile::default(), at(100, 50)), (100, 50));
    }

    #[test]
    fn nothing_comes_of_nothing() {
        let mut one = profile(&["cpu"], &["a"], &[&[0]], vec![sample(0, &[1], thread("t"))]);
        let before = one.clone();
        one.join(Profile::default());
        assert_eq!(one, before);
        let mut none = Profile::default();
        none.join(one);
        assert_eq!(none, before);
    }
}
