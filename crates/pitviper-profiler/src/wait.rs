//! Why a thread does not run: the call of the kernel that it is in, and what its innermost frames do.

use std::ops::Range;

/// What a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum State {
    /// It runs.
    Cpu,
    /// It could run, and waits for a processor.
    RunQueue,
    Gil,
    Lock,
    Network,
    Disk,
    Sleep,
    /// It waits for another process.
    Child,
    /// It waits for work.
    Idle,
    Other,
}

impl State {
    /// The value of the label `state`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::RunQueue => "runqueue",
            Self::Gil => "gil",
            Self::Lock => "lock",
            Self::Network => "network",
            Self::Disk => "disk",
            Self::Sleep => "sleep",
            Self::Child => "child",
            Self::Idle => "idle",
            Self::Other => "other",
        }
    }
}

/// What code does, as far as that says why a thread waits in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Anything.
    Plain,
    /// It waits for several files at once, for whoever called it.
    Selector,
    /// It gets work and does it.
    Worker,
    /// It looks after a child process.
    Child,
}

/// Functions of the standard library and of common servers whose waiting is known. The last part of the
/// name, as versions before 3.11 have no other.
const ROLES: &[(&str, &str, Role)] = &[
    ("/selectors.py", "select", Role::Selector),
    ("/asyncio/base_events.py", "_run_once", Role::Worker),
    ("/concurrent/futures/thread.py", "_worker", Role::Worker),
    ("/concurrent/futures/process.py", "_process_worker", Role::Worker),
    ("/concurrent/futures/process.py", "wait_result_broken_or_wakeup", Role::Worker),
    ("/multiprocessing/pool.py", "worker", Role::Worker),
    ("/multiprocessing/pool.py", "_handle_workers", Role::Worker),
    ("/multiprocessing/pool.py", "_wait_for_updates", Role::Worker),
    ("/multiprocessing/pool.py", "_handle_tasks", Role::Worker),
    ("/multiprocessing/pool.py", "_handle_results", Role::Worker),
    ("/socketserver.py", "serve_forever", Role::Worker),
    ("/wsgiref/simple_server.py", "serve_forever", Role::Worker),
    ("/waitress/task.py", "handler_thread", Role::Worker),
    ("/waitress/wasyncore.py", "poll", Role::Worker),
    ("/gunicorn/arbiter.py", "sleep", Role::Worker),
    ("/gunicorn/workers/sync.py", "wait", Role::Worker),
    ("/gunicorn/workers/gthread.py", "run", Role::Worker),
    ("/subprocess.py", "_communicate", Role::Child),
    ("/subprocess.py", "_execute_child", Role::Child),
    ("/subprocess.py", "_try_wait", Role::Child),
    ("/subprocess.py", "_wait", Role::Child),
    ("/multiprocessing/popen_fork.py", "poll", Role::Child),
    ("/multiprocessing/popen_fork.py", "wait", Role::Child),
];

impl Role {
    /// The role of a function in a file.
    pub(crate) fn of(function: &str, file: &str) -> Self {
        let name = function.rsplit('.').next().unwrap_or(function);
        let found = ROLES.iter().find(|(ending, known, _)| *known == name && file.ends_with(ending));
        found.map_or(Self::Plain, |(_, _, role)| *role)
    }
}

/// How many of the innermost frames are looked at.
pub(crate) const ROLE_FRAMES: usize = 4;

/// What the kernel shows of a thread: the text of `/proc/self/task/N/syscall`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// It runs, or could.
    Running,
    /// It waits in this call, with these first arguments.
    In(i64, [usize; 4]),
}

impl Call {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end();
        if text == "running" {
            return Some(Self::Running);
        }
        let mut words = text.split(' ');
        let number = words.next()?.parse().ok()?;
        let mut arguments = [0; 4];
        for argument in &mut arguments {
            // Outside of calls there are two other numbers alone.
            let Some(word) = words.next() else { break };
            *argument = usize::from_str_radix(word.strip_prefix("0x")?, 16).ok()?;
        }
        Some(Self::In(number, arguments))
    }
}

