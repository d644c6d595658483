//! What the spans of one tracer provider go through: a sampler, bounds, ids, processors.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pitviper_agent::{Limits, Parent, Sampler, SpanContext, SpanOptions};
use pitviper_model::{Attributes, SpanId, TraceId};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::runtime::agent;
use crate::shield::shield;
use crate::span::Span;
use crate::{convert, faces};

/// W3C trace flags.
const SAMPLED: u8 = 1;
const RANDOM: u8 = 2;

/// Who decides which traces are kept.
enum Sampling {
    /// The agent's settings.
    Agent,
    /// A rule the core knows.
    Native(Sampler),
    /// An object with `should_sample`.
    Python(Py<PyAny>),
}

/// What the spans of one tracer provider go through.
#[pyclass(frozen, module = "pitviper._native")]
pub(crate) struct Pipeline {
    sampling: Sampling,
    limits: Option<Limits>,
    /// An object with `generate_trace_id` and `generate_span_id`.
    ids: Option<Py<PyAny>>,
    /// An object with `on_start`, `on_ending` and `on_end`, which raise nothing.
    processor: Py<PyAny>,
    /// Whether the processor has anything to do.
    watched: AtomicBool,
    /// Whether spans still go to the exporter.
    exports: AtomicBool,
    /// The resource its spans have instead of the agent's.
    resource: Option<Arc<Attributes>>,
}

#[pymethods]
impl Pipeline {
    /// `sampler` is None for the agent's, a pair of name and argument, or an object with
    /// `should_sample`; `limits` are seven numbers in the order of [`Limits`], None for no limit.
    #[new]
    #[pyo3(signature = (processor, sampler = None, limits = None, id_generator = None, resource = None))]
    fn new(
        processor: Py<PyAny>,
        sampler: Option<&Bound<'_, PyAny>>,
        limits: Option<[Option<usize>; 7]>,
        id_generator: Option<Py<PyAny>>,
        resource: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let sampling = match sampler {
            None => Sampling::Agent,
            Some(object) => match object.extract::<(String, f64)>() {
                Ok((name, ratio)) => Sampling::Native(
                    Sampler::parse(&name, ratio)
                        .ok_or_else(|| PyValueError::new_err(format!("unknown sampler {name:?} with {ratio}")))?,
                ),
                Err(_) => Sampling::Python(object.clone().unbind()),
            },
        };
        let count = |limit: Option<usize>| limit.map_or(u32::MAX, |limit| u32::try_from(limit).unwrap_or(u32::MAX));
        let limits = limits.map(
            |[attributes, event_attributes, link_attributes, value_length, detail_value_length, events, links]| {
                Limits {
                    attributes: count(attributes),
                    event_attributes: count(event_attributes),
                    link_attributes: count(link_attributes),
                    value_length: value_length.unwrap_or(usize::MAX),
                    detail_value_length: detail_value_length.unwrap_or(usize::MAX),
                    events: count(events),
                    links: count(links),
                }
            },
        );
        Ok(Self {
            sampling,
            limits,
            ids: id_generator,
            processor,
            watched: AtomicBool::new(false),
            exports: AtomicBool::new(true),
            resource: resource.map(|resource| Arc::new(convert::to_attributes(Some(resource)))),
        })
    }

    /// Says that there is a processor now.
    fn watch(&self) {
        self.watched.store(true, Ordering::Relaxed);
    }

    /// Exports nothing any more.
    fn close(&self) {
        self.exports.store(false, Ordering::Relaxed);
    }
}

/// A span that has been started, and the attributes it begins with when a sampler chose them.
pub(crate) struct Begun<'py> {
    pub(crate) span: pitviper_agent::Span,
    pub(crate) attributes: Option<Bound<'py, PyAny>>,
}

/// What a sampler written in Python is told besides the parent; all of it as it was given.
pub(crate) struct Asked<'a, 'py> {
    /// The OpenTelemetry context that was given, or none for the current one.
    pub(crate) context: Option<&'a Bound<'py, PyAny>>,
    pub(crate) name: &'a Bound<'py, PyAny>,
    pub(crate) attributes: Option<&'a Bound<'py, PyAny>>,
    pub(crate) links: Option<&'a Bound<'py, PyAny>>,
}

struct Answer<'py> {
    recorded: bool,
    sampled: bool,
    attributes: Option<Bound<'py, PyAny>>,
    trace_state: Option<Arc<str>>,
}

impl Pipeline {
    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    pub(crate) fn resource(&self) -> Option<Arc<Attributes>> {
        self.resource.clone()
    }

    /// Starts a span: draws its ids and asks the sampler.
    pub(crate) fn begin<'py>(&self, py: Python<'py>, options: &SpanOptions<'_>, asked: &Asked<'_, 'py>) -> Begun<'py> {
        let agent = agent();
        let (trace_id, random) = match options.parent.trace() {
            Some(parent) => (parent.trace_id, parent.flags & RANDOM),
            None => self.trace_id(py),
        };
        let (inherited, baggage) = options.parent.passed_on();
        let native = |sampler| {
            let sampled = agent.samples(sampler, options.parent, trace_id);
            Answer { recorded: sampled, sampled, attributes: None, trace_state: inherited.clone() }
        };
        let answer = match &self.sampling {
            Sampling::Agent => native(None),
            Sampling::Native(sampler) => native(Some(*sampler)),
            // A sampler that fails must not fail its caller; the agent's own decides then.
            Sampling::Python(sampler) => {
                shield(None, || ask(sampler.bind(py), trace_id, options, asked).ok()).unwrap_or_else(|| native(None))
            }
        };
        let exports = self.exports.load(Ordering::Relaxed) && agent.is_enabled();
        let recorded = answer.recorded && (exports || self.is_watched());
        let context = SpanContext {
            trace_id,
            span_id: self.span_id(py),
            flags: random | if answer.sampled && recorded { SAMPLED } else { 0 },
            is_remote: false,
            trace_state: answer.trace_state,
            baggage,
            local_root: SpanId::INVALID,
        };
        let options = SpanOptions { limits: self.limits, ..*options };
        let span = agent.begin(&options, context, recorded, answer.sampled && exports);
        Begun { span, attributes: answer.attributes }
    }

