//! What is allocated, by whom, and what of it stays: sampled in the interpreter's own allocator.
//!
//! [`hooks`] see every allocation of Python's three domains, and count the thread's bytes down ([`countdown`]) to the next
//! sample; [`places`] puts them there. A sampled one gets the thread's stack, and is kept with what it stands for
//! ([`recorder`]): an allocation of `size` bytes is sampled with the likelihood `1 - exp(-size / interval)`, and counts for
//! the reciprocal of that many, so the sums are true on average whatever the sizes are. Where there would be too many
//! samples, they lie further apart ([`interval`]); where there are very many allocations, small ones are looked at in some
//! stretches of time only ([`stretches`]), and count for as many times more. Sampled blocks are known until they are given
//! back ([`live`]); whether a block may be one of them is seen at one byte ([`filter`]), or by where it is given back.
//! Making a block larger or smaller is giving it back and allocating anew.

mod countdown;
mod filter;
mod hooks;
mod interval;
mod live;
mod owner;
mod places;
mod recorder;
mod stretches;

use pitviper_pprof::Profile;
pub(crate) use stretches::Stretches;

use crate::labels::Labels;
use crate::layout::Interpreter;
use crate::options::{AllocationFigures, Options};

/// Begins to sample allocations as the options say, or stops. The calling thread has the interpreter's lock.
///
/// # Errors
/// When that is not possible here; then nothing is sampled.
pub(crate) fn start(interpreter: &Interpreter, options: &Options) -> Result<(), String> {
    let Some(bytes) = options.allocation_interval.filter(|bytes| *bytes > 0) else {
        stop();
        return Ok(());
    };
    if !owner::is_known() {
        return Err("the interpreter does not say whose the current thread is".to_owned());
    }
    recorder::start(interpreter, options, bytes);
    interval::set(bytes as f64, options.allocation_rate_hz);
    countdown::begin_anew();
    places::keep_in_place().map(|_| ()).inspect_err(|_| recorder::stop())
}

/// Stops, and forgets what was not taken. The calling thread has the interpreter's lock.
pub(crate) fn stop() {
    places::take_away();
    recorder::stop();
}

/// Sees to it that allocations are seen, after others may have put our hooks away. The calling thread has the
/// interpreter's lock.
pub(crate) fn keep() {
    if !recorder::figures().running {
        return;
    }
    match places::keep_in_place() {
        Ok(places::Found::InPlace) => {}
        Ok(found) => recorder::lost_hooks(found),
        Err(_) => recorder::stop(),
    }
}

/// What was allocated since the last call, and what is there now; `None` when nothing is sampled.
pub(crate) fn take(labels: &Labels) -> Option<Profile> {
    recorder::take(labels)
}

/// What became of it so far.
pub(crate) fn figures() -> AllocationFigures {
    let (stretches, interval) = (stretches::stands_for(), interval::current() as u64);
    AllocationFigures { free_spared: places::is_free_spared(), stretches, interval, ..recorder::figures() }
}

/// Nothing is recorded for as long as a fork takes, but in the thread that forks.
pub(crate) fn before_fork() {
    recorder::before_fork();
}

/// Goes on.
pub(crate) fn after_fork_in_parent() {
    recorder::after_fork(false);
}

/// What was sampled is the parent's, though what the parent has allocated is there.
pub(crate) fn after_fork_in_child() {
    recorder::after_fork(true);
}
