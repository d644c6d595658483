//! Which threads the interpreters of this process have.

use rustc_hash::FxHashSet;

use crate::layout::{Interpreter, Layout};
use crate::load::word;
use crate::walk::innermost;

/// Bounds of lists that others change while they are read.
const MAX_INTERPRETERS: usize = 256;
const MAX_THREADS: usize = 4_096;
/// How far into a thread's own structure its number is looked for.
const SEARCHED_BYTES: usize = 2_048;

/// A thread with a state of Python's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Thread {
    /// Where its state is.
    pub(crate) state: usize,
    /// The number of the state, which no other one of its interpreter has had.
    pub(crate) number: usize,
    /// The C library's name of it, which is also `threading.get_ident()`.
    pub(crate) ident: usize,
    /// The kernel's number of it.
    pub(crate) native: i32,
    /// Where its interpreter is.
    pub(crate) interpreter: usize,
    /// Where the lock of the interpreter is.
    pub(crate) gil: usize,
}

/// Lists threads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Threads {
    /// Where the C library keeps the kernel's number in a thread's structure, for old interpreters that do
    /// not keep it themselves.
    native_at: Option<usize>,
}

impl Threads {
    /// Finds out where the kernel's number of a thread is, by looking at the calling one.
    pub(crate) fn new() -> Self {
        Self { native_at: native_offset() }
    }

    /// The threads of all interpreters, appended to a list.
    pub(crate) fn list(&self, known: &Interpreter, to: &mut Vec<Thread>) {
        let layout = &known.layout;
        let mut interpreter = at(known.runtime, layout.runtime_interpreters).unwrap_or(0);
        for _ in 0..MAX_INTERPRETERS {
            if interpreter == 0 {
                return;
            }
            let gil = if layout.interpreter_gil >= 0 {
                at(interpreter, layout.interpreter_gil).unwrap_or(0)
            } else {
                known.runtime.wrapping_add(layout.runtime_gil as usize)
            };
            let mut state = at(interpreter, layout.interpreter_threads).unwrap_or(0);
            for _ in 0..MAX_THREADS {
                // A state that was given back belongs to no interpreter.
                let Some(thread) = self.thread(layout, state, interpreter, gil) else { break };
                to.push(thread);
                state = at(state, layout.thread_next).unwrap_or(0);
            }
            interpreter = at(interpreter, layout.interpreter_next).unwrap_or(0);
        }
    }

    fn thread(&self, layout: &Layout, state: usize, interpreter: usize, gil: usize) -> Option<Thread> {
        if state == 0 || at(state, layout.thread_interpreter)? != interpreter {
            return None;
        }
        let ident = at(state, layout.thread_ident)?;
        let native = if layout.thread_native_id >= 0 {
            at(state, layout.thread_native_id)? as i32
        } else {
            self.native_at.and_then(|offset| word(ident.wrapping_add(offset))).unwrap_or(0) as i32
        };
        Some(Thread { state, number: at(state, layout.thread_number)?, ident, native, interpreter, gil })
    }
}

/// Leaves out states of threads that run code of another interpreter meanwhile: a thread has one in each that it
/// ever ran code of, and what it does is in the newest that has frames.
///
/// Before 3.13 an interpreter's first state goes from thread to thread and keeps the name of the one that made it.
/// There the oldest counts, and code that a thread runs in another interpreter is the call that runs it.
pub(crate) fn leave_out_parked(known: &Interpreter, threads: &mut Vec<Thread>) {
    let first = threads.first().map(|thread| thread.interpreter);
    if threads.iter().all(|thread| Some(thread.interpreter) == first) {
        return;
    }
    // Newer interpreters come first.
    if known.version() < (3, 13) {
        threads.reverse();
    }
    let mut seen = FxHashSet::default();
    threads.retain(|thread| innermost(known, thread.state).is_some_and(|at| at != 0) && seen.insert(thread.native));
}

/// Whether the interpreter is ending.
pub(crate) fn is_ending(known: &Interpreter) -> bool {
    at(known.runtime, known.layout.runtime_finalizing).is_none_or(|ending| ending != 0)
}

fn at(address: usize, offset: i64) -> Option<usize> {
    word(address.wrapping_add(offset as usize))
}

/// How far from its name the C library keeps the kernel's number of a thread: the one place where the
/// calling thread and a new one have theirs.
fn native_offset() -> Option<usize> {
    let places = || {
        let (own, number) = crate::task::own_thread();
        let is_number = |offset: &usize| word(own.wrapping_add(*offset)).is_some_and(|found| found as i32 == number);
        (0..SEARCHED_BYTES).step_by(4).filter(is_number).collect::<Vec<usize>>()
    };
    let here = places();
    let there = std::thread::spawn(places).join().ok()?;
    here.into_iter().find(|offset| there.contains(offset))
}
