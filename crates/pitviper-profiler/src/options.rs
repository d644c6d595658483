//! What the sampler is told, and what it says of itself.

use std::fmt;
use std::time::Duration;

/// How to sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Samples of each thread in a second. Within 1 and 1000.
    pub rate_hz: f64,
    /// How much of one processor's time the sampler may take, such as 0.01. It samples less often when it
    /// would take more.
    pub budget: f64,
    /// The folders of the standard library, where its path does not say so.
    pub standard_library: Vec<String>,
    /// How the span is found that a thread works on; `None` when samples are not to be linked.
    pub spans: Option<SpanKey>,
    /// How many allocated bytes there are between two samples of allocations on average; `None` when allocations
    /// are not sampled.
    pub allocation_interval: Option<u64>,
    /// How many samples of allocations there may be in a second: where there would be more, they lie further apart.
    /// Zero for any number.
    pub allocation_rate_hz: f64,
    /// The variable whose value is what the context is called, where something has its own that is no task of
    /// asyncio: a greenlet.
    pub names: Option<Variable>,
    /// Whether stacks go on into the native code that Python code runs. Threads that run are then interrupted by a
    /// signal (SIGURG) for each sample.
    pub native: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rate_hz: 100.0,
            budget: 0.01,
            standard_library: Vec::new(),
            spans: None,
            allocation_interval: None,
            allocation_rate_hz: 0.0,
            names: None,
            native: false,
        }
    }
}

/// Which events are kept beside samples of stacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventOptions {
    /// Waits for locks, as the sampler sees them.
    pub locks: bool,
    /// Waits for locks and how long they are held, which have to be told.
    pub exact_locks: bool,
    /// How long something has to block an event loop to be told; `None` for never.
    pub loops: Option<Duration>,
    /// Garbage collections.
    pub collections: bool,
    /// Exceptions, which have to be told.
    pub exceptions: bool,
}

/// A context variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Where it is. It is never given back.
    pub place: usize,
    /// Its hash, as `hash()` gives it.
    pub hash: isize,
}

/// How spans are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanKey {
    /// What holds the current span.
    pub variable: Variable,
    /// Where the class of spans is. What else the variable holds is no span.
    pub class: usize,
    /// Where in a span its trace id is, its span id, and whether it has ended (a byte, not zero).
    pub trace_id_at: usize,
    /// See above.
    pub span_id_at: usize,
    /// See above: the id of the span that its request began with in this process.
    pub root_id_at: usize,
    /// See above.
    pub ended_at: usize,
}

/// Who knows what requests are called. It is asked from any thread, and must not wait for the interpreter.
pub trait Endpoints: fmt::Debug + Sync {
    /// The name of the request that this span began will be asked for, also when it has ended.
    fn note(&self, root: [u8; 8]);

    /// The names of all requests that were noted and are under way, or ended in this window or the one before.
    fn take(&self) -> Vec<([u8; 8], String)>;
}

/// What the interpreter's public interface says of the calling thread; the sampler has to find the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownThread {
    /// The version as in `sys.hexversion`.
    pub hexversion: u32,
    /// Where the thread's state is.
    pub state: usize,
    /// Where its interpreter is.
    pub interpreter: usize,
    /// What the agent's context variable holds, where it is; zero when it is not set.
    pub current: usize,
    /// Its stack, the innermost frame first.
    pub frames: Vec<KnownFrame>,
}

/// A task of asyncio that is current in the calling thread, has not begun, and will never: where all that is
/// known of it is. It shows where tasks keep what they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KnownTask {
    /// The task, and asyncio's own class of tasks.
    pub task: usize,
    /// See above.
    pub class: usize,
    /// Its coroutine, its name, and its loop.
    pub coroutine: usize,
    /// See above.
    pub name: usize,
    /// See above.
    pub event_loop: usize,
    /// The state of the calling thread.
    pub state: usize,
    /// The class of contexts, of weak references, and of numbers.
    pub context_class: usize,
    /// See above.
    pub reference_class: usize,
    /// See above.
    pub number_class: usize,
    /// The classes of coroutines, generators and asynchronous generators.
    pub coroutine_classes: [usize; 3],
    /// The classes of what stands for one of those: `coro.__await__()`, `generator.asend()`.
    pub wrapper_classes: [usize; 2],
    /// The dictionary of the tasks that run by their loops, and the set of references to all; zero where the
    /// interpreter's threads keep them.
    pub current: usize,
    /// See above.
    pub all: usize,
    /// The key under which a thread keeps its loop.
    pub loop_key: usize,
}