/// Where calls are about files, what those are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Socket,
    File,
    Other,
}

/// What a file of this process is.
pub(crate) fn kind_of(descriptor: usize) -> Kind {
    match std::fs::read_link(format!("/proc/self/fd/{descriptor}")) {
        Ok(target) if target.as_os_str().as_encoded_bytes().starts_with(b"socket:") => Kind::Socket,
        Ok(target) if target.is_absolute() && !target.starts_with("/dev") => Kind::File,
        _ => Kind::Other,
    }
}

/// Why a thread waits in a call. `gil` is where the interpreter's lock is, `roles` are those of the innermost
/// frames, `kind` finds out what a file is, and `first_polled` which one a list of `poll` begins with.
pub(crate) fn classify(
    call: i64,
    arguments: [usize; 4],
    gil: Range<usize>,
    roles: &[Role],
    kind: impl Fn(usize) -> Kind,
    first_polled: impl Fn(usize) -> Option<usize>,
) -> State {
    let is = |calls: &[libc::c_long]| calls.contains(&call);
    let [first, second, ..] = arguments;
    // A page that has to be read from a disk.
    if call < 0 {
        return State::Disk;
    }
    if is(&[libc::SYS_futex, libc::SYS_futex_waitv]) {
        return if gil.contains(&first) { State::Gil } else { by_role(roles, State::Lock) };
    }
    if is(SLEEPS) {
        return by_role(roles, State::Sleep);
    }
    if is(CHILDREN) {
        return State::Child;
    }
    if is(ACCEPTS) || is(SIGNALS) {
        return State::Idle;
    }
    if is(SOCKETS) {
        return by_role(roles, State::Network);
    }
    if is(EPOLLS) {
        return by_role(roles, State::Idle);
    }
    if is(SELECTS) {
        // With nothing to wait for it is a way to sleep.
        return by_role(roles, if first == 0 { State::Sleep } else { State::Network });
    }
    if is(POLLS) {
        let waits = match (second, first_polled(first).map(kind)) {
            (0, _) => State::Sleep,
            (_, Some(Kind::Socket)) => State::Network,
            _ => State::Other,
        };
        return by_role(roles, waits);
    }
    if is(FILES) {
        return match kind(first) {
            Kind::Socket => by_role(roles, State::Network),
            Kind::File => State::Disk,
            Kind::Other => by_role(roles, State::Other),
        };
    }
    if is(DISKS) {
        return State::Disk;
    }
    if is(LOCKS) {
        return State::Lock;
    }
    by_role(roles, State::Other)
}

/// What the innermost frames make of it: those that wait for whoever called them say nothing, and the first
/// other one may only be waiting for work.
fn by_role(roles: &[Role], otherwise: State) -> State {
    match roles.iter().find(|role| **role != Role::Selector) {
        Some(Role::Worker) => State::Idle,
        Some(Role::Child) => State::Child,
        _ => otherwise,
    }
}

const SLEEPS: &[libc::c_long] = &[libc::SYS_nanosleep, libc::SYS_clock_nanosleep];
const CHILDREN: &[libc::c_long] = &[libc::SYS_wait4, libc::SYS_waitid];
const ACCEPTS: &[libc::c_long] = &[libc::SYS_accept, libc::SYS_accept4];
const SIGNALS: &[libc::c_long] = &[
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigsuspend,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_pause,
];
const SOCKETS: &[libc::c_long] = &[
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_connect,
];
const EPOLLS: &[libc::c_long] = &[
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
];
const SELECTS: &[libc::c_long] = &[
    libc::SYS_pselect6,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_select,
];
const POLLS: &[libc::c_long] = &[
    libc::SYS_ppoll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
];
/// Calls whose first argument is a file of any kind.
const FILES: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_sendfile,
    libc::SYS_splice,
];
const DISKS: &[libc::c_long] = &[
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync,
    libc::SYS_syncfs,
    libc::SYS_openat,
    libc::SYS_statx,
    libc::SYS_getdents64,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_mkdirat,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_copy_file_range,
];
const LOCKS: &[libc::c_long] = &[libc::SYS_flock, libc::SYS_fcntl];

