//! Exceptions, where Python has no `sys.monitoring` to tell of them: before 3.12.
//!
//! An exception that was raised has a traceback until it is given back, and that says where it was raised. So the
//! functions that give exceptions back are ours: two slots of each class of the interpreter's own. Classes of an
//! application come to those of their base. It costs an exception some nanoseconds, and a stack nothing at all that
//! none goes through; a trace function would be called for each line of every program.
#![expect(unsafe_code, reason = "slots of classes are C functions, which get objects that nobody refers to any more")]

use std::cell::{Cell, RefCell};
use std::sync::OnceLock;

use pitviper_profiler::Profiler;
use pyo3::exceptions::PyBaseException;
use pyo3::ffi::{self, PyObject, PyTypeObject};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

use crate::host;
use crate::shield::shield;

/// How deep exceptions that hold exceptions are given back within each other, as in the interpreter's own functions,
/// which leave that to who is in the slot.
const MAX_DEPTH: u32 = 50;

/// What a class had in its slots.
#[derive(Clone, Copy)]
struct Slots {
    dealloc: ffi::destructor,
    clear: Option<ffi::inquiry>,
}

/// The classes whose slots may be ours, in the order of their addresses. They are always there.
static CLASSES: OnceLock<Vec<(usize, Slots)>> = OnceLock::new();

thread_local! {
    /// Exceptions that are being given back within each other, and those that wait until that is over.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static LATER: RefCell<Vec<*mut PyObject>> = const { RefCell::new(Vec::new()) };
}

/// Begins to tell the profiler of exceptions, or ends; whether they are told of. Slots that somebody else has put
/// something into meanwhile stay as they are.
#[pyfunction]
pub(crate) fn profiler_watch_freed(py: Python<'_>, is_wanted: bool) -> PyResult<bool> {
    // From 3.12 on `sys.monitoring` tells of them, when they are raised.
    if py.version_info() >= (3, 12) {
        return Ok(false);
    }
    if CLASSES.get().is_none() {
        let _ = CLASSES.set(own_classes(py)?);
    }
    let mut is_any = false;
    for (class, slots) in CLASSES.get().into_iter().flatten() {
        let class = *class as *mut PyTypeObject;
        // SAFETY: the class is the interpreter's own, so it is there as long as the process; its slots are read and
        // written by who has the interpreter, as the calling thread does.
        unsafe {
            let (dealloc, clear) = (&mut (*class).tp_dealloc, &mut (*class).tp_clear);
            let (theirs, ours) = (*slots, Slots { dealloc: give_back, clear: Some(clear_cycle) });
            let (from, to) = if is_wanted { (theirs, ours) } else { (ours, theirs) };
            if is_same(*dealloc, Some(from.dealloc)) {
                *dealloc = Some(to.dealloc);
            }
            if slots.clear.is_some() && is_same_inquiry(*clear, from.clear) {
                *clear = to.clear;
            }
            is_any |= is_same(*dealloc, Some(give_back));
        }
    }
    Ok(is_any)
}

/// The classes of exceptions that are the interpreter's own, and what is in their slots.
fn own_classes(py: Python<'_>) -> PyResult<Vec<(usize, Slots)>> {
    let mut classes = Vec::new();
    let builtins = py.import("builtins")?.getattr("__dict__")?.cast_into::<PyDict>()?;
    for (_, value) in builtins {
        let Ok(class) = value.cast_into::<PyType>() else { continue };
        if !class.is_subclass_of::<PyBaseException>()? {
            continue;
        }
        let class = class.as_type_ptr();
        // SAFETY: the class is one, and the calling thread has the interpreter.
        let (flags, dealloc, clear) = unsafe { (ffi::PyType_GetFlags(class), (*class).tp_dealloc, (*class).tp_clear) };
        if flags & ffi::Py_TPFLAGS_HEAPTYPE == 0
            && let Some(dealloc) = dealloc
        {
            classes.push((class as usize, Slots { dealloc, clear }));
        }
    }
    // Some have several names.
    classes.sort_unstable_by_key(|(class, _)| *class);
    classes.dedup_by_key(|(class, _)| *class);
    Ok(classes)
}

fn is_same(one: Option<ffi::destructor>, other: Option<ffi::destructor>) -> bool {
    one.map(|slot| slot as usize) == other.map(|slot| slot as usize)
}

fn is_same_inquiry(one: Option<ffi::inquiry>, other: Option<ffi::inquiry>) -> bool {
    one.map(|slot| slot as usize) == other.map(|slot| slot as usize)
}

/// What the nearest class of the interpreter's own among the bases of an object's class had in its slots.
///
/// # Safety
/// It is an object, and the calling thread has the interpreter.
unsafe fn slots_of(object: *mut PyObject) -> Option<Slots> {
    let classes = CLASSES.get()?;
    // SAFETY: an object has a class, which lives as long as it; so do that one's bases.
    let mut class = unsafe { ffi::Py_TYPE(object) };
    while !class.is_null() {
        if let Ok(place) = classes.binary_search_by_key(&(class as usize), |(known, _)| *known) {
            return Some(classes[place].1);
        }
        // SAFETY: as above.
        class = unsafe { (*class).tp_base };
    }
    None
}

