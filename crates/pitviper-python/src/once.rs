//! What is made once, without letting go of the interpreter.
//!
//! PyO3's cells let go of it while a value is made. A child that another thread forks meanwhile finds a value in the
//! making, by a thread that it does not have, and would wait for it for ever. Here two threads may make a value, and
//! the first counts.

use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::PyString;

/// A place for a value.
#[derive(Debug)]
pub(crate) struct Once<T>(OnceLock<T>);

impl<T> Once<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The value, if there is one.
    #[inline]
    pub(crate) fn get(&self, _: Python<'_>) -> Option<&T> {
        self.0.get()
    }

    /// Puts a value there, unless there is one.
    pub(crate) fn set(&self, _: Python<'_>, value: T) -> Result<(), T> {
        self.0.set(value)
    }

    /// The value, made now if there is none.
    #[inline]
    pub(crate) fn get_or_init(&self, py: Python<'_>, make: impl FnOnce() -> T) -> &T {
        if let Some(there) = self.get(py) {
            return there;
        }
        let made = make();
        self.0.get_or_init(|| made)
    }

    /// The value, made now if there is none and that succeeds.
    #[inline]
    pub(crate) fn get_or_try_init<E>(&self, py: Python<'_>, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if let Some(there) = self.get(py) {
            return Ok(there);
        }
        let made = make()?;
        Ok(self.0.get_or_init(|| made))
    }
}

/// A text as Python's one object of that text.
pub(crate) fn interned<'a, 'py>(cell: &'a Once<Py<PyString>>, py: Python<'py>, text: &str) -> &'a Bound<'py, PyString> {
    cell.get_or_init(py, || PyString::intern(py, text).unbind()).bind(py)
}

/// As PyO3's macro of this name.
macro_rules! intern {
    ($py:expr, $text:expr) => {{
        static TEXT: $crate::once::Once<pyo3::Py<pyo3::types::PyString>> = $crate::once::Once::new();
        $crate::once::interned(&TEXT, $py, $text)
    }};
}
pub(crate) use intern;
