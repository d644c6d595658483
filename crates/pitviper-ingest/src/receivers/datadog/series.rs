//! What lines of DogStatsD add up to between two flushes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pitviper_model::{
    Attributes, ExpHistogram, ExponentialBuckets, ExponentialHistogramPoint, Metric, MetricKind, MetricPoint,
    MetricPoints, Number, PointValue, Resource, ResourceMetrics, Scope, ScopeMetrics, Temporality, Value,
};
use pitviper_wire::decode::datadog::dogstatsd::{Stat, StatKind};

/// Most series between two flushes.
const MAX_SERIES: usize = 50_000;
/// Most buckets and values of sets that all series hold together.
const MAX_HELD: usize = 2_000_000;
/// What is smaller counts as zero: a nanosecond of a second.
const LEAST: f64 = 1e-9;
/// What is larger counts as this in a distribution; its sum and its greatest value stay exact.
const GREATEST: f64 = 1e15;
/// Longest text of all tags of a series, in bytes.
const MAX_TAG_BYTES: usize = 8_192;

/// Tags that say which process it is, and what they are called of a process.
const OF_PROCESS: [(&str, &str); 9] = [
    ("service", "service.name"),
    ("version", "service.version"),
    ("env", "deployment.environment.name"),
    ("host", "host.name"),
    ("runtime-id", "service.instance.id"),
    ("lang", "telemetry.sdk.language"),
    ("lang_interpreter", "process.runtime.name"),
    ("lang_version", "process.runtime.version"),
    ("tracer_version", "telemetry.sdk.version"),
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    name: String,
    kind: StatKind,
    is_time: bool,
    tags: Vec<String>,
    container: String,
    /// When the values are of, in seconds; zero for now.
    time: u64,
}

#[derive(Debug)]
enum Held {
    Counter(f64),
    Gauge(f64),
    Distribution(Box<Distribution>),
    Set(HashSet<u64>),
}

#[derive(Debug, Default)]
struct Distribution {
    positive: ExpHistogram,
    negative: ExpHistogram,
    zeros: u64,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

/// Series that wait to become points.
#[derive(Debug, Default)]
pub(super) struct Series(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    series: HashMap<Key, Held>,
    held: usize,
}

impl Series {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().series.len()
    }

    /// Adds the values of a line; false when there are too many series or values.
    pub(super) fn add(&self, stat: &Stat<'_>) -> bool {
        let mut tags: Vec<String> = stat.tags.iter().map(|tag| (*tag).to_owned()).collect();
        tags.sort_unstable();
        tags.dedup();
        if tags.iter().map(String::len).sum::<usize>() > MAX_TAG_BYTES {
            return false;
        }
        let key = Key {
            name: stat.name.to_owned(),
            kind: stat.kind,
            is_time: stat.is_time,
            tags,
            container: stat.container.to_owned(),
            time: stat.time,
        };
        let mut waiting = self.lock();
        let Waiting { series, held } = &mut *waiting;
        if *held >= MAX_HELD || (series.len() >= MAX_SERIES && !series.contains_key(&key)) {
            return false;
        }
        let into = series.entry(key).or_insert_with(|| match stat.kind {
            StatKind::Counter => Held::Counter(0.0),
            StatKind::Gauge => Held::Gauge(0.0),
            StatKind::Distribution => Held::Distribution(Box::default()),
            StatKind::Set => Held::Set(HashSet::new()),
        });
        let before = into.size();
        into.add(stat);
        *held += into.size() - before;
        true
    }

    /// Takes all series away, as points of up to so many series at a time.
    pub(super) fn drain(&self, start_unix_nano: u64, now_unix_nano: u64, at_once: usize) -> Vec<Vec<ResourceMetrics>> {
        let Waiting { series, .. } = std::mem::take(&mut *self.lock());
        let mut series: Vec<(Key, Held)> = series.into_iter().collect();
        series.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let mut batches = Vec::new();
        while !series.is_empty() {
            let rest = series.split_off(series.len().min(at_once));
            batches.push(points(std::mem::replace(&mut series, rest), start_unix_nano, now_unix_nano));
        }
        batches
    }
}

impl Held {
    /// How many buckets and values it holds.
    fn size(&self) -> usize {
        match self {
            Self::Counter(_) | Self::Gauge(_) => 1,
            Self::Distribution(of) => of.positive.buckets().len() + of.negative.buckets().len(),
            Self::Set(values) => values.len(),
        }
    }

