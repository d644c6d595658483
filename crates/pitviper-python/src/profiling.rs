//! The profiler, as Python starts, stops and asks it.

use std::collections::HashMap;
use std::sync::Mutex;

use pitviper_model::SpanId;
use pitviper_pprof::{LabelValue, Profile};
use pitviper_profiler::{Endpoints, KnownFrame, KnownTask, KnownThread, Options, Profiler, SpanKey, Variable};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyList};

use crate::convert::to_text;
use crate::once::Once;
use crate::runtime::agent;
use crate::shield::shield;
use crate::span::{Maker, Span};
use crate::{context, host};

/// How the profiler was started last; `None` when children of a fork are not to be profiled. Nobody waits for
/// it, so a fork that tears it does no harm.
static OPTIONS: Mutex<Option<Options>> = Mutex::new(None);

/// What requests are called, as the agent knows it.
#[derive(Debug)]
struct Requests;

impl Endpoints for Requests {
    fn note(&self, root: [u8; 8]) {
        agent().endpoints().note(SpanId(root));
    }

    fn take(&self) -> Vec<([u8; 8], String)> {
        agent().endpoints().take().into_iter().map(|(root, name)| (root.0, name)).collect()
    }
}

/// Begins to sample the threads of this process `rate_hz` times a second each, or less often when that would
/// take more than the share `budget` of one processor. `standard_library` are its folders. In `children`
/// of a fork sampling begins anew. Of allocated memory about every `allocation_interval`th byte is sampled, zero
/// for none, and fewer where that would be more than `allocation_rate_hz` times a second, unless that is zero. With `native` stacks go on into the native code that runs. Returns why nothing can be sampled here, or None.
#[expect(clippy::too_many_arguments, reason = "each is one setting, and all are keywords")]
#[pyfunction]
#[pyo3(signature = (
    rate_hz = 100.0, budget = 0.01, standard_library = None, children = true, allocation_interval = 0,
    allocation_rate_hz = 0.0, native = false,
))]
pub(crate) fn profiler_start(
    py: Python<'_>,
    rate_hz: f64,
    budget: f64,
    standard_library: Option<Vec<String>>,
    children: bool,
    allocation_interval: u64,
    allocation_rate_hz: f64,
    native: bool,
) -> PyResult<Option<String>> {
    let standard_library = standard_library.unwrap_or_default();
    // Something is current while the sampler looks whether it finds it.
    let probe = Bound::new(py, Span::make(pitviper_agent::Span::blank(agent()), Maker::Agent))?;
    let names = context_names(py).ok().and_then(|variable| variable_key(&variable));
    let allocation_interval = Some(allocation_interval).filter(|interval| *interval > 0);
    let spans = span_key(&probe);
    let options =
        Options { rate_hz, budget, standard_library, spans, allocation_interval, allocation_rate_hz, names, native };
    let token = context::set(py, Some(probe.as_any()));
    let known = own_thread(py, if token.is_some() { probe.as_ptr() as usize } else { 0 });
    host::watch_forks();
    let started = known.map(|known| {
        Profiler::get().name_endpoints(&Requests);
        agent().endpoints().on_begin(|| Profiler::get().wake());
        agent().endpoints().want(true);
        shield(Ok(()), || Profiler::get().start(&options, &known).inspect_err(|_| agent().endpoints().want(false)))
    });
    if let Some(token) = token {
        context::reset(py, &token);
    }
    let started = started?;
    if let Ok(mut kept) = OPTIONS.try_lock() {
        *kept = children.then_some(options);
    }
    Ok(started.err().map(|unavailable| unavailable.0))
}

/// Stops; what was not taken is lost.
#[pyfunction]
pub(crate) fn profiler_stop(py: Python<'_>) {
    crate::shield::shield_native((), || Profiler::get().stop_allocations());
    py.detach(|| {
        crate::shield::shield_native((), || {
            Profiler::get().stop();
            agent().endpoints().want(false);
        });
    });
}

/// In a forked child: goes on, if the parent was sampling and its children are wanted.
#[pyfunction]
pub(crate) fn profiler_resume() {
    shield((), || {
        match OPTIONS.try_lock().ok().and_then(|kept| kept.clone()) {
            // Without a thread the child is not profiled.
            Some(options) => drop(Profiler::get().resume_in_child(&options)),
            None => agent().endpoints().want(false),
        }
    });
}

/// Tells the profiler the names of threads, which may end before it is asked next, and sees to it that it still
/// learns of allocations.
#[pyfunction]
pub(crate) fn profiler_name_threads(py: Python<'_>) {
    crate::shield::shield_native((), || Profiler::get().keep_allocations());
    let names = thread_names(py);
    py.detach(|| crate::shield::shield_native((), || Profiler::get().name_threads(&names)));
}

