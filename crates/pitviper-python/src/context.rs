//! The current span: a `contextvars.ContextVar` that is read and written through the C API.
#![expect(unsafe_code, reason = "PyO3 has no safe wrapper for context variables")]

use std::ffi::CStr;

use pyo3::ffi;
use pyo3::prelude::*;

use crate::once::Once;

static VARIABLE: Once<Py<PyAny>> = Once::new();

/// The variable of the current span.
pub(crate) fn variable(py: Python<'_>) -> Option<&Bound<'_, PyAny>> {
    let made = VARIABLE.get_or_try_init(py, || new_variable(py, c"pitviper_current_span"));
    made.ok().map(|variable| variable.bind(py))
}

/// A new context variable without a default.
pub(crate) fn new_variable(py: Python<'_>, name: &CStr) -> PyResult<Py<PyAny>> {
    // SAFETY: the name is a C string, there is no default, and the result is a new reference
    // or null with an exception set, which from_owned_ptr_or_err turns into an error.
    let variable = unsafe {
        let pointer = ffi::PyContextVar_New(name.as_ptr(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_err(py, pointer)?
    };
    Ok(variable.unbind())
}

/// What a variable holds in the calling context; `None` when it was never set and has no default, and
/// for what is no variable.
#[inline]
pub(crate) fn get_from<'py>(variable: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let mut value = std::ptr::null_mut();
    // SAFETY: the call checks that `variable` is a ContextVar and writes a new reference or null to
    // `value`, and null is all that from_owned_ptr_or_opt has to be told apart.
    unsafe {
        if ffi::PyContextVar_Get(variable.as_ptr(), std::ptr::null_mut(), &raw mut value) != 0 {
            ffi::PyErr_Clear();
            return None;
        }
        Bound::from_owned_ptr_or_opt(variable.py(), value)
    }
}

/// Sets a variable in the calling context; the token undoes it, see [`reset_in`].
#[inline]
pub(crate) fn set_in<'py>(variable: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: both are live objects for the duration of the call, which checks that `variable` is a
    // ContextVar and returns a new reference or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(variable.py(), ffi::PyContextVar_Set(variable.as_ptr(), value.as_ptr())) }
}

/// Sets a variable back to what it was before the [`set_in`] that returned the token. Fails in any other
/// context than that one, and for anything but a token of that variable.
#[inline]
pub(crate) fn reset_in(variable: &Bound<'_, PyAny>, token: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: both are live objects for the duration of the call, which checks their types and sets an
    // exception if it refuses.
    let refused = unsafe { ffi::PyContextVar_Reset(variable.as_ptr(), token.as_ptr()) != 0 };
    if refused { Err(PyErr::fetch(variable.py())) } else { Ok(()) }
}

/// What is set as current, None included; `None` when nothing ever was.
#[inline]
pub(crate) fn get_raw(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    get_from(variable(py)?)
}

/// What is current in the calling context; `None` when it is not set or holds None.
#[inline]
pub(crate) fn get(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    get_raw(py).filter(|value| !value.is_none())
}

/// Sets what is current in the calling context; the token undoes it, see [`reset`].
#[inline]
pub(crate) fn set<'py>(py: Python<'py>, value: Option<&Bound<'py, PyAny>>) -> Option<Bound<'py, PyAny>> {
    let variable = variable(py)?;
    match value {
        Some(value) => set_in(variable, value).ok(),
        None => set_in(variable, py.None().bind(py)).ok(),
    }
}

/// Undoes a [`set`]. Fails in any other context than that one, and for anything but its token.
#[inline]
pub(crate) fn try_reset(py: Python<'_>, token: &Bound<'_, PyAny>) -> PyResult<()> {
    variable(py).map_or(Ok(()), |variable| reset_in(variable, token))
}

/// Undoes a [`set`]; in any other context than that one, and for anything but its token, it does nothing.
#[inline]
pub(crate) fn reset(py: Python<'_>, token: &Bound<'_, PyAny>) {
    // The error is taken away with the result.
    let _ = try_reset(py, token);
}

/// Whether an object is a `contextvars.Context`.
pub(crate) fn is_context(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: it looks at the type of a live object.
    unsafe { ffi::PyContext_CheckExact(object.as_ptr()) != 0 }
}
