//! Python values into those of the core. None of these functions fails: what an instrumented
//! application passes by mistake must not become an exception in it.

use std::borrow::Cow;
use std::sync::Arc;

use crate::faces;
use crate::runtime::has_interpreter_lock;
use pitviper_agent::Span;
use pitviper_model::{Attributes, SpanKind, StatusCode, Value};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PyMapping, PySet, PyString, PyTuple};

/// Nesting of lists and mappings that is followed.
const MAX_DEPTH: usize = 8;
/// Items of one list or mapping that are kept.
const MAX_ITEMS: usize = 1_000;

/// Sets one attribute of a span from Python objects; what has no representation is left out and
/// counted, and `None` means "not set", as in OpenTelemetry.
#[inline]
pub(crate) fn set_attribute(span: &mut Span, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) {
    let Ok(key) = key.cast::<PyString>().map_err(|_| ()).and_then(|key| key.to_str().map_err(|_| ())) else {
        span.drop_attribute();
        return;
    };
    // The usual types first, and without a copy.
    if let Ok(text) = value.cast_exact::<PyString>() {
        match text.to_str() {
            Ok(text) => span.set_attribute(key, pitviper_agent::Scalar::Str(text)),
            // Lone surrogates have no UTF-8 form.
            Err(_) => span.set_value(key, Value::String(text.to_string_lossy().into_owned())),
        }
    } else if let Ok(number) = value.cast_exact::<PyInt>() {
        match number.extract::<i64>() {
            Ok(number) => span.set_attribute(key, pitviper_agent::Scalar::Int(number)),
            Err(_) => span.set_value(key, Value::String(number.to_string())),
        }
    } else if let Ok(flag) = value.cast_exact::<PyBool>() {
        span.set_attribute(key, pitviper_agent::Scalar::Bool(flag.is_true()));
    } else if let Ok(number) = value.cast_exact::<PyFloat>() {
        span.set_attribute(key, pitviper_agent::Scalar::Double(number.value()));
    } else if !value.is_none() {
        match to_value(value, 0) {
            Some(value) => span.set_value(key, value),
            None => span.drop_attribute(),
        }
    }
}

/// Sets attributes from a mapping; anything else is left out and counted.
#[inline]
pub(crate) fn set_attributes(span: &mut Span, attributes: &Bound<'_, PyAny>) {
    if let Ok(dict) = attributes.cast::<PyDict>() {
        for_each(dict, |key, value| set_attribute(span, key, value));
    } else if let Some(items) = mapping_items(attributes) {
        for (key, value) in items {
            set_attribute(span, &key, &value);
        }
    } else if !attributes.is_none() {
        span.drop_attribute();
    }
}

/// Runs `work` with each item of a dictionary, those that are in it now, whoever changes it meanwhile.
#[inline]
pub(crate) fn for_each<'py>(dict: &Bound<'py, PyDict>, mut work: impl FnMut(&Bound<'py, PyAny>, &Bound<'py, PyAny>)) {
    // Iterating over a dictionary that changes panics. With an interpreter lock only the conversion of a
    // value can change it, and of the usual types it does not; without, other threads do.
    if !has_interpreter_lock() {
        for (key, value) in dict.items().iter().filter_map(|pair| pair.extract().ok()) {
            work(&key, &value);
        }
        return;
    }
    for (key, value) in dict {
        work(&key, &value);
    }
}

fn mapping_items<'py>(mapping: &Bound<'py, PyAny>) -> Option<Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
    // What a mapping is in general is asked of `collections.abc`, which few need to load for this.
    let items = match mapping.cast_exact::<PyDict>() {
        Ok(dict) => dict.items(),
        Err(_) => mapping.cast::<PyMapping>().ok()?.items().ok()?,
    };
    items.iter().take(MAX_ITEMS).map(|pair| pair.extract().ok()).collect()
}

/// Attributes from an optional mapping, for events, links and resources.
pub(crate) fn to_attributes(mapping: Option<&Bound<'_, PyAny>>) -> Attributes {
    let pairs = mapping.and_then(mapping_items).unwrap_or_default();
    let mut attributes = Attributes::default();
    for (key, value) in pairs {
        if let (Ok(key), Some(value)) = (key.extract::<String>(), to_value(&value, 0)) {
            attributes.set(key, value);
        }
    }
    attributes
}

