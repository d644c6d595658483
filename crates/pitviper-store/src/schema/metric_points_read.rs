//! Rows of `metric_series` and `metric_points` back into model types.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{ArrowPrimitiveType, Float64Type, Int32Type, Int64Type, UInt8Type, UInt32Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use pitviper_model::{
    Attributes, Exemplar, ExponentialBuckets, ExponentialHistogramPoint, HistogramPoint, Metric, MetricKind,
    MetricPoint, Number, PointValue, SeriesId, Temporality, Value,
};

use super::json::read_value;
use super::spans_read::{Columns, Decoded, damaged, read_details, read_list, read_resource, read_scope};
use crate::questions::MetricSeries;
use crate::store::StoreError;

/// Reads series. The batch has all columns.
pub(crate) fn read_series(batch: &RecordBatch) -> Result<Vec<MetricSeries>, StoreError> {
    let columns = Columns(batch);
    let owned = |text: &str| Ok(text.to_owned());
    let mut texts = ["name", "unit", "description"].map(|name| Decoded::new(columns.dictionary(name)));
    let mut resources = Decoded::new(columns.dictionary("resource"));
    let mut scopes = Decoded::new(columns.dictionary("scope"));
    let is_monotonic = columns.array("is_monotonic").as_boolean();
    let attributes = columns.array("attributes").as_string::<i32>();
    (0..batch.num_rows())
        .map(|row| {
            let mut text = |at: usize| texts[at].at(row, owned);
            let number = |name: &str| columns.number::<UInt8Type>(name, row);
            let Some(Value::Map(attributes)) = read_value(attributes.value(row)) else {
                return Err(damaged("series"));
            };
            Ok(MetricSeries {
                id: SeriesId(columns.id("series", row)),
                metric: Metric {
                    name: text(0)?,
                    unit: text(1)?,
                    description: text(2)?,
                    kind: MetricKind::from_number(number("kind")),
                    temporality: Temporality::from_otlp(i32::from(number("temporality"))),
                    is_monotonic: is_monotonic.value(row),
                },
                attributes,
                resource: resources.at(row, |text| read_resource(text).map(Arc::new))?,
                scope: scopes.at(row, |text| read_scope(text).map(Arc::new))?,
                first_seen_ns: columns.number::<Int64Type>("first_seen_ns", row),
                last_seen_ns: columns.number::<Int64Type>("last_seen_ns", row),
            })
        })
        .collect()
}

/// Reads the points of these rows. The batch has all columns.
pub(crate) fn read_points(
    batch: &RecordBatch,
    is_wanted: impl Fn(usize) -> bool,
) -> Result<Vec<(SeriesId, MetricPoint)>, StoreError> {
    let columns = Columns(batch);
    let read = |row: usize| {
        let point = MetricPoint {
            start_time_unix_nano: columns.optional_number::<UInt64Type>("start_ns", row).unwrap_or_default(),
            time_unix_nano: columns.number::<Int64Type>("time_ns", row).cast_unsigned(),
            flags: columns.number::<UInt32Type>("flags", row),
            value: read_point_value(&columns, row),
            exemplars: read_list(columns.optional_text("exemplars", row), read_exemplar)?,
        };
        Ok((SeriesId(columns.id("series", row)), point))
    };
    (0..batch.num_rows()).filter(|row| is_wanted(*row)).map(read).collect()
}

fn read_point_value(columns: &Columns<'_>, row: usize) -> PointValue {
    let float = |name: &str| columns.optional_number::<Float64Type>(name, row);
    if let Some(number) = float("value") {
        return PointValue::Number(Number::Double(number));
    }
    if let Some(number) = columns.optional_number::<Int64Type>("value_int", row) {
        return PointValue::Number(Number::Int(number));
    }
    let Some(count) = columns.optional_number::<UInt64Type>("count", row) else { return PointValue::Nothing };
    let (sum, min, max) = (float("sum"), float("min"), float("max"));
    let counts = list::<UInt64Type>(columns, "counts", row);
    let Some(scale) = columns.optional_number::<Int32Type>("scale", row) else {
        let bounds = list::<Float64Type>(columns, "bounds", row);
        return PointValue::Histogram(HistogramPoint { count, sum, min, max, bounds, counts });
    };
    let offset = |name: &str| columns.optional_number::<Int32Type>(name, row).unwrap_or_default();
    PointValue::ExponentialHistogram(ExponentialHistogramPoint {
        count,
        sum,
        min,
        max,
        scale,
        zero_count: columns.optional_number::<UInt64Type>("zero_count", row).unwrap_or_default(),
        zero_threshold: float("zero_threshold").unwrap_or_default(),
        positive: ExponentialBuckets { offset: offset("offset"), counts },
        negative: ExponentialBuckets {
            offset: offset("negative_offset"),
            counts: list::<UInt64Type>(columns, "negative_counts", row),
        },
    })
}

fn list<T: ArrowPrimitiveType>(columns: &Columns<'_>, name: &str, row: usize) -> Vec<T::Native> {
    let items = columns.array(name).as_list::<i32>().value(row);
    items.as_primitive::<T>().values().to_vec()
}

fn read_exemplar(fields: &Attributes) -> Option<Exemplar> {
    Some(Exemplar {
        time_unix_nano: fields.get_str("time_unix_nano")?.parse().ok()?,
        value: match fields.get("value")? {
            Value::Int(number) => Number::Int(*number),
            Value::Double(number) => Number::Double(*number),
            _ => return None,
        },
        trace_id: fields.get_str("trace_id")?.parse().ok()?,
        span_id: fields.get_str("span_id")?.parse().ok()?,
        filtered_attributes: read_details(fields),
    })
}

