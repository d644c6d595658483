//! Says now and then how far a long command is.

use std::time::{Duration, Instant};

/// How often something is said.
const INTERVAL: Duration = Duration::from_secs(2);

/// A long command under way.
pub(super) struct Progress {
    verb: &'static str,
    said: Instant,
}

impl Progress {
    pub(super) fn new(verb: &'static str) -> Self {
        Self { verb, said: Instant::now() }
    }

    /// To be called often; says so on stderr when it is time to.
    #[expect(clippy::print_stderr, reason = "a command-line tool says on stderr how far it is")]
    pub(super) fn at(&mut self, spans: u64) {
        if self.said.elapsed() >= INTERVAL {
            self.said = Instant::now();
            eprintln!("{} {spans} spans so far", self.verb);
        }
    }
}
