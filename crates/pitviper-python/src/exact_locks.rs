//! Locks that know how long they were waited for and held: `threading.Lock` and `RLock` where exact counts are
//! asked for.
//!
//! Each stands before a lock of the interpreter, or of whatever has replaced its locks, which does the work. A lock
//! that is free costs one call and two looks at the clock more than without.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pitviper_profiler::Profiler;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::host;
use crate::shield::shield;

/// How far out the code is looked for that made a lock, past the standard library's classes that have one.
const MAX_MAKERS: usize = 8;
/// Files whose locks are part of something else, which their caller made.
const MAKERS: [&str; 4] =
    ["/threading.py", "/queue.py", "/concurrent/futures/_base.py", "/pitviper/profiling/_locks.py"];

/// Nanoseconds on a clock of this process's own.
fn now_ns() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// A lock, and what is known of it.
struct Timed {
    /// The lock that does the work, and its methods.
    inner: Py<PyAny>,
    acquire: Py<PyAny>,
    release: Py<PyAny>,
    /// Where it was made.
    place: Option<(Py<PyString>, u32)>,
    /// Since when it is held; zero when it is not known to be.
    since_ns: AtomicU64,
    /// How many times its owner has it.
    depth: AtomicU32,
}

impl Timed {
    fn new(inner: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self {
            acquire: inner.getattr("acquire")?.unbind(),
            release: inner.getattr("release")?.unbind(),
            place: shield(None, || place_of_maker(inner.py()).ok().flatten()),
            inner: inner.clone().unbind(),
            since_ns: AtomicU64::new(0),
            depth: AtomicU32::new(0),
        })
    }

    /// Takes the lock with the arguments of its method.
    fn acquire<'py>(
        &self,
        py: Python<'py>,
        kind: &str,
        blocking: Option<Bound<'py, PyAny>>,
        timeout: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let acquire = self.acquire.bind(py);
        if blocking.is_none() && timeout.is_none() {
            let taken = acquire.call1((false,))?;
            if taken.is_truthy()? {
                self.taken();
                return Ok(taken);
            }
        }
        let began = now_ns();
        let taken = match (blocking, timeout) {
            (None, None) => acquire.call0(),
            (Some(blocking), None) => acquire.call1((blocking,)),
            (Some(blocking), Some(timeout)) => acquire.call1((blocking, timeout)),
            (None, Some(timeout)) => {
                let named = PyDict::new(py);
                named.set_item("timeout", timeout)?;
                acquire.call((), Some(&named))
            }
        };
        let waited = Duration::from_nanos(now_ns() - began);
        shield((), || Profiler::get().lock_waited(waited, host::own_state(py).0, 0, || self.name(py, kind)));
        let taken = taken?;
        if taken.is_truthy()? {
            self.taken();
        }
        Ok(taken)
    }

    /// The calling thread has it.
    fn taken(&self) {
        if self.depth.fetch_add(1, Ordering::Relaxed) == 0 {
            self.since_ns.store(now_ns(), Ordering::Relaxed);
        }
    }

    fn release<'py>(&self, py: Python<'py>, kind: &str) -> PyResult<Bound<'py, PyAny>> {
        let depth = self.depth.load(Ordering::Relaxed);
        if depth > 1 {
            self.depth.store(depth - 1, Ordering::Relaxed);
            return self.release.bind(py).call0();
        }
        let since_ns = self.since_ns.swap(0, Ordering::Relaxed);
        self.depth.store(0, Ordering::Relaxed);
        let released = self.release.bind(py).call0();
        // Nobody waits for what is done from here on.
        self.held(py, kind, since_ns);
        released
    }

    fn held(&self, py: Python<'_>, kind: &str, since_ns: u64) {
        if since_ns > 0 {
            let held = Duration::from_nanos(now_ns() - since_ns);
            shield((), || Profiler::get().lock_held(held, host::own_state(py).0, 0, || self.name(py, kind)));
        }
    }

    /// What the lock is called: its kind and where it was made.
    fn name(&self, py: Python<'_>, kind: &str) -> String {
        format!("{kind}{}", self.place(py))
    }

    fn place(&self, py: Python<'_>) -> String {
        let Some((file, line)) = &self.place else { return String::new() };
        let file = file.bind(py).to_string_lossy().into_owned();
        let start = file.rmatch_indices('/').nth(1).map_or(0, |(at, _)| at + 1);
        format!(" at {}:{line}", &file[start..])
    }

    fn after_fork(&self, py: Python<'_>) -> PyResult<()> {
        self.since_ns.store(0, Ordering::Relaxed);
        self.depth.store(0, Ordering::Relaxed);
        self.inner.bind(py).call_method0("_at_fork_reinit").map(|_| ())
    }
}

