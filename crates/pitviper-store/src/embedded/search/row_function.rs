//! Tests of rows as functions of the query engine.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// What is asked of each row, with what it looks for built in. Two that are equal ask the same.
pub(super) trait RowTest: Debug + Eq + Hash + Send + Sync + 'static {
    /// The function's name in plans.
    const NAME: &'static str;

    /// The answer for each row of a batch, from the columns it is called with.
    fn test(&self, columns: &[ArrayRef]) -> Vec<bool>;
}

/// Asks the test of these columns.
pub(super) fn call(test: impl RowTest, columns: Vec<Expr>) -> Expr {
    let signature = Signature::any(columns.len(), Volatility::Immutable);
    ScalarUDF::new_from_impl(RowFunction { test, signature }).call(columns)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RowFunction<T> {
    test: T,
    signature: Signature,
}

impl<T: RowTest> ScalarUDFImpl for RowFunction<T> {
    fn name(&self) -> &str {
        T::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::from(self.test.test(&columns)))))
    }
}