    fn trace_id(&self, py: Python<'_>) -> (TraceId, u8) {
        let Some(ids) = self.ids.as_ref().map(|ids| ids.bind(py)) else {
            return (pitviper_agent::trace_id(), RANDOM);
        };
        let (drawn, random) = shield((None, false), || {
            let drawn = ids.call_method0("generate_trace_id").and_then(|id| id.extract::<u128>());
            let random = ids.call_method0("is_trace_id_random").and_then(|random| random.is_truthy());
            (drawn.ok(), random.unwrap_or(false))
        });
        match drawn {
            Some(id) if id != 0 => (TraceId(id.to_be_bytes()), if random { RANDOM } else { 0 }),
            _ => (pitviper_agent::trace_id(), RANDOM),
        }
    }

    fn span_id(&self, py: Python<'_>) -> SpanId {
        let draw = |ids: &Py<PyAny>| ids.bind(py).call_method0("generate_span_id")?.extract::<u64>();
        let drawn = self.ids.as_ref().and_then(|ids| shield(None, || draw(ids).ok()));
        drawn.filter(|id| *id != 0).map_or_else(pitviper_agent::span_id, |id| SpanId(id.to_be_bytes()))
    }

    /// Tells the processor of a span; `what` is the name of its method.
    pub(crate) fn tell(&self, what: &str, span: &Bound<'_, Span>) {
        // The processor deals with its errors itself; nothing is left to do about one here.
        let _ = shield(None, || self.processor.bind(span.py()).call_method1(what, (span,)).ok());
    }

    /// Tells the processor of a span's start, and of the context that was given for it.
    pub(crate) fn tell_start(&self, span: &Bound<'_, Span>, context: Option<&Bound<'_, PyAny>>) {
        let _ = shield(None, || self.processor.bind(span.py()).call_method1("on_start", (span, context)).ok());
    }
}

/// Asks a sampler written in Python.
fn ask<'py>(
    sampler: &Bound<'py, PyAny>,
    trace_id: TraceId,
    options: &SpanOptions<'_>,
    asked: &Asked<'_, 'py>,
) -> PyResult<Answer<'py>> {
    let py = sampler.py();
    let faces = faces::get(py).ok_or_else(|| PyValueError::new_err("opentelemetry.trace is not loaded"))?;
    let context = match (asked.context, options.parent) {
        (Some(given), _) => Some(given.clone()),
        (None, Parent::Context(parent)) if parent.is_valid() => Some(faces.context_with_parent(py, parent)?),
        (None, _) => None,
    };
    let kind = faces.show_kind(py, options.kind as i32);
    let number = u128::from_be_bytes(trace_id.0);
    let result =
        sampler.call_method1("should_sample", (context, number, asked.name, kind, asked.attributes, asked.links))?;
    // DROP, RECORD_ONLY and RECORD_AND_SAMPLE.
    let decision = result.getattr("decision")?.getattr("value")?.extract::<u8>()?;
    let state = result.getattr("trace_state")?;
    let trace_state = if state.is_none() {
        None
    } else {
        let header = state.call_method0("to_header")?.extract::<String>()?;
        (!header.is_empty()).then(|| Arc::from(header))
    };
    let attributes = Some(result.getattr("attributes")?).filter(|attributes| !attributes.is_none());
    Ok(Answer { recorded: decision > 0, sampled: decision > 1, attributes, trace_state })
}

/// The pipeline of spans that no tracer of a provider makes, while it is another than the agent's own
/// settings. The lock is held for no longer than a copy of the reference, and no Python code runs below it.
static OWN: Mutex<Option<Py<Pipeline>>> = Mutex::new(None);
static HAS_OWN: AtomicBool = AtomicBool::new(false);

/// Sends the spans of the agent's own integrations through a provider's pipeline as well, or, with None,
/// where they went at first.
#[pyfunction]
#[pyo3(signature = (pipeline))]
pub(crate) fn set_own_pipeline(pipeline: Option<Py<Pipeline>>) {
    HAS_OWN.store(pipeline.is_some(), Ordering::Relaxed);
    let before = std::mem::replace(&mut *OWN.lock().unwrap_or_else(PoisonError::into_inner), pipeline);
    drop(before);
}

/// Whether the agent's own integrations have a pipeline.
#[inline]
pub(crate) fn is_own() -> bool {
    HAS_OWN.load(Ordering::Relaxed)
}

/// The pipeline of the agent's own integrations, when there is one.
#[inline]
pub(crate) fn own(py: Python<'_>) -> Option<Bound<'_, Pipeline>> {
    if !is_own() {
        return None;
    }
    let own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    own.as_ref().map(|pipeline| pipeline.clone_ref(py).into_bound(py))
}
