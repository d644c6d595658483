//! The current span: a `contextvars.ContextVar` that is read and written through the C API.
#![expect(unsafe_code, reason = "PyO3 has no safe wrapper for context variables")]

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

static VARIABLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

fn variable(py: Python<'_>) -> Option<&Bound<'_, PyAny>> {
    let made = VARIABLE.get_or_try_init(py, || {
        // SAFETY: the name is a C string, there is no default, and the result is a new reference
        // or null with an exception set, which from_owned_ptr_or_err turns into an error.
        let variable = unsafe {
            let pointer = ffi::PyContextVar_New(c"pitviper_current_span".as_ptr(), std::ptr::null_mut());
            Bound::from_owned_ptr_or_err(py, pointer)?
        };
        Ok::<_, PyErr>(variable.unbind())
    });
    made.ok().map(|variable| variable.bind(py))
}

/// What the variable holds in the calling context; `None` when it is not set or holds None.
#[inline]
pub(crate) fn get(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    let variable = variable(py)?;
    let mut value = std::ptr::null_mut();
    // SAFETY: `variable` is a ContextVar; the call writes a new reference or null to `value`, and
    // null is all that from_owned_ptr_or_opt has to be told apart.
    let value = unsafe {
        if ffi::PyContextVar_Get(variable.as_ptr(), std::ptr::null_mut(), &raw mut value) != 0 {
            ffi::PyErr_Clear();
            return None;
        }
        Bound::from_owned_ptr_or_opt(py, value)?
    };
    (!value.is_none()).then_some(value)
}

/// Sets the variable in the calling context; the token undoes it, see [`reset`].
#[inline]
pub(crate) fn set<'py>(py: Python<'py>, value: Option<&Bound<'py, PyAny>>) -> Option<Bound<'py, PyAny>> {
    let variable = variable(py)?;
    let none = py.None();
    let value = value.map_or(none.as_ptr(), Bound::as_ptr);
    // SAFETY: both are live objects for the duration of the call, which returns a new reference or
    // null with an exception set, which from_owned_ptr_or_err takes away.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContextVar_Set(variable.as_ptr(), value)).ok() }
}

/// Sets the variable back to what it was before the [`set`] that returned the token. In any other
/// context than that one, and for anything but a token, it does nothing.
#[inline]
pub(crate) fn reset(py: Python<'_>, token: &Bound<'_, PyAny>) {
    let Some(variable) = variable(py) else { return };
    // SAFETY: both are live objects for the duration of the call, which checks the token's type,
    // its variable and its context, and sets an exception if it refuses.
    unsafe {
        if ffi::PyContextVar_Reset(variable.as_ptr(), token.as_ptr()) != 0 {
            ffi::PyErr_Clear();
        }
    }
}