/// A frame as the interpreter's public interface shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFrame {
    /// Where its code object is.
    pub code: usize,
    /// The function, qualified from Python 3.11 on.
    pub function: String,
    /// The file.
    pub file: String,
    /// The line; zero for none.
    pub line: u32,
}

/// Why nothing can be sampled here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable(pub String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "profiling is unavailable: {}", self.0)
    }
}

impl std::error::Error for Unavailable {}

/// What the sampler did since it was started.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    /// Whether it samples.
    pub running: bool,
    /// Rounds over all threads.
    pub rounds: u64,
    /// Samples of threads; most of threads that had not moved.
    pub samples: u64,
    /// Stacks that were read.
    pub walks: u64,
    /// Reads that began again because the stack had moved.
    pub retried: u64,
    /// Stacks of which only the outer part held still; the rest was left out.
    pub unstable: u64,
    /// Stacks that could not be read at all.
    pub torn: u64,
    /// Loads of memory that was gone.
    pub faults: u64,
    /// Whether memory can be read; not while another owner of SIGSEGV is there, and then nothing is sampled.
    pub direct: bool,
    /// Whether samples name the spans they are of.
    pub linked: bool,
    /// Whether samples name the tasks they are of.
    pub tasks: bool,
    /// Samples of tasks that waited.
    pub waiting_tasks: u64,
    /// Samples that were not kept because a bound was reached.
    pub dropped: u64,
    /// Callbacks that blocked an event loop for longer than they may.
    pub loop_blocks: u64,
    /// Collections, exceptions and exact waits for locks that were kept.
    pub events: u64,
    /// Those that were not, because what keeps them was in use, the stack could not be read or a bound was reached.
    pub events_lost: u64,
    /// Whether running threads are asked which native code they run.
    pub native: bool,
    /// How often a thread was asked for it, and how often its native frames are known.
    pub native_asked: u64,
    /// See above.
    pub native_answered: u64,
    /// Threads in the last round.
    pub threads: u64,
    /// Rounds a second now.
    pub rate_hz: f64,
    /// CPU time of the sampler, in nanoseconds.
    pub own_cpu_ns: u64,
    /// How long it has been running, in nanoseconds.
    pub elapsed_ns: u64,
    /// What was done about allocations.
    pub allocations: AllocationFigures,
}

/// What the sampling of allocations did since it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AllocationFigures {
    /// Whether allocations are sampled.
    pub running: bool,
    /// Whether giving back what was not sampled costs nothing, as it does in front of the interpreter's own allocator.
    pub free_spared: bool,
    /// Small blocks are looked at in one stretch of time of so many, so as not to cost more than they may.
    pub stretches: u32,
    /// How many bytes there are between two samples on average, if there are not to be too many.
    pub interval: u64,
    /// Allocations that were sampled.
    pub samples: u64,
    /// Allocations of threads that do not run Python, which were not sampled.
    pub without_thread: u64,
    /// Allocations that no Python code made, such as when a thread begins or ends, which were not sampled.
    pub without_frames: u64,
    /// Allocations whose stack could not be read, which were not sampled.
    pub torn: u64,
    /// Samples that were not kept because a bound was reached.
    pub dropped: u64,
    /// Sampled blocks that are there now.
    pub live: u64,
    /// Sampled blocks that count as allocated and not as there, because too many are.
    pub live_dropped: u64,
    /// How often other hooks had put ours away. What was there is then no longer known, but for blocks that are given
    /// back by way of the raw domain.
    pub hooks_lost: u64,
}
