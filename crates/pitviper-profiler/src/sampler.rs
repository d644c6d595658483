//! A round over all threads: who used CPU time since the last one, where each is, and what it waits for.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use pitviper_pprof::Profile;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::code::text;
use crate::events::{self, loops};
use crate::labels::{Labels, ThreadId};
use crate::layout::Interpreter;
use crate::load;
use crate::native::{self, Native};
use crate::options::{Figures, KnownTask, Options, SpanKey, Variable};
use crate::pace::Activity;
use crate::spans::{self, SpanIds};
use crate::stacks::{Interned, Path, Stacks};
use crate::task::{self, TaskFile};
use crate::tasks::{Names, Tasks};
use crate::threads::{self, Thread, Threads};
use crate::wait::{Call, ROLE_FRAMES, Role, State, classify, kind_of};
use crate::walk::{Outcome, Walker};
use crate::window::{Key, Window};

/// Files of threads that are kept open.
const MAX_OPEN_FILES: usize = 256;
/// How long a text of /proc about a thread's call can get.
const CALL_BYTES: usize = 256;
/// A thread that used less of the time than this was kept from running, or waited.
const BUSY_SHARE: f64 = 0.9;
/// One that used less than this does not run now, most likely.
const ASKED_SHARE: f64 = 0.125;

/// A thread that has not run for so long is not waiting for something that is about to happen.
const LASTING_NS: u64 = 1_000_000_000;

/// Walks of a stack whose thread goes from one context to another meanwhile; then it is of no span and no task.
const READS_IN_CONTEXT: usize = 4;

/// Everything the sampler knows.
#[derive(Debug)]
pub(crate) struct Sampler {
    interpreter: Interpreter,
    standard_library: Vec<String>,
    spans: Option<SpanKey>,
    /// What greenlets are called, if it is known.
    context_names: Option<Variable>,
    lister: Threads,
    walker: Walker,
    stacks: Stacks,
    window: Window,
    list: Vec<Thread>,
    threads: FxHashMap<(usize, usize), Known>,
    /// Threads that samples of this window may name.
    names: FxHashMap<ThreadId, Option<String>>,
    /// A thread has been added that has no name yet.
    pub(crate) has_unnamed: bool,
    /// Tasks would be named if it were known where they are.
    pub(crate) wants_tasks: bool,
    tasks: Option<Tasks>,
    task_names: Names,
    /// What finds native code, if that is wanted.
    native: Option<Box<Native>>,
    open_files: usize,
    last_round: Option<Instant>,
    /// What the last round found the process doing.
    pub(crate) activity: Activity,
    pub(crate) figures: Figures,
}

/// What is known of a thread.
#[derive(Debug)]
struct Known {
    id: ThreadId,
    /// The round it was last there.
    round: u64,
    cpu_ns: u64,
    /// CPU time that no sample has yet: it was used between two rounds, and the thread waited again.
    pending_ns: u64,
    at: Option<At>,
    /// How its stack was found last.
    path: Path,
    /// It was looked at, and runs no Python code; it is where it was while it uses no time.
    is_nowhere: bool,
    /// How long it has not run.
    still_ns: u64,
    call: Option<TaskFile>,
    schedule: Option<TaskFile>,
    /// CPU time and time waited for a processor, when that was last asked.
    scheduled: Option<(u64, u64)>,
    /// What its event loop does, if it runs one.
    block: Option<loops::Block>,
}

/// Where a thread was seen last.
#[derive(Debug, Clone, Copy)]
struct At {
    stack: u32,
    state: State,
    span: SpanIds,
    task: u32,
}

impl At {
    fn waits(&self) -> bool {
        !matches!(self.state, State::Cpu | State::RunQueue)
    }
}

impl Sampler {
    pub(crate) fn new(interpreter: Interpreter, options: &Options) -> Self {
        Self {
            interpreter,
            standard_library: options.standard_library.clone(),
            spans: options.spans,
            context_names: options.names,
            lister: Threads::new(),
            walker: Walker::default(),
            stacks: Stacks::default(),
            window: Window::default(),
            list: Vec::new(),
            threads: FxHashMap::default(),
            names: FxHashMap::default(),
            has_unnamed: false,
            wants_tasks: true,
            tasks: None,
            task_names: Names::default(),
            native: None,
            open_files: 0,
            last_round: None,
            activity: Activity::default(),
            figures: Figures { linked: options.spans.is_some(), ..Figures::default() },
        }
    }

