//! A thread beside the exporter for what cannot do without the interpreter: it measures how long the
//! interpreter lock takes to get, runs the callbacks of observable instruments, looks once at which
//! modules are loaded, starts the profiler, names threads while they are sampled, and has settings followed that the
//! server told.
//! The exporter itself never takes the lock.
//!
//! It is a thread of the system's own and not one of Python's, so that libraries which replace Python's
//! threads have no part in it. It starts with the exporter, when it has something to do.
//!
//! C code that forks without a word to the interpreter, as uWSGI does, leaves the child an interpreter lock in
//! whatever state it is. Were it ours, or were this thread waiting for it, the child would wait for ever: so this
//! thread rests during such forks.

use std::cell::Cell;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, TryLockError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::host;
use crate::once::Once;
use crate::runtime::{agent, is_interpreter_lock_enabled};
use crate::shield::{shield, shield_native};

/// How often the interpreter lock is asked for, at least: between this and half as long again, so that
/// it does not run in step with what it measures.
const LEAST_PAUSE: Duration = Duration::from_millis(800);
const PAUSE_SPREAD_MS: u64 = 400;
/// Threads are named no more often than this, however many begin.
const NAMING_PAUSE: Duration = Duration::from_millis(20);
/// How long the first that is sent waits until it is known whose worker this process is, and how often that is asked.
const IDENTITY_TIMEOUT: Duration = Duration::from_secs(1);
const IDENTITY_STEP: Duration = Duration::from_millis(1);
/// How long the end of the process waits for a callback that is under way.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a fork waits for this thread to rest, and how often each of them looks for the other. It is microseconds,
/// unless the machine has no time for this thread, or a callback of the application's takes long.
const REST_TIMEOUT: Duration = Duration::from_secs(5);
const REST_STEP: Duration = Duration::from_micros(50);

/// The process it runs in; zero for none. A forked child inherits the number, which is not its own.
static RUNNING_IN: AtomicU32 = AtomicU32::new(0);
/// The process of which it is known whose worker it is.
static IDENTIFIED_IN: AtomicU32 = AtomicU32::new(0);
static STOP: AtomicBool = AtomicBool::new(false);
static THREAD: Mutex<Option<Thread>> = Mutex::new(None);
static HOOK: Once<Py<PyAny>> = Once::new();
/// There are observable instruments.
static OBSERVING: AtomicBool = AtomicBool::new(false);
/// Threads are sampled, and are to be named.
static PROFILING: AtomicBool = AtomicBool::new(false);
/// Something waits for the exporter to run, in a process that may then have threads of ours.
static BEGINS: AtomicBool = AtomicBool::new(false);
/// The receiver has no place for profiles.
static REFUSED: AtomicBool = AtomicBool::new(false);
/// A thread was sampled that has no name yet.
static UNNAMED: AtomicBool = AtomicBool::new(false);
/// Distributions are to be reported.
static LIBRARIES: AtomicBool = AtomicBool::new(false);
/// What the server told last and nobody has read yet.
static TOLD: Mutex<Option<String>> = Mutex::new(None);
/// There is something in it.
static IS_TOLD: AtomicBool = AtomicBool::new(false);
/// An exporter runs, in this process or in one it was forked from.
static EXPORTING_IN: AtomicU32 = AtomicU32::new(0);

/// The thread has the interpreter, or wants it.
static ACTIVE: AtomicBool = AtomicBool::new(false);
/// Forks under way that it must not have it during.
static FORKS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// This is the companion.
    static IS_COMPANION: Cell<bool> = const { Cell::new(false) };
    /// The interpreter itself forks in this thread: it makes its lock anew in the child.
    static INTERPRETER_FORKS: Cell<bool> = const { Cell::new(false) };
    /// A fork in this thread is counted.
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

/// For `os.register_at_fork`: called before the interpreter forks.
#[pyfunction]
pub(crate) fn interpreter_forks() {
    INTERPRETER_FORKS.with(|forks| forks.set(true));
}

/// Brings the thread to rest before a fork that the interpreter knows nothing of.
pub(crate) fn before_fork() {
    if INTERPRETER_FORKS.with(Cell::get) || IS_COMPANION.with(Cell::get) {
        return;
    }
    FORKS.fetch_add(1, Ordering::SeqCst);
    COUNTED.with(|counted| counted.set(true));
    if RUNNING_IN.load(Ordering::SeqCst) == std::process::id() && ACTIVE.load(Ordering::SeqCst) {
        // It may want the interpreter that this thread has.
        host::wait(&mut || {
            let began = Instant::now();
            while ACTIVE.load(Ordering::SeqCst) && began.elapsed() < REST_TIMEOUT {
                std::thread::sleep(REST_STEP);
            }
        });
    }
}

