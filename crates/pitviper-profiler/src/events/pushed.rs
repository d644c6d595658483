//! Events that the application's own threads tell, with the stack they are at, until they are taken.
//!
//! Who tells one holds the interpreter, so nothing here waits: when the store is being emptied the event is
//! counted as lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use pitviper_pprof::{Profile, Sample, SampleType};
use rustc_hash::FxHashMap;

use crate::events::{locks, tracebacks};
use crate::labels::{Labels, ThreadId, text};
use crate::layout::Interpreter;
use crate::load::Handled;
use crate::options::SpanKey;
use crate::spans::{self, SpanIds};
use crate::stacks::{Interned, ROOT, Stacks};
use crate::task::own_thread;
use crate::walk::{Outcome, Walker};

/// Different events that are kept until they are taken; further ones are counted and left out.
const MAX_EVENTS: usize = 50_000;
/// Different names of exceptions and locks, likewise.
const MAX_NAMES: usize = 10_000;
/// Longest name of one, in bytes.
const MAX_NAME_BYTES: usize = 512;

/// A type of profile that events are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Event {
    /// A garbage collection stopped the interpreter, for nanoseconds; its name is the generation.
    GcPause,
    /// An exception was raised; its name is that of its class.
    Exception,
    /// A lock was waited for, for nanoseconds; its name is that of the lock.
    LockWait,
    /// A lock was held, for nanoseconds.
    LockHold,
}

impl Event {
    const ALL: [Self; 4] = [Self::GcPause, Self::Exception, Self::LockWait, Self::LockHold];

    /// The name and unit of the type, and the label that its names go to.
    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::GcPause => ("gc_pause", "nanoseconds", "generation"),
            Self::Exception => ("exceptions", "count", "exception"),
            Self::LockWait => ("lock_wait", "nanoseconds", "lock"),
            Self::LockHold => ("lock_hold", "nanoseconds", "lock"),
        }
    }
}

/// Where an event happened.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// Where the calling thread is. So many of its innermost frames are ours, and left out.
    Here { own_frames: usize },
    /// Where an exception was raised that has the traceback at this address.
    Of { traceback: usize },
}

impl Place {
    /// Where the calling thread is, whose frames are all its own.
    pub(crate) const HERE: Self = Self::Here { own_frames: 0 };
}

/// What events are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    event: Event,
    name: u32,
    stack: u32,
    thread: ThreadId,
    span: SpanIds,
}

/// What is kept, and how.
#[derive(Debug)]
pub(crate) struct Store {
    interpreter: Interpreter,
    spans: Option<SpanKey>,
    walker: Walker,
    stacks: Stacks,
    window: Window,
}

/// What was told since it was last taken.
#[derive(Debug)]
struct Window {
    began: SystemTime,
    clock: Instant,
    events: FxHashMap<Key, u64>,
    names: Vec<String>,
    by_name: FxHashMap<String, u32>,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            began: SystemTime::now(),
            clock: Instant::now(),
            events: FxHashMap::default(),
            names: Vec::new(),
            by_name: FxHashMap::default(),
        }
    }
}

static STORE: Mutex<Option<Store>> = Mutex::new(None);
/// Whether anything is kept.
static IS_OPEN: AtomicBool = AtomicBool::new(false);
/// Events that were kept, and those that were not because the store was in use, the stack could not be read, or a
/// bound was reached.
static KEPT: AtomicU64 = AtomicU64::new(0);
static LOST: AtomicU64 = AtomicU64::new(0);

/// The store, which stays as it is for as long as the answer lives.
pub(crate) fn lock() -> MutexGuard<'static, Option<Store>> {
    STORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to keep what is told.
pub(crate) fn open(interpreter: &Interpreter, spans: Option<SpanKey>) {
    *lock() = Some(Store {
        interpreter: *interpreter,
        spans,
        walker: Walker::default(),
        stacks: Stacks::default(),
        window: Window::default(),
    });
    KEPT.store(0, Ordering::Relaxed);
    LOST.store(0, Ordering::Relaxed);
    IS_OPEN.store(true, Ordering::Relaxed);
}

/// Keeps nothing any more, and forgets what was not taken.
pub(crate) fn close() {
    IS_OPEN.store(false, Ordering::Relaxed);
    *lock() = None;
}

/// Whether anything is kept.
pub(crate) fn is_open() -> bool {
    IS_OPEN.load(Ordering::Relaxed)
}

/// Events that were kept and that were lost.
pub(crate) fn counts() -> (u64, u64) {
    (KEPT.load(Ordering::Relaxed), LOST.load(Ordering::Relaxed))
}

/// In a forked child: what was told is the parent's. Nothing is given back in the middle of a fork.
pub(crate) fn leave() {
    IS_OPEN.store(false, Ordering::Relaxed);
}

