//! What was sampled: how much was allocated where since it was last taken, and which of it is still there.
//!
//! All of it is behind one lock, that is taken for one sample in half a mebibyte. Nothing here allocates through
//! the interpreter, and no panic leaves it. A thread that forks keeps the lock meanwhile, and uses what is
//! behind it if another one's preparation for the fork allocates.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use pitviper_pprof::{Profile, Sample, SampleType};
use rustc_hash::{FxHashMap, FxHashSet};

use super::countdown::{self, likelihood};
use super::live::Live;
use super::owner::thread_state;
use super::places::Found;
use crate::labels::{Labels, ThreadId};
use crate::layout::Interpreter;
use crate::load::Handled;
use crate::options::{AllocationFigures, Options, SpanKey};
use crate::spans::{self, SpanIds};
use crate::stacks::{Interned, ROOT, Shown, Stacks};
use crate::task::own_thread;
use crate::walk::{Outcome, Walker};
use crate::window::MAX_SAMPLES;

/// Whose an allocation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    stack: u32,
    thread: ThreadId,
    span: SpanIds,
}

/// How much was allocated, as far as samples tell: they are few, and each stands for many.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Amount {
    bytes: f64,
    pub(super) blocks: f64,
}

impl Amount {
    /// What one sampled allocation stands for, one of `stands_for` that would have been as likely to be.
    pub(super) fn of(size: usize, interval: f64, stands_for: u32) -> Self {
        let blocks = f64::from(stands_for) / likelihood(size, interval);
        Self { bytes: size as f64 * blocks, blocks }
    }

    fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.blocks += other.blocks;
    }
}

/// A sampled block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    key: Key,
    amount: Amount,
    /// It is given back in the raw domain, whichever domain it was asked of.
    is_passed_on: bool,
}

#[derive(Debug)]
struct Recorder {
    interpreter: Interpreter,
    spans: Option<SpanKey>,
    standard_library: Vec<String>,
    interval: u64,
    walker: Walker,
    stacks: Stacks,
    began: (SystemTime, Instant),
    window: FxHashMap<Key, Amount>,
    live: Live<Block>,
    figures: AllocationFigures,
    /// The parent's, in a child that does not sample yet.
    is_inherited: bool,
}

static RECORDER: Mutex<Option<Box<Recorder>>> = Mutex::new(None);

type Guard = MutexGuard<'static, Option<Box<Recorder>>>;

thread_local! {
    /// The lock, held by the thread that forks.
    static HELD: RefCell<Option<Guard>> = const { RefCell::new(None) };
}