    pub(crate) fn interpreter(&self) -> &Interpreter {
        &self.interpreter
    }

    /// Begins to look for native code, or stops.
    pub(crate) fn watch_native(&mut self, wanted: bool) -> Result<(), native::NotPossible> {
        if wanted {
            native::start(&self.interpreter)?;
            self.native.get_or_insert_default();
        } else if self.native.take().is_some() {
            native::stop();
        }
        self.figures.native = self.native.is_some();
        Ok(())
    }

    /// Begins to name tasks, if they are found as expected.
    pub(crate) fn watch_tasks(&mut self, known: &KnownTask) -> Result<(), String> {
        load::check();
        if !load::is_possible() {
            return Err("memory cannot be read now".to_owned());
        }
        self.wants_tasks = false;
        self.tasks = Some(Tasks::find(&self.interpreter, known)?);
        self.figures.tasks = true;
        Ok(())
    }

    /// Looks at all threads once.
    pub(crate) fn round(&mut self) {
        load::check();
        self.figures.direct = load::is_possible();
        if !self.figures.direct {
            self.last_round = None;
            return;
        }
        let elapsed_ns = self.passed_ns();
        self.figures.rounds += 1;
        self.activity = Activity { elapsed_ns, ..Activity::default() };
        let mut list = std::mem::take(&mut self.list);
        list.clear();
        self.lister.list(&self.interpreter, &mut list);
        threads::leave_out_parked(&self.interpreter, &mut list);
        self.figures.threads = list.len() as u64;
        for thread in &list {
            self.look_at(thread, elapsed_ns);
        }
        self.list = list;
        self.look_at_waiting_tasks();
        self.forget_gone();
        self.figures.retried = self.walker.retried;
        self.figures.faults = load::faults();
        if let Some(native) = &self.native {
            (self.figures.native_asked, self.figures.native_answered) = (native.asked, native.answered);
        }
        self.figures.dropped += std::mem::take(&mut self.window.dropped);
    }

    /// Counts the time since the last round as spent where threads were seen waiting then. For when it is known that
    /// only now something begins, which is not to stand for all of that time.
    pub(crate) fn count_waits(&mut self) {
        load::check();
        if !load::is_possible() || self.last_round.is_none() {
            return;
        }
        let elapsed_ns = self.passed_ns();
        for ((state, _), known) in &mut self.threads {
            let Some(at) = known.at.filter(|at| at.waits()) else { continue };
            let (key, window) = (key_of(known.id, at), &mut self.window);
            window.add(key, 0, elapsed_ns);
            let blocks = loops::look(&mut known.block, &self.interpreter, *state, Some(key), elapsed_ns, window);
            self.figures.loop_blocks += u64::from(blocks);
        }
        self.look_at_waiting_tasks();
    }

    /// How much time went by since this was last asked.
    fn passed_ns(&mut self) -> u64 {
        let now = Instant::now();
        let elapsed = self.last_round.replace(now).map_or(Duration::ZERO, |last| now - last);
        let elapsed_ns = elapsed.as_nanos() as u64;
        events::keep_up(elapsed_ns);
        elapsed_ns
    }

    fn look_at(&mut self, thread: &Thread, elapsed_ns: u64) {
        let Some(cpu_ns) = task::cpu_ns(thread.native).filter(|_| thread.native > 0) else { return };
        let key = (thread.state, thread.number);
        let mut known = match self.threads.remove(&key).filter(|known| known.id.native == thread.native) {
            Some(known) => known,
            None => self.add(thread, cpu_ns),
        };
        known.round = self.figures.rounds;
        let used_ns = cpu_ns.saturating_sub(known.cpu_ns);
        known.cpu_ns = cpu_ns;
        known.pending_ns += used_ns;
        known.still_ns = if used_ns == 0 { known.still_ns.saturating_add(elapsed_ns) } else { 0 };
        match known.at {
            // Who used no time is where it was.
            Some(at) if used_ns == 0 && at.waits() => {
                self.figures.samples += 1;
                self.window.add(key_of(known.id, at), 0, elapsed_ns);
            }
            None if used_ns == 0 && known.is_nowhere => {}
            _ => self.sample(thread, &mut known, elapsed_ns, used_ns),
        }
        known.is_nowhere &= known.at.is_none();
        if let Some(at) = known.at {
            self.activity.used_ns += used_ns;
            self.activity.is_wanted |= at.state != State::Idle && known.still_ns < LASTING_NS;
        }
        let (seen, window) = (known.at.map(|at| key_of(known.id, at)), &mut self.window);
        let blocks = loops::look(&mut known.block, &self.interpreter, thread.state, seen, elapsed_ns, window);
        self.figures.loop_blocks += u64::from(blocks);
        self.threads.insert(key, known);
    }

