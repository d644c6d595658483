//! The fields of a record of `logging`: found in one walk, and added to.
#![expect(unsafe_code, reason = "a walk over borrowed references, and fields added in one look-up each")]

use std::borrow::Cow;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::convert;
use crate::once::Once;
use crate::runtime::has_interpreter_lock;

/// The fields that are read; each is the place of its name in [`USUAL`].
#[derive(Clone, Copy)]
pub(crate) enum Key {
    Name = 0,
    Msg = 1,
    Args = 2,
    LevelName = 3,
    LevelNo = 4,
    PathName = 5,
    ExcInfo = 8,
    StackInfo = 10,
    LineNo = 11,
    FuncName = 12,
    Created = 13,
    Thread = 16,
    ThreadName = 17,
}

/// How many of [`USUAL`] hold all that is read.
const READ: usize = Key::ThreadName as usize + 1;

/// Which of those are read.
const IS_READ: [bool; READ] = {
    use Key::{Args, Created, ExcInfo, FuncName, LevelName, LevelNo, LineNo, Msg, Name, PathName, StackInfo};
    let keys = [Name, Msg, Args, LevelName, LevelNo, PathName, ExcInfo, StackInfo, LineNo, FuncName, Created];
    let mut read = [false; READ];
    let mut at = 0;
    while at < keys.len() {
        read[keys[at] as usize] = true;
        at += 1;
    }
    read[Key::Thread as usize] = true;
    read[Key::ThreadName as usize] = true;
    read
};

/// Whether a field is one that every record of `logging` has, or that integrations add for text formats and
/// that a record has anyway when it is exported. All else came from the application.
fn is_known_name(key: &str) -> bool {
    matches!(
        key,
        "args"
            | "asctime"
            | "created"
            | "exc_info"
            | "exc_text"
            | "filename"
            | "funcName"
            | "levelname"
            | "levelno"
            | "lineno"
            | "message"
            | "module"
            | "msecs"
            | "msg"
            | "name"
            | "pathname"
            | "process"
            | "processName"
            | "relativeCreated"
            | "stack_info"
            | "taskName"
            | "thread"
            | "threadName"
            | "color_message"
            | "trace_id"
            | "span_id"
            | "trace_flags"
            | "trace_sampled"
            | "otelTraceID"
            | "otelSpanID"
            | "otelTraceSampled"
            | "otelServiceName"
            | "dd.trace_id"
            | "dd.span_id"
            | "dd.service"
            | "dd.env"
            | "dd.version"
    )
}

/// The names that every record has, in the order in which `logging` and this module write them.
const USUAL: [&str; 28] = [
    "name",
    "msg",
    "args",
    "levelname",
    "levelno",
    "pathname",
    "filename",
    "module",
    "exc_info",
    "exc_text",
    "stack_info",
    "lineno",
    "funcName",
    "created",
    "msecs",
    "relativeCreated",
    "thread",
    "threadName",
    "processName",
    "process",
    "taskName",
    "trace_id",
    "span_id",
    "otelTraceID",
    "otelSpanID",
    "otelTraceSampled",
    "otelServiceName",
    "message",
];

/// The fields of a record, as one walk over them finds them: what has to be looked up one by one takes
/// several times as long.
pub(crate) struct Fields<'py> {
    read: [Option<Bound<'py, PyAny>>; READ],
    /// Whether there are others than those that every record has.
    pub(crate) has_own: bool,
}

impl<'py> Fields<'py> {
    pub(crate) fn of(dict: &Bound<'py, PyDict>) -> Self {
        let mut found = Self { read: [const { None }; READ], has_own: false };
        let names = names(dict.py());
        // Records have their fields in the same order, so the next one is most often what follows.
        let mut next = 0;
        if !has_interpreter_lock() {
            convert::for_each(dict, |key, value| found.see(names, &mut next, key.as_borrowed(), value.as_borrowed()));
            return found;
        }
        let (mut position, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the call takes a dictionary and writes references that the dictionary keeps. Nothing below runs
        // code of Python's or lets go of the interpreter's lock, so the dictionary stays as it is.
        while unsafe { ffi::PyDict_Next(dict.as_ptr(), &raw mut position, &raw mut key, &raw mut value) } != 0 {
            // SAFETY: so both are objects that live at least as long as this turn.
            let (key, value) = unsafe { (Borrowed::from_ptr(dict.py(), key), Borrowed::from_ptr(dict.py(), value)) };
            found.see(names, &mut next, key, value);
        }
        found
    }

    #[inline]
    fn see(&mut self, names: &Names, next: &mut usize, key: Borrowed<'_, 'py, PyAny>, value: Borrowed<'_, 'py, PyAny>) {
        match place_of(names, key, *next) {
            Some(place) => {
                *next = place + 1;
                if place < READ && IS_READ[place] && !value.is_none() {
                    self.read[place] = Some(value.to_owned());
                }
            }
            None => self.has_own |= !is_known(&key),
        }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Bound<'py, PyAny>> {
        self.read[key as usize].as_ref()
    }

    pub(crate) fn text(&self, key: Key) -> Cow<'_, str> {
        self.get(key).map(convert::to_text).unwrap_or_default()
    }
}

type Names = [Py<PyString>; USUAL.len()];

fn names(py: Python<'_>) -> &'static Names {
    static NAMES: Once<Names> = Once::new();
    NAMES.get_or_init(py, || USUAL.map(|name| PyString::intern(py, name).unbind()))
}

/// The place of a name in [`USUAL`], looked for from `next` on. The names that logging's own code writes are
/// interned, and so the same objects; a record that came from another process may have others.
#[inline]
fn place_of(names: &Names, key: Borrowed<'_, '_, PyAny>, next: usize) -> Option<usize> {
    let pointer = key.as_ptr();
    let same = |name: &Py<PyString>| name.as_ptr() == pointer;
    if names.get(next).is_some_and(same) {
        return Some(next);
    }
    names.iter().position(same).or_else(|| {
        let key = key.cast::<PyString>().ok()?;
        let text = key.to_str().ok()?;
        USUAL.iter().position(|name| *name == text)
    })
}

/// Whether a field is none of the application's.
pub(crate) fn is_known(key: &Bound<'_, PyAny>) -> bool {
    key.cast::<PyString>().ok().and_then(|key| key.to_str().ok()).is_none_or(is_known_name)
}

/// The fields of a record; `None` for an object without any.
pub(crate) fn fields_of<'py>(record: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
    // SAFETY: the call takes any object and returns a new reference, or null with an exception set.
    let found = unsafe {
        let dict = ffi::PyObject_GenericGetDict(record.as_ptr(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_err(record.py(), dict)
    };
    found.ok()?.cast_into().ok()
}

/// Adds a field unless there is one of this name.
pub(crate) fn add(fields: &Bound<'_, PyDict>, name: &Bound<'_, PyString>, value: &Bound<'_, PyAny>) {
    // SAFETY: all three are live objects and the first is a dictionary; the result is borrowed and not used.
    unsafe {
        if ffi::PyDict_SetDefault(fields.as_ptr(), name.as_ptr(), value.as_ptr()).is_null() {
            ffi::PyErr_Clear();
        }
    }
}
