//! What the agent core cannot do without unsafe code.
#![expect(unsafe_code, reason = "signal masks and writing to a file descriptor are C calls")]

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
