//! What the agent core cannot do without unsafe code.
#![expect(unsafe_code, reason = "signal masks, resource usage, thread states and file descriptors take C calls")]

use pitviper_agent::{Host, Usage};
use pyo3::ffi::PyGILState_GetThisThreadState;
use pyo3::ffi::compat::PyThreadState_GetUnchecked;
use pyo3::prelude::*;

/// What the agent core is given.
pub(crate) fn host() -> Host {
    // SAFETY: sysconf reads a number and touches no memory of ours.
    let (ticks, page) = unsafe { (libc::sysconf(libc::_SC_CLK_TCK), libc::sysconf(libc::_SC_PAGESIZE)) };
    Host {
        thread_start: block_signals,
        exporter_started: crate::companion::start,
        wait,
        warn,
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

/// Blocks all signals in the calling thread, so that the application's own threads get them.
pub(crate) fn block_signals() {
    // SAFETY: `set` is a plain C structure that sigfillset initialises before it is read; the calls
    // change nothing but the calling thread's mask.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut set);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
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
