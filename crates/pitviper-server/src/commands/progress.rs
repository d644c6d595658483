//! Says now and then how far a long command is.

use std::time::{Duration, Instant};

/// How often something is said.
const INTERVAL: Duration = Duration::from_secs(2);

/// A long command under way.
pub(super) struct Progress {
    verb: &'static str,
    items: &'static str,
    said: Instant,
}

impl Progress {
    /// Says that so many of these items were, say, exported.
    pub(super) fn new(verb: &'static str, items: &'static str) -> Self {
        Self { verb, items, said: Instant::now() }
    }

    /// To be called often; says so on stderr when it is time to.
    #[expect(clippy::print_stderr, reason = "a command-line tool says on stderr how far it is")]
    pub(super) fn at(&mut self, count: u64) {
        if self.said.elapsed() >= INTERVAL {
            self.said = Instant::now();
            eprintln!("{} {count} {} so far", self.verb, self.items);
        }
    }
}