/// The file and the line that a lock is made on.
fn place_of_maker(py: Python<'_>) -> PyResult<Option<(Py<PyString>, u32)>> {
    let mut frame = py.import("sys")?.call_method1("_getframe", (0,))?;
    for _ in 0..MAX_MAKERS {
        let file = frame.getattr("f_code")?.getattr("co_filename")?.cast_into::<PyString>().map_err(PyErr::from)?;
        if !MAKERS.iter().any(|maker| file.to_string_lossy().ends_with(maker)) {
            return Ok(Some((file.unbind(), frame.getattr("f_lineno")?.extract()?)));
        }
        frame = frame.getattr("f_back")?;
        if frame.is_none() {
            break;
        }
    }
    Ok(None)
}

/// What both kinds of locks have in common.
macro_rules! exact_lock {
    ($class:ident, $kind:literal, $($own:tt)*) => {
        #[pymethods]
        impl $class {
            /// Stands before this lock.
            #[new]
            fn new(inner: &Bound<'_, PyAny>) -> PyResult<Self> {
                Timed::new(inner).map(Self)
            }

            /// Takes the lock, as the interpreter's does.
            #[pyo3(signature = (blocking = None, timeout = None))]
            fn acquire<'py>(
                &self,
                py: Python<'py>,
                blocking: Option<Bound<'py, PyAny>>,
                timeout: Option<Bound<'py, PyAny>>,
            ) -> PyResult<Bound<'py, PyAny>> {
                self.0.acquire(py, $kind, blocking, timeout)
            }

            /// Lets it go.
            fn release<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                self.0.release(py, $kind)
            }

            fn __enter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                self.0.acquire(py, $kind, None, None)
            }

            #[pyo3(signature = (*_error))]
            fn __exit__(&self, py: Python<'_>, _error: &Bound<'_, PyTuple>) -> PyResult<()> {
                self.0.release(py, $kind).map(|_| ())
            }

            /// In a forked child nobody has it.
            fn _at_fork_reinit(&self, py: Python<'_>) -> PyResult<()> {
                self.0.after_fork(py)
            }

            /// Everything else is the lock's own.
            fn __getattr__<'py>(&self, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
                self.0.inner.bind(name.py()).getattr(name)
            }

            fn __repr__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
                self.0.inner.bind(py).repr()
            }

            /// Refuses, as the lock does.
            fn __reduce_ex__<'py>(&self, py: Python<'py>, protocol: u32) -> PyResult<Bound<'py, PyAny>> {
                self.0.inner.bind(py).call_method1("__reduce_ex__", (protocol,))
            }

            /// The class that it seems to be of.
            #[getter]
            fn __class__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                self.0.inner.bind(py).getattr("__class__")
            }

            $($own)*
        }
    };
}

/// A `threading.Lock`.
#[pyclass(frozen, weakref, module = "pitviper._native")]
pub(crate) struct ExactLock(Timed);

exact_lock!(ExactLock, "threading.Lock",);

/// A `threading.RLock`.
#[pyclass(frozen, weakref, module = "pitviper._native")]
pub(crate) struct ExactRLock(Timed);

exact_lock! {
    ExactRLock, "threading.RLock",

    /// For conditions: lets it go, however often its owner has it.
    fn _release_save<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let saved = self.0.inner.bind(py).call_method0("_release_save")?;
        let since_ns = self.0.since_ns.swap(0, Ordering::Relaxed);
        self.0.depth.store(0, Ordering::Relaxed);
        self.0.held(py, "threading.RLock", since_ns);
        Ok(saved)
    }

    /// For conditions: takes it again, which is part of the wait for the condition.
    fn _acquire_restore<'py>(&self, py: Python<'py>, saved: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let restored = self.0.inner.bind(py).call_method1("_acquire_restore", (saved,))?;
        let depth = saved.get_item(0).and_then(|count| count.extract()).unwrap_or(1);
        self.0.depth.store(depth, Ordering::Relaxed);
        self.0.since_ns.store(now_ns(), Ordering::Relaxed);
        Ok(restored)
    }
}

/// How many frames of ours are innermost where [`told_lock`] is called: the wrapper and what it calls.
const OWN_FRAMES: usize = 2;

/// Says how long a lock of this kind was waited for, or held: one that is made of `lock`, or where there is no such.
#[pyfunction]
pub(crate) fn told_lock(kind: &str, lock: &Bound<'_, PyAny>, time_ns: u64, is_held: bool) {
    shield((), || {
        let py = lock.py();
        let place = || match (lock.cast::<ExactLock>(), lock.cast::<ExactRLock>()) {
            (Ok(lock), _) => lock.get().0.place(py),
            (_, Ok(lock)) => lock.get().0.place(py),
            _ => String::new(),
        };
        let (time, state) = (Duration::from_nanos(time_ns), host::own_state(py).0);
        let name = || format!("{kind}{}", place());
        if is_held {
            Profiler::get().lock_held(time, state, OWN_FRAMES, name);
        } else {
            Profiler::get().lock_waited(time, state, OWN_FRAMES, name);
        }
    });
}