/// In the slot that gives an exception back, which nobody refers to any more.
///
/// # Safety
/// To be called by the interpreter alone.
unsafe extern "C" fn give_back(object: *mut PyObject) {
    // SAFETY: the interpreter says so.
    let Some(slots) = (unsafe { slots_of(object) }) else { return };
    // SAFETY: as above. While it is looked at no collection of garbage may find an object without references.
    unsafe { look(object, true) };
    // SAFETY: the slot's own function, with the object it is for. An object of a class of an application is in the
    // middle of that one's function, which keeps the depth.
    unsafe {
        if !is_same((*ffi::Py_TYPE(object)).tp_dealloc, Some(give_back)) {
            return (slots.dealloc)(object);
        }
    }
    if DEPTH.get() >= MAX_DEPTH {
        // SAFETY: the object is one that collections look at, and nobody refers to it.
        unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
        if LATER.try_with(|later| later.borrow_mut().push(object)).is_ok() {
            return;
        }
        // SAFETY: it is as it was before.
        unsafe { ffi::PyObject_GC_Track(object.cast()) };
    }
    // SAFETY: as above.
    unsafe { deeper(object, slots.dealloc) };
    while DEPTH.get() == 0
        && let Ok(Some(object)) = LATER.try_with(|later| later.borrow_mut().pop())
    {
        // SAFETY: nobody has given it back, as nobody but this list knows it; collections know it again first.
        unsafe {
            ffi::PyObject_GC_Track(object.cast());
            if let Some(slots) = slots_of(object) {
                deeper(object, slots.dealloc);
            }
        }
    }
}

/// Gives an exception back, and those that only it refers to.
///
/// # Safety
/// Nobody refers to it, and the function is that of its class.
unsafe fn deeper(object: *mut PyObject, dealloc: ffi::destructor) {
    DEPTH.set(DEPTH.get() + 1);
    // SAFETY: as is asked for.
    unsafe { dealloc(object) };
    // What is given back may run code that switches to another greenlet of this thread, so the count is not put back to
    // what it was.
    DEPTH.set(DEPTH.get() - 1);
}

/// In the slot by which a collection of garbage takes an exception out of a cycle; it loses its traceback then.
///
/// # Safety
/// To be called by the interpreter alone.
unsafe extern "C" fn clear_cycle(object: *mut PyObject) -> std::ffi::c_int {
    // SAFETY: the interpreter says that it is an exception; the collection refers to it.
    let slots = unsafe {
        look(object, false);
        slots_of(object)
    };
    // SAFETY: the slot's own function, with the object it is for.
    slots.and_then(|slots| slots.clear).map_or(0, |clear| unsafe { clear(object) })
}

/// Tells the profiler of an exception, if it was raised. `is_last` is whether nobody refers to it: then no
/// reference may be made here either, for its end would give it back once more.
///
/// # Safety
/// It is an exception, and the calling thread has the interpreter.
unsafe fn look(object: *mut PyObject, is_last: bool) {
    // SAFETY: the call reads a field, and makes a reference to what it says, which the exception has too.
    let traceback = unsafe {
        let traceback = ffi::PyException_GetTraceback(object);
        if traceback.is_null() {
            return;
        }
        ffi::Py_DECREF(traceback);
        traceback
    };
    if !Profiler::get().count_exception() {
        return;
    }
    // SAFETY: the object is as it was when this returns, for collections too. An error that is on its way is kept.
    unsafe {
        let is_tracked = is_last && ffi::PyObject_GC_IsTracked(object) != 0;
        if is_tracked {
            ffi::PyObject_GC_UnTrack(object.cast());
        }
        let class = ffi::Py_TYPE(object).cast::<PyObject>();
        keeping_the_error(|| {
            shield((), || {
                let py = Python::assume_attached();
                match Bound::from_borrowed_ptr(py, class).cast::<PyType>().map(PyTypeMethods::fully_qualified_name) {
                    Ok(Ok(name)) => {
                        let state = host::own_state(py).0;
                        Profiler::get().raised_before(&name.to_string_lossy(), state, traceback as usize);
                    }
                    _ => Profiler::get().passed_on(),
                }
            });
        });
        if is_tracked {
            ffi::PyObject_GC_Track(object.cast());
        }
    }
}

/// Runs `work`, and has the calling thread in the middle of the same error afterwards, or of none.
///
/// # Safety
/// The calling thread has the interpreter.
#[allow(deprecated, reason = "only versions call it that have nothing else")]
unsafe fn keeping_the_error(work: impl FnOnce()) {
    let mut error = [std::ptr::null_mut(); 3];
    let [class, value, traceback] = &mut error;
    // SAFETY: the three can be written to; what is put back is what was taken.
    unsafe { ffi::PyErr_Fetch(class, value, traceback) };
    work();
    // SAFETY: as above.
    unsafe { ffi::PyErr_Restore(error[0], error[1], error[2]) };
}