    fn add(&mut self, thread: &Thread, cpu_ns: u64) -> Known {
        self.has_unnamed = true;
        let id = ThreadId { ident: thread.ident, native: thread.native };
        self.names.insert(id, None);
        // It goes on in another interpreter: what it used before is counted.
        let counted = self.threads.values().find(|known| known.id == id).map(|known| known.cpu_ns);
        Known {
            id,
            round: 0,
            // What was used before the first round is of no window.
            cpu_ns: counted.unwrap_or(if self.figures.rounds > 1 { 0 } else { cpu_ns }),
            pending_ns: 0,
            at: None,
            path: Path::default(),
            is_nowhere: false,
            still_ns: 0,
            call: None,
            schedule: None,
            scheduled: None,
            block: None,
        }
    }

    fn sample(&mut self, thread: &Thread, known: &mut Known, elapsed_ns: u64, used_ns: u64) {
        // Whose clock goes on right now runs; to have the kernel tell so costs a quarter of a round.
        let goes_on = || task::cpu_ns(thread.native).is_some_and(|cpu_ns| cpu_ns > known.cpu_ns);
        let goes_on = used_ns as f64 > elapsed_ns as f64 * ASKED_SHARE && goes_on();
        let call = if goes_on { Some(Call::Running) } else { self.call_of(known) };
        self.figures.walks += 1;
        // It is asked before its stack is read, which then has to be in the function where it answered.
        let runs = matches!(call, Some(Call::Running)) && used_ns > 0;
        let asked = self.native.as_mut().filter(|_| runs);
        let answered = asked.map(|native| native.ask(thread.native, thread.state));
        let (outcome, span, task) = self.read(thread);
        match outcome {
            Outcome::Empty => {
                (known.at, known.is_nowhere) = (None, true);
                return;
            }
            Outcome::Torn => {
                self.figures.torn += 1;
                return;
            }
            Outcome::Outer => self.figures.unstable += 1,
            Outcome::Whole => {}
        }
        let frames = self.walker.frames();
        let native = match &mut self.native {
            Some(native) if outcome == Outcome::Whole && answered == Some(true) => {
                native.frames(&mut self.stacks, frames)
            }
            Some(native) if answered == Some(false) => native.unknown(&mut self.stacks),
            _ => &[],
        };
        let stack = match self.stacks.intern_native(&self.interpreter, frames, native, &mut known.path) {
            Interned::Stack(stack) if stack != crate::stacks::ROOT => stack,
            Interned::Stack(_) => {
                known.at = None;
                return;
            }
            Interned::Torn => {
                self.figures.torn += 1;
                return;
            }
            Interned::Full => {
                self.figures.dropped += 1;
                return;
            }
        };
        self.figures.samples += 1;
        let state = match call {
            Some(Call::In(number, arguments)) => self.waiting(thread, stack, number, arguments),
            Some(Call::Running) if used_ns == 0 => State::RunQueue,
            Some(Call::Running) => State::Cpu,
            // Without the kernel's word: who used time runs.
            None if used_ns > 0 => State::Cpu,
            None => State::Other,
        };
        let at = At { stack, state, span, task };
        known.at = Some(at);
        let id = known.id;
        let key = |state| key_of(id, At { state, ..at });
        if state != State::Cpu {
            self.window.add(key(state), 0, elapsed_ns);
            return;
        }
        let waited = if (used_ns as f64) < elapsed_ns as f64 * BUSY_SHARE { self.run_queue_share(known) } else { 0.0 };
        let queued_ns = (elapsed_ns as f64 * waited) as u64;
        // Time that a thread used between rounds was used where it is found running.
        self.window.add(key(State::Cpu), std::mem::take(&mut known.pending_ns), elapsed_ns - queued_ns);
        if queued_ns > 0 {
            self.window.add(key(State::RunQueue), 0, queued_ns);
        }
    }

