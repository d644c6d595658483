//! One series of an instrument: its value so far, and exemplars of it.

use pitviper_model::{HistogramPoint, Number, SpanId, TraceId};
use pitviper_wire::encode::{
    ExemplarRef, PointHead, append_exponential_histogram_point, append_histogram_point, append_number_point,
};

use super::Aggregation;
use super::exponential::Exponential;
use crate::id;

/// Exemplars of an exponential histogram's series between two collections.
const MAX_EXPONENTIAL_EXEMPLARS: usize = 10;

/// A measurement's place in a trace.
#[derive(Debug, Clone, Copy)]
pub struct TracePoint {
    /// The trace; invalid for none.
    pub trace_id: TraceId,
    /// The span; invalid for none.
    pub span_id: SpanId,
    /// Whether the trace is recorded.
    pub sampled: bool,
}

impl TracePoint {
    pub(crate) const NONE: Self = Self { trace_id: TraceId::INVALID, span_id: SpanId::INVALID, sampled: false };
}

#[derive(Debug)]
pub(crate) struct Exemplar {
    pub(crate) time_unix_nano: u64,
    pub(crate) value: Number,
    pub(crate) trace: TracePoint,
    /// Encoded attributes that a view leaves out of the series.
    pub(crate) filtered: Vec<u8>,
}

#[derive(Debug)]
enum Accumulator {
    Number(Number),
    Histogram(HistogramPoint),
    Exponential(Box<Exponential>),
}

#[derive(Debug)]
pub(crate) struct Series {
    accumulator: Accumulator,
    /// By bucket for a histogram; otherwise a random choice.
    exemplars: Vec<Option<Exemplar>>,
    /// Measurements offered as exemplars since the last collection.
    offered: u64,
    /// Something was measured since the last collection.
    pub(crate) touched: bool,
    /// What an observed sum was at the last collection, for its delta.
    previous: Option<Number>,
}

impl Series {
    pub(crate) fn new(aggregation: &Aggregation) -> Self {
        let accumulator = match aggregation {
            Aggregation::Sum | Aggregation::LastValue => Accumulator::Number(Number::Int(0)),
            Aggregation::Histogram { bounds } => Accumulator::Histogram(HistogramPoint {
                sum: Some(0.0),
                counts: vec![0; bounds.len() + 1],
                bounds: bounds.clone(),
                ..HistogramPoint::default()
            }),
            Aggregation::Exponential { max_size, max_scale } => {
                Accumulator::Exponential(Box::new(Exponential::new(*max_size, *max_scale)))
            }
        };
        Self { accumulator, exemplars: Vec::new(), offered: 0, touched: false, previous: None }
    }

    /// Adds a measurement.
    pub(crate) fn add(&mut self, aggregation: &Aggregation, value: Number) {
        self.touched = true;
        match &mut self.accumulator {
            Accumulator::Number(number) if matches!(aggregation, Aggregation::LastValue) => *number = value,
            Accumulator::Number(number) => *number = sum(*number, value),
            Accumulator::Histogram(point) => record(point, value.as_f64()),
            Accumulator::Exponential(histogram) => histogram.record(value.as_f64()),
        }
    }

    /// Takes what a sum or gauge was observed to be.
    pub(crate) fn set(&mut self, value: Number) {
        self.touched = true;
        if let Accumulator::Number(number) = &mut self.accumulator {
            *number = value;
        }
    }

    /// Keeps a measurement as an exemplar, perhaps.
    pub(crate) fn offer_exemplar(&mut self, exemplar: Exemplar) {
        let (slots, slot) = match &self.accumulator {
            Accumulator::Number(_) => (1, self.random_slot(1)),
            Accumulator::Exponential(_) => (MAX_EXPONENTIAL_EXEMPLARS, self.random_slot(MAX_EXPONENTIAL_EXEMPLARS)),
            Accumulator::Histogram(point) => (point.counts.len(), Some(bucket_of(point, exemplar.value.as_f64()))),
        };
        self.offered += 1;
        if let Some(slot) = slot {
            self.exemplars.resize_with(slots, || None);
            self.exemplars[slot] = Some(exemplar);
        }
    }

    /// Where the next exemplar goes, so that after any number each had the same chance to stay.
    fn random_slot(&self, slots: usize) -> Option<usize> {
        if self.offered < slots as u64 {
            return Some(self.offered as usize);
        }
        let drawn = (id::random_u64() % (self.offered + 1)) as usize;
        (drawn < slots).then_some(drawn)
    }

    /// Writes the point of the series, and lets go of its exemplars.
    pub(crate) fn append(&mut self, out: &mut Vec<u8>, head: &PointHead<'_>, as_delta: bool) {
        self.touched = false;
        self.offered = 0;
        let exemplars = std::mem::take(&mut self.exemplars);
        let exemplars = exemplars.iter().flatten().map(|exemplar| ExemplarRef {
            time_unix_nano: exemplar.time_unix_nano,
            value: exemplar.value,
            trace_id: exemplar.trace.trace_id,
            span_id: exemplar.trace.span_id,
            filtered_attributes: &exemplar.filtered,
        });
        match &self.accumulator {
            Accumulator::Number(number) => {
                let previous = self.previous.replace(*number).filter(|_| as_delta);
                let value = previous.map_or(*number, |previous| sum(*number, negative(previous)));
                append_number_point(out, head, value, exemplars);
            }
            Accumulator::Histogram(point) => append_histogram_point(out, head, point, exemplars),
            Accumulator::Exponential(histogram) => {
                append_exponential_histogram_point(out, head, &histogram.point, exemplars);
            }
        }
    }
}

fn sum(one: Number, other: Number) -> Number {
    match (one, other) {
        (Number::Int(one), Number::Int(other)) => Number::Int(one.saturating_add(other)),
        _ => Number::Double(one.as_f64() + other.as_f64()),
    }
}

fn negative(number: Number) -> Number {
    match number {
        Number::Int(number) => Number::Int(number.saturating_neg()),
        Number::Double(number) => Number::Double(-number),
    }
}

/// The bucket of a value; bounds belong to the bucket below them.
fn bucket_of(point: &HistogramPoint, value: f64) -> usize {
    point.bounds.partition_point(|bound| *bound < value)
}

fn record(point: &mut HistogramPoint, value: f64) {
    let bucket = bucket_of(point, value);
    point.counts[bucket] += 1;
    point.count += 1;
    point.sum = point.sum.map(|sum| sum + value);
    point.min = Some(point.min.map_or(value, |min| min.min(value)));
    point.max = Some(point.max.map_or(value, |max| max.max(value)));
}
