//! The bounded queue between the application's threads and the exporter, with a lane for each signal.
//!
//! What is finished lies in it as bytes, already encoded, one buffer a scope. There is one lock, taken
//! for the time of copying one item. It is the standard library's: a futex word and nothing else,
//! so that a fork while it is held (see [`Queue::hold`]) leaves the child a lock it can release.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::locks::{hold, lock};

/// Bytes at which a batch is closed, well below what receivers accept in one request.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Memory of a batch, or of a request, that is kept for the next one, of each signal. Memory that is given back and
/// asked for again has to be found by the kernel each time, in the application's threads.
pub(crate) const KEPT_BYTES: usize = 1024 * 1024;

/// Items that wait without being a reason to start the exporter thread. From here on they are one.
const MAX_WAITING_ALONE: usize = 256;

/// Pause between attempts to start the exporter thread where the system allows no more threads.
const START_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What is sent, each kind to an address of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Spans = 0,
    Logs = 1,
    Metrics = 2,
    Profiles = 3,
}

/// How many signals there are.
pub(crate) const SIGNALS: usize = 4;

impl Signal {
    pub(crate) const ALL: [Self; SIGNALS] = [Self::Spans, Self::Logs, Self::Metrics, Self::Profiles];

    /// What its items are called.
    pub(crate) const fn items(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::Profiles => "profiles",
        }
    }

    /// Bytes that may wait, whatever the number of items. Beyond it new ones are dropped and counted.
    const fn max_bytes(self) -> usize {
        match self {
            Self::Spans => 32 * 1024 * 1024,
            Self::Logs | Self::Metrics | Self::Profiles => 16 * 1024 * 1024,
        }
    }
}

/// Items on their way out, grouped by scope.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// By scope number: entries of `ScopeSpans.spans` or what stands in their place. Of a profile, which is
    /// a batch of its own, the first is all.
    pub(crate) scopes: Vec<Vec<u8>>,
    pub(crate) items: usize,
    pub(crate) bytes: usize,
}

#[derive(Debug, Default)]
struct Lane {
    open: Batch,
    closed: VecDeque<Batch>,
    /// An empty one whose memory is used next.
    spare: Batch,
    /// Items and bytes in `open` and `closed`.
    items: usize,
    bytes: usize,
    /// Items the exporter has taken and not settled.
    in_flight: usize,
    /// Items that came in since the process began, and those of them that have left for good. They leave
    /// in the order they came in.
    accepted: u64,
    settled: u64,
    /// Someone waits until that many are settled: they are sent at once.
    wanted: u64,
    /// Since when the exporter knows of something in `open`.
    open_since: Option<Instant>,
    /// What is collected (metrics, profiles) is to be so now, not when its time has come.
    collect: bool,
    /// The exporter is collecting it.
    collecting: bool,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    lanes: [Lane; SIGNALS],
    /// How often someone asked for a flush. A pause between attempts ends when it grows.
    flushes: u64,
    /// Nothing can be sent before a pause is over.
    stalled: bool,
    /// The settings have changed.
    follow: bool,
    /// No more items are taken.
    closing: bool,
    /// An exporter thread runs in this process.
    pub(crate) has_exporter: bool,
    /// The system allowed no thread; before this time nobody asks again.
    start_again_at: Option<Instant>,
}

/// How long a flush waits at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Until all is settled that came in before.
    Settled,
    /// So, or until it has been tried in vain.
    Tried,
    /// Until all is settled; the queue takes nothing more.
    Closed,
}

/// What became of an item that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    Queued,
    /// Queued, and there is no exporter thread yet.
    QueuedFirst,
    Full,
    Closing,
    /// This thread is in the middle of a fork, and holds the lock.
    Forking,
}

/// A request that is to be sent again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pause {
    pub(crate) until: Instant,
    /// Whether it ends when someone asks for a flush.
    pub(crate) until_flush: bool,
    /// [`Queue::flushes`] when it began.
    pub(crate) flushes: u64,
}

