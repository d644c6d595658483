//! What happens in a process beside its stacks: waits for locks, blocked event loops, garbage collections and
//! exceptions, as types of a profile.
//!
//! Locks and loops are told by what the sampler sees anyway ([`locks`], [`loops`]) and cost the application
//! nothing. Everything else is told by the application's threads ([`pushed`]), in numbers that are bounded without
//! a bias ([`thinning`]).

pub(crate) mod locks;
pub(crate) mod loops;
pub(crate) mod pushed;
mod thinning;
mod tracebacks;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::layout::Interpreter;
use crate::options::{EventOptions, SpanKey};
use pushed::{Event, Place};
use thinning::{Thinning, by_length};

/// Collections that take at least so long are all kept, shorter ones as often as their length suggests.
const WHOLE_PAUSE_NS: u64 = 1_000_000;

/// Waits for locks, and times they are held, that are all kept; shorter ones likewise.
const WHOLE_LOCK_NS: u64 = 100_000;

/// Whether waits for locks are a type of their own.
static LOCKS: AtomicBool = AtomicBool::new(false);
/// Whether waits for locks are told one by one.
static EXACT_LOCKS: AtomicBool = AtomicBool::new(false);
/// Whether garbage collections are kept.
static COLLECTIONS: AtomicBool = AtomicBool::new(false);
/// Whether exceptions are kept.
static EXCEPTIONS: AtomicBool = AtomicBool::new(false);
/// Exceptions, all that go through a frame.
static RAISED: Thinning = Thinning::new();
/// How long something has to block an event loop to be told; zero for never.
static LOOP_THRESHOLD_NS: AtomicU64 = AtomicU64::new(0);

/// Sets which events are kept from now on.
pub(crate) fn keep(options: &EventOptions) {
    LOCKS.store(options.locks, Ordering::Relaxed);
    EXACT_LOCKS.store(options.exact_locks, Ordering::Relaxed);
    COLLECTIONS.store(options.collections, Ordering::Relaxed);
    EXCEPTIONS.store(options.exceptions, Ordering::Relaxed);
    let threshold = options.loops.map_or(0, |threshold| threshold.as_nanos().max(1) as u64);
    LOOP_THRESHOLD_NS.store(threshold, Ordering::Relaxed);
}

/// Begins to keep what is told, with nothing yet.
pub(crate) fn open(interpreter: &Interpreter, spans: Option<SpanKey>) {
    RAISED.clear();
    pushed::open(interpreter, spans);
}

pub(crate) fn keeps_locks() -> bool {
    LOCKS.load(Ordering::Relaxed)
}

fn loop_threshold_ns() -> Option<u64> {
    Some(LOOP_THRESHOLD_NS.load(Ordering::Relaxed)).filter(|threshold| *threshold > 0)
}

/// The calling thread, which has this state, collected garbage of a generation for so long.
pub(crate) fn collected(generation: u64, pause_ns: u64, state: usize) {
    if COLLECTIONS.load(Ordering::Relaxed)
        && pushed::is_open()
        && let Some(counted_ns) = by_length(pause_ns, WHOLE_PAUSE_NS)
    {
        pushed::push(Event::GcPause, &generation.to_string(), counted_ns, state, Place::HERE);
    }
}

/// The calling thread, which has this state, waited for a lock for so long. So many of its innermost frames are ours.
pub(crate) fn lock_waited(waited_ns: u64, state: usize, own_frames: usize, name: impl FnOnce() -> String) {
    of_lock(Event::LockWait, waited_ns, state, own_frames, name);
}

/// The calling thread, which has this state, held a lock for so long. So many of its innermost frames are ours.
pub(crate) fn lock_held(held_ns: u64, state: usize, own_frames: usize, name: impl FnOnce() -> String) {
    of_lock(Event::LockHold, held_ns, state, own_frames, name);
}

fn of_lock(event: Event, time_ns: u64, state: usize, own_frames: usize, name: impl FnOnce() -> String) {
    if EXACT_LOCKS.load(Ordering::Relaxed)
        && pushed::is_open()
        && let Some(counted_ns) = by_length(time_ns, WHOLE_LOCK_NS)
    {
        pushed::push(event, &name(), counted_ns, state, Place::Here { own_frames });
    }
}

/// Counts an exception that goes through a frame or is given back; whether it is to be looked at, and [`raised`],
/// [`raised_before`] or [`passed_on`] to be called.
#[inline]
pub(crate) fn count_exception() -> bool {
    EXCEPTIONS.load(Ordering::Relaxed) && pushed::is_open() && RAISED.count()
}

/// The exception that is looked at was raised here, in the calling thread, which has this state.
pub(crate) fn raised(class: &str, state: usize) {
    pushed::push(Event::Exception, class, RAISED.choose(true), state, Place::HERE);
}

/// The exception that is looked at was raised where its traceback says; the calling thread has this state.
pub(crate) fn raised_before(class: &str, state: usize, traceback: usize) {
    pushed::push(Event::Exception, class, RAISED.choose(true), state, Place::Of { traceback });
}

/// The exception that is looked at was raised elsewhere.
pub(crate) fn passed_on() {
    RAISED.choose(false);
}

/// So much time went by.
pub(crate) fn keep_up(passed_ns: u64) {
    RAISED.keep_up(passed_ns);
}