fn lock() -> Guard {
    RECORDER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does something with the recorder, if there is one. After a panic there is none.
fn with<T>(work: impl FnOnce(&mut Recorder) -> T) -> Option<T> {
    let shielded = |recorder: &mut Option<Box<Recorder>>| {
        let it = recorder.as_deref_mut()?;
        let done = catch_unwind(AssertUnwindSafe(|| work(it))).ok();
        if done.is_none() {
            *recorder = None;
        }
        done
    };
    if countdown::is_forking() {
        return HELD.with(|held| shielded(held.try_borrow_mut().ok()?.as_deref_mut()?));
    }
    shielded(&mut lock())
}

/// Begins to record, unless it does so already in the same way.
pub(super) fn start(interpreter: &Interpreter, options: &Options, interval: u64) {
    let mut recorder = lock();
    if recorder.as_ref().is_some_and(|it| !it.is_inherited && it.interval == interval) {
        return;
    }
    *recorder = Some(Box::new(Recorder {
        interpreter: *interpreter,
        spans: options.spans,
        standard_library: options.standard_library.clone(),
        interval,
        walker: Walker::default(),
        stacks: Stacks::default(),
        began: (SystemTime::now(), Instant::now()),
        window: FxHashMap::default(),
        live: Live::new(),
        figures: AllocationFigures { running: true, ..AllocationFigures::default() },
        is_inherited: false,
    }));
}

/// Stops, and forgets everything.
pub(super) fn stop() {
    *lock() = None;
}

/// Hooks were not in place: blocks may have been given back unseen, and those are no longer known.
pub(super) fn lost_hooks(found: Found) {
    with(|it| {
        it.figures.hooks_lost += 1;
        match found {
            Found::InPlace | Found::Away => {}
            Found::BlindForSmall => it.live.retain(|block| block.is_passed_on),
            Found::Blind => it.live = Live::new(),
        }
    });
}

/// What became of it so far.
pub(super) fn figures() -> AllocationFigures {
    let figures = with(|it| AllocationFigures { running: !it.is_inherited, live: it.live.len() as u64, ..it.figures });
    figures.unwrap_or_default()
}

/// What was allocated since the last call and what of all is still there; `None` when nothing is recorded.
pub(super) fn take(labels: &Labels) -> Option<Profile> {
    with(|it| (!it.is_inherited).then(|| it.take(labels)))?
}

/// The thread that forks keeps the lock.
pub(super) fn before_fork() {
    let guard = lock();
    HELD.with(|held| held.replace(Some(guard)));
    countdown::set_forking(true);
}

/// Lets go of it.
pub(super) fn after_fork(in_child: bool) {
    countdown::set_forking(false);
    if let Some(mut guard) = HELD.with(|held| held.replace(None))
        && in_child
        && let Some(it) = guard.as_deref_mut()
    {
        it.is_inherited = true;
    }
}

/// Records a block that the calling thread has just been given; `is_raw` says that it may not have the
/// interpreter's lock, and `is_passed_on` that the raw domain's hook will see the block given back.
#[cold]
pub(super) fn sample(block: usize, amount: Amount, is_raw: bool, is_passed_on: bool) {
    with(|it| it.sample(block, amount, is_raw, is_passed_on));
}

/// A block is about to be given back; what is known of it, if it was sampled.
#[cold]
pub(super) fn remove(block: usize) -> Option<Block> {
    with(|it| it.live.remove(block))?
}

/// Takes a block for one that was sampled, to see who sees it given back; whether there was room.
pub(super) fn pretend_sampled(block: usize) -> bool {
    let key = Key { stack: ROOT, thread: ThreadId { ident: 0, native: 0 }, span: SpanIds::default() };
    let pretended = Block { key, amount: Amount::default(), is_passed_on: true };
    with(|it| it.live.insert(block, pretended)).unwrap_or(false)
}

/// It was not given back after all.
#[cold]
pub(super) fn put_back(block: usize, known: Block) {
    with(|it| it.live.insert(block, known));
}

impl Recorder {
    fn sample(&mut self, block: usize, amount: Amount, is_raw: bool, is_passed_on: bool) {
        if self.is_inherited {
            return;
        }
        let state = thread_state(self.interpreter.version(), is_raw);
        if state == 0 {
            self.figures.without_thread += 1;
            return;
        }
        let _handled = Handled::here();
        let outcome = self.walker.walk_own(&self.interpreter, state);
        if outcome == Outcome::Empty {
            self.figures.without_frames += 1;
            return;
        }
        let stack = match self.stacks.intern(&self.interpreter, self.walker.frames()) {
            Interned::Stack(stack) if outcome == Outcome::Whole && stack != ROOT => stack,
            Interned::Full => {
                self.figures.dropped += 1;
                return;
            }
            Interned::Stack(_) | Interned::Torn => {
                self.figures.torn += 1;
                return;
            }
        };
        let span = self.spans.as_ref().map(|key| spans::current(&self.interpreter, key, state));
        let (ident, native) = own_thread();
        let key = Key { stack, thread: ThreadId { ident, native }, span: span.unwrap_or_default() };
        self.figures.samples += 1;
        if self.window.len() < MAX_SAMPLES || self.window.contains_key(&key) {
            self.window.entry(key).or_default().add(amount);
        } else {
            self.figures.dropped += 1;
        }
        if !self.live.insert(block, Block { key, amount, is_passed_on }) {
            self.figures.live_dropped += 1;
        }
    }

    fn take(&mut self, labels: &Labels) -> Profile {
        let mut amounts: FxHashMap<Key, [Amount; 2]> = FxHashMap::default();
        for (key, amount) in self.window.drain() {
            amounts.entry(key).or_default()[0] = amount;
        }
        for block in self.live.values() {
            amounts.entry(block.key).or_default()[1].add(block.amount);
        }
        let began = std::mem::replace(&mut self.began, (SystemTime::now(), Instant::now()));
        let unix = began.0.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let kind = |name: &str, unit: &str| SampleType { name: name.to_owned(), unit: unit.to_owned() };
        let mut profile = Profile {
            time_unix_nano: unix.as_nanos() as u64,
            duration_ns: began.1.elapsed().as_nanos() as u64,
            types: vec![
                kind("alloc_space", "bytes"),
                kind("alloc_objects", "count"),
                kind("inuse_space", "bytes"),
                kind("inuse_objects", "count"),
            ],
            ..Profile::default()
        };
        let mut shown = Shown::new(&self.stacks, &self.standard_library);
        for (key, amounts) in amounts {
            let values = amounts.iter().flat_map(|amount| [amount.bytes, amount.blocks]);
            let stack = shown.place(&mut profile, key.stack);
            profile.samples.push(Sample {
                stack,
                values: values.map(|value| value.round() as i64).collect(),
                labels: labels.of(key.thread, &key.span),
            });
        }
        if self.stacks.is_filling() {
            self.forget_stacks();
        }
        profile
    }

    /// Forgets all stacks but those of blocks that are there.
    fn forget_stacks(&mut self) {
        let used: FxHashSet<u32> = self.live.values().map(|block| block.key.stack).collect();
        let places = self.stacks.keep(&used);
        for block in self.live.values_mut() {
            block.key.stack = places[&block.key.stack];
        }
    }
}
