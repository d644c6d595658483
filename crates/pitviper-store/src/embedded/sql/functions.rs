//! The functions that statements may use: those of the engine that read nothing but their arguments
//! and make no more of them than they are in time that grows as they do, and some of our own.
//!
//! What makes long texts of short ones is ours, because the engine's count towards no limit.

use std::sync::Arc;

use arrow::array::builder::StringViewBuilder;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StringViewArray};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{DFSchema, Result, exec_err, plan_err};
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use crate::questions::sql::MAX_TEXT_BYTES;

/// Reads a value of attributes.
pub(super) const ATTR: &str = "attr";

/// The functions of the engine, by name, that are let in.
const OF_THE_ENGINE: [&str; 79] = [
    "array_distinct",
    "array_element",
    "array_has",
    "array_length",
    "array_max",
    "array_min",
    "array_position",
    "array_slice",
    "array_sort",
    "arrow_typeof",
    "ascii",
    "bit_length",
    "btrim",
    "cardinality",
    "character_length",
    "chr",
    "coalesce",
    "contains",
    "current_date",
    "current_time",
    "date_bin",
    "date_part",
    "date_trunc",
    "empty",
    "ends_with",
    "find_in_set",
    "from_unixtime",
    "get_field",
    "greatest",
    "initcap",
    "least",
    "left",
    "lower",
    "ltrim",
    "make_array",
    "make_date",
    "make_time",
    "map_entries",
    "map_extract",
    "map_keys",
    "map_values",
    "now",
    "nullif",
    "nvl",
    "nvl2",
    "octet_length",
    "regexp_count",
    "regexp_instr",
    "regexp_like",
    "regexp_match",
    "reverse",
    "right",
    "rtrim",
    "split_part",
    "starts_with",
    "string_to_array",
    "strpos",
    "substr",
    "substr_index",
    "to_char",
    "to_date",
    "to_hex",
    "to_local_time",
    "to_time",
    "to_timestamp",
    "to_timestamp_micros",
    "to_timestamp_millis",
    "to_timestamp_nanos",
    "to_timestamp_seconds",
    "to_unixtime",
    "translate",
    "upper",
    // Ours, named so that a name is not two functions'.
    "abs",
    "attr",
    "ceil",
    "concat",
    "floor",
    "replace",
    "round",
];

/// All scalar functions of a statement.
pub(super) fn scalar() -> Vec<Arc<ScalarUDF>> {
    let ours = Function::ALL.map(|function| Arc::new(ScalarUDF::new_from_impl(Ours::new(function))));
    let of_the_engine = SessionStateDefaults::default_scalar_functions().into_iter().filter(|function| {
        OF_THE_ENGINE.contains(&function.name()) && !ours.iter().any(|own| own.name() == function.name())
    });
    of_the_engine.chain(ours.iter().cloned()).collect()
}

/// Has `||` count towards the limit of texts as well.
#[derive(Debug)]
pub(super) struct Concatenate;

impl ExprPlanner for Concatenate {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        if expr.op != BinaryOperator::StringConcat {
            return Ok(PlannerResult::Original(expr));
        }
        for side in [&expr.left, &expr.right] {
            if side.get_type(schema)?.is_nested() {
                return plan_err!("`||` joins texts, not lists");
            }
        }
        let function = Arc::new(ScalarUDF::new_from_impl(Ours::new(Function::Join)));
        Ok(PlannerResult::Planned(function.call(vec![expr.left, expr.right])))
    }
}

/// A function of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Function {
    /// The text of an attribute, or NULL.
    Attr,
    /// Texts one behind the other; NULL counts as an empty one.
    Concat,
    /// The operator `||`: with NULL it is NULL.
    Join,
    /// A text with each occurrence of another replaced.
    Replace,
    Abs,
    Ceil,
    Floor,
    /// To so many digits behind the point.
    Round,
}

impl Function {
    const ALL: [Self; 8] =
        [Self::Attr, Self::Concat, Self::Join, Self::Replace, Self::Abs, Self::Ceil, Self::Floor, Self::Round];