/// Adds an event of the calling thread, whose state is given, and which holds the interpreter. Whether it is kept.
pub(crate) fn push(event: Event, name: &str, value: u64, state: usize, place: Place) -> bool {
    if !is_open() {
        return false;
    }
    let kept =
        STORE.try_lock().ok().and_then(|mut store| store.as_mut()?.push(event, name, value, state, place)).is_some();
    let counter = if kept { &KEPT } else { &LOST };
    counter.fetch_add(1, Ordering::Relaxed);
    kept
}

/// What was told since the last call; `None` for nothing.
pub(crate) fn take(standard_library: &[String], labels: &Labels) -> Option<Profile> {
    // Taken out whole: who tells something meanwhile must not be kept from it.
    let (window, stacks) = {
        let mut store = lock();
        let store = store.as_mut().filter(|store| !store.window.events.is_empty())?;
        (std::mem::take(&mut store.window), std::mem::take(&mut store.stacks))
    };
    Some(window.profile(&stacks, standard_library, labels))
}

impl Store {
    fn push(&mut self, event: Event, name: &str, value: u64, state: usize, place: Place) -> Option<()> {
        let _handled = Handled::here();
        let stack = self.stack(state, place)?;
        let (ident, native) = own_thread();
        let span = self.spans.as_ref().map(|key| spans::current(&self.interpreter, key, state)).unwrap_or_default();
        let name = self.window.name(name)?;
        let key = Key { event, name, stack, thread: ThreadId { ident, native }, span };
        if self.window.events.len() >= MAX_EVENTS && !self.window.events.contains_key(&key) {
            return None;
        }
        *self.window.events.entry(key).or_default() += value;
        Some(())
    }

    /// The stack of a place; `None` if there is none or it cannot be read.
    fn stack(&mut self, state: usize, place: Place) -> Option<u32> {
        let read;
        let frames = match place {
            Place::Of { traceback } => {
                read = tracebacks::frames(&self.interpreter, traceback)?;
                &read[..]
            }
            Place::Here { own_frames } => {
                if self.walker.walk(&self.interpreter, state) != Outcome::Whole {
                    return None;
                }
                let frames = self.walker.frames();
                // Entries from C count as no frames.
                let mut places = (0..frames.len()).filter(|place| !frames[*place].is_shim);
                &frames[places.nth(own_frames)?..]
            }
        };
        match self.stacks.intern(&self.interpreter, frames) {
            Interned::Stack(stack) if stack != ROOT => Some(stack),
            _ => None,
        }
    }
}

impl Window {
    /// The number of a name.
    fn name(&mut self, name: &str) -> Option<u32> {
        let name = &name[..name.floor_char_boundary(MAX_NAME_BYTES)];
        if let Some(known) = self.by_name.get(name) {
            return Some(*known);
        }
        let number = u32::try_from(self.names.len()).ok().filter(|number| (*number as usize) < MAX_NAMES)?;
        self.names.push(name.to_owned());
        self.by_name.insert(name.to_owned(), number);
        Some(number)
    }

    fn profile(&self, stacks: &Stacks, standard_library: &[String], labels: &Labels) -> Profile {
        let unix = self.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let has = |event: &Event| self.events.keys().any(|key| key.event == *event);
        let events: Vec<Event> = Event::ALL.into_iter().filter(has).collect();
        let types = events.iter().map(|event| {
            let (name, unit, _) = event.names();
            SampleType { name: name.to_owned(), unit: unit.to_owned() }
        });
        let mut profile = Profile {
            time_unix_nano: unix.as_nanos() as u64,
            duration_ns: self.clock.elapsed().as_nanos() as u64,
            types: types.collect(),
            ..Profile::default()
        };
        let mut frames: FxHashMap<(u32, u32), u32> = FxHashMap::default();
        let mut known_stacks: FxHashMap<u32, u32> = FxHashMap::default();
        for (key, value) in &self.events {
            let stack = *known_stacks.entry(key.stack).or_insert_with(|| {
                let list = stacks.frames(key.stack).map(|frame| {
                    *frames.entry(frame).or_insert_with(|| {
                        profile.frames.push(stacks.frame(frame, standard_library));
                        profile.frames.len() as u32 - 1
                    })
                });
                profile.stacks.push(list.collect());
                profile.stacks.len() as u32 - 1
            });
            let (_, _, label) = key.event.names();
            let name = &self.names[key.name as usize];
            let shown = || profile.stacks[stack as usize].iter().map(|frame| &profile.frames[*frame as usize]);
            let name = match key.event {
                Event::LockWait if shown().next().is_some_and(locks::is_part) => continue,
                Event::LockWait => locks::name_around(name, shown()),
                _ => name.clone(),
            };
            let mut labels = labels.of(key.thread, &key.span);
            labels.push(text(label, name));
            let value = i64::try_from(*value).unwrap_or(i64::MAX);
            let values = events.iter().map(|event| if *event == key.event { value } else { 0 });
            profile.samples.push(Sample { stack, values: values.collect(), labels });
        }
        profile
    }
}
