//! What the agent core cannot do without unsafe code.
#![expect(
    unsafe_code,
    reason = "signal masks, fork handlers, resource usage, thread states and file descriptors take C calls"
)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pitviper_agent::{Host, Usage};
use pitviper_profiler::Profiler;
use pyo3::ffi::PyGILState_GetThisThreadState;
use pyo3::ffi::compat::PyThreadState_GetUnchecked;
use pyo3::prelude::*;

use crate::runtime::agent;
use crate::shield::shield_native;

/// What the agent core is given.
pub(crate) fn host() -> Host {
    // SAFETY: sysconf reads a number and touches no memory of ours.
    let (ticks, page) = unsafe { (libc::sysconf(libc::_SC_CLK_TCK), libc::sysconf(libc::_SC_PAGESIZE)) };
    Host {
        without_signals,
        exporter_started: crate::companion::start,
        await_identity: crate::companion::await_identity,
        wait,
        warn,
        told: crate::companion::told,
        profiles_refused: crate::companion::profiles_refused,
        usage,
        clock_ticks: u64::try_from(ticks).unwrap_or(100),
        page_size: u64::try_from(page).unwrap_or(4_096),
    }
}

/// Lets go of the interpreter meanwhile, if the calling thread has it.
pub(crate) fn wait(work: &mut (dyn FnMut() + Send)) {
    // Before Python 3.12 the current state is that of whatever thread has the interpreter, hence the second.
    // SAFETY: both calls read a variable and may be made by any thread at any time; what they return is
    // compared and nothing else.
    let (current, own) = unsafe { (PyThreadState_GetUnchecked(), PyGILState_GetThisThreadState()) };
    if current.is_null() || current != own {
        work();
    } else {
        Python::attach(|py| py.detach(work));
    }
}

/// Where the calling thread's state and its interpreter are.
pub(crate) fn own_state(_py: Python<'_>) -> (usize, usize) {
    // SAFETY: the calling thread has the interpreter, so it has a state, which has an interpreter. They are
    // taken as numbers.
    unsafe {
        let state = pyo3::ffi::PyThreadState_Get();
        (state as usize, pyo3::ffi::PyThreadState_GetInterpreter(state) as usize)
    }
}

/// Has the agent told of every fork of this process, whoever forks. The C library's handlers and not
/// those of `os.register_at_fork`: servers such as uWSGI fork in C without a word to the interpreter.
pub(crate) fn watch_forks() {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if !WATCHED.swap(true, Ordering::SeqCst) {
        // SAFETY: the handlers are functions of this library, which is never unloaded; they touch nothing
        // but the agent and the profiler, and no panic leaves them. Without memory for them the call fails, and forks go
        // on without the agent.
        unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork_in_parent), Some(after_fork_in_child)) };
    }
}

extern "C" fn before_fork() {
    shield_native((), crate::companion::before_fork);
    shield_native((), || agent().before_fork());
    shield_native((), || Profiler::get().before_fork());
}

extern "C" fn after_fork_in_parent() {
    shield_native((), || Profiler::get().after_fork_in_parent());
    shield_native((), || agent().after_fork_in_parent());
    crate::companion::after_fork_in_parent();
}

extern "C" fn after_fork_in_child() {
    crate::shield::open_in_child();
    crate::companion::after_fork_in_child();
    shield_native((), || Profiler::get().after_fork_in_child());
    shield_native((), || agent().after_fork_in_child());
}

/// Has the last spans sent when the interpreter has come to its end, after all exit handlers; whether
/// that will happen.
pub(crate) fn watch_exit() -> bool {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if !WATCHED.load(Ordering::SeqCst) {
        // SAFETY: the function is one of this library, which is never unloaded; it uses nothing of Python,
        // and no panic leaves it.
        WATCHED.store(unsafe { pyo3::ffi::Py_AtExit(Some(at_exit)) } == 0, Ordering::SeqCst);
    }
    WATCHED.load(Ordering::SeqCst)
}

extern "C" fn at_exit() {
    crate::runtime::end();
}

/// How long a signal that ends the process, or C code that does, may have to wait for the last spans, in milliseconds.
static LAST_WORDS_MS: AtomicU64 = AtomicU64::new(0);
const LAST_WORDS_STEP: Duration = Duration::from_millis(1);

