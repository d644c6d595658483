//! Typed cells of what the engine answers.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;

use crate::questions::sql::{SqlType, SqlValue};

/// What the values of a column are.
pub(super) fn kind(data_type: &DataType) -> SqlType {
    match data_type {
        DataType::Boolean => SqlType::Boolean,
        other if other.is_integer() => SqlType::Integer,
        other if other.is_floating() => SqlType::Float,
        DataType::Timestamp(..) => SqlType::Timestamp,
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => SqlType::List,
        DataType::Map(..) | DataType::Struct(_) => SqlType::Map,
        DataType::Dictionary(_, values) => kind(values),
        _ => SqlType::Text,
    }
}

/// The rows of a batch.
pub(super) fn rows(batch: &RecordBatch) -> impl Iterator<Item = Result<Vec<SqlValue>, ArrowError>> + '_ {
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| value(column.as_ref(), row)).collect())
}

fn number<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> T::Native {
    array.as_primitive::<T>().value(row)
}

fn value(array: &dyn Array, row: usize) -> Result<SqlValue, ArrowError> {
    if array.is_null(row) {
        return Ok(SqlValue::Null);
    }
    let integer = |number: i128| SqlValue::Integer(number);
    Ok(match array.data_type() {
        DataType::Null => SqlValue::Null,
        DataType::Boolean => SqlValue::Boolean(array.as_boolean().value(row)),
        DataType::Int8 => integer(number::<Int8Type>(array, row).into()),
        DataType::Int16 => integer(number::<Int16Type>(array, row).into()),
        DataType::Int32 => integer(number::<Int32Type>(array, row).into()),
        DataType::Int64 => integer(number::<Int64Type>(array, row).into()),
        DataType::UInt8 => integer(number::<UInt8Type>(array, row).into()),
        DataType::UInt16 => integer(number::<UInt16Type>(array, row).into()),
        DataType::UInt32 => integer(number::<UInt32Type>(array, row).into()),
        DataType::UInt64 => integer(number::<UInt64Type>(array, row).into()),
        DataType::Float16 => SqlValue::Float(number::<Float16Type>(array, row).to_f64()),
        DataType::Float32 => SqlValue::Float(number::<Float32Type>(array, row).into()),
        DataType::Float64 => SqlValue::Float(number::<Float64Type>(array, row)),
        DataType::Utf8 => SqlValue::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::LargeUtf8 => SqlValue::Text(array.as_string::<i64>().value(row).to_owned()),
        DataType::Utf8View => SqlValue::Text(array.as_string_view().value(row).to_owned()),
        DataType::Timestamp(unit, _) => {
            let (count, nanoseconds) = match unit {
                TimeUnit::Second => (number::<TimestampSecondType>(array, row), 1_000_000_000),
                TimeUnit::Millisecond => (number::<TimestampMillisecondType>(array, row), 1_000_000),
                TimeUnit::Microsecond => (number::<TimestampMicrosecondType>(array, row), 1_000),
                TimeUnit::Nanosecond => (number::<TimestampNanosecondType>(array, row), 1),
            };
            SqlValue::Timestamp(count.saturating_mul(nanoseconds))
        }
        DataType::List(_) => list(array.as_list::<i32>().value(row).as_ref())?,
        DataType::LargeList(_) => list(array.as_list::<i64>().value(row).as_ref())?,
        DataType::FixedSizeList(..) => list(array.as_fixed_size_list().value(row).as_ref())?,
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            let entry = |at: usize| {
                let key = array_value_to_string(keys, at)?;
                Ok((key, value(values, at)?))
            };
            SqlValue::Map((0..entries.len()).map(entry).collect::<Result<_, ArrowError>>()?)
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let entry = |(field, column): (&arrow::datatypes::FieldRef, &arrow::array::ArrayRef)| {
                Ok((field.name().clone(), value(column, row)?))
            };
            SqlValue::Map(fields.iter().zip(columns).map(entry).collect::<Result<_, ArrowError>>()?)
        }
        DataType::Dictionary(_, values) => value(cast(&array.slice(row, 1), values)?.as_ref(), 0)?,
        _ => SqlValue::Text(array_value_to_string(array, row)?),
    })
}

fn list(items: &dyn Array) -> Result<SqlValue, ArrowError> {
    (0..items.len()).map(|at| value(items, at)).collect::<Result<_, _>>().map(SqlValue::List)
}