    fn add(&mut self, stat: &Stat<'_>) {
        // The parser has seen that all are numbers.
        let mut numbers = stat.numbers().flatten();
        match self {
            Self::Counter(sum) => *sum += numbers.sum::<f64>() / stat.rate,
            Self::Gauge(last) => *last = numbers.next_back().unwrap_or(*last),
            Self::Distribution(of) => {
                let weight = (1.0 / stat.rate).round().clamp(1.0, f64::from(u32::MAX)) as u64;
                numbers.for_each(|number| of.add(number, weight));
            }
            Self::Set(values) => values.extend(stat.values.split(':').map(|value| {
                let mut hasher = DefaultHasher::new();
                value.hash(&mut hasher);
                hasher.finish()
            })),
        }
    }

    fn into_value(self) -> PointValue {
        match self {
            Self::Counter(number) | Self::Gauge(number) => PointValue::Number(Number::Double(number)),
            Self::Set(values) => PointValue::Number(Number::Int(values.len() as i64)),
            Self::Distribution(of) => PointValue::ExponentialHistogram(of.into_point()),
        }
    }
}

impl Distribution {
    fn add(&mut self, number: f64, weight: u64) {
        if self.count == 0 {
            (self.min, self.max) = (number, number);
        }
        (self.min, self.max) = (self.min.min(number), self.max.max(number));
        self.count = self.count.saturating_add(weight);
        self.sum += number * weight as f64;
        let size = number.abs().min(GREATEST);
        if size < LEAST {
            self.zeros = self.zeros.saturating_add(weight);
        } else {
            let side = if number > 0.0 { &mut self.positive } else { &mut self.negative };
            side.add_buckets([(ExpHistogram::bucket_of(size), weight)], 0);
        }
    }

    fn into_point(self) -> ExponentialHistogramPoint {
        ExponentialHistogramPoint {
            count: self.count,
            sum: Some(self.sum),
            min: Some(self.min),
            max: Some(self.max),
            scale: ExpHistogram::SCALE,
            zero_count: self.zeros,
            zero_threshold: LEAST,
            positive: buckets(&self.positive),
            negative: buckets(&self.negative),
        }
    }
}

fn buckets(histogram: &ExpHistogram) -> ExponentialBuckets {
    let filled = histogram.buckets();
    let (Some((first, _)), Some((last, _))) = (filled.first(), filled.last()) else {
        return ExponentialBuckets::default();
    };
    let mut counts = vec![0; (i32::from(*last) - i32::from(*first)) as usize + 1];
    for (index, count) in filled {
        counts[(i32::from(*index) - i32::from(*first)) as usize] = *count;
    }
    ExponentialBuckets { offset: i32::from(*first), counts }
}

fn points(series: Vec<(Key, Held)>, start_unix_nano: u64, now_unix_nano: u64) -> Vec<ResourceMetrics> {
    let mut processes: BTreeMap<Vec<(String, String)>, Vec<MetricPoints>> = BTreeMap::new();
    for (key, held) in series {
        let (process, attributes) = key.process_and_attributes();
        let metrics = processes.entry(process).or_default();
        let metric = key.metric();
        let point = MetricPoint {
            start_time_unix_nano: if key.time == 0 { start_unix_nano } else { 0 },
            time_unix_nano: if key.time == 0 { now_unix_nano } else { key.time.saturating_mul(1_000_000_000) },
            value: held.into_value(),
            ..MetricPoint::default()
        };
        // Series are sorted, so those of a metric are neighbours.
        match metrics.last_mut().filter(|last| last.metric == metric) {
            Some(last) => last.points.push((attributes, point)),
            None => metrics.push(MetricPoints { metric, points: vec![(attributes, point)] }),
        }
    }
    let scope = Arc::new(Scope { name: "dogstatsd".to_owned(), ..Scope::default() });
    let of_process = |(process, metrics): (Vec<(String, String)>, Vec<MetricPoints>)| ResourceMetrics {
        resource: Arc::new(Resource { attributes: process.into_iter().collect(), ..Resource::default() }),
        scopes: vec![ScopeMetrics { scope: Arc::clone(&scope), metrics }],
    };
    processes.into_iter().map(of_process).collect()
}

impl Key {
    /// Tags of the process, and the others. A tag without a value is true.
    fn process_and_attributes(&self) -> (Vec<(String, String)>, Attributes) {
        let mut process = Vec::new();
        let mut attributes = Attributes::default();
        for tag in &self.tags {
            let (key, value) = tag.split_once(':').unwrap_or((tag, ""));
            match OF_PROCESS.iter().find(|(name, _)| *name == key) {
                Some((_, name)) if !value.is_empty() => process.push(((*name).to_owned(), value.to_owned())),
                _ if value.is_empty() => attributes.set(key, Value::Bool(true)),
                _ => attributes.set(key, value),
            }
        }
        if !self.container.is_empty() {
            process.push(("container.id".to_owned(), self.container.clone()));
        }
        for (name, value) in &mut process {
            if name == "process.runtime.name" {
                *value = value.to_ascii_lowercase();
            }
        }
        (process, attributes)
    }