    /// Reads a thread's stack, with its span and task: those of one task or greenlet, which its context tells apart.
    fn read(&mut self, thread: &Thread) -> (Outcome, SpanIds, u32) {
        let mut outcome = Outcome::Torn;
        for _ in 0..READS_IN_CONTEXT {
            let context = spans::context(&self.interpreter, thread.state);
            outcome = self.walker.walk(&self.interpreter, thread.state);
            let span = self.spans.as_ref().map(|key| spans::current(&self.interpreter, key, thread.state));
            let task = self.task_of(thread);
            if spans::context(&self.interpreter, thread.state) == context {
                return (outcome, span.unwrap_or_default(), task);
            }
        }
        (outcome, SpanIds::default(), 0)
    }

    /// The name of the task whose frames were read last of this thread, or of the greenlet.
    fn task_of(&mut self, thread: &Thread) -> u32 {
        let interpreter = &self.interpreter;
        let of_task = || {
            let tasks = self.tasks.as_ref()?;
            tasks.name(interpreter, tasks.running(interpreter, thread, self.walker.frames())?)
        };
        let of_greenlet = || text(interpreter, spans::current_value(interpreter, self.context_names?, thread.state)?);
        let name = of_task().or_else(of_greenlet);
        self.task_names.number(name)
    }

    /// Samples tasks that wait, if it is time: nothing of them is on any thread's stack.
    fn look_at_waiting_tasks(&mut self) {
        if let Some(mut tasks) = self.tasks.take() {
            let list = std::mem::take(&mut self.list);
            self.look_at_tasks(&mut tasks, &list);
            (self.tasks, self.list) = (Some(tasks), list);
        }
    }

    fn look_at_tasks(&mut self, tasks: &mut Tasks, threads: &[Thread]) {
        let Some(elapsed) = tasks.look(&self.interpreter, threads) else { return };
        let wall_ns = (elapsed.as_nanos() as f64 * tasks.weight) as u64;
        for place in 0..tasks.found.len() {
            let (task, thread) = tasks.found[place];
            let frames = tasks.awaited(&self.interpreter, task);
            let stack = match self.stacks.intern(&self.interpreter, frames) {
                Interned::Stack(stack) if stack != crate::stacks::ROOT => stack,
                Interned::Full => {
                    self.figures.dropped += 1;
                    continue;
                }
                _ => continue,
            };
            let innermost = self.stacks.innermost(stack).next();
            let state = innermost.map_or(State::Other, |code| self.stacks.codes.waits(code));
            let context = tasks.context(&self.interpreter, task);
            let span = self.spans.as_ref().zip(context);
            let span = span.map(|(key, context)| spans::in_context(&self.interpreter, key, context));
            let task = self.task_names.number(tasks.name(&self.interpreter, task));
            let at = At { stack, state, span: span.unwrap_or_default(), task };
            let id = ThreadId { ident: threads[thread].ident, native: threads[thread].native };
            self.figures.waiting_tasks += 1;
            self.window.add(Key { is_waiting_task: true, ..key_of(id, at) }, 0, wall_ns);
        }
    }

    /// Which call of the kernel a thread is in.
    fn call_of(&mut self, known: &mut Known) -> Option<Call> {
        let mut text = [0; CALL_BYTES];
        let found = self
            .with_file(known.id.native, &mut known.call, "syscall", |file| file.read(&mut text).and_then(Call::parse));
        found.flatten()
    }

    /// How much of the time in which a thread could run it waited for a processor, since this was last asked.
    fn run_queue_share(&mut self, known: &mut Known) -> f64 {
        let mut text = [0; CALL_BYTES];
        let read = |file: &TaskFile| {
            let mut words = file.read(&mut text)?.split(' ').map(|word| word.trim_end().parse::<u64>().ok());
            Some((words.next()??, words.next()??))
        };
        let found = self.with_file(known.id.native, &mut known.schedule, "schedstat", read).flatten();
        let Some((ran, waited)) = found else { return 0.0 };
        let Some((ran_before, waited_before)) = known.scheduled.replace((ran, waited)) else { return 0.0 };
        let (ran, waited) = (ran.saturating_sub(ran_before), waited.saturating_sub(waited_before));
        if waited == 0 { 0.0 } else { waited as f64 / (ran + waited) as f64 }
    }

