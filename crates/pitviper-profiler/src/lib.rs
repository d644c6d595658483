//! What the threads of a Python process do: stacks, CPU time, and what they wait for.
//!
//! A thread of its own, which knows nothing of Python's lock, reads the frames of all others a hundred times
//! a second. What it reads may change under it, so
//! - memory is read by loads that may fail ([`load`]);
//! - a stack counts only when it was seen to hold still, frame by frame ([`walk`]);
//! - where things are is taken from the interpreter's own headers, and compared with what its public
//!   interface says before the first sample ([`self_test`]).
//!
//! Where any of that is not possible, [`Profiler::start`] says why, and nothing is sampled.

#[cfg(pitviper_layout)]
mod allocations;
#[cfg(pitviper_layout)]
mod code;
#[cfg(pitviper_layout)]
mod events;
#[cfg(pitviper_layout)]
mod labels;
#[cfg(pitviper_layout)]
mod layout;
#[cfg(pitviper_layout)]
mod lines;
#[cfg(pitviper_layout)]
mod load;
#[cfg(pitviper_layout)]
mod native;
mod options;
#[cfg(pitviper_layout)]
mod pace;
#[cfg(pitviper_layout)]
mod profiler;
#[cfg(not(pitviper_layout))]
#[path = "unavailable.rs"]
mod profiler;
#[cfg(pitviper_layout)]
mod random;
#[cfg(pitviper_layout)]
mod sampler;
#[cfg(pitviper_layout)]
mod self_test;
#[cfg(pitviper_layout)]
mod spans;
#[cfg(pitviper_layout)]
mod stacks;
#[cfg(pitviper_layout)]
mod task;
#[cfg(pitviper_layout)]
mod tasks;
#[cfg(pitviper_layout)]
mod threads;
#[cfg(pitviper_layout)]
mod wait;
#[cfg(pitviper_layout)]
mod walk;
#[cfg(pitviper_layout)]
mod window;

pub use options::{
    AllocationFigures, Endpoints, EventOptions, Figures, KnownFrame, KnownTask, KnownThread, Options, SpanKey,
    Unavailable, Variable,
};
pub use profiler::Profiler;
