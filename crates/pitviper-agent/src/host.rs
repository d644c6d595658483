//! What the agent needs from whoever it is part of, and cannot do itself without unsafe code.

/// What the process has used so far, all its threads together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// CPU time in user mode, in nanoseconds.
    pub user_ns: u64,
    /// CPU time in the kernel, in nanoseconds.
    pub system_ns: u64,
    /// Page faults that needed no reading.
    pub minor_faults: u64,
    /// Page faults that needed reading.
    pub major_faults: u64,
    /// Context switches because a thread had to wait.
    pub voluntary_switches: u64,
    /// Context switches because another thread was to run.
    pub involuntary_switches: u64,
}

/// Functions of the host. All may be called from any thread, and must return soon.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// Runs what starts a thread while the calling one has all signals blocked: the new one has them blocked
    /// from its first moment, so that the application's threads get them.
    pub without_signals: fn(&mut dyn FnMut()),
    /// Runs in the thread whose first span, log record or measurement started the exporter.
    pub exporter_started: fn(),
    /// Waits, though not for long, for whoever is finding out whose worker this process is
    /// ([`Agent::set_worker`](crate::Agent::set_worker)). Called by the exporter thread before it sends anything.
    pub await_identity: fn(),
    /// Runs what may take long, so that the interpreter goes on without the calling thread meanwhile. Also
    /// called by threads that have nothing to do with it.
    pub wait: fn(&mut (dyn FnMut() + Send)),
    /// Shows a warning to whoever reads the process's standard error.
    pub warn: fn(&str),
    /// Takes what the server has told this process to do, as it stands in the header of an answer. Called by
    /// the exporter thread, again whenever that changes.
    pub told: fn(&str),
    /// Says that the receiver has no place for profiles. Called by the exporter thread for each that is lost so.
    pub profiles_refused: fn(),
    /// What the process has used; `None` where that cannot be known.
    pub usage: fn() -> Option<Usage>,
    /// Clock ticks in a second, as `/proc` counts them.
    pub clock_ticks: u64,
    /// Bytes in a page of memory.
    pub page_size: u64,
}