    fn name(self) -> &'static str {
        match self {
            Self::Attr => ATTR,
            Self::Concat => "concat",
            Self::Join => "text_join",
            Self::Replace => "replace",
            Self::Abs => "abs",
            Self::Ceil => "ceil",
            Self::Floor => "floor",
            Self::Round => "round",
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Ours {
    function: Function,
    signature: Signature,
}

impl Ours {
    fn new(function: Function) -> Self {
        Self { function, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Ours {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.function {
            Function::Attr | Function::Concat | Function::Join | Function::Replace => DataType::Utf8View,
            Function::Abs | Function::Ceil | Function::Floor | Function::Round => DataType::Float64,
        })
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let texts = |count: usize| vec![DataType::Utf8View; count];
        match (self.function, given) {
            (Function::Attr, [map @ DataType::Map(..), _]) => Ok(vec![map.clone(), DataType::Utf8View]),
            (Function::Attr, _) => plan_err!("attr takes attributes and a key: attr(attributes, 'http.route')"),
            (Function::Concat, [_, ..]) => Ok(texts(given.len())),
            (Function::Join, [_, _]) => Ok(texts(2)),
            (Function::Replace, [_, _, _]) => Ok(texts(3)),
            (Function::Abs | Function::Ceil | Function::Floor | Function::Round, [_]) => Ok(vec![DataType::Float64]),
            (Function::Round, [_, _]) => Ok(vec![DataType::Float64; 2]),
            _ => plan_err!("{} does not take {} arguments", self.name(), given.len()),
        }
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = call.number_rows;
        let is_constant = call.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { rows };
        let arrays = call.args.iter().map(|value| value.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let made: ArrayRef = match self.function {
            Function::Attr => attr(&arrays[0], &arrays[1])?,
            Function::Concat => concat(&arrays, rows, false)?,
            Function::Join => concat(&arrays, rows, true)?,
            Function::Replace => replace(&arrays, rows)?,
            Function::Abs => numbers(&arrays, |number, _| number.abs()),
            Function::Ceil => numbers(&arrays, |number, _| number.ceil()),
            Function::Floor => numbers(&arrays, |number, _| number.floor()),
            Function::Round => numbers(&arrays, round),
        };
        if is_constant {
            return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&made, 0)?));
        }
        Ok(ColumnarValue::Array(made))
    }
}

/// Texts that are made one after the other, up to a bound for all.
struct Texts {
    texts: StringViewBuilder,
    bytes: usize,
}

impl Texts {
    fn new(rows: usize) -> Self {
        Self { texts: StringViewBuilder::with_capacity(rows), bytes: 0 }
    }

    /// Says no before a text of so many bytes is made.
    fn admit(&mut self, bytes: usize) -> Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_TEXT_BYTES {
            return exec_err!("the texts that are made grow beyond {} MiB; make shorter ones", MAX_TEXT_BYTES >> 20);
        }
        Ok(())
    }
}

/// The value of a key in each row. Of a repeated key the last counts.
fn attr(maps: &ArrayRef, wanted: &ArrayRef) -> Result<ArrayRef> {
    let (maps, wanted) = (maps.as_map(), wanted.as_string_view());
    let (keys, values) = (maps.keys().as_string::<i32>(), maps.values().as_string::<i32>());
    let offsets = maps.value_offsets();
    let find = |row: usize| {
        if wanted.is_null(row) || maps.is_null(row) {
            return None;
        }
        let key = wanted.value(row);
        let at = (offsets[row] as usize..offsets[row + 1] as usize).rev().find(|&at| keys.value(at) == key)?;
        Some(values.value(at))
    };
    let mut texts = Texts::new(maps.len());
    for row in 0..maps.len() {
        let found = find(row);
        // Not more than what is stored, so this only refuses what a page can hardly hold.
        texts.admit(found.map_or(0, str::len))?;
        texts.texts.append_option(found);
    }
    Ok(Arc::new(texts.texts.finish()))
}