/// The value, when it has a representation.
pub(crate) fn to_value(value: &Bound<'_, PyAny>, depth: usize) -> Option<Value> {
    if depth > MAX_DEPTH || value.is_none() {
        return None;
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Some(Value::String(text.to_string_lossy().into_owned()));
    }
    if let Ok(flag) = value.cast::<PyBool>() {
        return Some(Value::Bool(flag.is_true()));
    }
    if let Ok(number) = value.cast::<PyInt>() {
        return Some(number.extract().map_or_else(|_| Value::String(number.to_string()), Value::Int));
    }
    if let Ok(number) = value.cast::<PyFloat>() {
        return Some(Value::Double(number.value()));
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Some(Value::Bytes(bytes.as_bytes().to_vec()));
    }
    if let Some(items) = mapping_items(value) {
        let pairs = items
            .into_iter()
            .filter_map(|(key, value)| Some((key.extract::<String>().ok()?, to_value(&value, depth + 1)?)));
        return Some(Value::Map(pairs.collect()));
    }
    // Nothing else that can be iterated: reading would use an iterator up, and make an object
    // relational mapper run a query.
    let is_list = value.is_instance_of::<PyList>()
        || value.is_instance_of::<PyTuple>()
        || value.is_instance_of::<PySet>()
        || value.is_instance_of::<PyFrozenSet>();
    if !is_list {
        return None;
    }
    let items = value.try_iter().ok()?.take(MAX_ITEMS);
    Some(Value::Array(items.filter_map(|item| to_value(&item.ok()?, depth + 1)).collect()))
}

/// A value as Python's: lists become tuples.
fn from_value<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Bool(flag) => PyBool::new(py, *flag).to_owned().into_any(),
        Value::Int(number) => number.into_pyobject(py)?.into_any(),
        Value::Double(number) => PyFloat::new(py, *number).into_any(),
        Value::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        Value::Array(items) => {
            let items = items.iter().map(|item| from_value(py, item)).collect::<PyResult<Vec<_>>>()?;
            PyTuple::new(py, items)?.into_any()
        }
        Value::Map(attributes) => to_dict(py, attributes)?.into_any(),
    })
}

/// Attributes as a dictionary.
pub(crate) fn to_dict<'py>(py: Python<'py>, attributes: &Attributes) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in attributes.iter() {
        dict.set_item(key, from_value(py, value)?)?;
    }
    Ok(dict)
}

/// A text, whatever was given: lone surrogates, which have no UTF-8 form, are replaced, bytes are
/// read as UTF-8, None is empty, and other objects are shown as `str` shows them.
#[inline]
pub(crate) fn to_text<'a>(value: &'a Bound<'_, PyAny>) -> Cow<'a, str> {
    if let Ok(text) = value.cast::<PyString>() {
        return text.to_str().map_or_else(|_| Cow::Owned(text.to_string_lossy().into_owned()), Cow::Borrowed);
    }
    if value.is_none() {
        return Cow::Borrowed("");
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return String::from_utf8_lossy(bytes.as_bytes());
    }
    Cow::Owned(value.str().map(|text| text.to_string_lossy().into_owned()).unwrap_or_default())
}

/// A time in nanoseconds since the Unix epoch; `None`, which means now, for what is none.
#[inline]
pub(crate) fn to_time(value: Option<&Bound<'_, PyAny>>) -> Option<u64> {
    value?.extract().ok()
}

/// A span kind: OTLP's number, or OpenTelemetry's enum, whose values are one less.
pub(crate) fn to_kind(kind: &Bound<'_, PyAny>) -> SpanKind {
    if let Some(number) = faces::get(kind.py()).and_then(|faces| faces.kind_number(kind)) {
        return SpanKind::from_otlp(number);
    }
    if let Ok(number) = kind.extract::<i32>() {
        return SpanKind::from_otlp(number);
    }
    let number = kind.getattr("value").and_then(|value| value.extract::<i32>());
    number.map_or(SpanKind::Internal, |number| SpanKind::from_otlp(number + 1))
}

/// A status as a number, or as OpenTelemetry's classes say it, with the description of those.
pub(crate) fn status_of(code: &Bound<'_, PyAny>) -> (StatusCode, Option<String>) {
    if let Ok(number) = code.extract::<i32>() {
        return (StatusCode::from_otlp(number), None);
    }
    // opentelemetry.trace.Status has status_code and description; StatusCode has value.
    if let Ok(inner) = code.getattr("status_code") {
        let description = code.getattr("description").ok().map(|text| to_text(&text).into_owned());
        return (status_of(&inner).0, description);
    }
    let number = code.getattr("value").and_then(|value| value.extract::<i32>());
    (number.map_or(StatusCode::Unset, StatusCode::from_otlp), None)
}

/// The name of a service; `None` when it is none.
pub(crate) fn to_service(name: Option<&Bound<'_, PyAny>>) -> Option<Arc<str>> {
    let name = name.filter(|name| !name.is_none()).map(to_text)?;
    (!name.is_empty()).then(|| Arc::from(&*name))
}