/// What the exporter is to do next.
#[derive(Debug)]
pub(crate) enum Work {
    Send(Signal, Batch),
    /// The pause of this signal's request is over; whether this is the last attempt.
    Retry(Signal, bool),
    /// Metrics are to be collected, or a profile taken.
    Collect(Signal),
    /// There are new settings.
    Follow,
    /// Nothing any more: the queue is closing and empty.
    Done,
}

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Wakes the exporter.
    work: Condvar,
    /// Wakes those who wait for the queue to be empty.
    settled: Condvar,
    /// Mirror of [`State::has_exporter`] that is read without the lock.
    exporting: AtomicBool,
    /// A signal ends the process: what waits is sent, and nothing is taken any more.
    dying: AtomicBool,
    /// The exporter has ended.
    ended: AtomicBool,
    pub(crate) max_items: [AtomicUsize; SIGNALS],
    pub(crate) max_batch: [AtomicUsize; SIGNALS],
    pub(crate) delay_ms: [AtomicU64; SIGNALS],
}

thread_local! {
    static FORKING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is in the middle of a fork. Locks it holds meanwhile must not be asked for.
#[inline]
pub(crate) fn is_forking() -> bool {
    FORKING.with(Cell::get)
}

/// Says whether this thread is in the middle of a fork.
pub(crate) fn set_forking(forking: bool) {
    FORKING.with(|cell| cell.set(forking));
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            work: Condvar::new(),
            settled: Condvar::new(),
            exporting: AtomicBool::new(false),
            dying: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            max_items: Default::default(),
            max_batch: Default::default(),
            delay_ms: Default::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held but an allocation; the state is whole even then.
        lock(&self.state)
    }

    /// Takes the lock for as long as the guard lives: across a fork.
    pub(crate) fn hold(&self) -> MutexGuard<'_, State> {
        hold(&self.state)
    }

    /// Appends one item of the scope, written by `encode`. Without `starts` the item alone is no reason to
    /// start an exporter thread, unless many wait.
    pub(crate) fn offer(&self, signal: Signal, scope: usize, starts: bool, encode: impl FnOnce(&mut Vec<u8>)) -> Offer {
        if is_forking() {
            return Offer::Forking;
        }
        let mut state = self.lock();
        if state.closing {
            return Offer::Closing;
        }
        let lane = &mut state.lanes[signal as usize];
        if lane.items >= self.max_items[signal as usize].load(Ordering::Relaxed) || lane.bytes >= signal.max_bytes() {
            return Offer::Full;
        }
        if lane.open.scopes.len() <= scope {
            lane.open.scopes.resize_with(scope + 1, Vec::new);
        }
        let buffer = &mut lane.open.scopes[scope];
        let before = buffer.len();
        encode(buffer);
        let grown = buffer.len() - before;
        lane.open.bytes += grown;
        lane.open.items += 1;
        lane.bytes += grown;
        lane.items += 1;
        lane.accepted += 1;
        let full_batch = lane.open.items >= self.max_batch[signal as usize].load(Ordering::Relaxed)
            || lane.open.bytes >= MAX_BATCH_BYTES;
        if full_batch {
            let batch = lane.close();
            lane.closed.push_back(batch);
        }
        let wake = full_batch || lane.items == 1;
        let first = (starts || lane.items >= MAX_WAITING_ALONE) && self.claim_exporter(&mut state);
        drop(state);
        if wake {
            self.work.notify_one();
        }
        if first { Offer::QueuedFirst } else { Offer::Queued }
    }

    /// Appends a batch that is whole; whether there was room.
    pub(crate) fn offer_batch(&self, signal: Signal, batch: Batch) -> bool {
        let mut state = self.lock();
        let lane = &mut state.lanes[signal as usize];
        if lane.bytes >= signal.max_bytes() {
            return false;
        }
        lane.bytes += batch.bytes;
        lane.items += batch.items;
        lane.accepted += batch.items as u64;
        lane.closed.push_back(batch);
        true
    }

    fn claim_exporter(&self, state: &mut State) -> bool {
        let first = !state.has_exporter && state.start_again_at.is_none_or(|at| at <= Instant::now());
        if first {
            state.has_exporter = true;
            self.exporting.store(true, Ordering::Relaxed);
        }
        first
    }

    /// Whether the caller is to start the exporter thread, because nobody has: metrics do not lie in
    /// the queue until they are collected.
    #[inline]
    pub(crate) fn needs_exporter(&self) -> bool {
        if self.exporting.load(Ordering::Relaxed) || is_forking() {
            return false;
        }
        let mut state = self.lock();
        !state.closing && self.claim_exporter(&mut state)
    }

    /// Whether an exporter thread runs.
    #[inline]
    pub(crate) fn has_exporter(&self) -> bool {
        self.exporting.load(Ordering::Relaxed)
    }

    /// Whether the caller is to start the exporter thread, because something waits, if only to be collected,
    /// and nobody has.
    pub(crate) fn waits_for_exporter(&self, collects: bool) -> bool {
        if self.has_exporter() || is_forking() {
            return false;
        }
        let mut state = self.lock();
        state.start_again_at = None;
        !state.closing && (collects || !state.is_empty()) && self.claim_exporter(&mut state)
    }

    /// Says that there is no exporter thread after all. What waits goes on waiting.
    pub(crate) fn no_exporter(&self) {
        let mut state = self.lock();
        state.has_exporter = false;
        state.start_again_at = Some(Instant::now() + START_AGAIN_AFTER);
        self.exporting.store(false, Ordering::Relaxed);
    }

    /// Waits for something to do. `pauses` has the requests that are to be sent again: while there is
    /// one, nothing more of its signal is handed out. `last` is the signal that was served last; the
    /// others come before it. After a collection, what waits to be sent comes before the next, which may be due already
    /// where collecting takes longer than the time between two.
    pub(crate) fn take(
        &self,
        pauses: &[Option<Pause>; SIGNALS],
        collect_at: &[Option<Instant>; SIGNALS],
        last: Signal,
        mut has_collected: bool,
    ) -> Work {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            state.closing |= self.dying.load(Ordering::SeqCst);
            let mut wake_at: Option<Instant> = None;
            let mut sooner = |at: Instant| wake_at = Some(wake_at.map_or(at, |other: Instant| other.min(at)));
            if std::mem::take(&mut state.follow) {
                return Work::Follow;
            }
            let closing = state.closing;
            for (signal, at) in Signal::ALL.into_iter().zip(collect_at) {
                let lane = &mut state.lanes[signal as usize];
                let Some(at) = *at else {
                    // It is off; whoever asked for it waits for the rest alone.
                    if std::mem::take(&mut lane.collect) {
                        self.settled.notify_all();
                    }
                    continue;
                };
                let at = if lane.collect { now } else { at };
                // The last collection is one that was asked for.
                if at <= now && (!has_collected || closing && lane.collect) {
                    (lane.collect, lane.collecting) = (false, true);
                    return Work::Collect(signal);
                }
                sooner(at);
            }
            for turn in 1..=SIGNALS {
                let index = (last as usize + turn) % SIGNALS;
                let signal = Signal::ALL[index];
                if let Some(pause) = &pauses[index] {
                    let flushed = pause.until_flush && state.flushes != pause.flushes;
                    if state.closing || flushed || pause.until <= now {
                        return Work::Retry(signal, state.closing);
                    }
                    sooner(pause.until);
                    continue;
                }
                let lane = &mut state.lanes[index];
                if let Some(batch) = lane.closed.pop_front() {
                    return Work::Send(signal, lane.hand_out(batch));
                }
                if lane.open.items == 0 {
                    continue;
                }
                let delay = Duration::from_millis(self.delay_ms[index].load(Ordering::Relaxed));
                let due = *lane.open_since.get_or_insert(now) + delay;
                if closing || lane.is_wanted() || due <= now {
                    let batch = lane.close();
                    return Work::Send(signal, lane.hand_out(batch));
                }
                sooner(due);
            }
            if state.closing && state.is_empty() && pauses.iter().all(Option::is_none) {
                // Nobody is to wait for a collection that no thread will make.
                state.has_exporter = false;
                self.ended.store(true, Ordering::SeqCst);
                return Work::Done;
            }
            state.stalled = pauses.iter().any(Option::is_some);
            if state.stalled {
                self.settled.notify_all();
            }
            has_collected = false;
            state = match wake_at {
                Some(at) => self.work.wait_timeout(state, at - now).unwrap_or_else(PoisonError::into_inner).0,
                None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Takes back the memory of a batch, whose items are in a request now.
    pub(crate) fn give_back(&self, signal: Signal, mut batch: Batch) {
        if batch.scopes.iter().map(Vec::capacity).sum::<usize>() <= KEPT_BYTES {
            batch.scopes.iter_mut().for_each(Vec::clear);
            (batch.items, batch.bytes) = (0, 0);
            self.lock().lanes[signal as usize].spare = batch;
        }
    }

    /// The exporter is done with that many items, one way or the other.
    pub(crate) fn settle(&self, signal: Signal, items: usize) {
        let mut state = self.lock();
        let lane = &mut state.lanes[signal as usize];
        lane.in_flight -= items;
        lane.settled += items as u64;
        drop(state);
        self.settled.notify_all();
    }

    /// The exporter has collected what there was of a signal; it lies in the queue.
    pub(crate) fn collected(&self, signal: Signal) {
        let mut state = self.lock();
        state.lanes[signal as usize].collecting = false;
        // What was collected is part of what whoever asked for it waits for.
        let lane = &mut state.lanes[signal as usize];
        lane.wanted = lane.accepted;
        drop(state);
        self.settled.notify_all();
    }

    /// How often someone asked for a flush so far.
    pub(crate) fn flushes(&self) -> u64 {
        self.lock().flushes
    }

    /// Tells the exporter, if there is one, that there are new settings.
    pub(crate) fn follow_settings(&self) {
        if !is_forking() {
            self.lock().follow = true;
            self.work.notify_all();
        }
    }

    /// Has metrics collected now. It does not wait for it.
    pub(crate) fn collect_now(&self) {
        if !is_forking() {
            self.lock().lanes[Signal::Metrics as usize].collect = true;
            self.work.notify_all();
        }
    }

    /// Asks for everything to be sent now and waits; whether all was settled in time. The signals of `collect`
    /// are collected before.
    pub(crate) fn flush(&self, timeout: Duration, until: Until, collect: [bool; SIGNALS]) -> bool {
        if is_forking() {
            return false;
        }
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        state.closing |= until == Until::Closed;
        state.flushes += 1;
        state.stalled = false;
        // Without an exporter nothing was ever recorded, and nobody would collect.
        let has_exporter = state.has_exporter;
        for (lane, collect) in state.lanes.iter_mut().zip(collect) {
            lane.collect |= collect && has_exporter;
            lane.wanted = lane.accepted;
        }
        // How many items of each signal are waited for, once it has been collected.
        let mut wanted = [None; SIGNALS];
        loop {
            for (lane, wanted) in state.lanes.iter().zip(&mut wanted) {
                if wanted.is_none() && !lane.collects() {
                    *wanted = Some(lane.accepted);
                }
            }
            let all = state.lanes.iter().zip(&wanted).all(|(lane, wanted)| wanted.is_some_and(|it| lane.settled >= it));
            if all && (until != Until::Closed || state.is_settled()) {
                break;
            }
            self.work.notify_all();
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() || (until == Until::Tried && state.stalled) {
                return false;
            }
            state = self.settled.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
        self.work.notify_all();
        true
    }

    /// Has the exporter, if there is one, send what waits and end; whether it has. For signal handlers: it
    /// takes no lock, so it may be missed by an exporter that is about to wait, and is to be called again.
    pub(crate) fn end_exporter(&self) -> bool {
        if !self.has_exporter() || self.ended.load(Ordering::SeqCst) {
            return true;
        }
        self.dying.store(true, Ordering::SeqCst);
        self.work.notify_all();
        false
    }

    /// Throws away what waits; how many items that were, by signal.
    pub(crate) fn discard(&self) -> [usize; SIGNALS] {
        if is_forking() {
            return [0; SIGNALS];
        }
        self.lock().discard()
    }

    /// Items that wait or are on their way, by signal; none for a thread in the middle of a fork.
    pub(crate) fn pending(&self) -> [usize; SIGNALS] {
        if is_forking() {
            return [0; SIGNALS];
        }
        let state = self.lock();
        Signal::ALL.map(|signal| {
            let lane = &state.lanes[signal as usize];
            lane.items + lane.in_flight
        })
    }

    /// Makes the state that of a process just forked: what waits belongs to the parent.
    pub(crate) fn reset_in_child(&self, state: &mut State) {
        state.discard();
        state.follow = false;
        for lane in &mut state.lanes {
            *lane = Lane::default();
        }
        state.stalled = false;
        state.has_exporter = false;
        state.start_again_at = None;
        self.exporting.store(false, Ordering::Relaxed);
        self.dying.store(false, Ordering::SeqCst);
        self.ended.store(false, Ordering::SeqCst);
    }
}

impl Lane {
    /// Ends the batch that items are added to.
    fn close(&mut self) -> Batch {
        self.open_since = None;
        std::mem::replace(&mut self.open, std::mem::take(&mut self.spare))
    }

    /// Whether someone waits for what has not been handed out.
    fn is_wanted(&self) -> bool {
        self.settled + (self.in_flight as u64) < self.wanted
    }

    /// Whether it is yet to be collected, or is being so.
    fn collects(&self) -> bool {
        self.collect || self.collecting
    }

    fn hand_out(&mut self, batch: Batch) -> Batch {
        self.items -= batch.items;
        self.bytes -= batch.bytes;
        self.in_flight += batch.items;
        batch
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.items == 0)
    }

    fn is_settled(&self) -> bool {
        self.is_empty() && self.lanes.iter().all(|lane| !lane.collects() && lane.in_flight == 0)
    }

    fn discard(&mut self) -> [usize; SIGNALS] {
        Signal::ALL.map(|signal| {
            let lane = &mut self.lanes[signal as usize];
            lane.open = Batch::default();
            lane.open_since = None;
            lane.closed.clear();
            lane.bytes = 0;
            lane.settled += lane.items as u64;
            std::mem::take(&mut lane.items)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_sent_though_a_collection_is_always_due() {
        let queue = Queue::new();
        let (no_pauses, due) = ([None; SIGNALS], [None, None, Some(Instant::now()), Some(Instant::now())]);
        let batch = || Batch { items: 1, bytes: 1, scopes: vec![vec![0]] };
        assert!(queue.offer_batch(Signal::Spans, batch()));
        assert!(matches!(queue.take(&no_pauses, &due, Signal::Metrics, false), Work::Collect(_)));
        assert!(matches!(queue.take(&no_pauses, &due, Signal::Metrics, true), Work::Send(Signal::Spans, _)));
        // Where nothing waits, the next collection does not either.
        assert!(matches!(queue.take(&no_pauses, &due, Signal::Metrics, true), Work::Collect(_)));
    }

    #[test]
    fn memory_of_batches_is_used_again_unless_it_is_much() {
        let queue = Queue::new();
        queue.max_items[Signal::Spans as usize].store(usize::MAX, Ordering::Relaxed);
        queue.max_batch[Signal::Spans as usize].store(1, Ordering::Relaxed);
        let send = |bytes: usize| {
            let mut before = 0;
            queue.offer(Signal::Spans, 0, false, |out| {
                before = out.capacity();
                out.resize(bytes, 0);
            });
            let Work::Send(signal, batch) = queue.take(&[None; SIGNALS], &[None; SIGNALS], Signal::Logs, false) else {
                panic!("a batch is waiting");
            };
            assert_eq!((batch.items, batch.bytes), (1, bytes));
            queue.give_back(signal, batch);
            before
        };
        // One is being filled while the other is sent.
        assert_eq!([send(1_000), send(2_000)], [0, 0]);
        assert!(send(10) >= 1_000 && send(KEPT_BYTES + 1) >= 2_000);
        assert!(send(10) >= 1_000);
        assert_eq!(send(10), 0);
    }
}