fn concat(arrays: &[ArrayRef], rows: usize, null_is_null: bool) -> Result<ArrayRef> {
    let parts: Vec<&StringViewArray> = arrays.iter().map(|array| array.as_string_view()).collect();
    let mut texts = Texts::new(rows);
    let mut text = String::new();
    for row in 0..rows {
        if null_is_null && parts.iter().any(|part| part.is_null(row)) {
            texts.texts.append_null();
            continue;
        }
        let said = || parts.iter().filter(|part| part.is_valid(row)).map(|part| part.value(row));
        texts.admit(said().map(str::len).sum())?;
        text.clear();
        said().for_each(|part| text.push_str(part));
        texts.texts.append_value(&text);
    }
    Ok(Arc::new(texts.texts.finish()))
}

fn replace(arrays: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let [whole, from, to] = [0, 1, 2].map(|at| arrays[at].as_string_view());
    let mut texts = Texts::new(rows);
    for row in 0..rows {
        if whole.is_null(row) || from.is_null(row) || to.is_null(row) {
            texts.texts.append_null();
            continue;
        }
        let (text, from, to) = (whole.value(row), from.value(row), to.value(row));
        if from.is_empty() {
            texts.admit(text.len())?;
            texts.texts.append_value(text);
            continue;
        }
        let found = text.matches(from).count();
        texts.admit(text.len().saturating_add(found.saturating_mul(to.len())))?;
        texts.texts.append_value(text.replace(from, to));
    }
    Ok(Arc::new(texts.texts.finish()))
}

fn numbers(arrays: &[ArrayRef], make: impl Fn(f64, Option<f64>) -> f64) -> ArrayRef {
    let first = arrays[0].as_primitive::<Float64Type>();
    let second = arrays.get(1).map(|array| array.as_primitive::<Float64Type>());
    let make = |row: usize| {
        let is_known = first.is_valid(row) && second.is_none_or(|second| second.is_valid(row));
        is_known.then(|| make(first.value(row), second.map(|second| second.value(row))))
    };
    Arc::new((0..first.len()).map(make).collect::<Float64Array>())
}

/// Half goes away from zero. More digits than a number has change nothing.
fn round(number: f64, digits: Option<f64>) -> f64 {
    const MAX_DIGITS: i32 = 15;
    let digits = digits.unwrap_or_default() as i32;
    if digits > MAX_DIGITS {
        return number;
    }
    let factor = 10f64.powi(digits.max(-300));
    let scaled = (number * factor).round();
    if scaled.is_finite() { scaled / factor } else { number }
}

#[cfg(test)]
mod tests {
    use datafusion::common::DataFusionError;

    use super::*;

    #[test]
    fn the_engine_has_the_functions_that_are_let_in() {
        let names: Vec<String> = scalar().iter().map(|function| function.name().to_owned()).collect();
        for name in OF_THE_ENGINE {
            assert_eq!(names.iter().filter(|known| *known == name).count(), 1, "{name}");
        }
        for grows in ["repeat", "lpad", "rpad", "range", "generate_series", "array_repeat", "array_resize", "uuid"] {
            assert!(!names.iter().any(|known| known == grows), "{grows}");
        }
    }

    #[test]
    fn numbers_are_rounded() {
        assert_eq!(round(12.345, Some(1.0)), 12.3);
        assert_eq!(round(-2.5, None), -3.0);
        assert_eq!(round(1234.0, Some(-2.0)), 1200.0);
        assert_eq!(round(0.1, Some(300.0)), 0.1);
        assert!(round(f64::NAN, Some(2.0)).is_nan());
    }

    #[test]
    fn texts_stop_at_their_bound() {
        let array = |text: &str| -> ArrayRef { Arc::new(StringViewArray::from(vec![Some(text)])) };
        let long = "a".repeat(10_000);
        let joined = concat(&[array("a"), array("b")], 1, true).unwrap();
        assert_eq!(joined.as_string_view().value(0), "ab");
        let replaced = replace(&[array("a-b-c"), array("-"), array("")], 1).unwrap();
        assert_eq!(replaced.as_string_view().value(0), "abc");
        let refused = replace(&[array(&long), array("a"), array(&long)], 1).unwrap_err();
        assert!(matches!(refused, DataFusionError::Execution(message) if message.contains("grow beyond")));
    }
}
