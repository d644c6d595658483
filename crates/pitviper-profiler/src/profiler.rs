//! The thread that samples, and those who start, stop and ask it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pitviper_pprof::Profile;

use crate::events::pushed::Store;
use crate::layout::Interpreter;
use crate::options::{Endpoints, EventOptions, Figures, KnownTask, KnownThread, Options, Unavailable};
use crate::pace::Pace;
use crate::sampler::Sampler;
use crate::threads::{Threads, is_ending};
use crate::{allocations, events, labels, load, native, self_test, task};

/// Bounds of the rate that can be asked for.
const RATES_HZ: std::ops::RangeInclusive<f64> = 1.0..=1_000.0;
/// How much of the sampler's stack is its own.
const STACK_BYTES: usize = 512 * 1_024;

/// Samples the threads of this process.
#[derive(Debug)]
pub struct Profiler {
    state: Mutex<State>,
    /// Wakes the thread, when it is to end or something begins.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    sampler: Option<Sampler>,
    /// The parent's, in a child that does not sample yet.
    inherited: Option<Sampler>,
    thread: Option<JoinHandle<()>>,
    rate_hz: f64,
    budget: f64,
    /// Which thread may sample; one that finds another number ends.
    generation: u64,
    began: Option<Instant>,
    own_cpu_ns: u64,
}

static PROFILER: Profiler = Profiler {
    state: Mutex::new(State {
        sampler: None,
        inherited: None,
        thread: None,
        rate_hz: 100.0,
        budget: 0.01,
        generation: 0,
        began: None,
        own_cpu_ns: 0,
    }),
    changed: Condvar::new(),
};

/// The locks of what is sampled, and of what is told.
type Held = (MutexGuard<'static, State>, MutexGuard<'static, Option<Store>>);

/// Whether rounds are few because nobody does anything. Who finds it set and takes it away wakes the sampler.
static DOZES: AtomicBool = AtomicBool::new(false);

/// What is called when there are threads without a name.
static ON_NEW_THREAD: OnceLock<fn()> = OnceLock::new();

thread_local! {
    /// The locks, held by the thread that forks.
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
}

impl Profiler {
    /// The profiler of this process.
    pub fn get() -> &'static Self {
        &PROFILER
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to sample; when it already does, takes the rate and the budget. The calling thread must not
    /// run Python code meanwhile.
    ///
    /// # Errors
    /// When this interpreter cannot be read, or the thread not be started; then nothing has changed.
    pub fn start(&'static self, options: &Options, known: &KnownThread) -> Result<(), Unavailable> {
        let mut state = self.lock();
        state.rate_hz = options.rate_hz.clamp(*RATES_HZ.start(), *RATES_HZ.end());
        state.budget = options.budget;
        let runs = state.thread.as_ref().is_some_and(|thread| !thread.is_finished());
        if let Some(sampler) = state.sampler.as_mut().filter(|_| runs) {
            start_more(sampler, options);
            return Ok(());
        }
        let interpreter = Interpreter::find(known.hexversion).map_err(Unavailable)?;
        load::install();
        let _handled = load::Handled::here();
        if let Err(reason) = self_test::run(&interpreter, Threads::new(), known) {
            load::uninstall();
            return Err(reason);
        }
        let mut options = options.clone();
        // Without them the samples are as good, and linked to nothing.
        options.spans = options.spans.filter(|key| self_test::finds_spans(&interpreter, key, known));
        (state.sampler, state.inherited) = (Some(Sampler::new(interpreter, &options)), None);
        events::open(&interpreter, options.spans);
        state.own_cpu_ns = 0;
        state.began = Some(Instant::now());
        self.spawn(&mut state).inspect_err(|_| {
            state.sampler = None;
            events::pushed::close();
            load::uninstall();
        })?;
        if let Some(sampler) = &mut state.sampler {
            start_more(sampler, &options);
        }
        Ok(())
    }

    fn spawn(&'static self, state: &mut State) -> Result<(), Unavailable> {
        state.generation += 1;
        let generation = state.generation;
        let builder = std::thread::Builder::new().name("pitviper-prof".to_owned()).stack_size(STACK_BYTES);
        // All signals stay blocked in the new thread until it has set its own mask.
        let spawned = task::with_signals_blocked(|| builder.spawn(move || self.run(generation)));
        let thread = spawned.map_err(|error| Unavailable(format!("no thread can be started: {error}")))?;
        state.thread = Some(thread);
        Ok(())
    }

    /// Stops to sample allocations, before [`Self::stop`]. The calling thread must not run Python code meanwhile.
    pub fn stop_allocations(&self) {
        allocations::stop();
    }

    /// Sees to it that allocations are seen, after others may have put what sees them away. To be called now and
    /// then; the calling thread must not run Python code meanwhile.
    pub fn keep_allocations(&self) {
        allocations::keep();
    }

