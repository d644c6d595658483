//! What the server wants to be different in this process, as it says it.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use serde_json::Value;

/// How much of a text that makes no sense is shown.
const MAX_SHOWN: usize = 100;

/// The members of a JSON object that are truth values, numbers or texts; what else there is comes as its JSON text.
/// Raises ValueError for what is no JSON object.
#[pyfunction]
pub(crate) fn read_settings<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyDict>> {
    let shown = &text[..text.floor_char_boundary(MAX_SHOWN)];
    let parsed: Value = serde_json::from_str(text)
        .map_err(|error| PyValueError::new_err(format!("settings of the server are no JSON ({error}): {shown}")))?;
    let Value::Object(members) = parsed else {
        return Err(PyValueError::new_err(format!("settings of the server are no object: {shown}")));
    };
    let settings = PyDict::new(py);
    for (name, value) in members {
        match value {
            Value::Null => settings.set_item(name, py.None())?,
            Value::Bool(value) => settings.set_item(name, value)?,
            Value::Number(value) => match value.as_i64() {
                Some(whole) => settings.set_item(name, whole)?,
                None => settings.set_item(name, value.as_f64())?,
            },
            Value::String(value) => settings.set_item(name, PyString::new(py, &value))?,
            other => settings.set_item(name, other.to_string())?,
        }
    }
    Ok(settings)
}