    /// Reads a file of a thread, which stays open if there are not too many.
    fn with_file<T>(
        &mut self,
        thread: i32,
        kept: &mut Option<TaskFile>,
        name: &str,
        read: impl FnOnce(&TaskFile) -> T,
    ) -> Option<T> {
        if let Some(file) = kept {
            return Some(read(file));
        }
        let file = TaskFile::open(thread, name)?;
        let found = read(&file);
        if self.open_files < MAX_OPEN_FILES {
            self.open_files += 1;
            *kept = Some(file);
        }
        Some(found)
    }

    fn waiting(&self, thread: &Thread, stack: u32, call: i64, arguments: [usize; 4]) -> State {
        let gil = thread.gil..thread.gil + self.interpreter.layout.gil_size as usize;
        let mut roles = [Role::Plain; ROLE_FRAMES];
        let codes = &self.stacks.codes;
        for (role, code) in roles.iter_mut().zip(self.stacks.innermost(stack)) {
            *role = codes.role(code);
        }
        let first_polled = |list| load::word(list).map(|entry| entry & 0xFFFF_FFFF);
        classify(call, arguments, gil, &roles, kind_of, first_polled)
    }

    /// Closes what was kept of threads that ended; the time they used counts where they were last seen.
    fn forget_gone(&mut self) {
        let round = self.figures.rounds;
        if self.threads.values().all(|known| known.round == round) {
            return;
        }
        let (window, open_files) = (&mut self.window, &mut self.open_files);
        self.threads.retain(|_, known| {
            if known.round == round {
                return true;
            }
            *open_files -= usize::from(known.call.is_some()) + usize::from(known.schedule.is_some());
            flush_pending(window, known);
            false
        });
    }

    /// The folders of the standard library.
    pub(crate) fn standard_library(&self) -> &[String] {
        &self.standard_library
    }

    /// What the samples of this window say whose they are; `names` are those of threads by
    /// `threading.get_ident()`.
    pub(crate) fn labels(&mut self, names: &HashMap<u64, String>) -> Labels {
        self.name_threads(names);
        let threads = self.names.iter().filter_map(|(thread, name)| Some((*thread, name.clone()?)));
        Labels::new(threads.collect(), names.clone())
    }

    /// What was sampled since the last call.
    pub(crate) fn take(&mut self, labels: &Labels, is_last: bool) -> Profile {
        if is_last {
            for known in self.threads.values_mut() {
                flush_pending(&mut self.window, known);
            }
        }
        let window = std::mem::take(&mut self.window);
        let profile = window.profile(&self.stacks, labels, &self.task_names, &self.standard_library);
        let known: FxHashSet<ThreadId> = self.threads.values().map(|known| known.id).collect();
        self.names.retain(|thread, _| known.contains(thread));
        if self.stacks.is_filling() || self.task_names.is_filling() {
            self.stacks.clear();
            self.task_names = Names::default();
            for known in self.threads.values_mut() {
                (known.at, known.block) = (None, None);
                known.path.clear();
            }
        }
        profile
    }

    /// Takes over the names of threads that live.
    pub(crate) fn name_threads(&mut self, names: &HashMap<u64, String>) {
        for known in self.threads.values() {
            if let Some(name) = names.get(&(known.id.ident as u64)) {
                self.names.insert(known.id, Some(name.clone()));
            }
        }
    }
}

fn key_of(thread: ThreadId, at: At) -> Key {
    Key { stack: at.stack, thread, state: at.state, span: at.span, task: at.task, is_waiting_task: false }
}

fn flush_pending(window: &mut Window, known: &mut Known) {
    if let Some(at) = known.at {
        let key = key_of(known.id, At { state: State::Cpu, ..at });
        match std::mem::take(&mut known.pending_ns) {
            0 => {}
            pending => window.add(key, pending, 0),
        }
    }
}
