//! The bounded queue between the application's threads and the exporter.
//!
//! Finished spans lie in it as bytes, already encoded, one buffer a scope. There is one lock, taken
//! for the time of copying one span. It is the standard library's: a futex word and nothing else,
//! so that a fork while it is held (see [`Queue::hold`]) leaves the child a lock it can release.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that may wait, whatever the number of spans. Beyond it new spans are dropped and counted.
pub(crate) const MAX_QUEUE_BYTES: usize = 32 * 1024 * 1024;

/// Bytes at which a batch is closed, well below what receivers accept in one request.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Spans on their way out, grouped by scope.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// By scope number: entries of `ScopeSpans.spans`.
    pub(crate) scopes: Vec<Vec<u8>>,
    pub(crate) spans: usize,
    pub(crate) bytes: usize,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    open: Batch,
    closed: VecDeque<Batch>,
    /// Spans and bytes in `open` and `closed`.
    spans: usize,
    bytes: usize,
    /// Spans the exporter has taken and not settled.
    in_flight: usize,
    /// Someone waits: send at once.
    flush: bool,
    /// How often someone asked for a flush. A pause between attempts ends when it grows.
    flushes: u64,
    /// No more spans are taken.
    pub(crate) closing: bool,
    /// An exporter thread runs in this process.
    pub(crate) has_exporter: bool,
}

/// What became of a span that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    Queued,
    /// Queued, and there is no exporter thread yet.
    QueuedFirst,
    Full,
    Closing,
}

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Wakes the exporter.
    work: Condvar,
    /// Wakes those who wait for the queue to be empty.
    settled: Condvar,
    pub(crate) max_spans: AtomicUsize,
    pub(crate) max_batch_spans: AtomicUsize,
    pub(crate) delay_ms: AtomicU64,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            work: Condvar::new(),
            settled: Condvar::new(),
            max_spans: AtomicUsize::new(0),
            max_batch_spans: AtomicUsize::new(0),
            delay_ms: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held but an allocation; the state is whole even then.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock for as long as the guard lives: across a fork.
    pub(crate) fn hold(&self) -> MutexGuard<'_, State> {
        self.lock()
    }

    /// Appends one span of the scope, written by `encode`.
    pub(crate) fn offer(&self, scope: usize, encode: impl FnOnce(&mut Vec<u8>)) -> Offer {
        let mut state = self.lock();
        if state.closing {
            return Offer::Closing;
        }
        if state.spans >= self.max_spans.load(Ordering::Relaxed) || state.bytes >= MAX_QUEUE_BYTES {
            return Offer::Full;
        }
        if state.open.scopes.len() <= scope {
            state.open.scopes.resize_with(scope + 1, Vec::new);
        }
        let buffer = &mut state.open.scopes[scope];
        let before = buffer.len();
        encode(buffer);
        let grown = buffer.len() - before;
        state.open.bytes += grown;
        state.open.spans += 1;
        state.bytes += grown;
        state.spans += 1;
        let full_batch =
            state.open.spans >= self.max_batch_spans.load(Ordering::Relaxed) || state.open.bytes >= MAX_BATCH_BYTES;
        if full_batch {
            let batch = std::mem::take(&mut state.open);
            state.closed.push_back(batch);
        }
        let wake = full_batch || state.spans == 1;
        let first = !state.has_exporter;
        state.has_exporter = true;
        drop(state);
        if wake {
            self.work.notify_one();
        }
        if first { Offer::QueuedFirst } else { Offer::Queued }
    }

    /// Waits for a batch that is due; `None` when the queue is closing and empty.
    pub(crate) fn take(&self) -> Option<Batch> {
        let mut state = self.lock();
        let mut oldest_since: Option<Instant> = None;
        loop {
            if let Some(batch) = state.closed.pop_front() {
                return Some(Self::hand_out(&mut state, batch));
            }
            if state.spans == 0 {
                state.flush = false;
                if state.closing {
                    return None;
                }
                oldest_since = None;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let since = *oldest_since.get_or_insert_with(Instant::now);
            let delay = Duration::from_millis(self.delay_ms.load(Ordering::Relaxed));
            let rest = delay.saturating_sub(since.elapsed());
            if state.flush || state.closing || rest.is_zero() {
                let batch = std::mem::take(&mut state.open);
                return Some(Self::hand_out(&mut state, batch));
            }
            state = self.work.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn hand_out(state: &mut State, batch: Batch) -> Batch {
        state.spans -= batch.spans;
        state.bytes -= batch.bytes;
        state.in_flight += batch.spans;
        batch
    }

    /// The exporter is done with that many spans, one way or the other.
    pub(crate) fn settle(&self, spans: usize) {
        let mut state = self.lock();
        state.in_flight -= spans;
        if state.in_flight == 0 && state.spans == 0 {
            state.flush = false;
            self.settled.notify_all();
        }
    }

    /// Waits up to `delay` unless the queue is closing or, with `until_flush`, someone asks for a
    /// flush meanwhile; whether it is closing. For the pause between attempts.
    pub(crate) fn pause(&self, delay: Duration, until_flush: bool) -> bool {
        let mut state = self.lock();
        let until = Instant::now() + delay;
        let flushes = state.flushes;
        while !(state.closing || until_flush && state.flushes != flushes) {
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                break;
            }
            state = self.work.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.closing
    }

    /// Asks for everything to be sent now and waits; whether all was settled in time.
    pub(crate) fn flush(&self, timeout: Duration, close: bool) -> bool {
        let until = Instant::now() + timeout;
        let mut state = self.lock();
        state.closing |= close;
        state.flushes += 1;
        while state.spans > 0 || state.in_flight > 0 {
            state.flush = true;
            self.work.notify_all();
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return false;
            }
            state = self.settled.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
        self.work.notify_all();
        true
    }

    /// Throws away what waits; how many spans that were.
    pub(crate) fn discard(&self) -> usize {
        self.lock().discard()
    }

    /// Spans that wait or are on their way.
    pub(crate) fn pending(&self) -> usize {
        let state = self.lock();
        state.spans + state.in_flight
    }
}

impl State {
    fn discard(&mut self) -> usize {
        self.open = Batch::default();
        self.closed.clear();
        self.bytes = 0;
        std::mem::take(&mut self.spans)
    }

    /// Makes the state that of a process just forked: what waits belongs to the parent.
    pub(crate) fn reset_in_child(&mut self) {
        self.discard();
        self.in_flight = 0;
        self.flush = false;
        self.has_exporter = false;
    }
}