/// Whether samples would name tasks of asyncio if `profiler_watch_tasks` said where they are.
#[pyfunction]
pub(crate) fn profiler_wants_tasks() -> bool {
    shield(false, || Profiler::get().wants_tasks())
}

/// Has samples name the tasks of asyncio. `known` are a task that is current in the calling thread, its class, its
/// coroutine, name and loop; then the dictionary of current tasks, the set of references to all tasks, and the
/// key of a thread's loop, or None where the interpreter has none of those. Returns why not, or None.
#[pyfunction]
pub(crate) fn profiler_watch_tasks(py: Python<'_>, known: [Bound<'_, PyAny>; 8]) -> PyResult<Option<String>> {
    let place = |object: &Bound<'_, PyAny>| if object.is_none() { 0 } else { object.as_ptr() as usize };
    let class = |module: &str, name: &str| Ok::<_, PyErr>(py.import(module)?.getattr(name)?.as_ptr() as usize);
    let [task, task_class, coroutine, name, event_loop, current, all, loop_key] = known.each_ref().map(place);
    let wrapper = known[2].call_method0("__await__")?;
    let known = KnownTask {
        task,
        class: task_class,
        coroutine,
        name,
        event_loop,
        state: host::own_state(py).0,
        context_class: class("contextvars", "Context")?,
        reference_class: class("weakref", "ReferenceType")?,
        number_class: py.get_type::<PyInt>().as_ptr() as usize,
        coroutine_classes: [
            class("types", "CoroutineType")?,
            class("types", "GeneratorType")?,
            class("types", "AsyncGeneratorType")?,
        ],
        wrapper_classes: [wrapper.get_type().as_ptr() as usize, steps_class(py)?],
        current,
        all,
        loop_key,
    };
    Ok(shield(Ok(()), || Profiler::get().watch_tasks(&known)).err().map(|unavailable| unavailable.0))
}

/// The class of what `asend` of an asynchronous generator gives.
fn steps_class(py: Python<'_>) -> PyResult<usize> {
    let made = PyModule::from_code(py, c"async def made(): yield", c"<pitviper>", c"_pitviper")?;
    let step = made.getattr("made")?.call0()?.call_method1("asend", (py.None(),))?;
    let class = step.get_type().as_ptr() as usize;
    step.call_method0("close")?;
    Ok(class)
}