    /// Stops, and forgets what was not taken. Waits for the round under way.
    pub fn stop(&self) {
        let thread = {
            let mut state = self.lock();
            state.generation += 1;
            (state.sampler, state.inherited) = (None, None);
            native::stop();
            events::pushed::close();
            self.changed.notify_all();
            state.thread.take()
        };
        if let Some(thread) = thread {
            // A panic there has been shown.
            let _ = thread.join();
            load::uninstall();
        }
    }

    /// Sets what is called in the sampler's thread when there are threads without a name; it must return at
    /// once, and then have [`Self::name_threads`] called. The first call counts.
    pub fn on_new_thread(&self, hook: fn()) {
        let _ = ON_NEW_THREAD.set(hook);
    }

    /// Whether samples would name tasks of asyncio, if it were known where those are.
    pub fn wants_tasks(&self) -> bool {
        self.lock().sampler.as_ref().is_some_and(|sampler| sampler.wants_tasks)
    }

    /// Has samples name the tasks they are of, and those looked at that wait. `known` shows where tasks keep what
    /// they have; the calling thread must not run Python code meanwhile.
    ///
    /// # Errors
    /// When it is not found, and then there are no tasks; or when nothing can be read now.
    pub fn watch_tasks(&self, known: &KnownTask) -> Result<(), Unavailable> {
        let _handled = load::Handled::here();
        match self.lock().sampler.as_mut() {
            Some(sampler) => sampler.watch_tasks(known).map_err(Unavailable),
            None => Err(Unavailable("nothing is sampled".to_owned())),
        }
    }

    /// Says who knows what requests are called, so that samples say of which they are. The first call counts.
    pub fn name_endpoints(&self, endpoints: &'static dyn Endpoints) {
        labels::name_endpoints(endpoints);
    }

    /// Sets which events are kept beside stacks, from now on, also after the next start.
    pub fn keep_events(&self, options: &EventOptions) {
        events::keep(options);
    }

    /// The calling thread, which has this state, collected garbage of a generation for so long.
    pub fn collected(&self, generation: u64, pause: Duration, state: usize) {
        events::collected(generation, pause.as_nanos() as u64, state);
    }

    /// The calling thread, which has this state, waited for a lock for so long. So many of its innermost frames are
    /// the agent's.
    pub fn lock_waited(&self, waited: Duration, state: usize, own_frames: usize, name: impl FnOnce() -> String) {
        events::lock_waited(waited.as_nanos() as u64, state, own_frames, name);
    }

    /// Likewise, it held a lock for so long.
    pub fn lock_held(&self, held: Duration, state: usize, own_frames: usize, name: impl FnOnce() -> String) {
        events::lock_held(held.as_nanos() as u64, state, own_frames, name);
    }

    /// Counts an exception that goes through a frame of the calling thread, or is given back; whether it is to be looked
    /// at, and then [`Self::raised`], [`Self::raised_before`] or [`Self::passed_on`] to be called.
    #[inline]
    pub fn count_exception(&self) -> bool {
        events::count_exception()
    }

    /// The exception that is looked at was raised here, in the calling thread, which has this state.
    pub fn raised(&self, class: &str, state: usize) {
        events::raised(class, state);
    }

    /// The exception that is looked at was raised where its traceback says, which is at this address and lasts until the
    /// call is over. The calling thread has this state.
    pub fn raised_before(&self, class: &str, state: usize, traceback: usize) {
        events::raised_before(class, state, traceback);
    }

    /// The exception that is looked at was raised elsewhere.
    pub fn passed_on(&self) {
        events::passed_on();
    }

    /// What was sampled since the last call, or the start; `None` when it does not run. `names` are those
    /// of threads by `threading.get_ident()`.
    pub fn take(&self, names: &HashMap<u64, String>) -> Option<Profile> {
        self.take_window(names, false)
    }

    /// As [`Self::take`], with all that is known of CPU time: what threads used and were not seen using is
    /// added where they were last seen. For the last call before [`Self::stop`].
    pub fn take_last(&self, names: &HashMap<u64, String>) -> Option<Profile> {
        self.take_window(names, true)
    }

    /// What all samplers have.
    fn take_window(&self, names: &HashMap<u64, String>, is_last: bool) -> Option<Profile> {
        let mut state = self.lock();
        let sampler = state.sampler.as_mut()?;
        let labels = sampler.labels(names);
        let events = events::pushed::take(sampler.standard_library(), &labels);
        let mut profile = sampler.take(&labels, is_last);
        for other in [events, allocations::take(&labels)].into_iter().flatten() {
            profile.join(other);
        }
        Some(profile)
    }

    /// Names threads that may end before the next [`Self::take`].
    pub fn name_threads(&self, names: &HashMap<u64, String>) {
        if let Some(sampler) = self.lock().sampler.as_mut() {
            sampler.name_threads(names);
        }
    }

