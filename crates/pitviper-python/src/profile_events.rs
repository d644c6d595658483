//! What happens beside stacks, told to the profiler.

use std::time::Duration;

use pitviper_profiler::{EventOptions, Profiler};
use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;

use crate::host;
use crate::shield::shield;

/// Says which events are kept: waits for locks, as the sampler sees them or one
/// by one; what blocks an event loop for so many
/// milliseconds, zero for nothing; garbage collections;
/// exceptions.
#[pyfunction]
#[pyo3(signature = (*, locks, exact_locks, loops_ms, collections, exceptions))]
pub(crate) fn profiler_events(locks: bool, exact_locks: bool, loops_ms: f64, collections: bool, exceptions: bool) {
    let loops = Duration::try_from_secs_f64(loops_ms / 1e3).ok().filter(|threshold| !threshold.is_zero());
    shield((), || Profiler::get().keep_events(&EventOptions { locks, exact_locks, loops, collections, exceptions }));
}

/// For `sys.monitoring`: an exception goes through a frame. Few are looked at where there are many.
#[pyfunction]
#[pyo3(signature = (code, offset, exception, /))]
pub(crate) fn profiler_raised(code: &Bound<'_, PyAny>, offset: &Bound<'_, PyAny>, exception: &Bound<'_, PyAny>) {
    let _ = (code, offset);
    if Profiler::get().count_exception() {
        shield((), || match class_of_new(exception) {
            Some(class) => Profiler::get().raised(&class, host::own_state(exception.py()).0),
            None => Profiler::get().passed_on(),
        });
    }
}

/// The class of an exception that has come through no frame but this one; `None` for others.
fn class_of_new(exception: &Bound<'_, PyAny>) -> Option<String> {
    let error = PyErr::from_value(exception.cast::<PyBaseException>().ok()?.clone().into_any());
    let traceback = error.traceback(exception.py())?;
    if !traceback.getattr("tb_next").ok()?.is_none() {
        return None;
    }
    Some(exception.get_type().fully_qualified_name().ok()?.to_string_lossy().into_owned())
}