/// Has SIGTERM, if it would end the process at once, wait until what is finished has been sent, for
/// `timeout_ms` at most; the process then ends by the signal. For processes that are usually ended so, such
/// as those of a pool.
#[pyfunction]
pub(crate) fn send_before_sigterm(timeout_ms: u64) {
    LAST_WORDS_MS.store(timeout_ms, Ordering::SeqCst);
    // SAFETY: `action` is a plain C structure, filled by the first call and changed before the second.
    unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        let known = libc::sigaction(libc::SIGTERM, std::ptr::null(), &raw mut action) == 0;
        // The first process of a container does not end by a signal that nobody handles.
        if known && action.sa_sigaction == libc::SIG_DFL && libc::getpid() != 1 {
            action.sa_sigaction = on_sigterm as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
            libc::sigfillset(&raw mut action.sa_mask);
            libc::sigaction(libc::SIGTERM, &raw const action, std::ptr::null_mut());
        }
    }
}

extern "C" fn on_sigterm(signal: libc::c_int) {
    send_last();
    // SAFETY: both calls are allowed in signal handlers. The signal is blocked until this function returns,
    // and ends the process then.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// Has the C library's `exit` wait until what is finished has been sent, for `timeout_ms` at most: C code may call
/// it where the interpreter is never brought to its end. uWSGI does, in the handler of a signal that stops a busy
/// worker. May be called again.
#[pyfunction]
pub(crate) fn send_before_exit(timeout_ms: u64) {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    LAST_WORDS_MS.store(timeout_ms, Ordering::SeqCst);
    if !WATCHED.swap(true, Ordering::SeqCst) {
        // SAFETY: the function is one of this library, which is never unloaded; it uses nothing of Python's, and no
        // panic leaves it. Without memory for it the call fails, and such ends lose what they lost before.
        unsafe { libc::atexit(on_exit) };
    }
}

/// Where the interpreter was brought to its end, all is done by now.
extern "C" fn on_exit() {
    send_last();
}

/// Waits until what is finished has been sent. May interrupt any code, and so takes no lock and allocates nothing.
/// The exporter needs no help of the thread that was interrupted, unless that one holds its lock; then this is over
/// after [`LAST_WORDS_MS`], or when the time is that the end of the interpreter left.
fn send_last() {
    let Some(agent) = crate::runtime::known_agent() else { return };
    let timeout = Duration::from_millis(LAST_WORDS_MS.load(Ordering::SeqCst));
    let timeout = crate::runtime::left_of_end().map_or(timeout, |left| left.min(timeout));
    let began = Instant::now();
    while !agent.send_last() && began.elapsed() < timeout {
        std::thread::sleep(LAST_WORDS_STEP);
    }
}

/// What the process has used, in all its threads together.
fn usage() -> Option<Usage> {
    // SAFETY: `usage` is a plain C structure that getrusage fills before it is read, and only if it
    // succeeds.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        (libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) == 0).then_some(usage)?
    };
    let nanos = |time: libc::timeval| time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1_000;
    Some(Usage {
        user_ns: nanos(usage.ru_utime),
        system_ns: nanos(usage.ru_stime),
        minor_faults: usage.ru_minflt as u64,
        major_faults: usage.ru_majflt as u64,
        voluntary_switches: usage.ru_nvcsw as u64,
        involuntary_switches: usage.ru_nivcsw as u64,
    })
}

/// Runs `work` with signals blocked in the calling thread, and so in the threads that it starts. A thread
/// that blocked them itself would get one in its first moment, and could wait for itself in its handler.
/// Those of a thread's own faults are not blocked: that would end the process without a word from any handler.
pub(crate) fn without_signals(work: &mut dyn FnMut()) {
    // SAFETY: both sets are plain C structures, one initialised by sigfillset before it is read, the other by
    // the first call that changes the mask, and used only if that succeeded. The calls change nothing but the
    // calling thread's mask.
    unsafe {
        let mut blocked = std::mem::zeroed::<libc::sigset_t>();
        let mut before = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut blocked);
        for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGABRT] {
            libc::sigdelset(&raw mut blocked, fault);
        }
        let is_blocked = libc::pthread_sigmask(libc::SIG_SETMASK, &raw const blocked, &raw mut before) == 0;
        work();
        if is_blocked {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        }
    }
}

/// Writes a line to standard error in one call, without the locks that buffered streams hold and a
/// fork could tear.
pub(crate) fn warn(message: &str) {
    let line = format!("{message}\n");
    // SAFETY: the pointer and the length are those of `line`, which lives until the call returns.
    // A closed or full descriptor makes the call fail, and a warning that cannot be shown is lost.
    unsafe {
        libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len());
    }
}
