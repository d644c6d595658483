//! What points of metrics have in common, whichever form they are sent in.

use pitviper_model::{
    Attributes, Metric, MetricKind, MetricPoint, MetricPoints, Number, PointValue, RejectReason, Temporality, Value,
};

/// The flag of a point that says that nothing was recorded.
const NO_RECORDED_VALUE: u32 = 1;

/// The attribute that tells the quantiles of a summary apart, as Prometheus has it.
const QUANTILE: &str = "quantile";

/// Most bytes that copies of attributes may take when the summaries of a request are taken apart. Few
/// bytes of quantiles could otherwise ask for gigabytes.
pub(super) const SUMMARY_ROOM_BYTES: usize = 32 * 1024 * 1024;

/// What is kept in mind while a request is read.
pub(super) struct Reading {
    pub(super) rejected: Vec<RejectReason>,
    summary_room: usize,
}

impl Default for Reading {
    fn default() -> Self {
        Self { rejected: Vec::new(), summary_room: SUMMARY_ROOM_BYTES }
    }
}

impl Reading {
    /// The points that are fit, the others noted.
    pub(super) fn fit<T>(&mut self, points: impl Iterator<Item = Result<T, RejectReason>>) -> Vec<T> {
        points.filter_map(|point| point.map_err(|reason| self.rejected.push(reason)).ok()).collect()
    }

    /// Whether so many copies of these attributes may be made.
    fn may_copy(&mut self, attributes: &Attributes, times: usize) -> bool {
        let own = attributes.size_bytes() + attributes.0.len() * size_of::<(String, Value)>();
        let needed = own.saturating_mul(times);
        let is_room = needed <= self.summary_room;
        self.summary_room -= if is_room { needed } else { 0 };
        is_room
    }
}

/// What a point says: nothing when its flags say so, whatever else it holds.
pub(super) fn recorded(flags: u32, value: impl FnOnce() -> PointValue) -> PointValue {
    if flags & NO_RECORDED_VALUE == 0 { value() } else { PointValue::Nothing }
}

/// What a point of a gauge or a sum says.
pub(super) fn number(flags: u32, number: Option<Number>) -> Result<PointValue, RejectReason> {
    match number {
        _ if flags & NO_RECORDED_VALUE != 0 => Ok(PointValue::Nothing),
        Some(number) => Ok(PointValue::Number(number)),
        None => Err(RejectReason::InvalidPoint),
    }
}

/// A point of a summary: quantiles that the sender worked out.
pub(super) struct SummaryPoint {
    pub(super) attributes: Attributes,
    pub(super) start_time_unix_nano: u64,
    pub(super) time_unix_nano: u64,
    pub(super) flags: u32,
    pub(super) count: u64,
    pub(super) sum: f64,
    /// Quantile and value.
    pub(super) quantiles: Vec<(f64, f64)>,
}

/// A summary as what Prometheus, which has them, makes of it: a gauge that is split by `quantile`, and
/// the sums `…_count` and `…_sum`.
pub(super) fn from_summary(metric: Metric, sent: Vec<SummaryPoint>, reading: &mut Reading) -> [MetricPoints; 3] {
    let total = |end: &str, unit: &str| Metric {
        name: format!("{}{end}", metric.name),
        unit: unit.to_owned(),
        description: metric.description.clone(),
        kind: MetricKind::Sum,
        temporality: Temporality::Cumulative,
        is_monotonic: true,
    };
    let mut counts = MetricPoints { metric: total("_count", "1"), points: Vec::with_capacity(sent.len()) };
    let mut sums = MetricPoints { metric: total("_sum", &metric.unit), points: Vec::with_capacity(sent.len()) };
    let mut quantiles = MetricPoints { metric: Metric { kind: MetricKind::Gauge, ..metric }, points: Vec::new() };
    for of in sent {
        if !reading.may_copy(&of.attributes, of.quantiles.len() + 1) {
            reading.rejected.push(RejectReason::TooLarge);
            continue;
        }
        let point = |number: Number| MetricPoint {
            start_time_unix_nano: of.start_time_unix_nano,
            time_unix_nano: of.time_unix_nano,
            flags: of.flags,
            value: recorded(of.flags, || PointValue::Number(number)),
            exemplars: Vec::new(),
        };
        for &(quantile, value) in &of.quantiles {
            let mut attributes = of.attributes.clone();
            attributes.set(QUANTILE, Value::String(quantile.to_string()));
            quantiles.points.push((attributes, point(Number::Double(value))));
        }
        // Beyond what an integer holds a float is near enough.
        let count = i64::try_from(of.count).map_or(Number::Double(of.count as f64), Number::Int);
        counts.points.push((of.attributes.clone(), point(count)));
        let sum = point(Number::Double(of.sum));
        sums.points.push((of.attributes, sum));
    }
    [quantiles, counts, sums]
}
