//! What the kernel tells of a thread: its CPU time, how long it waited for a processor, and in which call
//! it is.
#![expect(unsafe_code, reason = "clocks, file descriptors and thread numbers take C calls")]

use std::fs::File;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};

/// The C library's and the kernel's name of the calling thread.
pub(crate) fn own_thread() -> (usize, i32) {
    // SAFETY: both calls only return a number.
    unsafe { (libc::pthread_self() as usize, libc::syscall(libc::SYS_gettid) as i32) }
}

/// The CPU time of a thread of this process, in nanoseconds; `None` when there is no such thread.
pub(crate) fn cpu_ns(thread: i32) -> Option<u64> {
    // The kernel's clock of a thread: its number, and that it is of one thread's time on a processor. The C
    // library's function would follow a pointer that a thread may have taken with it.
    const OF_ONE_THREAD: i32 = 4 | 2;
    clock_ns((!thread) << 3 | OF_ONE_THREAD)
}

/// The CPU time of the calling thread, in nanoseconds.
pub(crate) fn own_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_THREAD_CPUTIME_ID).unwrap_or(0)
}

fn clock_ns(clock: libc::clockid_t) -> Option<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` can be written to; a clock that is none is refused.
    let read = unsafe { libc::clock_gettime(clock, &raw mut time) };
    (read == 0).then(|| time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// A file of a thread in /proc that stays open, as opening it costs six times what reading does.
#[derive(Debug)]
pub(crate) struct TaskFile {
    descriptor: RawFd,
    /// Device and number of the file: an application may close what it does not know, and get the same
    /// descriptor for a file of its own.
    identity: (u64, u64),
}

impl TaskFile {
    pub(crate) fn open(thread: i32, name: &str) -> Option<Self> {
        let file = File::open(format!("/proc/self/task/{thread}/{name}")).ok()?;
        let identity = identity(file.as_raw_fd())?;
        Some(Self { descriptor: file.into_raw_fd(), identity })
    }

    /// What it says now.
    pub(crate) fn read<'a>(&self, to: &'a mut [u8]) -> Option<&'a str> {
        // SAFETY: `to` can be written to and is as long as is said. Reading somebody else's file in its
        // place changes nothing there.
        let read = unsafe { libc::pread(self.descriptor, to.as_mut_ptr().cast(), to.len(), 0) };
        let read = usize::try_from(read).ok().filter(|read| *read > 0)?;
        std::str::from_utf8(to.get(..read)?).ok()
    }
}

impl Drop for TaskFile {
    fn drop(&mut self) {
        if identity(self.descriptor) == Some(self.identity) {
            // SAFETY: the descriptor is still the one that was opened here.
            unsafe { libc::close(self.descriptor) };
        }
    }
}

fn identity(descriptor: RawFd) -> Option<(u64, u64)> {
    // SAFETY: the structure is plain and filled by the call before it is read.
    unsafe {
        let mut status = std::mem::zeroed::<libc::stat>();
        (libc::fstat(descriptor, &raw mut status) == 0).then_some((status.st_dev, status.st_ino))
    }
}

/// How much a handler of faults gets, and those of others it passes to.
const HANDLER_STACK_BYTES: usize = 64 * 1_024;

/// What a new thread of the sampler's does first: it leaves the application's signals to the
/// application.
pub(crate) fn prepare_own_thread() {
    // SAFETY: the set is a plain structure, initialised before it is given to the kernel. Faults are left
    // unblocked, as they come from this thread itself.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut set);
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGABRT] {
            libc::sigdelset(&raw mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Memory for handlers of faults, in use by the calling thread for as long as this lives.
#[derive(Debug)]
pub(crate) struct HandlerStack(Vec<u8>);

impl HandlerStack {
    pub(crate) fn new() -> Self {
        let mut memory = vec![0_u8; HANDLER_STACK_BYTES];
        let stack = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: memory.len() };
        // SAFETY: the memory lives until the stack is taken back in `drop`, on the same thread.
        unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) };
        Self(memory)
    }
}

impl Drop for HandlerStack {
    fn drop(&mut self) {
        let none = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: self.0.len() };
        // SAFETY: takes back what `new` gave.
        unsafe { libc::sigaltstack(&raw const none, std::ptr::null_mut()) };
    }
}

/// Runs `work` with all signals blocked in the calling thread, and so in threads it starts.
pub(crate) fn with_signals_blocked<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: the sets are plain structures; the first is initialised and the second filled before use.
    unsafe {
        let mut all = std::mem::zeroed::<libc::sigset_t>();
        let mut before = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let done = work();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        done
    }
}
