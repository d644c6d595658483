//! The profiler where nothing is known of the interpreter's layout: it says why.

use std::collections::HashMap;
use std::time::Duration;

use pitviper_pprof::Profile;

use crate::{Endpoints, EventOptions, Figures, KnownTask, KnownThread, Options, Unavailable};

/// Samples the threads of this process.
#[derive(Debug)]
pub struct Profiler(());

static PROFILER: Profiler = Profiler(());

impl Profiler {
    /// The profiler of this process.
    pub fn get() -> &'static Self {
        &PROFILER
    }

    /// Says why nothing can be sampled.
    ///
    /// # Errors
    /// Always.
    pub fn start(&self, _: &Options, _: &KnownThread) -> Result<(), Unavailable> {
        Err(Unavailable(env!("PITVIPER_NO_LAYOUT").to_owned()))
    }

    /// Does nothing.
    pub fn stop(&self) {}

    /// Does nothing.
    pub fn wake(&self) {}

    /// Does nothing.
    pub fn stop_allocations(&self) {}

    /// Does nothing.
    pub fn keep_allocations(&self) {}

    /// Nothing was sampled.
    pub fn take(&self, _: &HashMap<u64, String>) -> Option<Profile> {
        None
    }

    /// Nothing was sampled.
    pub fn take_last(&self, _: &HashMap<u64, String>) -> Option<Profile> {
        None
    }

    /// Nothing keeps them.
    pub fn keep_events(&self, _: &EventOptions) {}

    /// Nothing keeps it.
    pub fn collected(&self, _: u64, _: Duration, _: usize) {}

    /// Nothing keeps it.
    pub fn lock_waited(&self, _: Duration, _: usize, _: usize, _: impl FnOnce() -> String) {}

    /// Nothing keeps it.
    pub fn lock_held(&self, _: Duration, _: usize, _: usize, _: impl FnOnce() -> String) {}

    /// None is to be looked at.
    #[inline]
    pub fn count_exception(&self) -> bool {
        false
    }

    /// Nothing keeps it.
    pub fn raised(&self, _: &str, _: usize) {}

    /// Nothing keeps it.
    pub fn raised_before(&self, _: &str, _: usize, _: usize) {}

    /// Nothing keeps it.
    pub fn passed_on(&self) {}

    /// Nothing names them.
    pub fn name_threads(&self, _: &HashMap<u64, String>) {}

    /// Nothing will be called.
    pub fn on_new_thread(&self, _: fn()) {}

    /// Nothing is sampled.
    ///
    /// # Errors
    /// Always.
    pub fn watch_tasks(&self, _: &KnownTask) -> Result<(), Unavailable> {
        Err(Unavailable(env!("PITVIPER_NO_LAYOUT").to_owned()))
    }

    /// Nothing is sampled.
    pub fn wants_tasks(&self) -> bool {
        false
    }

    /// Nobody will ask.
    pub fn name_endpoints(&self, _: &'static dyn Endpoints) {}

    /// All zero.
    pub fn figures(&self) -> Figures {
        Figures::default()
    }

    /// Nothing to prepare.
    pub fn before_fork(&self) {}

    /// Nothing to go on with.
    pub fn after_fork_in_parent(&self) {}

    /// Nothing to begin anew.
    pub fn after_fork_in_child(&self) {}

    /// Nothing to go on with.
    ///
    /// # Errors
    /// Never.
    pub fn resume_in_child(&self, _: &Options) -> Result<(), Unavailable> {
        Ok(())
    }
}