#[cfg(test)]
mod tests {
    use pitviper_model::{Resource, Scope, SpanId, TraceId};
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::schema::metric_points::sorted;
    use crate::schema::strategies::{attributes, double, resource, scope, text};
    use crate::schema::{MAX_START_TIME_UNIX_NANO, MetricPointsBuilder, Table};

    type Case = (Resource, Scope, Metric, Attributes, MetricPoint);

    fn number() -> impl Strategy<Value = Number> {
        prop_oneof![any::<i64>().prop_map(Number::Int), double().prop_map(Number::Double)]
    }

    fn figures() -> impl Strategy<Value = [Option<f64>; 3]> {
        [option::of(double()), option::of(double()), option::of(double())]
    }

    fn point_value() -> impl Strategy<Value = PointValue> {
        let histogram = (any::<u64>(), figures(), vec(double(), 0..4), vec(any::<u64>(), 0..4)).prop_map(
            |(count, [sum, min, max], bounds, counts)| {
                PointValue::Histogram(HistogramPoint { count, sum, min, max, bounds, counts })
            },
        );
        let buckets = || {
            (any::<i32>(), vec(any::<u64>(), 0..4)).prop_map(|(offset, counts)| ExponentialBuckets { offset, counts })
        };
        let exponential = (any::<u64>(), figures(), (any::<i32>(), any::<u64>(), double()), buckets(), buckets())
            .prop_map(|(count, [sum, min, max], (scale, zero_count, zero_threshold), positive, negative)| {
                PointValue::ExponentialHistogram(ExponentialHistogramPoint {
                    count,
                    sum,
                    min,
                    max,
                    scale,
                    zero_count,
                    zero_threshold,
                    positive,
                    negative,
                })
            });
        prop_oneof![Just(PointValue::Nothing), number().prop_map(PointValue::Number), histogram, exponential]
    }

    fn exemplar() -> impl Strategy<Value = Exemplar> {
        (any::<u64>(), number(), any::<[u8; 16]>(), any::<[u8; 8]>(), attributes()).prop_map(
            |(time_unix_nano, value, trace, span, filtered_attributes)| Exemplar {
                time_unix_nano,
                value,
                trace_id: TraceId(trace),
                span_id: SpanId(span),
                filtered_attributes,
            },
        )
    }

    fn case() -> impl Strategy<Value = Case> {
        let metric = (text(), text(), text(), 1..5u8, 0..3i32, any::<bool>()).prop_map(
            |(name, unit, description, kind, temporality, is_monotonic)| Metric {
                name,
                unit,
                description,
                kind: MetricKind::from_number(kind),
                temporality: Temporality::from_otlp(temporality),
                is_monotonic,
            },
        );
        let point = (any::<u64>(), 0..=MAX_START_TIME_UNIX_NANO, any::<u32>(), point_value(), vec(exemplar(), 0..2))
            .prop_map(|(start_time_unix_nano, time_unix_nano, flags, value, exemplars)| MetricPoint {
                start_time_unix_nano,
                time_unix_nano,
                flags,
                value,
                exemplars,
            });
        (resource(), scope(), metric, attributes(), point)
    }

    fn build(cases: &[Case]) -> [RecordBatch; 2] {
        let mut builder = MetricPointsBuilder::default();
        for (resource, scope, metric, attributes, point) in cases {
            builder.append(resource, scope, metric, attributes, point);
        }
        builder.finish()
    }

    proptest! {
        #[test]
        fn points_and_series_come_back_as_they_were(parts in vec(vec(case(), 1..4), 1..3)) {
            let batches: Vec<[RecordBatch; 2]> = parts.iter().map(|part| build(part)).collect();
            let merged = [Table::MetricSeries, Table::MetricPoints].map(|table| {
                let at = usize::from(table == Table::MetricPoints);
                table.concat(&batches.iter().map(|batch| &batch[at]).collect::<Vec<_>>()).unwrap()
            });
            let series = read_series(&merged[0]).unwrap();
            let points = read_points(&merged[1], |_| true).unwrap();
            let cases = parts.concat();
            prop_assert_eq!(points.len(), cases.len());
            for ((resource, scope, metric, attributes, point), (id, found)) in cases.iter().zip(&points) {
                prop_assert_eq!(found, point);
                let of = series.iter().find(|series| series.id == *id).unwrap();
                prop_assert_eq!((&*of.resource, &*of.scope, &of.metric), (resource, scope, metric));
                prop_assert_eq!(&of.attributes, &sorted(attributes));
                let time = point.time_unix_nano.cast_signed();
                prop_assert!(series.iter().any(|one| one.id == *id && (one.first_seen_ns..=one.last_seen_ns).contains(&time)));
            }
        }
    }

    #[test]
    fn the_order_of_attributes_and_the_description_make_no_series() {
        let case = |attributes: &[(&str, i64)], description: &str, name: &str| {
            let metric = Metric { name: name.to_owned(), description: description.to_owned(), ..Metric::default() };
            let attributes = attributes.iter().copied().collect();
            (Resource::default(), Scope::default(), metric, attributes, MetricPoint::default())
        };
        let [series, points] = build(&[
            case(&[("a", 1), ("b", 2)], "", "m"),
            case(&[("b", 2), ("a", 1)], "other words", "m"),
            case(&[("a", 1)], "", "m"),
            case(&[("a", 1)], "", "n"),
        ]);
        assert_eq!((series.num_rows(), points.num_rows()), (3, 4));
    }
}
