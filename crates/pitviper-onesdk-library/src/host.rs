//! What the agent core needs from the process it is in, where that is no Python.
#![expect(unsafe_code, reason = "signal masks, handlers of forks and of the end, and file descriptors take C calls")]

use std::sync::Once;
use std::time::Instant;

use pitviper_agent::{Agent, Host};

use crate::settings;
use crate::spans::known_agent;

/// What the agent core is given.
pub(crate) fn host() -> Host {
    // SAFETY: sysconf reads a number and touches no memory of ours.
    let (ticks, page) = unsafe { (libc::sysconf(libc::_SC_CLK_TCK), libc::sysconf(libc::_SC_PAGESIZE)) };
    Host {
        without_signals,
        exporter_started: || {},
        await_identity: || {},
        wait: |work| work(),
        warn,
        // It asks for no settings.
        told: |_| {},
        profiles_refused: || {},
        // Only metrics of the process ask for it, and the library sends none.
        usage: || None,
        clock_ticks: u64::try_from(ticks).unwrap_or(100),
        page_size: u64::try_from(page).unwrap_or(4_096),
    }
}

/// Has the agent told of every fork of this process, and of its end.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handlers are functions of this library, which is never unloaded, and no panic leaves them.
        // Where there is no memory for them, forks and the end go on without the agent.
        unsafe {
            libc::pthread_atfork(Some(before_fork), Some(after_fork_in_parent), Some(after_fork_in_child));
            libc::atexit(at_exit);
        }
    });
}

fn shield(work: impl FnOnce(&'static Agent)) {
    let Some(agent) = known_agent() else { return };
    // C cannot take a panic, and at worst some spans are not sent.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(agent)));
}

extern "C" fn before_fork() {
    shield(Agent::before_fork);
}

extern "C" fn after_fork_in_parent() {
    shield(Agent::after_fork_in_parent);
}

extern "C" fn after_fork_in_child() {
    shield(Agent::after_fork_in_child);
}

extern "C" fn at_exit() {
    shield(|agent| {
        let until = Instant::now() + settings::exit_timeout();
        agent.flush_once(until.saturating_duration_since(Instant::now()));
        agent.shutdown_flushed(until.saturating_duration_since(Instant::now()));
    });
}

/// Runs `work` with signals blocked in the calling thread, and so in the threads that it starts. A thread
/// that blocked them itself would get one in its first moment, and could wait for itself in its handler.
/// Those of a thread's own faults are not blocked: that would end the process without a word from any handler.
fn without_signals(work: &mut dyn FnMut()) {
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

/// Writes a line to standard error in one call, without a lock that a fork could tear.
pub(crate) fn warn(message: &str) {
    let line = format!("{message}\n");
    // SAFETY: the pointer and the length are those of `line`, which lives until the call returns. A closed or
    // full descriptor makes the call fail, and a warning that cannot be shown is lost.
    unsafe {
        libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len());
    }
}