    fn metric(&self) -> Metric {
        let (kind, temporality, is_monotonic) = match self.kind {
            StatKind::Counter => (MetricKind::Sum, Temporality::Delta, false),
            StatKind::Gauge | StatKind::Set => (MetricKind::Gauge, Temporality::Unspecified, false),
            StatKind::Distribution => (MetricKind::ExponentialHistogram, Temporality::Delta, false),
        };
        Metric {
            name: self.name.clone(),
            unit: if self.is_time { "ms".to_owned() } else { String::new() },
            kind,
            temporality,
            is_monotonic,
            ..Metric::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use pitviper_wire::decode::datadog::dogstatsd::{Line, lines};

    use super::*;

    fn fill(series: &Series, packet: &str) -> usize {
        let added = lines(packet.as_bytes()).filter(|line| match line {
            Some(Line::Stat(stat)) => series.add(stat),
            other => panic!("{other:?}"),
        });
        added.count()
    }

    fn drained(packet: &str) -> Vec<ResourceMetrics> {
        let series = Series::default();
        fill(&series, packet);
        series.drain(1, 2, 100).concat()
    }

    fn values(packet: &str) -> Vec<(String, PointValue)> {
        let scopes = drained(packet).into_iter().flat_map(|of| of.scopes);
        let metrics = scopes.flat_map(|scope| scope.metrics);
        metrics
            .flat_map(|of| of.points.into_iter().map(move |(_, point)| (of.metric.name.clone(), point.value)))
            .collect()
    }

    #[test]
    fn values_add_up_by_their_kind() {
        let number = |name: &str, number: f64| (name.to_owned(), PointValue::Number(Number::Double(number)));
        assert_eq!(values("a:1|c\na:2:3|c|@0.5"), [number("a", 11.0)]);
        assert_eq!(values("a:1|g\na:7|g\na:3:-2|g"), [number("a", -2.0)]);
        assert_eq!(values("a:x:y|s\na:x|s"), [("a".to_owned(), PointValue::Number(Number::Int(2)))]);
        let found = values("a:1:2|h\na:4|h|@0.5\na:0|h\na:-1|h");
        let [(_, PointValue::ExponentialHistogram(of))] = &found[..] else { panic!("{found:?}") };
        assert_eq!((of.count, of.sum, of.min, of.max), (6, Some(10.0), Some(-1.0), Some(4.0)));
        assert_eq!((of.zero_count, of.scale), (1, 5));
        // One is the upper bound of bucket -1, two of 31, four of 63.
        assert_eq!((of.positive.offset, of.positive.counts.len()), (-1, 65));
        assert_eq!(of.positive.counts.iter().sum::<u64>(), 4);
        assert_eq!((of.negative.offset, &of.negative.counts[..]), (-1, &[1][..]));
    }

    #[test]
    fn tags_say_which_process_it_is_and_which_series() {
        let found =
            drained("a:1|c|#service:shop,env:prod,route:/a,slow|c:7f\na:1|c|#slow,route:/a,env:prod,service:shop|c:7f");
        let [of] = &found[..] else { panic!("{found:?}") };
        assert_eq!((of.resource.service(), of.resource.environment()), ("shop", "prod"));
        assert_eq!(of.resource.attributes.get_str("container.id"), Some("7f"));
        let [(attributes, point)] = &of.scopes[0].metrics[0].points[..] else { panic!("{found:?}") };
        assert_eq!(attributes.get_str("route"), Some("/a"));
        assert_eq!(attributes.get("slow"), Some(&Value::Bool(true)));
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (1, 2));
        assert_eq!(point.value, PointValue::Number(Number::Double(2.0)));
    }

    #[test]
    fn series_are_bounded_and_taken_away_in_parts() {
        let series = Series::default();
        let packet: String = (0..MAX_SERIES + 5).map(|number| format!("a{number}:1|c\n")).collect();
        assert_eq!(fill(&series, &packet), MAX_SERIES);
        assert_eq!(fill(&series, "a0:1|c"), 1, "what is known has room");
        let batches = series.drain(1, 2, 20_000);
        assert_eq!(batches.iter().map(|batch| batch[0].point_count()).collect::<Vec<_>>(), [20_000, 20_000, 10_000]);
        assert_eq!((series.len(), fill(&series, "b:1|c")), (0, 1));
    }

    #[test]
    fn values_of_a_set_are_bounded() {
        let series = Series::default();
        for part in 0..(MAX_HELD / 1_000 + 5) {
            let values: Vec<String> = (0..1_000).map(|number| format!("{part}-{number}")).collect();
            let is_added = fill(&series, &format!("a:{}|s", values.join(":"))) == 1;
            assert_eq!(is_added, part < MAX_HELD / 1_000, "{part}");
        }
    }
}