/// What was sampled since the last call: for each sample its frames (function, file, line), the innermost
/// first, its labels, and its values that are not zero by their type. None when nothing samples. The `last`
/// call has all CPU time.
#[pyfunction]
#[pyo3(signature = (last = false))]
pub(crate) fn profiler_take(py: Python<'_>, last: bool) -> PyResult<Option<Bound<'_, PyList>>> {
    let Some(profile) = take(py, last) else { return Ok(None) };
    let list = PyList::empty(py);
    for sample in &profile.samples {
        let frames = profile.stacks[sample.stack as usize].iter().map(|frame| {
            let frame = &profile.frames[*frame as usize];
            (&frame.function, &frame.file, frame.line)
        });
        let labels = PyDict::new(py);
        for label in &sample.labels {
            match &label.value {
                LabelValue::Text(text) => labels.set_item(&*label.name, text)?,
                LabelValue::Number(number) => labels.set_item(&*label.name, number)?,
            }
        }
        let values = PyDict::new(py);
        for (kind, value) in profile.types.iter().zip(&sample.values).filter(|(_, value)| **value != 0) {
            values.set_item(&kind.name, value)?;
        }
        list.append((frames.collect::<Vec<_>>(), labels, values))?;
    }
    Ok(Some(list))
}

/// What was sampled since the last call; `None` when nothing samples.
pub(crate) fn take(py: Python<'_>, last: bool) -> Option<Profile> {
    let names = thread_names(py);
    py.detach(|| {
        crate::shield::shield_native(None, || {
            let profiler = Profiler::get();
            if last { profiler.take_last(&names) } else { profiler.take(&names) }
        })
    })
}

/// What the profiler did since it was started.
#[pyfunction]
pub(crate) fn profiler_figures(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let figures = py.detach(|| Profiler::get().figures());
    let allocations = figures.allocations;
    let dict = PyDict::new(py);
    for (name, value) in [
        ("rounds", figures.rounds),
        ("samples", figures.samples),
        ("walks", figures.walks),
        ("retried", figures.retried),
        ("unstable", figures.unstable),
        ("torn", figures.torn),
        ("faults", figures.faults),
        ("dropped", figures.dropped),
        ("unnamed_requests", agent().endpoints().missed()),
        ("loop_blocks", figures.loop_blocks),
        ("events", figures.events),
        ("events_lost", figures.events_lost),
        ("native_asked", figures.native_asked),
        ("native_answered", figures.native_answered),
        ("threads", figures.threads),
        ("own_cpu_ns", figures.own_cpu_ns),
        ("elapsed_ns", figures.elapsed_ns),
        ("alloc_samples", allocations.samples),
        ("alloc_without_thread", allocations.without_thread),
        ("alloc_without_frames", allocations.without_frames),
        ("alloc_torn", allocations.torn),
        ("alloc_dropped", allocations.dropped),
        ("alloc_live", allocations.live),
        ("alloc_live_dropped", allocations.live_dropped),
        ("alloc_hooks_lost", allocations.hooks_lost),
    ] {
        dict.set_item(name, value)?;
    }
    dict.set_item("running", figures.running)?;
    dict.set_item("alloc_running", allocations.running)?;
    dict.set_item("alloc_free_spared", allocations.free_spared)?;
    dict.set_item("alloc_stretches", allocations.stretches)?;
    dict.set_item("alloc_interval", allocations.interval)?;
    dict.set_item("direct", figures.direct)?;
    dict.set_item("tasks", figures.tasks)?;
    dict.set_item("waiting_tasks", figures.waiting_tasks)?;
    dict.set_item("linked", figures.linked)?;
    dict.set_item("native", figures.native)?;
    dict.set_item("rate_hz", figures.rate_hz)?;
    Ok(dict)
}

/// The names of the threads that `threading` knows, by `threading.get_ident()`.
fn thread_names(py: Python<'_>) -> HashMap<u64, String> {
    let read = || -> PyResult<HashMap<u64, String>> {
        let modules = py.import("sys")?.getattr("modules")?;
        let active = modules.get_item("threading")?.getattr("_active")?;
        // A copy, as threads come and go whenever Python code runs.
        let copy = active.call_method0("copy")?;
        let mut names = HashMap::new();
        for (ident, thread) in copy.cast_into::<PyDict>().map_err(PyErr::from)? {
            // `_name`, because `name` may be a subclass's property, and run its code.
            if let (Ok(ident), Ok(name)) = (ident.extract(), thread.getattr("_name")) {
                names.insert(ident, to_text(&name).into_owned());
            }
        }
        Ok(names)
    };
    read().unwrap_or_default()
}

/// What the public interface says of the calling thread.
fn own_thread(py: Python<'_>, current: usize) -> PyResult<KnownThread> {
    let sys = py.import("sys")?;
    let hexversion = sys.getattr("hexversion")?.extract()?;
    let mut frames = Vec::new();
    let mut frame = sys.call_method1("_getframe", (0,))?;
    while !frame.is_none() {
        let code = frame.getattr("f_code")?;
        let name = if hexversion >= 0x030B_0000 { "co_qualname" } else { "co_name" };
        frames.push(KnownFrame {
            code: code.as_ptr() as usize,
            function: code.getattr(name)?.extract()?,
            file: code.getattr("co_filename")?.extract()?,
            line: frame.getattr("f_lineno")?.extract::<Option<u32>>()?.unwrap_or(0),
        });
        frame = frame.getattr("f_back")?;
    }
    let (state, interpreter) = host::own_state(py);
    Ok(KnownThread { hexversion, state, interpreter, current, frames })
}

/// The context variable whose value names a greenlet in its samples.
static CONTEXT_NAMES: Once<Py<PyAny>> = Once::new();

/// The context variable that says, in a context of its own, what runs there is called.
#[pyfunction(name = "profiler_context_name")]
pub(crate) fn context_names(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let made = CONTEXT_NAMES.get_or_try_init(py, || context::new_variable(py, c"pitviper_context_name"))?;
    Ok(made.bind(py).clone())
}

/// Where a variable is, and its hash.
fn variable_key(variable: &Bound<'_, PyAny>) -> Option<Variable> {
    Some(Variable { place: variable.as_ptr() as usize, hash: variable.hash().ok()? })
}

/// How the sampler finds the span that a thread works on.
fn span_key(any: &Bound<'_, Span>) -> Option<SpanKey> {
    let variable = variable_key(context::variable(any.py())?)?;
    let (span, context) = (any.get(), any.get().core_context());
    // Objects of one class have their parts in the same places.
    let from_start = |part: usize| part - any.as_ptr() as usize;
    Some(SpanKey {
        variable,
        class: any.get_type().as_ptr() as usize,
        trace_id_at: from_start(std::ptr::from_ref(&context.trace_id) as usize),
        span_id_at: from_start(std::ptr::from_ref(&context.span_id) as usize),
        root_id_at: from_start(std::ptr::from_ref(&context.local_root) as usize),
        ended_at: from_start(std::ptr::from_ref(&span.ended) as usize),
    })
}