    /// What it did so far.
    pub fn figures(&self) -> Figures {
        let state = self.lock();
        let Some(sampler) = &state.sampler else { return Figures::default() };
        let (events, events_lost) = events::pushed::counts();
        let elapsed = state.began.map_or(Duration::ZERO, |began| began.elapsed());
        Figures {
            running: state.thread.is_some(),
            own_cpu_ns: state.own_cpu_ns,
            elapsed_ns: elapsed.as_nanos() as u64,
            events,
            events_lost,
            allocations: allocations::figures(),
            ..sampler.figures
        }
    }

    /// Keeps the sampler between two rounds for as long as a fork takes.
    pub fn before_fork(&'static self) {
        let guards = (self.lock(), events::pushed::lock());
        HELD.with(|held| held.replace(Some(guards)));
        allocations::before_fork();
    }

    /// Goes on.
    pub fn after_fork_in_parent(&self) {
        allocations::after_fork_in_parent();
        HELD.with(|held| held.replace(None));
    }

    /// The thread is not there in the child, and what it sampled is the parent's.
    pub fn after_fork_in_child(&self) {
        allocations::after_fork_in_child();
        HELD.with(|held| {
            events::pushed::leave();
            if let Some((mut state, _store)) = held.replace(None) {
                state.generation += 1;
                // Its end cannot be waited for, and nothing is given back in the middle of a fork.
                std::mem::forget(state.thread.take());
                state.inherited = state.sampler.take().or(state.inherited.take());
            }
        });
    }

    /// Goes on in a forked child, if the parent was sampling, once the interpreter can run there.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn resume_in_child(&'static self, options: &Options) -> Result<(), Unavailable> {
        let mut state = self.lock();
        if state.thread.is_some() {
            return Ok(());
        }
        let Some(inherited) = state.inherited.take() else { return Ok(()) };
        let options = Options { spans: options.spans.filter(|_| inherited.figures.linked), ..options.clone() };
        state.sampler = Some(Sampler::new(*inherited.interpreter(), &options));
        events::open(inherited.interpreter(), options.spans);
        state.own_cpu_ns = 0;
        state.began = Some(Instant::now());
        self.spawn(&mut state)?;
        if let Some(sampler) = &mut state.sampler {
            start_more(sampler, &options);
        }
        Ok(())
    }

    /// Samples until it is told to end.
    fn run(&self, generation: u64) {
        task::prepare_own_thread();
        let _stack = task::HandlerStack::new();
        let mut state = self.lock();
        let mut pace = Pace::new(state.rate_hz);
        let mut stretches = allocations::Stretches::new();
        while state.generation == generation {
            let State { sampler: Some(sampler), rate_hz, budget, .. } = &mut *state else { return };
            if is_ending(sampler.interpreter()) {
                return;
            }
            sampler.round();
            if std::mem::take(&mut sampler.has_unnamed)
                && let Some(hook) = ON_NEW_THREAD.get()
            {
                hook();
            }
            pace.count(*rate_hz, *budget);
            pace.follow(sampler.activity);
            sampler.figures.rate_hz = pace.rate_hz;
            state.own_cpu_ns = pace.own_cpu_ns;
            let dozes = pace.dozes();
            DOZES.store(dozes, Ordering::SeqCst);
            stretches.next(dozes);
            state = self.rest(state, generation, pace.pause(), dozes);
            if dozes && !DOZES.swap(false, Ordering::SeqCst) {
                if let Some(sampler) = &mut state.sampler {
                    sampler.count_waits();
                }
                pace.wake();
                state = self.rest(state, generation, pace.pause(), false);
            }
        }
    }

    /// Waits for so long, unless the thread is to end, or is woken while it `dozes`.
    fn rest<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        generation: u64,
        pause: Duration,
        dozes: bool,
    ) -> MutexGuard<'a, State> {
        let until = Instant::now() + pause;
        while state.generation == generation && (!dozes || DOZES.load(Ordering::SeqCst)) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    /// Something begins in this process that is worth being looked at: rounds that had become few, as nobody did
    /// anything, are as many again. Costs next to nothing otherwise, and waits for nobody.
    #[inline]
    pub fn wake(&self) {
        if DOZES.load(Ordering::Relaxed) && DOZES.swap(false, Ordering::SeqCst) {
            self.changed.notify_all();
        }
    }
}

/// Begins to sample allocations and native code, or stops, as the options say. Where it cannot be done the stacks are as
/// good without, and the figures say so.
fn start_more(sampler: &mut Sampler, options: &Options) {
    let _ = sampler.watch_native(options.native);
    let options = Options { spans: options.spans.filter(|_| sampler.figures.linked), ..options.clone() };
    let _ = allocations::start(sampler.interpreter(), &options);
}