pub(crate) fn after_fork_in_parent() {
    INTERPRETER_FORKS.with(|forks| forks.set(false));
    if COUNTED.with(|counted| counted.replace(false)) {
        FORKS.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) fn after_fork_in_child() {
    INTERPRETER_FORKS.with(|forks| forks.set(false));
    COUNTED.with(|counted| counted.set(false));
    IS_COMPANION.with(|is| is.set(false));
    FORKS.store(0, Ordering::SeqCst);
    ACTIVE.store(false, Ordering::SeqCst);
}

/// To be called before the thread asks for the interpreter: not during a fork.
fn be_active() {
    loop {
        ACTIVE.store(true, Ordering::SeqCst);
        if FORKS.load(Ordering::SeqCst) == 0 {
            return;
        }
        ACTIVE.store(false, Ordering::SeqCst);
        std::thread::sleep(REST_STEP);
    }
}

/// Does without the interpreter for a while; since when it has wanted it again.
fn rest(py: Python<'_>, work: impl FnOnce() + Send) -> Instant {
    py.detach(|| {
        ACTIVE.store(false, Ordering::SeqCst);
        work();
        be_active();
        Instant::now()
    })
}

/// Sets what is called with the interpreter: with "start" until it says that there is no more to find out, with
/// "begin" when an exporter runs and that was asked for, with "observe" to run the callbacks of observable
/// instruments, with "threads" to name those that live, with "libraries" for a list of folders and one of modules,
/// with "settings" when the server has told some, with "refused" when it has no place for profiles.
#[pyfunction]
pub(crate) fn set_companion_hook(py: Python<'_>, hook: Py<PyAny>) {
    let _ = HOOK.set(py, hook);
}

/// Says what there is to do beside runtime metrics.
#[pyfunction]
#[pyo3(signature = (*, observing = None, libraries = None, profiling = None, begins = None))]
pub(crate) fn companion_wanted(
    observing: Option<bool>,
    libraries: Option<bool>,
    profiling: Option<bool>,
    begins: Option<bool>,
) {
    shield((), || {
        if let Some(observing) = observing {
            OBSERVING.store(observing, Ordering::Relaxed);
            agent().set_observed(observing);
        }
        if let Some(libraries) = libraries {
            LIBRARIES.store(libraries, Ordering::Relaxed);
        }
        if let Some(profiling) = profiling {
            PROFILING.store(profiling, Ordering::Relaxed);
        }
        if let Some(begins) = begins {
            BEGINS.store(begins, Ordering::SeqCst);
            unpark();
        }
        // Who is profiled into a file has no exporter.
        if PROFILING.load(Ordering::Relaxed) || exports() {
            start_if_wanted();
        }
    });
}

/// An exporter runs in this process.
fn exports() -> bool {
    EXPORTING_IN.load(Ordering::Relaxed) == std::process::id()
}

/// Starts the thread if there is something to do. Called when the exporter has started, possibly with
/// locks held: it does nothing but that.
pub(crate) fn start() {
    EXPORTING_IN.store(std::process::id(), Ordering::Relaxed);
    shield_native((), start_if_wanted);
}

/// Waits until the thread has found out whose worker this process is, if it does.
pub(crate) fn await_identity() {
    let (own, began) = (std::process::id(), Instant::now());
    let is_known = || IDENTIFIED_IN.load(Ordering::SeqCst) == own || STOP.load(Ordering::SeqCst) || !is_wanted();
    while !is_known() && began.elapsed() < IDENTITY_TIMEOUT {
        std::thread::sleep(IDENTITY_STEP);
    }
}

/// Has threads named soon, before a short one ends: called by the profiler, which cannot.
pub(crate) fn name_threads_soon() {
    UNNAMED.store(true, Ordering::SeqCst);
    unpark();
}

/// Keeps what the server has told until Python has read it: called by the exporter, which cannot. In a child
/// that was forked while this was written nothing is told any more.
pub(crate) fn told(settings: &str) {
    if let Ok(mut slot) = TOLD.try_lock() {
        *slot = Some(settings.to_owned());
        IS_TOLD.store(true, Ordering::SeqCst);
    }
    start_if_wanted();
    unpark();
}

/// Keeps in mind that profiles are for nothing: called by the exporter.
pub(crate) fn profiles_refused() {
    REFUSED.store(true, Ordering::SeqCst);
    unpark();
}

/// What the server has told since the last call, as JSON; None when that is nothing new.
#[pyfunction]
pub(crate) fn told_settings() -> Option<String> {
    TOLD.try_lock().ok()?.take()
}

fn unpark() {
    if let Ok(slot) = THREAD.try_lock()
        && let Some(thread) = &*slot
    {
        thread.unpark();
    }
}

fn is_wanted() -> bool {
    agent().measures_runtime()
        || [&OBSERVING, &LIBRARIES, &PROFILING, &BEGINS, &IS_TOLD].iter().any(|wanted| wanted.load(Ordering::Relaxed))
}

/// There is something to do that does not wait for its time.
fn is_called() -> bool {
    [&UNNAMED, &IS_TOLD, &REFUSED].iter().any(|called| called.load(Ordering::SeqCst)) || may_begin()
}

fn may_begin() -> bool {
    BEGINS.load(Ordering::SeqCst) && exports()
}

fn start_if_wanted() {
    let own = std::process::id();
    if !is_wanted() || STOP.load(Ordering::Relaxed) || RUNNING_IN.swap(own, Ordering::SeqCst) == own {
        return;
    }
    host::without_signals(&mut || {
        let spawned = std::thread::Builder::new().name("pitviper-runtime".to_owned()).spawn(move || {
            IS_COMPANION.with(|is| is.set(true));
            be_active();
            shield_native((), run);
            IDENTIFIED_IN.store(own, Ordering::SeqCst);
            ACTIVE.store(false, Ordering::SeqCst);
            let _ = RUNNING_IN.compare_exchange(own, 0, Ordering::SeqCst, Ordering::SeqCst);
        });
        match spawned {
            Ok(handle) => set_thread(Some(handle.thread().clone())),
            Err(_) => RUNNING_IN.store(0, Ordering::SeqCst),
        }
    });
}

/// A lock that another thread held during a fork stays locked in the child; then the thread is simply
/// not woken early.
fn set_thread(thread: Option<Thread>) {
    match THREAD.try_lock() {
        Ok(mut slot) => *slot = thread,
        Err(TryLockError::Poisoned(slot)) => *slot.into_inner() = thread,
        Err(TryLockError::WouldBlock) => {}
    }
}

/// Ends the thread, and waits for what it is doing. To be called without the interpreter lock.
pub(crate) fn stop() {
    STOP.store(true, Ordering::SeqCst);
    let own = std::process::id();
    if RUNNING_IN.load(Ordering::SeqCst) != own {
        return;
    }
    unpark();
    let began = Instant::now();
    while RUNNING_IN.load(Ordering::SeqCst) == own && began.elapsed() < STOP_TIMEOUT {
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn call<'py>(py: Python<'py>, what: &str) -> Option<Bound<'py, PyAny>> {
    HOOK.get(py)?.bind(py).call1((what,)).ok()
}

/// Has it found out whose worker this process is. What is not known yet may be so soon.
fn identify(py: Python<'_>) {
    let began = Instant::now();
    let is_known = || call(py, "start").is_none_or(|known| known.is_none() || known.is_truthy().unwrap_or(true));
    while !is_known() && began.elapsed() < IDENTITY_TIMEOUT && !STOP.load(Ordering::SeqCst) {
        rest(py, || std::thread::sleep(IDENTITY_STEP));
    }
}

/// The folders of the import path and the top names of the loaded modules.
type Snapshot = (Vec<PathBuf>, HashSet<String>);

fn run() {
    // Attached once, and detached while it waits: to attach anew makes a thread state each time.
    let _ = Python::try_attach(|py| {
        identify(py);
        IDENTIFIED_IN.store(std::process::id(), Ordering::SeqCst);
        let has_gil = is_interpreter_lock_enabled(py);
        let began = Instant::now();
        let (mut observed, mut named, mut measured) = (began, began, began);
        let mut spread = u64::from(std::process::id());
        while is_wanted() {
            let interval = Duration::from_millis(agent().config().signals.metrics_interval_ms.max(1));
            spread = spread.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut pause = LEAST_PAUSE + Duration::from_millis((spread >> 33) % PAUSE_SPREAD_MS);
            if OBSERVING.load(Ordering::Relaxed) {
                pause = pause.min(interval.saturating_sub(observed.elapsed()));
            }
            if LIBRARIES.load(Ordering::Relaxed) {
                pause = pause.min(interval.saturating_sub(began.elapsed()));
            }
            let asked = rest(py, || {
                if !is_called() {
                    std::thread::park_timeout(pause);
                }
                if UNNAMED.load(Ordering::SeqCst) {
                    std::thread::sleep(NAMING_PAUSE.saturating_sub(named.elapsed()));
                }
            });
            let wait = asked.elapsed();
            if STOP.load(Ordering::SeqCst) {
                return;
            }
            let called = is_called();
            UNNAMED.store(false, Ordering::SeqCst);
            if IS_TOLD.swap(false, Ordering::SeqCst) {
                call(py, "settings");
            }
            if may_begin() {
                BEGINS.store(false, Ordering::SeqCst);
                call(py, "begin");
            }
            if REFUSED.swap(false, Ordering::SeqCst) {
                call(py, "refused");
            }
            // Who is called waits when others begin something, which is no measure of what anybody would have waited;
            // unless that is so all the time.
            if has_gil && (!called || measured.elapsed() >= LEAST_PAUSE + Duration::from_millis(PAUSE_SPREAD_MS)) {
                agent().gil_waited(wait);
                measured = Instant::now();
            }
            if PROFILING.load(Ordering::Relaxed) {
                call(py, "threads");
                named = Instant::now();
            }
            if OBSERVING.load(Ordering::Relaxed) && observed.elapsed() >= interval {
                call(py, "observe");
                observed = Instant::now();
                agent().collect_now();
            }
            if LIBRARIES.load(Ordering::Relaxed) && began.elapsed() >= interval {
                // Once, whatever becomes of it.
                LIBRARIES.store(false, Ordering::Relaxed);
                let snapshot = call(py, "libraries").and_then(|snapshot| snapshot.extract::<Snapshot>().ok());
                if let Some((folders, modules)) = snapshot {
                    rest(py, || agent().report_libraries(&folders, &modules));
                }
            }
        }
    });
}