#[cfg(test)]
mod tests {
    use super::*;

    fn state(text: &str, roles: &[Role]) -> State {
        let Some(Call::In(call, arguments)) = Call::parse(text) else { panic!("{text} is no call") };
        let kind = |file| match file {
            3 => Kind::Socket,
            4 => Kind::File,
            _ => Kind::Other,
        };
        classify(call, arguments, 0x1000..0x1100, roles, kind, |list| Some(list & 7))
    }

    #[test]
    fn calls_are_read() {
        assert_eq!(Call::parse("running\n"), Some(Call::Running));
        assert_eq!(Call::parse("-1 0x7ffe 0x7f00\n"), Some(Call::In(-1, [0x7ffe, 0x7f00, 0, 0])));
        assert_eq!(Call::parse("7 0x1 0x2 0x3 0x4 0x5 0x6 0x7 0x8\n"), Some(Call::In(7, [1, 2, 3, 4])));
        for text in ["", "run", "7 12", "x 0x1"] {
            assert_eq!(Call::parse(text), None, "{text}");
        }
    }

    #[test]
    fn calls_say_why_a_thread_waits() {
        let text = |call: libc::c_long, first: usize, second: usize| format!("{call} {first:#x} {second:#x} 0x0 0x0");
        for (call, first, second, expected) in [
            (libc::SYS_futex, 0x1080, 0, State::Gil),
            (libc::SYS_futex, 0x1100, 0, State::Lock),
            (libc::SYS_clock_nanosleep, 1, 0, State::Sleep),
            (libc::SYS_pselect6, 0, 0, State::Sleep),
            (libc::SYS_pselect6, 9, 0, State::Network),
            (libc::SYS_ppoll, 3, 1, State::Network),
            (libc::SYS_ppoll, 5, 1, State::Other),
            (libc::SYS_read, 3, 0, State::Network),
            (libc::SYS_read, 4, 0, State::Disk),
            (libc::SYS_read, 5, 0, State::Other),
            (libc::SYS_fsync, 4, 0, State::Disk),
            (libc::SYS_wait4, 77, 0, State::Child),
            (libc::SYS_accept4, 3, 0, State::Idle),
            (libc::SYS_getpid, 0, 0, State::Other),
        ] {
            assert_eq!(state(&text(call, first, second), &[Role::Plain]), expected, "{call} {first:#x}");
        }
    }

    #[test]
    fn frames_say_who_only_waits_for_work() {
        let futex = format!("{} 0x9999 0x0 0x0 0x0", libc::SYS_futex);
        let epoll = format!("{} 0x5 0x0 0x0 0x0", libc::SYS_epoll_pwait);
        assert_eq!(state(&futex, &[Role::Worker]), State::Idle);
        assert_eq!(state(&futex, &[Role::Plain, Role::Worker]), State::Lock);
        assert_eq!(state(&epoll, &[Role::Selector, Role::Worker]), State::Idle);
        let poll = format!("{} 0x5 0x1 0x0 0x0", libc::SYS_ppoll);
        assert_eq!(state(&poll, &[Role::Selector, Role::Child]), State::Child);
        assert_eq!(Role::of("BaseSelector.select", "/usr/lib/python3.12/selectors.py"), Role::Selector);
        assert_eq!(Role::of("_worker", "/usr/lib/python3.12/concurrent/futures/thread.py"), Role::Worker);
        assert_eq!(Role::of("select", "/srv/app.py"), Role::Plain);
    }
}
